"""What a replay reads from: vehicles, and their rows between two times."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from infra.contracts.telemetry import Float64, VehicleClass
from scoring.core.stored import Subject, Telemetry

MARGIN = timedelta(minutes=10)  # read before a span, so that it is known whether something had begun
TAIL = timedelta(hours=2)  # and after it, so that it ends
SPAN = timedelta(days=28)  # of one vehicle at once: its rows, at one a second, stay under 100 MB


@dataclass(frozen=True, slots=True)
class Calm:
    """Seconds of motion that need not be read: all along x lie above ``-brake`` and below ``acceleration``, along y
    within ``turn``; in m/s2. Only of vehicles whose axes are the device's."""

    brake_mps2: float
    acceleration_mps2: float
    turn_mps2: float


Calms = Mapping[VehicleClass, Calm]


@dataclass(frozen=True, slots=True)
class Span:
    """What begins from ``since`` to before ``until``."""

    since: datetime
    until: datetime

    @property
    def read(self) -> tuple[datetime, datetime]:
        """The times between which rows are looked at."""
        return self.since - MARGIN, self.until + TAIL


class Source(Protocol):
    """The database, or a folder of Parquet files."""

    def subjects(self, span: Span, /) -> Sequence[Subject]:
        """The vehicles that were driven, in order."""

    def telemetry(self, span: Span, subjects: Sequence[Subject], calm: Calms | None) -> Iterator[Telemetry]:
        """Of each of them, in any order; ``calm`` None: motion is not asked for."""


def spans(since: datetime, until: datetime) -> Iterator[Span]:
    while since < until:
        end = min(since + SPAN, until)
        yield Span(since, end)
        since = end


def is_straight(mounting: Float64 | None) -> bool:
    """Whether the device sends the vehicle's axes."""
    return mounting is not None and bool((mounting.round(6) == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]).all())
