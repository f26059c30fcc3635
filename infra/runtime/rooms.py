"""Starts rooms that stand above this floor: by name, through one table."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Protocol

ROOMS = {
    "gateway": "ingest.service:build_gateway",
    "recorder": "ingest.service:build_recorder",
    "scoring": "scoring.service:build",
    "vision": "vision.service:build",
    "footage": "vision.footage:build",
    "dashboard": "dashboard.service:build",
}
WORKERS = ("recorder", "scoring", "vision", "footage")
"""Rooms that fold messages, and one that runs errands: ``build(settings, bus, engine, media) -> Worker | Errands``. In
one process they are pumped in this order. The gateway is built of settings, bus, engine and clock; the dashboard of
settings and the database's address.
"""

SUB_COMMANDS = {
    "services": "infra.runtime.services:services_app",
    "devices": "ingest.devices:devices_app",
    "tag": "scoring.tags_cli:tags_app",
    "users": "dashboard.users:users_app",
    "judge": "scoring.judge:judge_app",
    "roads": "scoring.roads.cli:roads_app",
    "watch": "vision.watch:watch_app",
    "eyes": "vision.eyes_cli:eyes_app",
    "scores": "scoring.scores_cli:scores_app",
    "rescore": "scoring.rescore:rescore_app",
    "export": "scoring.export:export_app",
}

STANDINGS = "scoring.standings:standings_in_force"
"""``(connection, since, until) -> standings``: everybody's score in a window."""


class Server(Protocol):
    """What serves until it is told to stop."""

    def run(self) -> None:
        """Serve until stopped."""

    def stop(self) -> None:
        """From any thread, or a signal handler."""


class Gateway(Server, Protocol):
    def bind(self) -> str:
        """Take the port; returns the address."""


class Desk(Server, Protocol):
    """The dashboard."""

    @property
    def url(self) -> str: ...

    def sign_in_link(self) -> str:
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
