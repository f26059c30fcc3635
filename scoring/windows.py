"""Scores of any window: trips, drivers, vehicles, tags or the fleet, under every formula, from trips and events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, text

from infra.clock import to_us
from infra.contracts.events import TripStatus
from scoring.core.exposure import TRIP_EDGE_US, Exposure, Incident
from scoring.core.formulas import motive_like
from scoring.core.formulas.expected_risk import RiskFormula
from scoring.core.formulas.peers import fit_peers, percentile, rates_of
from scoring.core.formulas.port import Formula, Result, State
from scoring.core.formulas.recognition import Recognition, recognise
from scoring.core.formulas.table import FORMULAS, OURS
from scoring.core.formulas.tally import Tally, tally
from scoring.in_force import InForce
from scoring.recompute import TRIP_COLUMNS, exposure_of, incident_of, most_of

DEFAULT_FORMULA = "expected-risk"
_DAY_US = 86_400_000_000
_EDGE = timedelta(microseconds=TRIP_EDGE_US)
_TRIPS = (
    f"SELECT {TRIP_COLUMNS} FROM trip WHERE trip.status = '{TripStatus.ENDED}' "
    "AND trip.start_at >= :since AND trip.start_at < :until AND {only} ORDER BY trip.start_at, trip.trip_id"
)
_EVENTS = text(
    "SELECT event_id, vehicle_id, start_at, kind, severity, review_state, evidence FROM safety_event "
    "WHERE start_at >= CAST(:since AS timestamptz) - CAST(:edge AS interval) AND start_at <= :until "
    "AND (CAST(:vehicles AS text[]) IS NULL OR vehicle_id = ANY(:vehicles)) ORDER BY start_at, event_id"
)


class By(StrEnum):
    """What the scores are of."""

    TRIP = "trip"
    DRIVER = "driver"
    VEHICLE = "vehicle"
    TAG = "tag"
    FLEET = "fleet"


_ONLY = {  # the trips that a part may have
    By.TRIP: "trip.trip_id = CAST(:name AS uuid)",
    By.DRIVER: "trip.driver_id = :name",
    By.VEHICLE: "trip.vehicle_id = :name",
    By.TAG: "trip.vehicle_id IN (SELECT vehicle_id FROM vehicle_tag WHERE tag = :name)",
    By.FLEET: "CAST(:name AS text) IS NOT NULL",
}


@dataclass(frozen=True, slots=True)
class Drive:
    exposure: Exposure
    driver_id: str | None
    vehicle_class: str


@dataclass(frozen=True, slots=True)
class Window:
    """All trips that ended and began between two times, and the events on them."""

    until_us: int
    drives: Sequence[Drive]
    incidents: Sequence[Incident]


@dataclass(frozen=True, slots=True)
class Part:
    """What one score is of, with its own trips and events."""

    name: str
    vehicle_class: str  # of most of its trips
    exposures: Sequence[Exposure]
    incidents: Sequence[Incident]


@dataclass(frozen=True, slots=True)
class Scored:
    """A part with its results by the name of the formula, and its place among peers by ours."""

    part: Part
    tally: Tally
    results: Mapping[str, Result]
    percentile: float | None
    recognition: Recognition


def read_window(
    connection: Connection, since: datetime, until: datetime, by: By = By.FLEET, name: str = "fleet"
) -> Window:
    """The trips and events from ``since`` to before ``until``. A trip belongs to where it begins, to its end.

    Args:
        by, name: whose trips; all events of their vehicles come along.
    """
    asked = {"since": since, "until": until, "name": name}
    drives = [_drive(row) for row in connection.execute(text(_TRIPS.format(only=_ONLY[by])), asked)]
    end = max((drive.exposure.end_us for drive in drives), default=to_us(until))
    events_until = until + timedelta(microseconds=max(0, end - to_us(until))) + _EDGE
    vehicles = None if by is By.FLEET else sorted({drive.exposure.vehicle_id for drive in drives})
    rows = connection.execute(_EVENTS, {"since": since, "until": events_until, "edge": _EDGE, "vehicles": vehicles})
    return Window(to_us(until), drives, [incident_of(row) for row in rows])


def parts(window: Window, by: By, tags: Mapping[str, Iterable[str]] | None = None) -> list[Part]:
    """The window shared out. ``tags``: tag to vehicles; a vehicle may carry several."""
    carried: dict[str, list[str]] = {}
    for tag, vehicles in (tags or {}).items():
        for vehicle in vehicles:
            carried.setdefault(vehicle, []).append(tag)
    drives: dict[str, list[Drive]] = {}
    for drive in window.drives:
        for name in _names(drive, by, carried):
            drives.setdefault(name, []).append(drive)
    events: dict[str, list[Incident]] = {}
    for incident in window.incidents:
        events.setdefault(incident.vehicle_id, []).append(incident)
    return [_part(name, mine, events) for name, mine in sorted(drives.items())]


def whole(window: Window, name: str) -> Part | None:
    """The window as one part; None where nothing was driven."""
    events: dict[str, list[Incident]] = {}
    for incident in window.incidents:
        events.setdefault(incident.vehicle_id, []).append(incident)
    return _part(name, window.drives, events) if window.drives else None


def learn_peers(window: Window, formula: RiskFormula = OURS) -> InForce:
    """A peer is a driver with one class of vehicles; trips without a driver count as their vehicle's."""
    by_class: dict[str, list[Drive]] = {}
    for drive in window.drives:
        by_class.setdefault(drive.vehicle_class, []).append(drive)
    learned = {}
    for vehicle_class, drives in by_class.items():
        own = [replace(d, driver_id=d.driver_id or f"vehicle {d.exposure.vehicle_id}") for d in drives]
        peers = parts(replace(window, drives=own), By.DRIVER)
        fitted = fit_peers(formula, [tally(p.exposures, p.incidents) for p in peers])
        if fitted is not formula:
            learned[vehicle_class] = rates_of(fitted)
    return InForce(formula, learned)


