"""What other rules make of a window's events: lost, gained, graver or milder. Kept beside the live tables, by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Connection, delete, text

from infra.clock import to_datetime, to_us
from infra.contracts.events import EventKind, ReviewState, SafetyEvent, Severity
from infra.store.bulk import insert, replacing
from infra.store.rule_tables import what_if_event
from scoring.core.replay import Replayed
from scoring.core.rules import SECOND_US, Rules
from scoring.core.what_if import Known, judge_again
from scoring.recompute import incident_of
from scoring.trial import Gain, Tried, compare_with
from scoring.windows import Window

_STORED = text(
    "SELECT event.event_id, event.vehicle_id, event.driver_id, event.kind, event.severity, event.start_at, "
    "event.end_at, event.lat, event.lon, event.peak, event.peak_unit, event.evidence, "
    "coalesce(vehicle.vehicle_class, 'passenger') AS vehicle_class FROM safety_event AS event "
    "LEFT JOIN vehicle ON vehicle.vehicle_id = event.vehicle_id "
    "WHERE event.event_id = ANY(CAST(:ids AS uuid[])) ORDER BY event.start_at, event.event_id"
)
_SIDE = replacing(what_if_event)
_EDGE_US = 10 * SECOND_US  # a hard start begins before its trip does


@dataclass(frozen=True, slots=True)
class Stored:
    """An event of the window, as the database has it."""

    event_id: UUID
    vehicle_id: str
    driver_id: str | None
    kind: EventKind
    severity: Severity
    start_us: int
    end_us: int
    lat: float | None
    lon: float | None
    peak: float
    peak_unit: str
    evidence: Mapping[str, Any]
    vehicle_class: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """``changed``: id to the new kind and severity, for events that stay but not as they are."""

    kinds: Set[EventKind] = frozenset()
    stored: Mapping[EventKind, int] = field(default_factory=dict)
    lost: Sequence[Stored] = ()
    changed: Mapping[UUID, tuple[EventKind, Severity]] = field(default_factory=dict)
    gain: Gain | None = None

    @property
    def gained(self) -> Sequence[Replayed]:
        return self.gain.gained if self.gain else ()

    @property
    def lost_by_kind(self) -> dict[EventKind, int]:
        return dict(Counter(one.kind for one in self.lost))

    @property
    def gained_by_kind(self) -> dict[EventKind, int]:
        return dict(Counter(one.event.kind for one in self.gained))


def read_stored(connection: Connection, window: Window) -> list[Stored]:
    """The events of a window."""
    ids = [incident.event_id for incident in window.incidents]
    return [_stored(row) for row in connection.execute(_STORED, {"ids": ids})]


def judge(stored: Sequence[Stored], rules: tuple[Rules, Rules], kinds: Set[EventKind], tried: Tried | None) -> Outcome:
    """Stored events by their own figures, and those gained by a replay; ``tried`` None: nothing was replayed."""
    verdicts = {one.event_id: judge_again(_known(one), *rules) for one in stored}
    lost = [one for one in stored if verdicts[one.event_id] is None]
    changed = {
        one.event_id: verdict
        for one in stored
        if (verdict := verdicts[one.event_id]) is not None and verdict != (one.kind, one.severity)
    }
    counts = Counter(one.kind for one in stored)
    return Outcome(kinds, counts, lost, changed, compare_with(stored, tried, kinds) if tried else None)


def window_after(window: Window, outcome: Outcome) -> Window:
    """The window as it would be: reviews of events that stay are kept, those gained wait for one."""
    gone = {str(one.event_id) for one in outcome.lost}
    changed = {str(event_id): verdict for event_id, verdict in outcome.changed.items()}
    kept = [one for one in _with_changes(window, changed).incidents if one.event_id not in gone]
    kept += [incident_of(_row(one.event)) for one in outcome.gained]
    return replace(window, incidents=sorted(kept, key=lambda one: (one.start_us, one.event_id)))


def keep_beside(connection: Connection, name: str, window: Window, outcome: Outcome) -> int:
    """Write what is lost and gained, on the caller's transaction, in place of what was tried under this name before.

    Returns:
        How many rows.
    """
    connection.execute(delete(what_if_event).where(what_if_event.c.name == name))
    rows = [*_lost_rows(name, outcome), *_gained_rows(name, window, outcome)]
    insert(connection, _SIDE, rows)
    return len(rows)


def _known(one: Stored) -> Known:
    return Known(one.kind, one.vehicle_class, one.severity, one.peak, one.evidence)


def _with_changes(window: Window, changed: Mapping[str, tuple[EventKind, Severity]]) -> Window:
    incidents = [
        replace(one, kind=changed[one.event_id][0], severity=changed[one.event_id][1])
        if one.event_id in changed
        else one
        for one in window.incidents
    ]
    return replace(window, incidents=incidents)


@dataclass(frozen=True, slots=True)
class _Gained:
    """A row of safety_event, as far as a score cares."""

    event_id: UUID
    vehicle_id: str
    start_at: datetime
    kind: EventKind
    severity: Severity
    evidence: Mapping[str, object]
    review_state: ReviewState = ReviewState.NEEDS_REVIEW


def _row(event: SafetyEvent) -> Any:
    start_at = to_datetime(event.start_us)
    return _Gained(event.event_id, event.vehicle_id, start_at, event.kind, event.severity, event.evidence)


def _lost_rows(name: str, outcome: Outcome) -> Iterator[tuple[object, ...]]:
    for one in outcome.lost:
        when = to_datetime(one.start_us), to_datetime(one.end_us)
        measures = one.lat, one.lon, one.peak, one.peak_unit, orjson.dumps(one.evidence).decode()
        who = one.vehicle_id, one.driver_id, str(one.kind), str(one.severity)
        yield (name, one.event_id, "lost", False, *who, *when, *measures)


def _gained_rows(name: str, window: Window, outcome: Outcome) -> Iterator[tuple[object, ...]]:
    drives: dict[str, list[tuple[int, int, str | None]]] = {}
    for drive in window.drives:
        exposure = drive.exposure
        drives.setdefault(exposure.vehicle_id, []).append((exposure.start_us, exposure.end_us, drive.driver_id))
    for one in outcome.gained:
        event = one.event
        when = to_datetime(event.start_us), to_datetime(event.end_us)
        measures = event.lat, event.lon, event.peak, event.peak_unit, orjson.dumps(event.evidence).decode()
        driver_id = _driver(drives.get(event.vehicle_id, ()), event.start_us)
        who = event.vehicle_id, driver_id, str(event.kind), str(event.severity)
        yield (name, event.event_id, "gained", not one.exact, *who, *when, *measures)


def _driver(drives: Sequence[tuple[int, int, str | None]], at_us: int) -> str | None:
    on = (driver for start, end, driver in drives if start - _EDGE_US <= at_us <= end + _EDGE_US)
    return next(on, None)


def _stored(row: Any) -> Stored:
    return Stored(
        event_id=row.event_id,
        vehicle_id=row.vehicle_id,
        driver_id=row.driver_id,
        kind=EventKind(row.kind),
        severity=Severity(row.severity),
        start_us=to_us(row.start_at),
        end_us=to_us(row.end_at),
        lat=row.lat,
        lon=row.lon,
        peak=row.peak,
        peak_unit=row.peak_unit,
        evidence=row.evidence,
        vehicle_class=row.vehicle_class,
    )
