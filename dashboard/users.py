"""`rumblestrip users`: accounts of the desk."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from sqlalchemy import Connection, delete, select, update
from sqlalchemy.dialects.postgresql import insert

from dashboard.auth import LINK_USER, hash_password
from dashboard.core.review import Role
from infra.clock import SystemClock, to_datetime
from infra.runtime.adapters import open_database
from infra.settings import load
from infra.store.tables import app_session, app_user, driver

users_app = typer.Typer(no_args_is_help=True, help="Accounts of the dashboard.")
GENERATED_BYTES = 12  # 16 characters to type once

Name = Annotated[str, typer.Argument(help="The name to sign in with.")]
Generate = Annotated[bool, typer.Option("--generate", help="Make a password and show it once, instead of asking.")]


class AccountError(ValueError):
    """The account cannot be made or found; the message says why."""


@users_app.command("add")
def add_command(
    username: Name,
    role: Annotated[Role, typer.Option(help="manager: everything. coach: reviews. driver: sees their own.")],
    driver_id: Annotated[str | None, typer.Option("--driver", help="Of role driver: the driver that it is.")] = None,
    generate: Generate = False,
) -> None:
    """Add an account. Example: rumblestrip users add mia --role manager"""
    password = _password(generate)
    with _connection() as connection:
        _or_exit(lambda: add_user(connection, username, role, driver_id, password, _now()))
    _show_once(f"{username} may sign in as {role}.", password if generate else None)


@users_app.command("list")
def list_command() -> None:
    """Show all accounts. Example: rumblestrip users list"""
    table = Table("name", "role", "driver", "since", "disabled")
    with _connection() as connection:
        for row in connection.execute(select(app_user).order_by(app_user.c.username)):
            disabled = f"{row.disabled_at:%Y-%m-%d}" if row.disabled_at else ""
            cells = (row.username, row.role, row.driver_id or "", f"{row.created_at:%Y-%m-%d}", disabled)
            table.add_row(*(escape(cell) for cell in cells))
    Console().print(table)


@users_app.command("disable")
def disable_command(username: Name) -> None:
    """Lock an account out, at once. Example: rumblestrip users disable mia"""
    with _connection() as connection:
        _or_exit(lambda: disable_user(connection, username, _now()))
    Console().print(f"{escape(username)} is signed out and cannot sign in.")


@users_app.command("passwd")
def passwd_command(username: Name, generate: Generate = False) -> None:
    """Set a new password; open sessions end. Example: rumblestrip users passwd mia --generate"""
    password = _password(generate)
    with _connection() as connection:
        _or_exit(lambda: set_password(connection, username, password))
    _show_once(f"{username} has a new password.", password if generate else None)


# --- on a connection that the caller commits --------------------------------------------------------------


def add_user(
    connection: Connection, username: str, role: Role, driver_id: str | None, password: str, now: datetime
) -> None:
    """Raises AccountError."""
    if not username.strip() or len(username) > 100 or username == LINK_USER:
        raise AccountError(f"a name has 1 to 100 characters, and is not {LINK_USER!r}")
    if (role is Role.DRIVER) != (driver_id is not None):
        raise AccountError("an account of role driver names its driver (--driver), any other none")
    if driver_id and connection.scalar(select(driver.c.driver_id).where(driver.c.driver_id == driver_id)) is None:
        raise AccountError(f"there is no driver {driver_id!r}")
    values = {"username": username, "role": role.value, "driver_id": driver_id, "created_at": now}
    row = insert(app_user).values(values | {"password_hash": _hash(password)}).on_conflict_do_nothing()
    if connection.execute(row.returning(app_user.c.username)).first() is None:
        raise AccountError(f"{username!r} is taken; `rumblestrip users passwd` sets a new password")


def disable_user(connection: Connection, username: str, now: datetime) -> None:
    """Raises AccountError."""
    _change(connection, username, disabled_at=now)
    connection.execute(delete(app_session).where(app_session.c.username == username))


def set_password(connection: Connection, username: str, password: str) -> None:
    """Also lets a disabled account in again. Raises AccountError."""
    _change(connection, username, password_hash=_hash(password), disabled_at=None)
    connection.execute(delete(app_session).where(app_session.c.username == username))


def _change(connection: Connection, username: str, **values: object) -> None:
    if connection.execute(update(app_user).where(app_user.c.username == username).values(values)).rowcount == 0:
        raise AccountError(f"there is no account {username!r}")


def _hash(password: str) -> str:
    try:
        return hash_password(password)
    except ValueError as error:
        raise AccountError(str(error)) from error


# --- the terminal -----------------------------------------------------------------------------------------


@contextmanager
def _connection() -> Iterator[Connection]:
    with open_database(load()) as engine, engine.begin() as connection:
        yield connection


def _password(generate: bool) -> str:
    if generate:
        return secrets.token_urlsafe(GENERATED_BYTES)
    return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))


def _show_once(done: str, password: str | None) -> None:
    Console().print(escape(done))
    if password is not None:
        typer.echo(f"Password, shown this once: {password}")


def _or_exit(change: Callable[[], None]) -> None:
    try:
        change()
    except AccountError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error


def _now() -> datetime:
    return to_datetime(SystemClock().now_us())
