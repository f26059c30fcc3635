"""The schema's history, and the one call that brings a database up to date."""

from __future__ import annotations

import logging
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from infra.migrations import timescale
from infra.store.engine import make_engine

logger = logging.getLogger(__name__)

RETENTION_DAYS = 400  # settings.position_retention_days
_LOCK = 0x52554D424C45  # "RUMBLE": one migration at a time in a database


def upgrade(url: str, retention_days: int = RETENTION_DAYS) -> str:
    """Bring the database to the newest schema; safe to repeat, and from two processes at once.

    Args:
        retention_days: of positions, motion and observations; a change takes effect on the next call.

    Returns:
        The revision that the database is at now.

    Raises:
        StoreUnavailable: nothing answers at the URL.
    """
    engine = make_engine(url, "rumblestrip migrate")
    try:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as guard:
            guard.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _LOCK})  # goes with the connection
            _create_extension(guard)
            _run_revisions(engine)
            with engine.begin() as connection:
                timescale.apply_retention(connection, retention_days)
            guard.invalidate()
    finally:
        engine.dispose()
    return head()


def head() -> str:
    """The newest revision that this version of the program knows."""
    revision = ScriptDirectory.from_config(configuration()).get_current_head()
    assert revision is not None, "the wheel was built without its migrations"
    return revision


def configuration(connection: Connection | None = None) -> Config:
    """Alembic's settings, without an ini file."""
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    return config


def _run_revisions(engine: Engine) -> None:
    logging.getLogger("alembic.runtime.migration").setLevel(logging.WARNING)  # says three lines on every start
    with engine.begin() as connection:
        command.upgrade(configuration(connection), "head")


def _create_extension(connection: Connection) -> None:
    """TimescaleDB where the server has it loaded and we may; it must come before anything else in a session."""
    if not timescale.loaded(connection):
        return
    try:
        connection.execute(text("CREATE EXTENSION IF NOT EXISTS timescaledb"))
    except DBAPIError as error:
        logger.warning("TimescaleDB is loaded but cannot be used in this database: %s", error.orig)
