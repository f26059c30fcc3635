"""Real servers for tests: started when first asked for, once a session, and stopped even if the session is killed."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import psycopg

from infra.migrations import upgrade
from infra.settings import Settings, load
from infra.store.embedded import EmbeddedPostgres
from infra.store.engine import StoreUnavailable
from infra.store.pginstall import built_timescaledb

Server = TypeVar("Server")
TEMPLATE = "rumblestrip_test_template"
_REAPER = """
import shutil, sys, time
from pathlib import Path
from infra.runtime.broker import Broker
from infra.store.embedded import EmbeddedPostgres
sys.stdin.read()  # ends when the test session does, however it does
root, give_up = Path(sys.argv[1]), time.monotonic() + 30
while root.exists():
    try:
        for data in root.rglob("data"):
            if (data.parent / "kafka.json").exists():
                Broker(data.parent).stop()
            elif (data / "PG_VERSION").exists():
                EmbeddedPostgres(data.parent).stop()
        shutil.rmtree(root)
    except OSError:  # a server that was just being made when the session was killed
        if time.monotonic() > give_up:
            raise
        time.sleep(0.5)
"""


class Unavailable(Exception):
    """This machine cannot run the server; the text says why and how to get it."""


class Servers:
    """Every server of a test session, lazily."""

    def __init__(self) -> None:
        self.settings: Settings = load()
        self._root: Path | None = None
        self._reaper: subprocess.Popen[bytes] | None = None
        self._known: dict[str, object] = {}
        self._numbers = itertools.count(1)

    @property
    def root(self) -> Path:
        """A folder that other users of this machine may enter: PostgreSQL runs as one where we are root."""
        if self._root is None:
            self._root = Path(tempfile.mkdtemp(prefix="rumblestrip-tests-"))
            self._root.chmod(0o755)
            command = [sys.executable, "-c", _REAPER, str(self._root)]
            self._reaper = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
        return self._root

    def new_folder(self) -> Path:
        """A folder for servers of a test's own; what runs in ``postgres`` there is stopped with the session."""
        folder = self.root / f"own-{next(self._numbers)}"
        folder.mkdir()
        return folder

    def postgres(self, kind: str) -> str:
        """URL of a server that holds a migrated template database. Raises Unavailable."""
        return self._once(kind, lambda: self._start_postgres(kind))

    def kafka(self) -> str:
        """Bootstrap address. Raises Unavailable."""
        return self._once("kafka", self._start_kafka)

    def fresh_database(self, kind: str) -> str:
        """URL of a new, migrated, empty database."""
        return self._create_database(kind, f"TEMPLATE {TEMPLATE} STRATEGY file_copy")

    def empty_database(self, kind: str) -> str:
        """URL of a new database without any table."""
        return self._create_database(kind, "")

    def _create_database(self, kind: str, options: str) -> str:
        server = self.postgres(kind)
        name = f"rumblestrip_test_{os.getpid()}_{next(self._numbers)}"
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} {options}")
        return _sibling(server, name)

    def drop_database(self, url: str) -> None:
        with psycopg.connect(_sibling(url, "postgres"), autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {url.rpartition('/')[2]} WITH (FORCE)")

    def stop(self) -> None:
        if self._reaper is not None and self._reaper.stdin is not None:
            self._reaper.stdin.close()
            assert self._reaper.wait(60) == 0, f"servers may be left running in {self._root}"

    def _once(self, name: str, start: Callable[[], Server]) -> Server:
        if name not in self._known:
            try:
                self._known[name] = start()
            except Unavailable as reason:
                self._known[name] = reason
        known = self._known[name]
        if isinstance(known, Unavailable):
            raise known
        return known  # type: ignore[return-value]

    def _start_postgres(self, kind: str) -> str:
        named = self.settings.database_url
        if named is not None and kind == "timescale":
            url = named.get_secret_value()
        else:
            built = built_timescaledb(self.settings) if kind == "timescale" else None
            url = self._start_embedded(self.root / kind, built, kind)
        with psycopg.connect(_sibling(url, "postgres"), autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {TEMPLATE} WITH (FORCE)")
            connection.execute(f"CREATE DATABASE {TEMPLATE}")
        upgrade(_sibling(url, TEMPLATE))
        self._check_kind(_sibling(url, TEMPLATE), kind)
        return url

    def _start_embedded(self, home: Path, built: Path | None, kind: str) -> str:
        try:
            return EmbeddedPostgres(home, built, throwaway=True, plain=kind == "postgres").start().url
        except StoreUnavailable as error:
            raise Unavailable(f"no {kind}: {error}") from error

    def _check_kind(self, url: str, kind: str) -> None:
        with psycopg.connect(url) as connection:
            found = connection.execute("SELECT 1 FROM pg_extension WHERE extname = 'timescaledb'").fetchone()
        if kind == "timescale" and not found:
            raise Unavailable(
                "no TimescaleDB on this machine: set RUMBLESTRIP_TIMESCALEDB to a built copy, "
                "or run `rumblestrip services build-timescaledb`"
            )

    def _start_kafka(self) -> str:
        if self.settings.bus == "kafka":
            return self.settings.kafka_bootstrap
        from infra.runtime.broker import Broker, BrokerUnavailable

        try:
            return Broker(self.root / "kafka").start().bootstrap
        except BrokerUnavailable as error:
            raise Unavailable(f"no Kafka: {error}") from error


def browser() -> str:
    """Path of a Chromium. Raises Unavailable."""
    for name in ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"):
        if path := shutil.which(name):
            return path
    raise Unavailable("no browser: install Chromium (Debian: apt-get install chromium)")


def _sibling(url: str, name: str) -> str:
    return f"{url.rpartition('/')[0]}/{name}"
