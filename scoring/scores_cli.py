"""The command `rumblestrip scores`: any window under every formula, and the ledger of one score as CSV."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from sqlalchemy import Connection

from infra.clock import SystemClock, to_datetime
from infra.runtime.adapters import open_database
from infra.settings import Settings, load
from infra.store import registry
from scoring.core.formulas.peers import LEAST_PEERS
from scoring.core.formulas.port import Result, State
from scoring.core.formulas.table import FORMULAS
from scoring.in_force import in_force, keep_fit
from scoring.ledgers import write_csv
from scoring.recompute import mark_all_due
from scoring.windows import (
    DEFAULT_FORMULA,
    By,
    Scored,
    Window,
    learn_peers,
    part_seen_by,
    parts,
    read_window,
    score_part,
    score_parts,
    whole,
)

scores_app = typer.Typer(no_args_is_help=True, help="Scores of any window, and their ledger.")

Since = Annotated[datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="First day, in the fleet's time zone.")]
Until = Annotated[datetime, typer.Option("--to", formats=["%Y-%m-%d"], help="Last day, included.")]
_WORDS = {State.TOO_LITTLE_DRIVING: "too little driving yet", State.NOTHING_DRIVEN: "nothing driven"}


@scores_app.command("list")
def list_command(since: Since, until: Until, by: Annotated[By, typer.Option()] = By.DRIVER) -> None:
    """Show scores under all formulas side by side, lowest first. `rumblestrip tag` makes tags.

    Example: rumblestrip scores list --by driver --from 2026-05-01 --to 2026-05-31
    """
    with _asked(since, until) as (connection, window):
        found = parts(window, by, registry.vehicles_by_tag(connection))
        scored = score_parts(window, found, in_force(connection))
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")  # 80 columns hold it
    for name in (by.value, DEFAULT_FORMULA, "90 %", "per-centile", *list(FORMULAS)[1:], "km", "events", ""):
        words = name in (by.value, "")
        heading = name.replace("-", "-\n")
        table.add_column(heading, justify="left" if words else "right", no_wrap=not words, overflow="fold")
    for one in scored:
        table.add_row(*_cells(one))
    Console().print(table)


@scores_app.command()
def export(
    since: Since,
    until: Until,
    driver: Annotated[str, typer.Option(help="The driver's id.")] = "",
    vehicle: Annotated[str, typer.Option(help="The vehicle's id.")] = "",
    tag: Annotated[str, typer.Option(help="A tag of vehicles.")] = "",
    formula: Annotated[str, typer.Option(help=", ".join(FORMULAS))] = DEFAULT_FORMULA,
) -> None:
    """Write the ledger of a score as CSV: trips, events, and the arithmetic.

    Example: rumblestrip scores export --driver ada --from 2026-05-01 --to 2026-05-31 > ledger.csv
    """
    if formula not in FORMULAS:
        raise typer.BadParameter(f"there is {', '.join(FORMULAS)}", param_hint="--formula")
    if sum(map(bool, (driver, vehicle, tag))) != 1:
        raise typer.BadParameter("name a driver, a vehicle or a tag", param_hint="--driver")
    by = By.DRIVER if driver else By.VEHICLE if vehicle else By.TAG
    name = driver or vehicle or tag
    with _asked(since, until, by, name) as (connection, window):
        part, formulas = whole(window, name), in_force(connection)
    if part is None:
        raise typer.BadParameter(f"{name!r} has no trip in these days", param_hint=f"--{by}")
    write_csv(part_seen_by(formula, window, part), score_part(window, part, formulas)[formula], sys.stdout)


@scores_app.command()
def fit(
    since: Since, until: Until, username: Annotated[str, typer.Option("--user", help="Who is on record.")] = ""
) -> None:
    """Learn from these days what peers do, and score by that from now on, with an entry on record.

    Peers are the drivers of one class of vehicles, twenty at least. Until the first fit our own guess stands in. Fit
    anew when the fleet has changed, say every quarter: between two fits no score moves because others drive otherwise.

    Example: rumblestrip scores fit --from 2026-04-01 --to 2026-06-30
    """
    first, last = _days(load(), since, until)
    with _asked(since, until) as (connection, window):
        fitted = learn_peers(window, in_force(connection).base)
        if not fitted.peers:
            raise typer.BadParameter(
                f"no class of vehicles has {LEAST_PEERS} drivers in these days", param_hint="--from"
            )
        now = to_datetime(SystemClock().now_us())
        keep_fit(connection, fitted, first, last, username or getpass.getuser(), now)
        scores = mark_all_due(connection)
    Console().print(f"In force for {', '.join(sorted(fitted.peers))}. The scores of {scores} trips are computed anew.")


@contextmanager
def _asked(
    since: datetime, until: datetime, by: By = By.FLEET, name: str = "fleet"
) -> Iterator[tuple[Connection, Window]]:
    settings = load()
    with open_database(settings) as engine, engine.begin() as connection:
        yield connection, read_window(connection, *_days(settings, since, until), by, name)


def _days(settings: Settings, since: datetime, until: datetime) -> tuple[datetime, datetime]:
    """From the first day's beginning to the last one's end."""
    first, last = (day.replace(tzinfo=settings.zone) for day in (since, until))
    return first, last + timedelta(days=1)


def _cells(one: Scored) -> tuple[str, ...]:
    ours = one.results[DEFAULT_FORMULA]
    interval = "" if ours.low is None else f"{ours.low:.0f} to {ours.high:.0f}"
    place = "" if one.percentile is None else f"{one.percentile:.0f}"
    others = (_value(result) for name, result in one.results.items() if name != DEFAULT_FORMULA)
    events = sum(one.tally.events.values())
    said = _WORDS.get(ours.state, f"{one.recognition.clean_m / 1000:.0f} km clean" if one.recognition.earned else "")
    driven = f"{one.tally.distance_m / 1000:.0f}"
    return escape(one.part.name), _value(ours), interval, place, *others, driven, str(events), said


def _value(result: Result) -> str:
    return "-" if result.value is None else f"{result.value:.0f}"
