"""Safety events as the desk reads them: bounded results, on the caller's connection, one query a question.

``only_driver`` is how a driver sees nothing but their own: the store leaves everything else out.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import pandas as pd
import pyarrow as pa
from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Select,
    Table,
    and_,
    case,
    exists,
    func,
    literal,
    or_,
    select,
)

from infra.contracts.signal_trace import SignalTrace, load_trace
from infra.store.tables import (
    driver,
    event_media,
    event_signal,
    event_trace,
    observation,
    review_action,
    safety_event,
    vehicle,
)

Order = Literal["priority", "newest", "oldest"]

MOST_EVENTS = 200  # rows of one list
MOST_ACTIONS = 200  # of one event's audit log

_RANK = {"critical": 3, "high": 2, "moderate": 1, "low": 0}
_STILL = "still"
_CONTESTED = "contested"


@dataclass(frozen=True, slots=True)
class EventFilter:
    """What a list of events shows; an empty tuple or None leaves nothing out."""

    states: tuple[str, ...] = ()
    contested: bool = False  # only those with an objection that nobody has answered
    kinds: tuple[str, ...] = ()
    severities: tuple[str, ...] = ()
    drivers: tuple[str, ...] = ()
    vehicles: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None  # not included
    only_driver: str | None = None


@dataclass(frozen=True, slots=True)
class EventRow:
    """An event as a list shows it."""

    event_id: UUID
    vehicle_id: str
    vehicle_name: str
    driver_id: str | None
    driver_name: str | None
    kind: str
    severity: str
    start_at: datetime
    end_at: datetime
    lat: float | None
    lon: float | None
    speed_mps: float | None
    peak: float
    peak_unit: str
    confidence: float
    evidence: dict[str, Any]
    review_state: str
    dismissal_reason: str | None
    reviewed_at: datetime | None
    reviewed_by: str | None
    still: str | None  # path of its first still
    contested: bool


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Where an event stands in a filtered list."""

    previous: UUID | None
    next: UUID | None
    place: int  # 1 for the first
    total: int


@dataclass(frozen=True, slots=True)
class InboxCounts:
    to_review: int
    critical: int  # of those to review
    contested: int
    needs_coaching: int
    today: int  # events of any state
    week: int


@dataclass(frozen=True, slots=True)
class MediaRow:
    path: str
    kind: str
    time: datetime
    shows_driver: bool
    deleted_at: datetime | None


@dataclass(frozen=True, slots=True)
class ActionRow:
    username: str
    from_state: str
    to_state: str
    reason: str | None
    comment: str
    at: datetime


# --- events -----------------------------------------------------------------------------------------------


def events(
    connection: Connection, wanted: EventFilter, order: Order = "priority", limit: int = 50, offset: int = 0
) -> list[EventRow]:
    """A page of the list, at most MOST_EVENTS."""
    query = _event_rows().where(*_conditions(wanted)).order_by(*_ordering(order))
    rows = connection.execute(query.limit(min(limit, MOST_EVENTS)).offset(offset))
    return [EventRow(**row._mapping) for row in rows]


def count_events(connection: Connection, wanted: EventFilter) -> int:
    return connection.scalar(select(func.count()).select_from(safety_event).where(*_conditions(wanted))) or 0


def event(connection: Connection, event_id: UUID, only_driver: str | None = None) -> EventRow | None:
    """None where there is none, or it is not this driver's."""
    mine = [safety_event.c.driver_id == only_driver] if only_driver is not None else []
    row = connection.execute(_event_rows().where(safety_event.c.event_id == event_id, *mine)).first()
    return EventRow(**row._mapping) if row else None


def neighbours(connection: Connection, wanted: EventFilter, order: Order, event_id: UUID) -> Neighbours | None:
    """The events before and after this one in a list. One that was acted upon, and so has left a list of events
    to review, keeps its place in it. None: no such event."""
    key = safety_event.c.event_id
    over: dict[str, Any] = {"order_by": _ordering(order)}
    mine = literal(True) if wanted.only_driver is None else safety_event.c.driver_id == wanted.only_driver
    keep = and_(mine, or_(key == event_id, and_(literal(True), *_conditions(wanted))))
    ranked = (
        select(
            key,
            func.lag(key).over(**over).label("previous"),
            func.lead(key).over(**over).label("next"),
            func.row_number().over(**over).label("place"),
            func.count().over().label("total"),
        )
        .where(keep)
        .subquery()
    )
    row = connection.execute(select(ranked).where(ranked.c.event_id == event_id)).first()
    return Neighbours(row.previous, row.next, row.place, row.total) if row else None


