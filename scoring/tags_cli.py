"""The command `rumblestrip tag`: names for groups of vehicles, which have scores of their own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from sqlalchemy import Connection

from infra.runtime.adapters import open_database
from infra.settings import load
from infra.store import registry

tags_app = typer.Typer(no_args_is_help=True, help="Tags of vehicles: a depot, a customer, a kind of work.")

Tag = Annotated[str, typer.Argument(help="Any word, as north or night-shift.")]


@tags_app.command("add")
def add_command(tag: Tag, vehicles: Annotated[list[str], typer.Argument(help="Ids of vehicles.")]) -> None:
    """Let vehicles carry a tag. Example: rumblestrip tag add north van-7 van-8"""
    if not tag.strip():
        raise typer.BadParameter("a tag has at least one letter", param_hint="TAG")
    with _connection() as connection:
        try:
            registry.add_tag(connection, tag.strip(), vehicles)
        except registry.UnknownVehicle as error:
            raise typer.BadParameter(str(error), param_hint="VEHICLES") from error


@tags_app.command("remove")
def remove_command(
    tag: Tag, vehicles: Annotated[list[str] | None, typer.Argument(help="Default: all.")] = None
) -> None:
    """Take a tag off vehicles. Example: rumblestrip tag remove north van-8"""
    with _connection() as connection:
        gone = registry.remove_tag(connection, tag, vehicles or ())
    typer.echo(f"Taken off {gone} {'vehicle' if gone == 1 else 'vehicles'}.")


@tags_app.command("list")
def list_command() -> None:
    """Show tags and who carries them. Example: rumblestrip tag list"""
    table = Table("tag", "vehicles")
    with _connection() as connection:
        for tag, vehicles in registry.vehicles_by_tag(connection).items():
            table.add_row(escape(tag), escape(", ".join(vehicles)))
    Console().print(table)


@contextmanager
def _connection() -> Iterator[Connection]:
    with open_database(load()) as engine, engine.begin() as connection:
        yield connection
