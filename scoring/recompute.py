"""Scores from what the database holds: taken up where they are due, computed whole, written over the old ones.

Only trips that have ended count, with the events inside them, whatever room found these. A score row is a pure
function of those rows, so that computing it twice, late, or after a review always ends in the same.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import orjson
from sqlalchemy import Connection, Engine, Row, text

from infra.clock import to_datetime, to_us
from infra.contracts.events import EventKind, ReviewState, Severity, TripStatus
from infra.runtime.worker import Chore, transaction
from infra.settings import Settings
from infra.store import tables
from infra.store.bulk import insert, replacing
from scoring.core.exposure import BANDS, TRIP_EDGE_US, Exposure, Incident
from scoring.core.formulas.port import Result, compact
from scoring.core.formulas.tally import Tally, tally
from scoring.in_force import InForce, in_force

BATCH = 200
"""Due rows taken in one transaction. Their scopes stay locked until its end."""

Values = tuple[object, ...]
_SCORE = replacing(tables.score)
_EDGE = timedelta(microseconds=TRIP_EDGE_US)

_TAKE = text(
    "DELETE FROM score_due WHERE due_id IN "
    "(SELECT due_id FROM score_due ORDER BY due_id LIMIT :batch FOR UPDATE SKIP LOCKED) "
    "RETURNING vehicle_id, at"
)
_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended(key, 0)) FROM unnest(CAST(:keys AS text[])) AS key")
TRIP_COLUMNS = (
    "trip.trip_id, trip.vehicle_id, trip.driver_id, trip.start_at, trip.end_at, trip.distance_m, trip.driving_s, "
    "trip.limit_known_s, trip.over_light_s, trip.over_moderate_s, trip.over_heavy_s, trip.over_severe_s, "
    "coalesce((SELECT vehicle_class FROM vehicle WHERE vehicle_id = trip.vehicle_id), 'passenger') AS vehicle_class"
)
_TRIPS_AT = text(
    f"SELECT DISTINCT {TRIP_COLUMNS} FROM trip "
    "JOIN unnest(CAST(:vehicles AS text[]), CAST(:times AS timestamptz[])) AS due (vehicle_id, at) "
    "ON trip.vehicle_id = due.vehicle_id "
    "AND trip.start_at <= due.at + CAST(:edge AS interval) AND trip.end_at >= due.at - CAST(:edge AS interval) "
    f"WHERE trip.status = '{TripStatus.ENDED}'"
)
_OWNERS = {"driver_day": "driver_id", "vehicle_day": "vehicle_id"}
_TRIPS_OF = {
    word: text(
        f"SELECT DISTINCT {TRIP_COLUMNS} FROM trip "
        "JOIN unnest(CAST(:ids AS text[]), CAST(:starts AS timestamptz[]), CAST(:ends AS timestamptz[])) "
        f"AS day (id, start_at, end_at) ON trip.{column} = day.id "
        "AND trip.start_at >= day.start_at AND trip.start_at < day.end_at "
        f"WHERE trip.status = '{TripStatus.ENDED}'"
    )
    for word, column in _OWNERS.items()
}
_OTHERS = text(  # of a formula that is no longer in force: nobody would bring them up to date
    "DELETE FROM score USING unnest(CAST(:scopes AS text[]), CAST(:ids AS text[]), CAST(:days AS date[])) "
    "AS done (scope, scope_id, day) WHERE score.scope = done.scope AND score.scope_id = done.scope_id "
    "AND score.day = done.day AND score.formula <> :formula"
)
_EVENTS_IN = text(
    "SELECT DISTINCT event.event_id, event.vehicle_id, event.start_at, event.kind, event.severity, "
    "event.review_state, event.evidence FROM safety_event AS event "
    "JOIN unnest(CAST(:vehicles AS text[]), CAST(:starts AS timestamptz[]), CAST(:ends AS timestamptz[])) "
    "AS trip (vehicle_id, start_at, end_at) ON event.vehicle_id = trip.vehicle_id "
    "AND event.start_at >= trip.start_at - CAST(:edge AS interval) "
    "AND event.start_at <= trip.end_at + CAST(:edge AS interval)"
)


@dataclass(frozen=True, slots=True, order=True)
class Scope:
    """What a score is of: a trip, a driver's day or a vehicle's day."""

    word: str
    scope_id: str
    day: date

    @property
    def lock(self) -> str:
        return f"score|{self.word}|{self.scope_id}|{self.day}"


@dataclass(frozen=True, slots=True)
class Drive:
    """A trip of the database. It belongs to the day on which it starts, to the end."""

    exposure: Exposure
    driver_id: str | None
    vehicle_class: str
    day: date

    @property
    def days(self) -> set[Scope]:
        own = {Scope("vehicle_day", self.exposure.vehicle_id, self.day)}
        return own if self.driver_id is None else own | {Scope("driver_day", self.driver_id, self.day)}

    @property
    def scope(self) -> Scope:
        return Scope("trip", self.exposure.trip_id, self.day)


def chore(settings: Settings) -> Chore:
    """Recompute what is due, for a worker to run between its rounds."""
    return partial(_recompute_batch, settings=settings)


def recompute_due(connection: Connection, settings: Settings, batch: int = BATCH) -> int:
    """Take up to ``batch`` due rows and write the scores that they concern. Returns how many were taken."""
    taken = connection.execute(_TAKE, {"batch": batch}).all()
    _recompute(connection, {(row.vehicle_id, row.at) for row in taken}, settings.zone)
    return len(taken)


def recompute_event(connection: Connection, event_id: uuid.UUID, settings: Settings) -> None:
    """Write the scores that contain an event; after a review of it, in the same transaction."""
    recompute_events(connection, [event_id], settings)


def recompute_events(connection: Connection, event_ids: Sequence[uuid.UUID], settings: Settings) -> None:
    """The same for several at once: each score is computed once, and all are locked in one order."""
    query = text("SELECT vehicle_id, start_at FROM safety_event WHERE event_id = ANY(:event_ids)")
    found = connection.execute(query, {"event_ids": list(event_ids)}).all()
    _recompute(connection, {(row.vehicle_id, row.start_at) for row in found}, settings.zone)


def mark_all_due(connection: Connection) -> int:
    """Have every score computed again, as after a change of weights or of the fleet's time zone."""
    query = (
        "INSERT INTO score_due (vehicle_id, driver_id, at) "
        f"SELECT vehicle_id, driver_id, start_at FROM trip WHERE status = '{TripStatus.ENDED}'"
    )
    return connection.execute(text(query)).rowcount