def score_parts(window: Window, found: Sequence[Part], formulas: InForce) -> list[Scored]:
    """Every part under every formula; percentiles among the parts of the same class. Lowest score first."""
    results = {part.name: score_part(window, part, formulas) for part in found}
    values: dict[str, list[float]] = {}
    for part in found:
        if (value := ranked_value(results[part.name][DEFAULT_FORMULA])) is not None:
            values.setdefault(part.vehicle_class, []).append(value)
    scored = [_scored(part, results[part.name], values.get(part.vehicle_class, []), formulas) for part in found]
    return sorted(scored, key=_worst_first)


def ranked_value(result: Result) -> float | None:
    """The score, where there was enough driving to compare it with others."""
    return result.value if result.state is State.SCORED else None


def score_part(window: Window, part: Part, formulas: InForce) -> dict[str, Result]:
    """A part under every formula, ours as it is in force."""
    asked: dict[str, Formula] = {**FORMULAS, DEFAULT_FORMULA: formulas.of(part.vehicle_class)}
    seen = {name: part_seen_by(name, window, part) for name in asked}
    return {name: formula(tally(seen[name].exposures, seen[name].incidents)) for name, formula in asked.items()}


def part_seen_by(formula: str, window: Window, part: Part) -> Part:
    """What a formula looks at: Motive's at the last four weeks of a window."""
    if formula != motive_like.NAME:
        return part
    since_us = window.until_us - motive_like.WINDOW_DAYS * _DAY_US
    return replace(part, exposures=[one for one in part.exposures if one.start_us >= since_us])


def _worst_first(one: Scored) -> tuple[bool, float, str]:
    value = one.results[DEFAULT_FORMULA].value
    return value is None, 0.0 if value is None else value, one.part.name


def _scored(part: Part, results: Mapping[str, Result], values: Sequence[float], formulas: InForce) -> Scored:
    value = ranked_value(results[DEFAULT_FORMULA])
    return Scored(
        part=part,
        tally=tally(part.exposures, part.incidents),
        results=results,
        percentile=None if value is None or len(values) < 2 else percentile(value, values),
        recognition=recognise(part.exposures, part.incidents, formulas.of(part.vehicle_class)),
    )


def _names(drive: Drive, by: By, carried: Mapping[str, Sequence[str]]) -> Sequence[str]:
    exposure = drive.exposure
    if by is By.TAG:
        return carried.get(exposure.vehicle_id, ())
    if by is By.DRIVER:
        return () if drive.driver_id is None else (drive.driver_id,)
    return ({By.TRIP: exposure.trip_id, By.VEHICLE: exposure.vehicle_id, By.FLEET: "fleet"}[by],)


def _part(name: str, drives: Sequence[Drive], events: Mapping[str, Sequence[Incident]]) -> Part:
    vehicles = sorted({drive.exposure.vehicle_id for drive in drives})
    return Part(
        name=name,
        vehicle_class=most_of(drive.vehicle_class for drive in drives),
        exposures=[drive.exposure for drive in drives],
        incidents=[incident for vehicle in vehicles for incident in events.get(vehicle, ())],
    )


def _drive(row: Row[Any]) -> Drive:
    return Drive(exposure_of(row), row.driver_id, row.vehicle_class)
