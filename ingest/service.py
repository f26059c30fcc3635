"""Settings in, running services out: the gateway, and the worker that records."""

from __future__ import annotations

import logging
import socket

import uvicorn
from fastapi import FastAPI
from sqlalchemy import Engine

from infra.bus.port import Bus
from infra.clock import Clock, SystemClock
from infra.runtime.worker import Worker
from infra.settings import Settings
from infra.store.media import MediaStore
from ingest.gateway import build_app
from ingest.patience import ImpatientProtocol
from ingest.recorder import Devices, Recorder

logger = logging.getLogger(__name__)

BACKLOG = 2048
STOP_WAIT_S = 5  # for answers under way


class Gateway:
    """The door on a socket. ``run`` blocks (main thread or another), ``stop`` may come from anywhere."""

    def __init__(self, app: FastAPI, host: str, port: int) -> None:
        config = uvicorn.Config(
            app,
            host=host,
            port=port,
            http=ImpatientProtocol,
            log_level="warning",
            access_log=False,  # 400 requests a second; the metrics count them
            lifespan="off",
            timeout_graceful_shutdown=STOP_WAIT_S,
            server_header=False,
        )
        self._server = uvicorn.Server(config)
        self._socket: socket.socket | None = None
        self.app = app

    def bind(self) -> str:
        """Take the port, and say the address: before ``run``, so that a caller knows it. Raises OSError."""
        if self._socket is None:
            family = socket.AF_INET6 if ":" in self._server.config.host else socket.AF_INET
            self._socket = socket.socket(family, socket.SOCK_STREAM)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind((self._server.config.host, self._server.config.port))
            self._socket.listen(BACKLOG)  # from now on callers wait instead of being turned away
        host, port = self._socket.getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def run(self) -> None:
        """Serve until told to stop."""
        logger.info("gateway at %s", self.bind())
        assert self._socket is not None
        try:
            self._server.run(sockets=[self._socket])
        finally:
            self._socket.close()
            self.app.state.producer.close()

    def stop(self) -> None:
        """Take no more requests, finish those under way, end ``run``."""
        self._server.should_exit = True


def build_gateway(settings: Settings, bus: Bus, engine: Engine, clock: Clock | None = None) -> Gateway:
    """The gateway of these settings, not yet running."""
    app = build_app(settings, engine, bus, clock or SystemClock())
    return Gateway(app, settings.gateway_host, settings.gateway_port)


def build_recorder(settings: Settings, bus: Bus, engine: Engine, media: MediaStore) -> Worker[Devices]:
    """The worker that writes positions and motion."""
    return Worker(Recorder(), bus, engine, settings, media)
