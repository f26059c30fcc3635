"""The services of `rumblestrip services`: found by other processes, started once, stopped for good."""

from __future__ import annotations

import os
import signal
import stat
from pathlib import Path

import psutil
import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from infra.runtime import services
from infra.runtime.broker import Broker, answers
from infra.runtime.timescale_build import BuildFailed, build_timescaledb
from infra.settings import Settings
from infra.store.embedded import EmbeddedPostgres
from infra.store.engine import StoreUnavailable, has_timescale, make_engine
from infra.store.pginstall import wheel_pginstall


@pytest.fixture
def folder(servers) -> Path:
    """One that PostgreSQL's account can enter, which pytest's own is not when we are root."""
    return servers.new_folder()


@pytest.fixture
def embedded(folder: Path):
    server = EmbeddedPostgres(folder / "postgres", throwaway=True, plain=True)
    yield server
    server.stop()


def test_services_go_up_are_found_and_go_down(folder: Path, kafka_bootstrap: str, servers, monkeypatch) -> None:
    """On a data folder of its own; only the jars and Java are known to be there, by the fixture of the broker."""
    monkeypatch.setenv("RUMBLESTRIP_DATA_DIR", str(folder))
    settings = Settings(data_dir=folder, timescaledb=servers.settings.timescaledb)
    said: list[str] = []
    first = services.up(settings, said.append)
    try:
        again = services.up(settings, said.append)
        shown = CliRunner().invoke(services.services_app, ["status"])
        assert [each.pid for each in again] == [each.pid for each in first]
        assert [line.rpartition(": ")[2] for line in said if "start" in line and "starting" not in line] == [
            "started"
        ] * 2
        assert sum("was running already" in line for line in said) == 2
        assert shown.exit_code == 0
        variables = services.environment(first)
        assert variables["RUMBLESTRIP_BUS"] == "kafka"
        host, _, port = variables["RUMBLESTRIP_KAFKA_BOOTSTRAP"].partition(":")
        assert answers(host, int(port))
        engine = make_engine(variables["RUMBLESTRIP_DATABASE_URL"])
        with engine.connect() as connection:
            assert connection.scalar(text("SELECT 1")) == 1
        engine.dispose()
    finally:
        stopped = services.down(settings)
    assert stopped == ["Kafka", "PostgreSQL"]
    assert services.down(settings) == []
    assert [each.address for each in services.status(settings)] == [None, None]
    assert CliRunner().invoke(services.services_app, ["status"]).exit_code == 1
    assert not any(psutil.pid_exists(each.pid) and _alive(each.pid) for each in first if each.pid)


def _alive(pid: int) -> bool:
    return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_a_broker_of_another_process_is_found_by_its_folder(servers, kafka_bootstrap: str) -> None:
    found = Broker(servers.root / "kafka").start()
    assert found.bootstrap == kafka_bootstrap
    assert not found.started


def test_a_state_file_whose_process_number_went_to_another_is_not_believed(tmp_path: Path) -> None:
    broker = Broker(tmp_path)
    (tmp_path / "kafka.json").write_text(f'{{"pid": {os.getpid()}, "created": 1.0, "port": 1}}')
    assert broker.running() is None
    assert not broker.stop()


def test_embedded_postgres_keeps_its_data_and_its_port(embedded: EmbeddedPostgres) -> None:
    with embedded as running:
        assert running.started
        assert not embedded.start().started
        engine = make_engine(running.url)
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE kept AS SELECT 42 AS answer"))
        engine.dispose()
    assert embedded.running() is None
    with embedded as again:
        assert again.url == running.url
        engine = make_engine(again.url)
        with engine.connect() as connection:
            assert connection.scalar(text("SELECT answer FROM kept")) == 42
            assert not has_timescale(connection)
        engine.dispose()


def test_embedded_postgres_does_not_stop_what_it_did_not_start(embedded: EmbeddedPostgres) -> None:
    first = embedded.start()
    with EmbeddedPostgres(embedded.home, plain=True) as second:
        assert second.pid == first.pid
    assert embedded.running() is not None


def test_embedded_postgres_comes_back_after_kill(embedded: EmbeddedPostgres) -> None:
    killed = embedded.start()
    for process in (psutil.Process(killed.pid), *psutil.Process(killed.pid).children()):
        process.send_signal(signal.SIGKILL)
    assert embedded._gone_within(10)
    with embedded as again:
        assert again.pid != killed.pid


