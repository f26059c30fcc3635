"""The command `rumblestrip scores`: any window under every formula, and the ledger of one score as CSV."""

from __future__ import annotations

import sys
from datetime import datetime, timedelta
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from infra.runtime.adapters import open_database
from infra.settings import Settings, load
from scoring.core.formulas.port import Result, State
from scoring.core.formulas.table import FORMULAS
from scoring.ledgers import write_csv
from scoring.what_if import formula_in_force
from scoring.windows import (
    DEFAULT_FORMULA,
    By,
    Peers,
    Scored,
    Window,
    learn_peers,
    part_seen_by,
    parts,
    read_window,
    score_parts,
)

scores_app = typer.Typer(no_args_is_help=True, help="Scores of any window, and their ledger.")

Since = Annotated[datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="First day, in the fleet's time zone.")]
Until = Annotated[datetime, typer.Option("--to", formats=["%Y-%m-%d"], help="Last day, included.")]
TagOption = Annotated[list[str] | None, typer.Option(help="TAG=VEHICLE,VEHICLE; may be given several times.")]
_WORDS = {State.TOO_LITTLE_DRIVING: "too little driving yet", State.NOTHING_DRIVEN: "nothing driven"}


@scores_app.command("list")
def list_command(
    since: Since, until: Until, by: Annotated[By, typer.Option()] = By.DRIVER, tag: TagOption = None
) -> None:
    """Show scores under all formulas side by side, lowest first.

    Example: rumblestrip scores list --by driver --from 2026-05-01 --to 2026-05-31
    """
    settings = load()
    window, peers = _read(settings, since, until)
    scored = score_parts(window, parts(window, by, _tags(tag)), peers)
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in (by.value, DEFAULT_FORMULA, "90 %", "percentile", *list(FORMULAS)[1:], "km", "events", ""):
        table.add_column(name, justify="left" if name in (by.value, "") else "right")
    for one in scored:
        table.add_row(*_cells(one))
    Console().print(table)


@scores_app.command()
def export(
    since: Since,
    until: Until,
    driver: Annotated[str, typer.Option(help="The driver's id.")] = "",
    vehicle: Annotated[str, typer.Option(help="The vehicle's id.")] = "",
    formula: Annotated[str, typer.Option(help=", ".join(FORMULAS))] = DEFAULT_FORMULA,
) -> None:
    """Write the ledger of a score as CSV: trips, events, and the arithmetic.

    Example: rumblestrip scores export --driver ada --from 2026-05-01 --to 2026-05-31 > ledger.csv
    """
    if formula not in FORMULAS:
        raise typer.BadParameter(f"there is {', '.join(FORMULAS)}", param_hint="--formula")
    if bool(driver) == bool(vehicle):
        raise typer.BadParameter("name a driver or a vehicle", param_hint="--driver")
    window, peers = _read(load(), since, until)
    by, name = (By.DRIVER, driver) if driver else (By.VEHICLE, vehicle)
    found = [part for part in parts(window, by) if part.name == name]
    if not found:
        raise typer.BadParameter(f"{name!r} has no trip in these days", param_hint=f"--{by}")
    (scored,) = score_parts(window, found, peers)
    write_csv(part_seen_by(formula, window, scored.part), scored.results[formula], sys.stdout)


def _read(settings: Settings, since: datetime, until: datetime) -> tuple[Window, Peers]:
    first, last = (day.replace(tzinfo=settings.zone) for day in (since, until))
    with open_database(settings) as engine, engine.connect() as connection:
        window = read_window(connection, first, last + timedelta(days=1))
        formula = formula_in_force(connection)
    return window, learn_peers(window, formula)


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


def _tags(given: list[str] | None) -> dict[str, list[str]]:
    tags = {}
    for one in given or []:
        tag, sign, vehicles = one.partition("=")
        if not sign or not vehicles:
            raise typer.BadParameter(f"{one!r} is not TAG=VEHICLE,VEHICLE", param_hint="--tag")
        tags[tag] = [vehicle.strip() for vehicle in vehicles.split(",")]
    return tags
