"""Scores as the desk tells them: a driver's card over some days, and what one event costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from uuid import UUID

from sqlalchemy import Connection

from dashboard.labels import Words
from infra.contracts.events import ReviewState
from infra.store.queries import EventRow
from scoring.core.formulas.account import Line, account
from scoring.core.formulas.port import Result
from scoring.core.formulas.tally import tally
from scoring.in_force import InForce, in_force
from scoring.standings import Standing, standings
from scoring.trends import Point, bounds, trend
from scoring.windows import By, Part, read_window, whole

WINDOW_DAYS = 28  # as Motive's score; four of each weekday


@dataclass(frozen=True, slots=True)
class Card:
    """A driver over some days. ``standing`` is None where nothing was driven in them."""

    since: date
    until: date
    standing: Standing | None
    lines: Sequence[Line]
    trend: Sequence[Point]


@dataclass(frozen=True, slots=True)
class Cost:
    """What an event takes off a score: the score with it, less the score without it."""

    of: str
    points: float
    result: Result


def period(days: int, newest: date, today: date) -> tuple[date, date]:
    """The last days up to today; where nobody has driven in them, up to the last day that anyone did."""
    until = today if newest > today - timedelta(days=days) else newest
    return until - timedelta(days=days - 1), until


def fleet(connection: Connection, since: date, until: date, words: Words) -> list[Standing]:
    """Every driver who drove in these days, both included, the lowest score first."""
    return standings(connection, *bounds(since, until, words.zone), in_force(connection))


def card(connection: Connection, driver_id: str, since: date, until: date, words: Words) -> Card:
    """
    Args:
        since, until: both included.
    """
    formulas = in_force(connection)
    everybody = standings(connection, *bounds(since, until, words.zone), formulas)
    standing = next((one for one in everybody if one.name == driver_id), None)
    days = [since + timedelta(days=n) for n in range((until - since).days + 1)]
    first, end = bounds(since - timedelta(days=len(days) - 1), until, words.zone)
    window = read_window(connection, first, end, By.DRIVER, driver_id)
    lines = account(standing.result, standing.driven, words.distance) if standing else []
    return Card(since, until, standing, lines, trend(window, formulas, days, len(days), words.zone))


def trip_score(connection: Connection, trip_id: UUID, day: date, words: Words) -> tuple[Result, list[Line]] | None:
    """The score of a trip alone, with its lines; None until it has ended."""
    part = _part(connection, day, day, By.TRIP, str(trip_id), words)
    if part is None:
        return None
    result = _result(part, in_force(connection))
    return result, account(result, tally(part.exposures, part.incidents), words.distance)


def costs(connection: Connection, event: EventRow, trip_id: UUID | None, today: date, words: Words) -> list[Cost]:
    """What an event costs in the driver's days, and on its trip; as if it counted, whatever its state is.

    The days are the last WINDOW_DAYS, or if it is older than these, those that end with its own.
    """
    day = words.local(event.start_at).date()
    until = today if day > today - timedelta(days=WINDOW_DAYS) else day
    since = until - timedelta(days=WINDOW_DAYS - 1)
    asked: list[tuple[str, date, date, By, str]] = []
    if event.driver_id is not None:
        asked.append((f"Driver’s {WINDOW_DAYS} days", since, until, By.DRIVER, event.driver_id))
    if trip_id is not None:
        asked.append(("Trip", day - timedelta(days=1), day, By.TRIP, str(trip_id)))
    formulas = in_force(connection)
    found = []
    for of, first, last, by, name in asked:
        part = _part(connection, first, last, by, name, words)
        if part is not None:
            found.append(_cost(of, part, str(event.event_id), formulas))
    return found


def _part(connection: Connection, since: date, until: date, by: By, name: str, words: Words) -> Part | None:
    return whole(read_window(connection, *bounds(since, until, words.zone), by, name), name)


def _cost(of: str, part: Part, event_id: str, formulas: InForce) -> Cost:
    states = (ReviewState.REVIEWED, ReviewState.DISMISSED)
    given = [[replace(i, state=s) if i.event_id == event_id else i for i in part.incidents] for s in states]
    on, off = (_result(replace(part, incidents=incidents), formulas) for incidents in given)
    return Cost(of, (on.value or 0.0) - (off.value or 0.0), _result(part, formulas))


def _result(part: Part, formulas: InForce) -> Result:
    return formulas.of(part.vehicle_class)(tally(part.exposures, part.incidents))
