"""Tries rules on stored telemetry, a columnar batch over vehicles, and says what is gained over the stored events."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, TypeVar

import numpy as np

from infra.clock import to_us
from infra.contracts.events import EventKind
from infra.contracts.telemetry import VehicleClass
from scoring.core.replay import HARSH, Replayed, replay
from scoring.core.rules import G_MPS2, SECOND_US, Rules
from scoring.core.stored import Telemetry
from scoring.stored.source import Calm, Calms, Source, Span, spans

CHUNK_ROWS = 1_000_000  # judged at once: some 150 MB
_SLACK_US = 3 * SECOND_US  # an estimate is this far off in time, at most
_MOTION = HARSH | {EventKind.NEAR_CRASH, EventKind.SWERVE, EventKind.CRASH, EventKind.ROLLOVER}
Told = Callable[[int, int], None]
"""Called with vehicles done, and how many there are in all."""
T = TypeVar("T")


class Timed(Protocol):
    """An event, or as much of it as tells that it is the same."""

    @property
    def vehicle_id(self) -> str: ...
    @property
    def kind(self) -> EventKind: ...
    @property
    def start_us(self) -> int: ...
    @property
    def end_us(self) -> int: ...


@dataclass(slots=True)
class Tried:
    """What rules in force and others find in the same rows, and how much was looked at."""

    before: list[Replayed] = field(default_factory=list)
    after: list[Replayed] = field(default_factory=list)
    rows: int = 0
    vehicle_days: float = 0.0


@dataclass(frozen=True, slots=True)
class Gain:
    """``gained``: found by the other rules alone. ``again`` of ``stored`` events were found by the rules in force, and
    ``beside`` that are not stored: how far a replay can be trusted here."""

    gained: Sequence[Replayed]
    stored: int
    again: int
    beside: int


def run(
    source: Source,
    since: datetime,
    until: datetime,
    rules: tuple[Rules, Rules],
    kinds: Set[EventKind],
    told: Told = lambda _done, _all: None,
) -> Tried:
    """Judge what was stored between two times, by the rules in force and by others. Only reads."""
    tried, done = Tried(), 0
    calms = calms_of(rules) if kinds & HARSH else None
    parts = [(span, source.subjects(span)) for span in spans(since, until)]
    total = sum(len(subjects) for _, subjects in parts)
    for span, subjects in parts:
        for chunk in _ahead(_chunks(source.telemetry(span, subjects, calms))):
            judge_chunk(chunk, span, rules, kinds, tried)
            done += len(chunk)
            told(done, total)
    return tried


def judge_chunk(
    chunk: Sequence[Telemetry], span: Span, rules: tuple[Rules, Rules], kinds: Set[EventKind], tried: Tried
) -> None:
    """Add what begins within the span."""
    first_us, last_us = to_us(span.since), to_us(span.until)
    for found, into in zip(replay(chunk, rules, kinds), (tried.before, tried.after), strict=True):
        into += [one for one in found if first_us <= one.event.start_us < last_us]
    tried.rows += sum(len(one.gps) + len(one.motion) for one in chunk)
    tried.vehicle_days += sum(len(np.unique(one.gps.time_us // (86_400 * SECOND_US))) for one in chunk)


def calms_of(several: Sequence[Rules]) -> Calms:
    """Seconds in which none of the rules can see anything."""
    return {one: _calm(several, one) for one in VehicleClass}


def compare_with(stored: Sequence[Timed], tried: Tried, kinds: Set[EventKind]) -> Gain:
    """What is gained over the stored events: found by the other rules, by those in force neither now nor then."""
    known, before = _Calendar(stored), _Calendar([one.event for one in tried.before])
    own = [event for event in stored if event.kind in kinds]
    new = [one for one in tried.after if not known.has(one.event) and not before.has(one.event)]
    again = sum(before.has(event) for event in own)
    return Gain(new, len(own), again, sum(not known.has(one.event) for one in tried.before))


def _calm(several: Sequence[Rules], vehicle_class: VehicleClass) -> Calm:
    own = [(rules.harsh[vehicle_class], rules.harsh_exit_share * G_MPS2) for rules in several]
    return Calm(
        min(harsh.brake_g * share for harsh, share in own),
        min(harsh.acceleration_g * share for harsh, share in own),
        min(harsh.turn_g * share for harsh, share in own),
    )


def _chunks(telemetry: Iterator[Telemetry]) -> Iterator[list[Telemetry]]:
    chunk: list[Telemetry] = []
    rows = 0
    for one in telemetry:
        chunk.append(one)
        rows += len(one.gps) + len(one.motion)
        if rows >= CHUNK_ROWS:
            yield chunk
            chunk, rows = [], 0
    if chunk:
        yield chunk


def _ahead(items: Iterator[T]) -> Iterator[T]:
    """The same, each next one being read while one is judged."""
    with ThreadPoolExecutor(1, "reading") as pool:
        coming = pool.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = pool.submit(next, items, None)
            yield item


class _Calendar:
    """When each vehicle had an event of a sort: those of motion are one sort, since they would be joined."""

    def __init__(self, events: Sequence[Timed]) -> None:
        times: dict[tuple[str, str], list[tuple[int, int]]] = {}
        for event in events:
            times.setdefault(_sort(event), []).append((event.start_us, event.end_us))
        self._times = {sort: np.array(own) for sort, own in times.items()}

    def has(self, event: Timed) -> bool:
        """Whether there is one at this time."""
        times = self._times.get(_sort(event))
        if times is None:
            return False
        overlaps = (times[:, 0] <= event.end_us + _SLACK_US) & (times[:, 1] >= event.start_us - _SLACK_US)
        return bool(overlaps.any())


def _sort(event: Timed) -> tuple[str, str]:
    return event.vehicle_id, "motion" if event.kind in _MOTION else event.kind.value