def _recompute_batch(engine: Engine, settings: Settings) -> int:
    with transaction(engine) as connection:
        return recompute_due(connection, settings)


def _recompute(connection: Connection, instants: set[tuple[str, datetime]], zone: ZoneInfo) -> None:
    due = sorted(instants)
    at = {"vehicles": [vehicle for vehicle, _ in due], "times": [when for _, when in due], "edge": _EDGE}
    named = _drives(connection.execute(_TRIPS_AT, at).all(), zone) if due else []
    scopes = sorted({scope for drive in named for scope in drive.days})
    if not scopes:
        return
    # In order, so that two workers never wait for each other; what is read after this is the newest committed.
    connection.execute(_LOCK, {"keys": [scope.lock for scope in scopes]})
    drives = _drives_of(connection, scopes, zone)
    incidents = _incidents_in(connection, drives)
    sums = [(scope, [drive for drive in drives if scope in drive.days]) for scope in scopes]
    sums += [(drive.scope, [drive]) for drive in drives if drive.scope in {one.scope for one in named}]
    formulas = in_force(connection)
    insert(connection, _SCORE, [_scored(scope, mine, incidents, formulas) for scope, mine in sums])
    connection.execute(
        _OTHERS,
        {
            "scopes": [s.word for s, _ in sums],
            "ids": [s.scope_id for s, _ in sums],
            "days": [s.day for s, _ in sums],
            "formula": formulas.name,
        },
    )


