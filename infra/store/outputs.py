"""What a room's step puts out, and how it is written: in bulk, on the caller's connection, never committing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from sqlalchemy import Boolean, Table
from sqlalchemy.dialects.postgresql import REAL
from sqlalchemy.types import DateTime, Float, SmallInteger, Text, TypeEngine

from infra.contracts.events import SafetyEvent, Trace, Trip
from infra.store import tables

_ARROW: tuple[tuple[type[TypeEngine[Any]], pa.DataType], ...] = (  # first that fits; REAL is a Float too
    (DateTime, pa.timestamp("us", tz="UTC")),
    (REAL, pa.float32()),
    (Float, pa.float64()),
    (SmallInteger, pa.int16()),
    (Boolean, pa.bool_()),
    (Text, pa.string()),
)


def arrow_schema(table: Table) -> pa.Schema:
    """The columns of a table, in its order, as the Arrow types that go into it by COPY BINARY."""
    return pa.schema(
        pa.field(column.name, next(kind for sql, kind in _ARROW if isinstance(column.type, sql)), column.nullable)
        for column in table.columns
    )


POSITION_SCHEMA = arrow_schema(tables.position)
MOTION_SCHEMA = arrow_schema(tables.motion)
OBSERVATION_SCHEMA = arrow_schema(tables.observation)

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
