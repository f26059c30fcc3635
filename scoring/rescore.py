"""The command `rumblestrip rescore`: what other rules would do to a window's scores, before anyone switches."""

from __future__ import annotations

import getpass
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
import yaml
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from infra.clock import SystemClock, to_datetime
from infra.runtime.adapters import open_database
from infra.settings import load
from scoring.core.formulas.table import OURS
from scoring.core.rules import DEFAULT
from scoring.core.what_if import RulesError, read_change
from scoring.what_if import Comparison, Move, compare, switch
from scoring.windows import By, read_window

T = TypeVar("T")

rescore_app = typer.Typer(add_completion=False, help="Try other rules on a window, and switch to them.")


@rescore_app.command()
def rescore(
    rules: Annotated[Path, typer.Option(help="A YAML file; see below.", exists=True, dir_okay=False)],
    since: Annotated[datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="First day.")],
    until: Annotated[datetime, typer.Option("--to", formats=["%Y-%m-%d"], help="Last day, included.")],
    by: Annotated[By, typer.Option()] = By.DRIVER,
    switch_: Annotated[
        bool, typer.Option("--switch", help="Put the weights in force, with an entry on record.")
    ] = False,
    username: Annotated[str, typer.Option("--user", help="Who is on record. Default: you.")] = "",
) -> None:
    """Show what other weights or higher thresholds would change; write nothing unless told to switch.

    The file holds `name` and any of `weights`, `bands`, `severity`, `scale`, `harsh_g`, as in
    {name: brakes, weights: {harsh_brake: 6}, harsh_g: {passenger: {brake: 0.7}}}.

    Example: rumblestrip rescore --rules other.yaml --from 2026-05-01 --to 2026-05-31
    """
    content = _read(rules)
    settings = load()
    first, last = (day.replace(tzinfo=settings.zone) for day in (since, until))
    change = _or_exit(lambda: read_change(content, OURS, DEFAULT))
    with open_database(settings) as engine, engine.begin() as connection:
        found = compare(connection, read_window(connection, first, last + timedelta(days=1)), change, by)
        if switch_:
            by_whom, now = username or getpass.getuser(), to_datetime(SystemClock().now_us())
            _or_exit(lambda: switch(connection, content, by_whom, now))
    show(found, Console())
    Console().print("In force from now on." if switch_ else "Nothing was changed; --switch puts weights in force.")


def show(found: Comparison, console: Console) -> None:
    """Ranks that moved first, by how far."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("", "score", "then", "rank", "then", "moved"):
        table.add_column(name, justify="left" if not name else "right")
    for move in sorted(found.moves, key=lambda one: (-abs(one.rank_after - one.rank), one.rank)):
        table.add_row(*_cells(move))
    console.print(table)
    lost = ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in sorted(found.lost.items())) or "none"
    moved = sum(move.rank != move.rank_after for move in found.moves)
    console.print(f"Events lost: {lost}, of {found.events}. Gained: none, higher thresholds find no new ones.")
    console.print(f"Ranks moved: {moved} of {len(found.moves)}.")


def _cells(move: Move) -> tuple[str, ...]:
    values = ("-" if value is None else f"{value:.1f}" for value in (move.value, move.value_after))
    step = move.rank - move.rank_after
    return escape(move.name), *values, str(move.rank), str(move.rank_after), f"{step:+d}" if step else ""


def _read(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise typer.BadParameter(f"{path} is no YAML: {error}", param_hint="--rules") from error


def _or_exit(call: Callable[[], T]) -> T:
    try:
        return call()
    except RulesError as error:
        raise typer.BadParameter(str(error), param_hint="--rules") from error
