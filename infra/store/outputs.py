"""What a room's step puts out, and how it is written: in bulk, on the caller's connection, never committing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from infra.contracts.events import SafetyEvent, Trace, Trip

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
    """Rows for the store. Columnar ones are Arrow tables with the columns of their table; None for none."""

    positions: pa.Table | None = None
    motion: pa.Table | None = None
    observations: pa.Table | None = None
    trips: Sequence[Trip] = ()
    events: Sequence[SafetyEvent] = ()  # with their media, whose bytes go to the media store before the commit
    traces: Sequence[Trace] = ()
    score_due: Sequence[ScoreDue] = ()
    dead_letters: Sequence[DeadLetter] = ()
    counts: Counter[CountKey] = field(default_factory=Counter)
