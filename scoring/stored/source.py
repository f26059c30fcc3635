"""What a replay reads from: vehicles, and their rows between two times."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from infra.contracts.events import EventKind
from scoring.core.replay import HARSH
from scoring.core.rules import Rules
from scoring.core.stored import Subject, Telemetry

MARGIN = timedelta(minutes=10)  # read before a span, so that it is known whether something had begun
TAIL = timedelta(hours=2)  # and after it, so that it ends
SPAN = timedelta(days=28)  # of one vehicle at once: its rows, at one a second, stay under 100 MB


@dataclass(frozen=True, slots=True)
class Sought:
    """What rows are read for: events of these kinds by any of the rules. Unless ``whole``, calm rows are left out."""

    several: tuple[Rules, ...]
    kinds: Set[EventKind]
    whole: bool = False

    @property
    def motion(self) -> bool:
        """Whether rows of motion are looked at."""
        return bool(self.kinds & HARSH)

    def positions_of(self, subjects: Sequence[Subject]) -> list[str]:
        """Columns of positions that are looked at: the heading by GPS alone, the ignition for idling."""
        names = ["lat", "lon", "speed_mps", "accuracy_m", "speed_limit_mps"]
        if self.motion and not all(one.dense for one in subjects):
            names.append("heading_deg")
        return [*names, "ignition"] if EventKind.IDLING in self.kinds else names


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

    def parts(self, span: Span, /) -> Sequence[Sequence[str]]:
        """The vehicles that were driven, in parts that are judged apart."""

    def telemetry(self, span: Span, vehicle_ids: Sequence[str], sought: Sought) -> Iterator[Telemetry]:
        """Of each of them, in any order."""


Opening = Callable[[], AbstractContextManager[Source]]
"""Opens a source, in whatever process."""


def spans(since: datetime, until: datetime) -> Iterator[Span]:
    while since < until:
        end = min(since + SPAN, until)
        yield Span(since, end)
        since = end
