"""The command `rumblestrip rescore`: what other rules would do to a window's scores, before anyone switches."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable, Mapping, Set
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
import yaml
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from infra.clock import SystemClock, to_datetime
from infra.contracts.events import EventKind
from infra.runtime.adapters import open_database
from infra.settings import load
from infra.store.engine import plain_url
from scoring.core.formulas.table import OURS
from scoring.core.rules import DEFAULT, Rules
from scoring.core.what_if import RulesError, read_change
from scoring.outcome import keep_beside
from scoring.stored.archive import opened_archive
from scoring.stored.database import opened_database
from scoring.stored.source import Opening
from scoring.trial import Tried, run_apart
from scoring.what_if import Comparison, Move, compare, switch, to_replay
from scoring.windows import By, read_window

T = TypeVar("T")

rescore_app = typer.Typer(add_completion=False, help="Try other rules on a window, and switch to them.")


@rescore_app.command()
def rescore(
    rules: Annotated[Path, typer.Option(help="A YAML file; see below.", exists=True, dir_okay=False)],
    since: Annotated[datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="First day.")],
    until: Annotated[datetime, typer.Option("--to", formats=["%Y-%m-%d"], help="Last day, included.")],
    by: Annotated[By, typer.Option()] = By.DRIVER,
    archive: Annotated[
        Path | None, typer.Option(help="Read telemetry from this folder of `rumblestrip export`.", file_okay=False)
    ] = None,
    switch_: Annotated[
        bool, typer.Option("--switch", help="Put the rules in force, once you have seen what they change.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before switching.")] = False,
    processes: Annotated[
        int, typer.Option(help="That judge telemetry. Default: one for every core.", min=0, show_default=False)
    ] = 0,
    username: Annotated[str, typer.Option("--user", help="Who is on record. Default: you.")] = "",
) -> None:
    """Show what other weights or thresholds would change: events lost and gained, scores, ranks. Live tables stay as
    they are; events lost and gained are kept in the table what_if_event, under the name of the rules.

    The file holds `name` and what differs from the rules that are built in: `weights`, `bands`, `severity`, `scale`,
    `harsh_g`, `speeding_s`, `idling_s`, as in
    {name: strict, weights: {harsh_brake: 6}, harsh_g: {passenger: {brake: 0.5}}, speeding_s: {heavy: 5}}.

    Example: rumblestrip rescore --rules other.yaml --from 2026-05-01 --to 2026-05-31
    """
    content, settings, console = _read(rules), load(), Console()
    change = _or_exit(lambda: read_change(content, OURS, DEFAULT))
    first, last = (day.replace(tzinfo=settings.zone) for day in (since, until))
    with open_database(settings) as engine:
        between = first, last + timedelta(days=1)
        with engine.begin() as connection:
            rules_and_kinds = to_replay(connection, change)
        opening = partial(opened_archive, archive) if archive else partial(opened_database, plain_url(engine))
        tried = _try(opening, between, rules_and_kinds, processes or os.cpu_count() or 1, console)
        with engine.begin() as connection:
            window = read_window(connection, *between)
            found = compare(connection, window, change, by, tried)
        with engine.begin() as connection:
            keep_beside(connection, change.name, window, found.outcome)
        show(found, console)
        if switch_ and (yes or typer.confirm("Put these rules in force?")):
            with engine.begin() as connection:
                switch(connection, content, username or getpass.getuser(), to_datetime(SystemClock().now_us()))
            console.print("In force from now on, and on record.")
        else:
            console.print("Nothing was switched; --switch puts these rules in force.")


def _try(
    opening: Opening,
    between: tuple[datetime, datetime],
    rules_and_kinds: tuple[tuple[Rules, Rules], Set[EventKind]],
    processes: int,
    console: Console,
) -> Tried | None:
    """Judge the stored seconds again, if thresholds differ. No transaction is open meanwhile: it may take minutes."""
    if not rules_and_kinds[1]:
        return None
    with Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console
    ) as progress:
        task = progress.add_task("vehicles judged again", total=None)
        told = partial(_tell, progress, task)
        return run_apart(opening, *between, *rules_and_kinds, told, processes=processes)


def _tell(progress: Progress, task: TaskID, done: int, total: int) -> None:
    progress.update(task, completed=done, total=total)


def show(found: Comparison, console: Console) -> None:
    """Ranks that moved first, by how far."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("", "score", "then", "rank", "then", "moved"):
        table.add_column(name, justify="left" if not name else "right")
    for move in sorted(found.moves, key=lambda one: (-abs(one.rank_after - one.rank), one.rank)):
        table.add_row(*_cells(move))
    console.print(table)
    _show_events(found, console)
    moved = sum(move.rank != move.rank_after for move in found.moves)
    console.print(f"Ranks moved: {moved} of {len(found.moves)}.")


def _show_events(found: Comparison, console: Console) -> None:
    """Lost and gained, and how far that can be trusted."""
    outcome = found.outcome
    console.print(f"Events lost: {_counted(outcome.lost_by_kind)}, of {found.events}.", soft_wrap=True)
    console.print(f"Events gained: {_counted(outcome.gained_by_kind)}.", soft_wrap=True)
    if outcome.changed:
        console.print(f"Events of another severity: {len(outcome.changed)}.")
    gain = outcome.gain
    if gain is None:
        return
    estimated = sum(not one.exact for one in gain.gained)
    console.print(
        "What is lost is exact, by each event's own peak. Of what is gained, "
        f"{len(gain.gained) - estimated} are exact, by the worker's rules on the stored seconds, and {estimated} "
        "estimated from the spread of acceleration within seconds.",
        soft_wrap=True,
    )
    console.print(
        f"As a check, the rules in force on the same seconds: {gain.again} of the {gain.stored} stored events found "
        f"again, and {gain.beside} more that are not stored.",
        soft_wrap=True,
    )


def _counted(counts: Mapping[EventKind, int]) -> str:
    return ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in sorted(counts.items())) or "none"


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