def inbox_counts(
    connection: Connection, today: datetime, week: datetime, only_driver: str | None = None
) -> InboxCounts:
    """
    Args:
        today: when this day began, in the fleet's time zone; ``week``: when this week did.
    """
    event_table = safety_event.c
    waiting = event_table.review_state == "needs_review"
    columns = {
        "to_review": waiting,
        "critical": waiting & (event_table.severity == "critical"),
        "contested": _contested(),
        "needs_coaching": event_table.review_state == "needs_coaching",
        "today": event_table.start_at >= today,
        "week": event_table.start_at >= week,
    }
    query = select(*(func.count().filter(condition).label(name) for name, condition in columns.items()))
    if only_driver is not None:
        query = query.where(event_table.driver_id == only_driver)
    return InboxCounts(**connection.execute(query.select_from(safety_event)).one()._mapping)


def media_of(connection: Connection, event_id: UUID) -> list[MediaRow]:
    table = event_media.c
    columns = (table.path, table.kind, table.time, table.shows_driver, table.deleted_at)
    query = select(*columns).where(table.event_id == event_id).order_by(table.time, table.path).limit(50)
    return [MediaRow(**row._mapping) for row in connection.execute(query)]


def trace_of(connection: Connection, event_id: UUID) -> pd.DataFrame | None:
    """The raw IMU around an event: the columns of ImuSamples; None where none was kept."""
    samples = connection.scalar(select(event_trace.c.samples).where(event_trace.c.event_id == event_id))
    return pa.ipc.open_stream(samples).read_all().to_pandas() if samples else None


def signals_of(connection: Connection, event_id: UUID) -> SignalTrace | None:
    """The numbers of each frame around an event; None where no camera saw it."""
    samples = connection.scalar(select(event_signal.c.samples).where(event_signal.c.event_id == event_id))
    return load_trace(samples) if samples else None


def seen_by_device(connection: Connection, event: EventRow) -> bool:
    """Whether a device looked at the driver meanwhile and sent numbers, so that there is no frame of it."""
    table = observation.c
    sent = and_(table.vehicle_id == event.vehicle_id, table.record_offset.is_(None))
    return bool(connection.scalar(select(exists().where(sent, table.time.between(event.start_at, event.end_at)))))


def activity(connection: Connection, event_id: UUID) -> list[ActionRow]:
    """What was done and said, newest first."""
    table = review_action.c
    query = (
        select(table.username, table.from_state, table.to_state, table.reason, table.comment, table.at)
        .where(table.event_id == event_id)
        .order_by(table.at.desc(), table.action_id.desc())
        .limit(MOST_ACTIONS)
    )
    return [ActionRow(**row._mapping) for row in connection.execute(query)]


def _event_rows() -> Select[Any]:
    table = safety_event.c
    still = (
        select(event_media.c.path)
        .where(event_media.c.event_id == table.event_id, event_media.c.kind == _STILL)
        .where(event_media.c.shows_driver.is_(False), event_media.c.deleted_at.is_(None))  # a list is for all eyes
        .order_by(event_media.c.time)
        .limit(1)
        .correlate(safety_event)
        .scalar_subquery()
    )
    own = [column for column in table if column.name != "rules_version"]
    return select(
        *own,
        func.coalesce(vehicle.c.name, table.vehicle_id).label("vehicle_name"),
        func.coalesce(driver.c.name, table.driver_id).label("driver_name"),
        still.label("still"),
        _contested().label("contested"),
    ).select_from(with_names(safety_event))


def with_names(table: Table) -> FromClause:
    """A table of vehicle_id and driver_id, joined with their names."""
    named = table.outerjoin(vehicle, vehicle.c.vehicle_id == table.c.vehicle_id)
    return named.outerjoin(driver, driver.c.driver_id == table.c.driver_id)


def _contested() -> ColumnElement[bool]:
    """An objection, and no decision since."""
    table, objection = safety_event.c, review_action.c
    unanswered = or_(table.reviewed_at.is_(None), objection.at > table.reviewed_at)
    found = exists().where(objection.event_id == table.event_id, objection.reason == _CONTESTED, unanswered)
    return found.correlate(safety_event)


def _conditions(wanted: EventFilter) -> list[ColumnElement[bool]]:
    table = safety_event.c
    chosen = (
        (table.review_state, wanted.states),
        (table.kind, wanted.kinds),
        (table.severity, wanted.severities),
        (table.driver_id, wanted.drivers),
        (table.vehicle_id, wanted.vehicles),
    )
    conditions: list[ColumnElement[bool]] = [column.in_(values) for column, values in chosen if values]
    conditions += [_contested()] if wanted.contested else []
    conditions += [table.start_at >= wanted.since] if wanted.since else []
    conditions += [table.start_at < wanted.until] if wanted.until else []
    conditions += [table.driver_id == wanted.only_driver] if wanted.only_driver is not None else []
    return conditions


def _ordering(order: Order) -> list[Any]:
    table = safety_event.c
    if order == "priority":
        rank = case(_RANK, value=table.severity, else_=0)
        return [rank.desc(), table.confidence.desc(), table.start_at.desc(), table.event_id]
    return [table.start_at.desc() if order == "newest" else table.start_at.asc(), table.event_id]
