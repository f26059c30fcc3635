"""What every page stands on: settings, the database, who is signed in and how to ask."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, time
from typing import TypeVar

import streamlit as st
from sqlalchemy import Connection, Engine

from dashboard.auth import COOKIE, Person, person_of
from dashboard.labels import Words
from infra.clock import SystemClock, to_datetime
from infra.settings import Settings, SettingsError, load
from infra.store import reports
from infra.store.engine import make_engine

Answer = TypeVar("Answer")


@functools.cache
def settings() -> Settings:
    return load()


def open_engine(of: Settings) -> Engine:
    """Raises SettingsError: the dashboard needs a database that runs already."""
    if of.database_url is None:
        raise SettingsError("the dashboard's own process needs RUMBLESTRIP_DATABASE_URL; `rumblestrip up` sets it")
    return make_engine(of.database_url.get_secret_value(), "rumblestrip dashboard")


@functools.cache
def engine() -> Engine:
    return open_engine(settings())


@contextmanager
def reading() -> Iterator[Connection]:
    """A connection for the reads of one page, which all see the same moment."""
    with engine().connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        yield connection


def ask(question: Callable[..., Answer], *args: object, **named: object) -> Answer:
    with reading() as connection:
        return question(connection, *args, **named)


def now() -> datetime:
    return to_datetime(SystemClock().now_us())


def words() -> Words:
    return Words(settings().units, settings().zone)


def day_began(when: datetime) -> datetime:
    """Midnight of that day in the fleet's time zone, in UTC."""
    zone = settings().zone
    return datetime.combine(when.astimezone(zone).date(), time(), zone).astimezone(UTC)


def person_signed_in() -> Person | None:
    """Asked of the database with every run of a page, so that an end of the session counts at once."""
    with engine().begin() as connection:
        return person_of(connection, st.context.cookies.get(COOKIE), now())


def driver_names() -> dict[str, str]:
    """Id to name."""
    return dict(ask(reports.driver_choices))


def vehicle_names() -> dict[str, str]:
    return dict(ask(reports.vehicle_choices))
