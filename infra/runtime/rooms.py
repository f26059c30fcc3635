"""Starts rooms that stand above this floor: by name, through one table."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Protocol

ROOMS = {
    "gateway": "ingest.service:build_gateway",
    "recorder": "ingest.service:build_recorder",
    "scoring": "scoring.service:build",
    "vision": "vision.service:build",
    "dashboard": "dashboard.service:build",
}
WORKERS = ("recorder", "scoring", "vision")
"""Rooms that fold messages: ``build(settings, bus, engine, media) -> Worker``, pumped in this order when in one
process. The gateway is built of settings, bus and engine, the dashboard of settings and engine."""

SUB_COMMANDS = {
    "services": "infra.runtime.services:services_app",
    "devices": "ingest.devices:devices_app",
    "users": "dashboard.users:users_app",
}


class Server(Protocol):
    """The gateway, and the dashboard."""

    def bind(self) -> str:
        """Take the port; returns the address."""

    def run(self) -> None:
        """Serve until stopped."""

    def stop(self) -> None:
        """From any thread, or a signal handler."""


class Desk(Server, Protocol):
    """The dashboard."""

    def sign_in_url(self) -> str:
        """A link that signs in one person, once."""


def resolve(name: str) -> Any:
    """What ``package.module:attribute`` names.

    Raises:
        ImportError, AttributeError: there is no such thing.
    """
    module, _, attribute = name.partition(":")
    return getattr(import_module(module), attribute)


def build(room: str, *arguments: Any) -> Any:
    """The room of this name, built of these arguments."""
    return resolve(ROOMS[room])(*arguments)
