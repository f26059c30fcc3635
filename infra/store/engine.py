"""Connections to PostgreSQL: one way to make an engine, and what the database at the other end can do."""

from __future__ import annotations

from typing import Any

from psycopg.errors import IdleInTransactionSessionTimeout
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, ExceptionContext, make_url

APPLICATION = "rumblestrip"
CONNECT_TIMEOUT_S = 10
POOL_SIZE = 5  # a worker uses 1, the gateway and the desk a few at a time
POOL_OVERFLOW = 10
IDLE_IN_TRANSACTION_S = 60  # Between two statements lie milliseconds. A worker that is frozen, or cut off from here, in
# the middle of a transaction holds its lanes' rows: whoever took the lanes over waits for it until then.


class StoreUnavailable(ConnectionError):
    """The database cannot be reached or started. The message says where it was looked for and what to do."""


def make_engine(
    url: str, application: str = APPLICATION, idle_in_transaction_s: float = IDLE_IN_TRANSACTION_S
) -> Engine:
    """An engine on psycopg 3, in UTC. Connects on first use.

    Args:
        url: ``postgresql://user:password@host:port/name``.
        application: what ``pg_stat_activity`` shows.
        idle_in_transaction_s: after so long without a word in a transaction, PostgreSQL ends it.

    Raises (on connecting, and where a transaction was ended for its silence):
        StoreUnavailable: nothing answers there, or it turns us away.
    """
    silence_ms = int(idle_in_transaction_s * 1000)
    engine = create_engine(
        psycopg_url(url),
        pool_size=POOL_SIZE,
        max_overflow=POOL_OVERFLOW,
        pool_pre_ping=True,
        connect_args={
            "application_name": application,
            "connect_timeout": CONNECT_TIMEOUT_S,
            "options": f"-c timezone=UTC -c idle_in_transaction_session_timeout={silence_ms}",
        },
    )
    event.listen(engine, "handle_error", _explain_failed_connect)
    event.listen(engine, "handle_error", _explain_silence)
    return engine


def psycopg_url(url: str) -> URL:
    """The URL with SQLAlchemy's name for psycopg 3 in it, whichever of PostgreSQL's names it came with."""
    parsed = make_url(url)
    if parsed.get_backend_name() not in ("postgresql", "postgres"):
        raise StoreUnavailable(f"{parsed.render_as_string()} is not a PostgreSQL address (postgresql://...)")
    return parsed.set(drivername="postgresql+psycopg")


def plain_url(engine: Engine) -> str:
    """The engine's address as libpq and other programs read it, password included."""
    return engine.url.set(drivername="postgresql").render_as_string(hide_password=False)


def driver_of(connection: Connection) -> Any:
    """psycopg's own: SQLAlchemy has no word for binary results."""
    return connection.connection.driver_connection


def has_timescale(connection: Connection) -> bool:
    """Whether this database holds TimescaleDB, in the edition with compression and continuous aggregates."""
    query = (
        "SELECT current_setting('timescaledb.license', true) = 'timescale' "
        "FROM pg_extension WHERE extname = 'timescaledb'"
    )
    return bool(connection.scalar(text(query)))


def _explain_failed_connect(context: ExceptionContext) -> None:
    if context.connection is not None or context.engine is None or context.is_pre_ping:
        return
    reason = " ".join(str(context.original_exception).split()).rstrip(".?")
    raise StoreUnavailable(
        f"no database at {context.engine.url.render_as_string()}: {reason}. "
        "Is it running, and are the address and the password right (RUMBLESTRIP_DATABASE_URL)? "
        "`rumblestrip services status` shows the local one."
    ) from context.original_exception


def _explain_silence(context: ExceptionContext) -> None:
    if isinstance(context.original_exception, IdleInTransactionSessionTimeout):
        raise StoreUnavailable(
            "the database ended a transaction that was silent for too long: was this process frozen?"
        ) from context.original_exception