def test_a_pid_file_that_names_a_living_stranger_is_cleared(embedded: EmbeddedPostgres) -> None:
    embedded.start()
    embedded.stop()
    pid_file = embedded.data / "postmaster.pid"
    pid_file.write_text(f"{os.getppid()}\n{embedded.data}\n0\n5432\n\n127.0.0.1\n0\nready\n")
    assert embedded.running() is None
    assert embedded.start().started


def test_the_password_is_for_the_owner_alone_and_is_asked_for(embedded: EmbeddedPostgres) -> None:
    running = embedded.start()
    assert stat.S_IMODE((embedded.home / "password").stat().st_mode) == 0o600
    assert stat.S_IMODE(embedded.data.stat().st_mode) == 0o700
    password = (embedded.home / "password").read_text()
    with pytest.raises(StoreUnavailable, match="password authentication failed"):
        make_engine(running.url.replace(password, "guess")).connect()


def test_a_server_that_cannot_start_shows_its_log(embedded: EmbeddedPostgres) -> None:
    embedded.start()
    embedded.stop()
    with (embedded.data / "postgresql.conf").open("a") as conf:
        conf.write("no_such_setting = 1\n")
    with pytest.raises(StoreUnavailable, match="no_such_setting"):
        embedded.start()


def test_the_wheel_is_never_written_into(servers, server_url: str) -> None:
    assert not list(wheel_pginstall().rglob("timescaledb*"))


def test_a_folder_without_a_built_timescaledb_is_refused(folder: Path) -> None:
    (folder / "wrong").mkdir()
    with pytest.raises(StoreUnavailable, match="holds no built TimescaleDB"):
        EmbeddedPostgres(folder / "postgres", folder / "wrong").start()


FAKE_BOOTSTRAP = """#!/bin/sh
mkdir -p build && cat > build/Makefile <<'END'
all:
\t@{compile}
install:
\tmkdir -p $(DESTDIR)/x/lib $(DESTDIR)/x/share
\ttouch $(DESTDIR)/x/lib/timescaledb.so $(DESTDIR)/x/lib/timescaledb-tsl-2.29.2.so
\ttouch $(DESTDIR)/x/share/timescaledb.control $(DESTDIR)/x/share/timescaledb--2.29.2.sql
END
"""


def a_release(folder: Path, compile_step: str) -> Path:
    """A stand-in for the sources, whose build does as told in no time."""
    folder.mkdir()
    (folder / "bootstrap").write_text(FAKE_BOOTSTRAP.format(compile=compile_step))
    (folder / "bootstrap").chmod(0o755)
    (folder / "LICENSE-TIMESCALE").write_text("licence")
    return folder


@pytest.fixture
def build_tools(monkeypatch) -> None:
    monkeypatch.setattr("infra.runtime.timescale_build.TOOLS", ("make",))


@pytest.mark.usefixtures("build_tools")
def test_a_built_timescaledb_lands_in_the_folder_and_leaves_the_source_alone(tmp_path: Path) -> None:
    source, said = a_release(tmp_path / "source", "true"), []
    target = build_timescaledb(tmp_path / "timescaledb", source, said.append)
    found = {str(path.relative_to(target)) for path in target.rglob("*") if path.is_file()}
    assert found == {
        "LICENSE-TIMESCALE",
        "lib/timescaledb.so",
        "lib/timescaledb-tsl-2.29.2.so",
        "share/extension/timescaledb.control",
        "share/extension/timescaledb--2.29.2.sql",
    }
    assert [line.partition(":")[0] for line in said[:-1:2]] == ["configuring", "compiling", "installing"]
    assert not (source / "build").exists()


@pytest.mark.usefixtures("build_tools")
def test_a_failed_build_ends_with_the_compilers_words(tmp_path: Path) -> None:
    source = a_release(tmp_path / "source", "echo 'chunk.c:42: no such thing'; exit 1")
    with pytest.raises(BuildFailed, match=r"compiling failed(.|\n)*chunk\.c:42: no such thing"):
        build_timescaledb(tmp_path / "timescaledb", source, [].append)


def test_a_build_without_tools_names_them(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("infra.runtime.timescale_build.TOOLS", ("make", "no-such-tool"))
    with pytest.raises(BuildFailed, match="missing: no-such-tool"):
        build_timescaledb(tmp_path / "timescaledb", tmp_path, [].append)
