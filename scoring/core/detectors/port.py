"""What a detector is: a scan that follows episodes over fresh samples, and a judgement of a complete episode."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from infra.contracts.events import EventKind, Severity
from infra.contracts.telemetry import VehicleClass
from scoring.core.episodes import Episode
from scoring.core.rules import Rules
from scoring.core.window import Window


@dataclass(frozen=True, slots=True)
class View:
    """All that a detector may look at."""

    window: Window
    rules: Rules
    vehicle_class: VehicleClass


@dataclass(frozen=True, slots=True)
class Accepted:
    """The episode is an event. ``peak`` in ``unit``; ``evidence`` says what fired it, in numbers."""

    severity: Severity
    peak: float
    unit: str
    confidence: float
    evidence: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Refused:
    """The episode is none. ``reason`` is a word for the counters."""

    reason: str


Scan = Callable[[View, Episode | None], tuple[list[Episode], Episode | None]]
Judge = Callable[[View, Episode], Accepted | Refused]


@dataclass(frozen=True, slots=True)
class Detector:
    """``settle_us`` after its end an episode is judged: by then all that the judgement looks at has come.

    ``traced`` events keep their raw IMU. Those that ``joins`` become one event where they overlap; ``hold_us`` of an
    episode's end is only its memory, and it speaks of ``reach_us`` before its start. ``half_us``: each of its values
    is a change over so long before and after its time, which the event includes. ``stale_us`` after its end an
    episode is over, if no more of it has come: longer than its quiet time.
    """

    name: str
    kind: EventKind
    scan: Scan
    judge: Judge
    settle_us: int
    traced: bool
    joins: bool = False
    hold_us: int = 0
    reach_us: int = 0
    half_us: int = 0
    stale_us: int = 20_000_000