def _scored(scope: Scope, drives: Sequence[Drive], incidents: Sequence[Incident], formulas: InForce) -> Values:
    exposures = [drive.exposure for drive in drives]
    counted = tally(exposures, incidents)
    return _row(scope, counted, formulas.of(most_of(drive.vehicle_class for drive in drives))(counted))


def most_of(classes: Iterable[str]) -> str:
    """The class of most trips."""
    counts = Counter(classes)
    return max(sorted(counts), key=counts.__getitem__)


def _drives_of(connection: Connection, scopes: Sequence[Scope], zone: ZoneInfo) -> list[Drive]:
    """All that was driven on some days."""
    found: dict[uuid.UUID, Row[Any]] = {}
    for word, query in _TRIPS_OF.items():
        mine = [scope for scope in scopes if scope.word == word]
        bounds = [_bounds(scope.day, zone) for scope in mine]
        parameters = {
            "ids": [scope.scope_id for scope in mine],
            "starts": [start for start, _ in bounds],
            "ends": [end for _, end in bounds],
        }
        found |= {row.trip_id: row for row in connection.execute(query, parameters)}
    return _drives(found.values(), zone)


def _drives(rows: Iterable[Row[Any]], zone: ZoneInfo) -> list[Drive]:
    drives = [
        Drive(exposure_of(row), row.driver_id, row.vehicle_class, row.start_at.astimezone(zone).date()) for row in rows
    ]
    return sorted(drives, key=lambda drive: (drive.exposure.start_us, drive.exposure.trip_id))


def _bounds(day: date, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """A day's beginning and end in a time zone: 23 or 25 hours apart where the clocks change."""
    return datetime.combine(day, time(), zone), datetime.combine(day + timedelta(days=1), time(), zone)


def _incidents_in(connection: Connection, drives: Sequence[Drive]) -> list[Incident]:
    exposures = [drive.exposure for drive in drives]
    found = connection.execute(
        _EVENTS_IN,
        {
            "vehicles": [e.vehicle_id for e in exposures],
            "starts": [to_datetime(e.start_us) for e in exposures],
            "ends": [to_datetime(e.end_us) for e in exposures],
            "edge": _EDGE,
        },
    )
    return [incident_of(row) for row in found]


def incident_of(event: Row[Any]) -> Incident:
    """Of a row with event_id, vehicle_id, start_at, kind, severity, review_state and evidence."""
    return Incident(
        vehicle_id=event.vehicle_id,
        start_us=to_us(event.start_at),
        kind=EventKind(event.kind),
        severity=Severity(event.severity),
        state=ReviewState(event.review_state),
        over_s=tuple(float(event.evidence.get(f"over_{band}_s", 0.0)) for band in BANDS),
        event_id=str(event.event_id),
    )


def exposure_of(trip: Row[Any]) -> Exposure:
    """Of a row of the table trip."""
    return Exposure(
        trip_id=str(trip.trip_id),
        vehicle_id=trip.vehicle_id,
        start_us=to_us(trip.start_at),
        end_us=to_us(trip.end_at),
        distance_m=trip.distance_m,
        driving_s=trip.driving_s,
        limit_known_s=trip.limit_known_s,
        over_s=(trip.over_light_s, trip.over_moderate_s, trip.over_heavy_s, trip.over_severe_s),
    )


def _row(scope: Scope, driven: Tally, result: Result) -> Values:
    """In the order of the columns of the table score."""
    value = (result.formula, result.value, result.low, result.high, str(result.state))
    exposure = (driven.distance_m, driven.driving_s, sum(driven.over_s), driven.limit_known_s)
    ledger = orjson.dumps(compact(result)).decode()
    return (scope.word, scope.scope_id, scope.day, *value, *exposure, sum(driven.events.values()), ledger)
