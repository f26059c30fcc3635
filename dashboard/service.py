"""The dashboard as a service: starts Streamlit as a child process, waits until it answers, and stops it."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from types import TracebackType
from urllib.error import URLError

from pydantic import SecretStr

from dashboard.auth import issue_link_token
from infra.settings import PREFIX, Settings

logger = logging.getLogger(__name__)

START_TIMEOUT_S = 180.0  # for a busy machine; one that ends is noticed at once
STOP_TIMEOUT_S = 10.0
_EVERYWHERE = ("0.0.0.0", "::", "")


class DashboardUnavailable(RuntimeError):
    """The dashboard does not start; the message says why."""


class Dashboard:
    """One child process. As a context manager it is started on entering and stopped on leaving."""

    def __init__(self, settings: Settings, database_url: str) -> None:
        """
        Args:
            database_url: of a migrated database that answers as long as the dashboard runs.
        """
        port = settings.dashboard_port or _free_port(settings.dashboard_host)
        self.settings = settings.model_copy(
            update={
                "dashboard_port": port,
                "database_url": SecretStr(database_url),
                "data_dir": settings.data_dir.absolute(),
            }
        )
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = threading.Event()

    @property
    def url(self) -> str:
        host = self.settings.dashboard_host
        return f"http://{'127.0.0.1' if host in _EVERYWHERE else host}:{self.settings.dashboard_port}"

    def sign_in_link(self) -> str:
        """A link that signs one person in as manager, once. One made before is no longer good."""
        return f"{self.url}/?token={issue_link_token(self.settings.data_dir)}"

    def start(self) -> None:
        """Returns when the health endpoint answers.

        Raises:
            DashboardUnavailable: the port is taken, or it ends or stays silent.
        """
        self._refuse_taken_port()
        command = [sys.executable, "-m", "dashboard.server"]
        self._process = subprocess.Popen(
            command, env=child_environment(self.settings), stdin=subprocess.DEVNULL, start_new_session=True
        )
        give_up = time.monotonic() + START_TIMEOUT_S
        while not self._answers():
            ended = self._process.poll()
            if ended is not None or time.monotonic() > give_up:
                self.stop()
                said = f"ended with {ended}" if ended is not None else f"does not answer within {START_TIMEOUT_S:.0f} s"
                raise DashboardUnavailable(f"the dashboard at {self.url} {said}; its log is above")
            time.sleep(0.05)
        logger.info("dashboard at %s", self.url)

    def run(self) -> None:
        """Start, and return when stopped.

        Raises:
            DashboardUnavailable: it does not start, or it ends by itself.
        """
        self.start()
        assert self._process is not None
        while not self._stopped.wait(0.5):
            ended = self._process.poll()
            if ended is not None and not self._stopped.is_set():  # a signal handler may stop it at any point here
                raise DashboardUnavailable(f"the dashboard ended with {ended}")

    def stop(self) -> None:
        """Safe to call twice, and from another thread."""
        self._stopped.set()
        process = self._process
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def __enter__(self) -> Dashboard:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _answers(self) -> bool:
        with contextlib.suppress(URLError, OSError), urllib.request.urlopen(f"{self.url}/_stcore/health", timeout=2):
            return True
        return False

    def _refuse_taken_port(self) -> None:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((self.settings.dashboard_host, self.settings.dashboard_port))
            except OSError as error:
                where = f"{self.settings.dashboard_host}:{self.settings.dashboard_port}"
                raise DashboardUnavailable(
                    f"{where} cannot be used ({error.strerror}); set {PREFIX}DASHBOARD_PORT to another port, 0 for any"
                ) from error


def build(settings: Settings, database_url: str) -> Dashboard:
    """The dashboard of these settings, not yet running: ``run`` and ``stop``, or ``with``."""
    return Dashboard(settings, database_url)


def child_environment(settings: Settings) -> dict[str, str]:
    """This process's environment with these settings in it, so that the child reads the very same."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    values = {name: getattr(settings, name) for name in type(settings).model_fields}
    texts = {
        name: v.get_secret_value() if isinstance(v, SecretStr) else json.dumps(v) if isinstance(v, dict) else str(v)
        for name, v in values.items()
        if v is not None
    }
    return ours | {f"{PREFIX}{name.upper()}": text for name, text in texts.items()}


def _free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])
