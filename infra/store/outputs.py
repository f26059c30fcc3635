"""What a room's step puts out, and how it is written: in bulk, on the caller's connection, never committing."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import orjson
import pyarrow as pa
from sqlalchemy import Connection

from infra.clock import to_datetime
from infra.contracts.events import CLIP_KINDS, STILL_KINDS, Media, SafetyEvent, Trace, Trip
from infra.store import tables
from infra.store.bulk import Row, arrow_schema, copy, insert, replacing, target
from infra.store.media import MediaStore

_DESK = ("review_state", "dismissal_reason", "reviewed_at", "reviewed_by")  # a worker never writes these
_KEEP = "ON CONFLICT DO NOTHING"
_ADD = "ON CONFLICT (consumer_group, vehicle_id, word) DO UPDATE SET total = stream_count.total + excluded.total"
_TRIP = replacing(tables.trip)
_EVENT = replacing(tables.safety_event, leave=_DESK)
_TRACE = replacing(tables.event_trace)
_MEDIA = replacing(tables.event_media, leave=("deleted_at",))
_FOOTAGE_DUE = target(tables.footage_due, "", leave=("due_id", "told_at", "looks", "look_at"))
_DUE = target(tables.score_due, "", leave=("due_id",))
_DEAD_LETTER = target(tables.dead_letter, _KEEP)
_COUNT = target(tables.stream_count, _ADD)

POSITION_SCHEMA = arrow_schema(tables.position)
MOTION_SCHEMA = arrow_schema(tables.motion)
OBSERVATION_SCHEMA = arrow_schema(tables.observation)

_DEAD_LETTER_IDS = uuid.UUID("8a6e2c0e-7b64-5f1d-9d0c-3f6c1d9b2a47")
_JSON = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS

CountKey = tuple[str, str]
"""(vehicle, word)"""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message, or rows of one, that could not be used. Its id is derived from where the record stands."""

    topic: str
    lane: int
    offset: int
    vehicle_id: str
    reason: str  # one word, for metrics
    detail: str
    rows: int
    arrived_us: int
    payload: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class ScoreDue:
    """The scores that contain this instant of this vehicle and driver are out of date."""

    vehicle_id: str
    driver_id: str | None
    at_us: int


@dataclass(slots=True)
class Outputs:
    """Rows for the store. Columnar ones are Arrow tables of exactly POSITION_SCHEMA, MOTION_SCHEMA and
    OBSERVATION_SCHEMA; None for none."""

    positions: pa.Table | None = None
    motion: pa.Table | None = None
    observations: pa.Table | None = None
    trips: Sequence[Trip] = ()
    events: Sequence[SafetyEvent] = ()  # with their media, whose bytes go to the media store before the commit
    traces: Sequence[Trace] = ()
    score_due: Sequence[ScoreDue] = ()
    dead_letters: Sequence[DeadLetter] = ()
    counts: Counter[CountKey] = field(default_factory=Counter)


def write(connection: Connection, outputs: Outputs, media: MediaStore, group: str) -> None:
    """Write everything on the caller's transaction; the caller commits.

    Media go first and outside the transaction: a file without its row is harmless, a row without its file is not.

    Args:
        group: the consumer group, whose dead letters and counts these are.
    """
    _write_media(outputs.events, media)
    copy(connection, tables.position, outputs.positions)
    copy(connection, tables.motion, outputs.motion)
    copy(connection, tables.observation, outputs.observations)
    insert(connection, _TRIP, {t.trip_id: _trip_row(t) for t in outputs.trips}.values())
    insert(connection, _EVENT, {e.event_id: _event_row(e) for e in outputs.events}.values())
    insert(connection, _MEDIA, _media_rows((event.event_id, item) for event in outputs.events for item in event.media))
    insert(connection, _FOOTAGE_DUE, _footage_due_rows(outputs.events))
    insert(connection, _TRACE, {t.event_id: (t.event_id, t.samples) for t in outputs.traces}.values())
    insert(connection, _DUE, [(due.vehicle_id, due.driver_id, to_datetime(due.at_us)) for due in outputs.score_due])
    insert(connection, _DEAD_LETTER, _dead_letter_rows(outputs.dead_letters, group))
    insert(connection, _COUNT, [(group, *key, total) for key, total in sorted(outputs.counts.items()) if total])


def write_media_list(connection: Connection, event_id: uuid.UUID, media: Iterable[Media]) -> None:
    """List media of an event whose bytes the media store has, on the caller's transaction."""
    insert(connection, _MEDIA, _media_rows((event_id, item) for item in media))


# --- rows, in the order of their table's columns ---


def _write_media(events: Sequence[SafetyEvent], media: MediaStore) -> None:
    for event in events:
        for item in event.media:
            media.write(item.path, item.content)


def _trip_row(trip: Trip) -> Row:
    start, end = to_datetime(trip.start_us), to_datetime(trip.end_us)
    measures = (getattr(trip, name) for name in _TRIP.columns[6:])
    return (trip.trip_id, trip.vehicle_id, trip.driver_id, trip.status.value, start, end, *measures)


def _event_row(event: SafetyEvent) -> Row:
    what = (event.event_id, event.vehicle_id, event.driver_id, event.kind.value, event.severity.value)
    measures = (getattr(event, name) for name in _EVENT.columns[7:-1])
    return (
        *what,
        to_datetime(event.start_us),
        to_datetime(event.end_us),
        *measures,
        orjson.dumps(event.evidence, option=_JSON).decode(),
    )


def _media_rows(media: Iterable[tuple[uuid.UUID, Media]]) -> Iterable[Row]:
    rows = {}
    for event_id, item in media:
        when = to_datetime(item.time_us)
        rows[event_id, item.path] = (event_id, item.path, item.kind.value, when, item.shows_driver)
    return rows.values()


def _footage_due_rows(events: Iterable[SafetyEvent]) -> Iterable[Row]:
    return {event.event_id: (event.event_id,) for event in events if event.kind in CLIP_KINDS | STILL_KINDS}.values()


def _dead_letter_rows(letters: Sequence[DeadLetter], group: str) -> Iterable[Row]:
    rows = {}
    for letter in letters:
        place = f"{group}|{letter.topic}|{letter.lane}|{letter.offset}|{letter.reason}|{letter.detail}"
        key = uuid.uuid5(_DEAD_LETTER_IDS, place)
        where = (letter.topic, letter.lane, letter.offset, letter.vehicle_id)
        why = (letter.reason, letter.detail, letter.rows, letter.payload)
        rows[key] = (key, group, *where, *why, to_datetime(letter.arrived_us))
    return rows.values()
