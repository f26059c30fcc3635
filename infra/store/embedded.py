"""A PostgreSQL of our own in a data folder: made, started, found running, and stopped. Also as root."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil
import psycopg

from infra.settings import Settings
from infra.store.engine import StoreUnavailable
from infra.store.pginstall import (
    Account,
    Installation,
    built_timescaledb,
    choose,
    reachable,
    server_account,
    without_timescale,
)

logger = logging.getLogger(__name__)

SUPERUSER = DATABASE = "rumblestrip"
HOST = "127.0.0.1"
START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 30
ROOTS_FOLDER = Path("/var/lib/rumblestrip")  # for data folders that the server's account could not reach
LOG_TAIL_LINES = 25
LARGEST_LOG_BYTES = 10_000_000

_CONF = "rumblestrip.conf"  # in the data folder, written at every start
SAFE_AND_FAST = {
    "listen_addresses": f"'{HOST}'",
    "unix_socket_directories": "''",
    "max_connections": 100,
    "shared_buffers": "'256MB'",
    "effective_cache_size": "'2GB'",
    "wal_level": "minimal",  # nobody replicates from it
    "max_wal_senders": 0,
    "max_wal_size": "'4GB'",  # checkpoints by time rather than in the middle of a load
    "checkpoint_timeout": "'15min'",
    "wal_compression": "pglz",
    "random_page_cost": 1.1,  # solid state
    "jit": "off",  # short queries
    "timezone": "'UTC'",
    "log_timezone": "'UTC'",
    "log_checkpoints": "off",
}
THROWAWAY = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
WITH_TIMESCALE = {
    "shared_preload_libraries": "'timescaledb'",
    "timescaledb.telemetry_level": "off",
    "max_worker_processes": 32,
    "timescaledb.max_background_workers": 16,
    "max_locks_per_transaction": 256,  # a query over many chunks locks each
}


@dataclass(frozen=True, slots=True)
class Running:
    """A server that answers."""

    url: str
    pid: int
    port: int
    timescale: bool
    started: bool  # by this call; False: it was running


class EmbeddedPostgres:
    """The server of one folder. As a context manager it stops on leaving what it started on entering."""

    def __init__(
        self, home: Path, timescaledb: Path | None = None, *, throwaway: bool = False, plain: bool = False
    ) -> None:
        """
        Args:
            home: folder of data, log, password and, where needed, a copy of the programs; made if missing.
            timescaledb: a TimescaleDB built for the wheel (lib/ and share/).
            throwaway: for tests: do not wait for the disk; a power cut loses the data. No background jobs.
            plain: for tests: without TimescaleDB, whatever this machine has.
        """
        self.account = server_account()
        self.home = _home_for(home.absolute(), self.account)
        self.built = timescaledb
        self.throwaway = throwaway
        self.plain = plain
        self._mine = False

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def log(self) -> Path:
        return self.data / "server.log"

    def __enter__(self) -> Running:
        running = self.start()
        self._mine = running.started
        return running

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._mine:
            self.stop()

    def start(self) -> Running:
        """Make the data on the first call; start the server unless it runs; return when it answers.

        Raises:
            StoreUnavailable: it does not start; the message ends with its log.
        """
        began = time.monotonic()
        with self._locked():
            running = self.running()
            if running:
                return running
            installation = self._installation()
            fresh = self._data_major() is None
            if fresh:
                self._make_data(installation)
            self._clear_stale_pid()
            running = self._launch(installation)
            if fresh:
                _create_database(self._url(running.port, "postgres"))
        logger.info("PostgreSQL ready at port %d after %.2f s", running.port, time.monotonic() - began)
        return running

    def stop(self) -> bool:
        """Stop the server, whoever started it. False: it was not running.

        Raises:
            StoreUnavailable: it does not stop.
        """
        with self._locked():
            server = self._process()
            if server is None:
                return False
            for how in (signal.SIGINT, signal.SIGQUIT):  # fast: roll back and write out; immediate: recover later
                with contextlib.suppress(psutil.NoSuchProcess):
                    server.send_signal(how)
                if self._gone_within(STOP_TIMEOUT_S):
                    return True
        raise StoreUnavailable(f"PostgreSQL (process {server.pid}) does not stop; its log is {self.log}")

    def running(self) -> Running | None:
        """The server of this folder if it answers, whoever started it."""
        process = self._process()
        lines = self._pid_lines()
        if process is None or len(lines) < 8 or lines[7] != "ready":
            return None
        port = int(lines[3])
        return Running(self._url(port, DATABASE), process.pid, port, self._timescale_was_on(), started=False)

    def delete(self) -> None:
        """Stop the server and remove the folder with all data."""
        self.stop()
        shutil.rmtree(self.home)

    # --- making ---

    def _installation(self) -> Installation:
        if self.plain:
            return without_timescale(self.home, self.account)
        return choose(self.home, self.built, self.account, self._data_major())

    def _make_data(self, installation: Installation) -> None:
        _make_folder(self.data, 0o700, self.account)
        password_file = self.home / "password"
        password_file.unlink(missing_ok=True)
        with open(os.open(password_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(24))
        _give(password_file, self.account)
        locale = [
            "--locale=C",
            *(["--locale-provider=builtin", "--builtin-locale=C.UTF-8"] * (installation.major >= 17)),
        ]
        arguments = ["-U", SUPERUSER, "-A", "scram-sha-256", f"--pwfile={password_file}", "-E", "UTF8", *locale]
        self._run(installation.bin_dir / "initdb", "-D", self.data, "--no-sync", "--no-instructions", *arguments)
        with (self.data / "postgresql.conf").open("a") as file:
            file.write(f"include '{_CONF}'\n")

    def _launch(self, installation: Installation) -> Running:
        if self._timescale_was_on() and not installation.timescale:
            raise StoreUnavailable(
                f"the data in {self.home} were made with TimescaleDB, which is not there any more: "
                "set RUMBLESTRIP_TIMESCALEDB to the folder that holds it"
            )
        if self.log.exists() and self.log.stat().st_size > LARGEST_LOG_BYTES:
            self.log.replace(self.log.with_suffix(".log.old"))
        self._write_conf(installation.timescale)
        pg_ctl = installation.bin_dir / "pg_ctl"
        self._run(pg_ctl, "start", "-D", self.data, "-l", self.log, "-w", "-s", "-t", str(START_TIMEOUT_S))
        running = self.running()
        if running is None:
            raise StoreUnavailable(f"PostgreSQL in {self.home} stopped again at once:\n{self._log_tail()}")
        return replace(running, started=True)

    def _write_conf(self, timescale: bool) -> None:
        last = self._conf_value("port")
        values: dict[str, object] = {"port": _free_port(int(last) if last else 0)} | SAFE_AND_FAST
        values |= WITH_TIMESCALE if timescale else {}
        values |= THROWAWAY if self.throwaway else {}
        values |= {"timescaledb.max_background_workers": 0} if self.throwaway and timescale else {}
        conf = self.data / _CONF
        conf.write_text("".join(f"{name} = {value}\n" for name, value in values.items()))
        _give(conf, self.account)

    def _run(self, *command: str | Path) -> None:
        """Run one of PostgreSQL's programs, as the server's account."""
        account = self.account
        who: dict[str, Any] = {"user": account.uid, "group": account.gid, "extra_groups": []} if account else {}
        done = subprocess.run(
            command, cwd=self.data, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, **who
        )
        if done.returncode:
            said = f"{done.stdout}{done.stderr}".strip()
            raise StoreUnavailable(f"{Path(command[0]).name} failed in {self.home}: {said}\n{self._log_tail()}")

    # --- finding ---

    def _process(self) -> psutil.Process | None:
        """The live server of this data folder; None also where the pid file is a dead one's, or a number that
        something else was given since."""
        lines = self._pid_lines()
        if not lines:
            return None
        try:
            process = psutil.Process(int(lines[0]))
            ours = process.name().startswith("postgres") and Path(process.cwd()) == self.data.resolve()
        except (psutil.NoSuchProcess, psutil.AccessDenied, ValueError):
            return None
        return process if ours and process.status() != psutil.STATUS_ZOMBIE else None

    def _gone_within(self, timeout_s: float) -> bool:
        give_up = time.monotonic() + timeout_s
        while self._process() is not None and time.monotonic() < give_up:
            time.sleep(0.02)
        return self._process() is None

    def _clear_stale_pid(self) -> None:
        """PostgreSQL does so itself unless the number lives on as another process, as in every restarted container."""
        pid_file = self.data / "postmaster.pid"
        if pid_file.exists() and self._process() is None:
            logger.warning("%s was left by a server that did not stop cleanly; PostgreSQL will recover", pid_file)
            pid_file.unlink()

    def _pid_lines(self) -> list[str]:
        try:
            return [line.strip() for line in (self.data / "postmaster.pid").read_text().splitlines()]
        except FileNotFoundError:
            return []

    def _data_major(self) -> int | None:
        mark = self.data / "PG_VERSION"
        return int(mark.read_text()) if mark.exists() else None

    def _timescale_was_on(self) -> bool:
        return "timescaledb" in (self._conf_value("shared_preload_libraries") or "")

    def _conf_value(self, name: str) -> str | None:
        conf = self.data / _CONF
        lines = conf.read_text().splitlines() if conf.exists() else []
        return next((line.partition(" = ")[2] for line in lines if line.startswith(f"{name} = ")), None)

    def _url(self, port: int, database: str) -> str:
        return f"postgresql://{SUPERUSER}:{(self.home / 'password').read_text()}@{HOST}:{port}/{database}"

    def _log_tail(self) -> str:
        return "\n".join(self.log.read_text().splitlines()[-LOG_TAIL_LINES:]) if self.log.exists() else ""

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """One process at a time starts or stops the server of a folder."""
        _make_folder(self.home, 0o755, None)
        with (self.home / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def of_settings(settings: Settings) -> EmbeddedPostgres:
    """The embedded database of the data folder."""
    return EmbeddedPostgres(settings.data_dir / "postgres", built_timescaledb(settings))


def _home_for(home: Path, account: Account | None) -> Path:
    """The folder itself, or one that the server's account can enter, always the same for the same folder."""
    if reachable(home, account):
        return home
    other = ROOTS_FOLDER / f"{home.name}-{hashlib.sha256(str(home).encode()).hexdigest()[:12]}"
    logger.warning("%s may not enter %s: PostgreSQL's data are in %s", account and account.name, home, other)
    return other


def _make_folder(path: Path, mode: int, account: Account | None) -> None:
    if not path.exists():
        path.mkdir(parents=True)
        path.chmod(mode)
        _give(path, account)


def _give(path: Path, account: Account | None) -> None:
    if account:
        os.chown(path, account.uid, account.gid)


def _free_port(preferred: int) -> int:
    """The preferred port if it is free, so that addresses given out before stay right; else any."""
    for port in (preferred, 0):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
            return int(probe.getsockname()[1])
    raise StoreUnavailable(f"no free port on {HOST}")


def _create_database(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {DATABASE}")
