"""Scores of any window: trips, drivers, vehicles, tags or the fleet, under every formula, from trips and events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, text

from infra.clock import to_us
from infra.contracts.events import TripStatus
from scoring.core.formulas import motive_like
from scoring.core.formulas.expected_risk import RiskFormula
from scoring.core.formulas.peers import fit_peers, percentile
from scoring.core.formulas.port import Formula, Result
from scoring.core.formulas.recognition import Recognition, recognise
from scoring.core.formulas.table import FORMULAS, OURS
from scoring.core.formulas.tally import Tally, tally
from scoring.core.score import TRIP_EDGE_US, Exposure, Incident
from scoring.recompute import TRIP_COLUMNS, exposure_of, incident_of

DEFAULT_FORMULA = "expected-risk"
_DAY_US = 86_400_000_000
_EDGE = timedelta(microseconds=TRIP_EDGE_US)
_TRIPS = text(
    f"SELECT {TRIP_COLUMNS}, coalesce(vehicle.vehicle_class, 'passenger') AS vehicle_class FROM trip "
    "LEFT JOIN vehicle ON vehicle.vehicle_id = trip.vehicle_id "
    f"WHERE trip.status = '{TripStatus.ENDED}' AND trip.start_at >= :since AND trip.start_at < :until "
    "ORDER BY trip.start_at, trip.trip_id"
)
_EVENTS = text(
    "SELECT event_id, vehicle_id, start_at, kind, severity, review_state, evidence FROM safety_event "
    "WHERE start_at >= CAST(:since AS timestamptz) - CAST(:edge AS interval) AND start_at <= :until "
    "ORDER BY start_at, event_id"
)


class By(StrEnum):
    """What the scores are of."""

    TRIP = "trip"
    DRIVER = "driver"
    VEHICLE = "vehicle"
    TAG = "tag"
    FLEET = "fleet"


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


@dataclass(frozen=True, slots=True)
class Peers:
    """Our formula with the peers of each class of vehicles, learned from the drivers of a window."""

    formulas: Mapping[str, RiskFormula] = field(default_factory=dict)
    otherwise: RiskFormula = OURS

    def of(self, vehicle_class: str) -> RiskFormula:
        return self.formulas.get(vehicle_class, self.otherwise)


def read_window(connection: Connection, since: datetime, until: datetime) -> Window:
    """The trips and events from ``since`` to before ``until``. A trip belongs to where it begins, to its end."""
    asked = {"since": since, "until": until}
    drives = [_drive(row) for row in connection.execute(_TRIPS, asked)]
    end = max((drive.exposure.end_us for drive in drives), default=to_us(until))
    events_until = until + timedelta(microseconds=max(0, end - to_us(until))) + _EDGE
    rows = connection.execute(_EVENTS, {"since": since, "until": events_until, "edge": _EDGE})
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


def learn_peers(window: Window, formula: RiskFormula = OURS) -> Peers:
    """A peer is a driver with one class of vehicles; trips without a driver count as their vehicle's."""
    by_class: dict[str, list[Drive]] = {}
    for drive in window.drives:
        by_class.setdefault(drive.vehicle_class, []).append(drive)
    learned = {}
    for vehicle_class, drives in by_class.items():
        own = [replace(d, driver_id=d.driver_id or f"vehicle {d.exposure.vehicle_id}") for d in drives]
        peers = parts(replace(window, drives=own), By.DRIVER)
        learned[vehicle_class] = fit_peers(formula, [tally(p.exposures, p.incidents) for p in peers])
    return Peers(learned, formula)


def score_parts(window: Window, found: Sequence[Part], peers: Peers) -> list[Scored]:
    """Every part under every formula; percentiles among the parts of the same class. Lowest score first."""
    results = {part.name: score_part(window, part, peers) for part in found}
    values: dict[str, list[float]] = {}
    for part in found:
        if (value := results[part.name][DEFAULT_FORMULA].value) is not None:
            values.setdefault(part.vehicle_class, []).append(value)
    scored = [_scored(part, results[part.name], values.get(part.vehicle_class, []), peers) for part in found]
    return sorted(scored, key=_worst_first)


def score_part(window: Window, part: Part, peers: Peers) -> dict[str, Result]:
    """A part under every formula, ours with its peers."""
    asked: dict[str, Formula] = {**FORMULAS, DEFAULT_FORMULA: peers.of(part.vehicle_class)}
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


def _scored(part: Part, results: Mapping[str, Result], values: Sequence[float], peers: Peers) -> Scored:
    value = results[DEFAULT_FORMULA].value
    return Scored(
        part=part,
        tally=tally(part.exposures, part.incidents),
        results=results,
        percentile=None if value is None else percentile(value, values),
        recognition=recognise(part.exposures, part.incidents, peers.of(part.vehicle_class)),
    )


def _names(drive: Drive, by: By, carried: Mapping[str, Sequence[str]]) -> Sequence[str]:
    exposure = drive.exposure
    if by is By.TAG:
        return carried.get(exposure.vehicle_id, ())
    if by is By.DRIVER:
        return () if drive.driver_id is None else (drive.driver_id,)
    return ({By.TRIP: exposure.trip_id, By.VEHICLE: exposure.vehicle_id, By.FLEET: "fleet"}[by],)


def _part(name: str, drives: Sequence[Drive], events: Mapping[str, Sequence[Incident]]) -> Part:
    classes = [drive.vehicle_class for drive in drives]
    vehicles = sorted({drive.exposure.vehicle_id for drive in drives})
    return Part(
        name=name,
        vehicle_class=max(sorted(set(classes)), key=classes.count),
        exposures=[drive.exposure for drive in drives],
        incidents=[incident for vehicle in vehicles for incident in events.get(vehicle, ())],
    )


def _drive(row: Row[Any]) -> Drive:
    return Drive(exposure_of(row), row.driver_id, row.vehicle_class)
