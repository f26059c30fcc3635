"""Tries rules on stored telemetry, a columnar batch over vehicles, and says what is gained over the stored events."""

from __future__ import annotations

import gc
import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

import numpy as np

from infra.clock import to_us
from infra.contracts.events import EventKind
from scoring.core.replay import HARSH, Replayed, replay
from scoring.core.rules import SECOND_US, Rules
from scoring.core.stored import Telemetry
from scoring.stored.source import Opening, Sought, Source, Span, spans

CHUNK_ROWS = 1_000_000  # judged at once: some 150 MB
_SLACK_US = 3 * SECOND_US  # an estimate is this far off in time, at most
_MOTION = HARSH | {EventKind.NEAR_CRASH, EventKind.SWERVE, EventKind.CRASH, EventKind.ROLLOVER}
Told = Callable[[int, int], None]
"""Called with vehicles done, and how many there are in all."""
Chunk = list[Telemetry]
Work = tuple[Span, Sequence[str]]
"""Vehicles and days that are judged apart from others."""


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
    """What rules in force and others find, in order of vehicles and time; ``rows``: how many were read for it."""

    before: list[Replayed] = field(default_factory=list)
    after: list[Replayed] = field(default_factory=list)
    rows: int = 0


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
    *,
    whole: bool = False,
) -> Tried:
    """Judge what was stored between two times, by the rules in force and by others. Only reads.

    Args:
        whole: read also what is calm. It changes nothing but the time that it takes.
    """
    sought, work = Sought(rules, kinds, whole), _work(source, since, until)
    parts = (judge_part(source, *one, sought, _ahead) for one in work)
    return _gathered(work, enumerate(parts), told)


def run_apart(
    opening: Opening,
    since: datetime,
    until: datetime,
    rules: tuple[Rules, Rules],
    kinds: Set[EventKind],
    told: Told = lambda _done, _all: None,
    *,
    processes: int = 1,
) -> Tried:
    """The same in several processes, each of which opens the source for itself."""
    with opening() as source:
        work = _work(source, since, until)
        if min(processes, len(work)) <= 1:
            return run(source, since, until, rules, kinds, told)
    context = multiprocessing.get_context("spawn")  # threads of Arrow and psycopg do not outlive a fork
    with ProcessPoolExecutor(min(processes, len(work)), context) as pool, _uncollected():
        sought = Sought(rules, kinds)
        futures = {pool.submit(open_and_judge, opening, *one, sought): place for place, one in enumerate(work)}
        try:
            return _gathered(work, ((futures[one], one.result()) for one in as_completed(futures)), told)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def judge_part(
    source: Source,
    span: Span,
    vehicle_ids: Sequence[str],
    sought: Sought,
    reading: Callable[[Iterator[Chunk]], Iterator[Chunk]] = iter,
) -> Tried:
    """What begins within the span.

    Args:
        reading: how chunks come: one after the other, or each while the one before is judged.
    """
    tried = Tried()
    first_us, last_us = to_us(span.since), to_us(span.until)
    for chunk in reading(_chunks(source.telemetry(span, vehicle_ids, sought))):
        for found, into in zip(replay(chunk, sought.several, sought.kinds), (tried.before, tried.after), strict=True):
            into += [one for one in found if first_us <= one.event.start_us < last_us]
        tried.rows += sum(len(one.gps) + len(one.motion) for one in chunk)
    return tried


def _work(source: Source, since: datetime, until: datetime) -> list[Work]:
    return [(span, part) for span in spans(since, until) for part in source.parts(span)]


def _gathered(work: Sequence[Work], parts: Iterable[tuple[int, Tried]], told: Told) -> Tried:
    """In order of vehicles and time, in whatever order the parts come."""
    whole, done, total = Tried(), 0, sum(len(vehicle_ids) for _, vehicle_ids in work)
    for place, part in parts:
        whole.before += part.before
        whole.after += part.after
        whole.rows += part.rows
        done += len(work[place][1])
        told(done, total)
    for found in (whole.before, whole.after):
        found.sort(key=lambda one: (one.event.vehicle_id, one.event.start_us, one.event.kind))
    return whole


def open_and_judge(opening: Opening, span: Span, vehicle_ids: Sequence[str], sought: Sought) -> Tried:
    """What ``run_apart`` does in each process. Where all cores judge, nobody reads ahead."""
    with opening() as source, _uncollected():
        return judge_part(source, span, vehicle_ids, sought)


def compare_with(stored: Sequence[Timed], tried: Tried, kinds: Set[EventKind]) -> Gain:
    """What is gained over the stored events: found by the other rules, by those in force neither now nor then."""
    known, before = _Calendar(stored), _Calendar([one.event for one in tried.before])
    own = [event for event in stored if event.kind in kinds]
    new = [one for one in tried.after if not known.has(one.event) and not before.has(one.event)]
    again = sum(before.has(event) for event in own)
    return Gain(new, len(own), again, sum(not known.has(one.event) for one in tried.before))


@contextmanager
def _uncollected() -> Iterator[None]:
    """Events are many and hold no cycles: Python would look for such among all of them again and again."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


def _chunks(telemetry: Iterator[Telemetry]) -> Iterator[Chunk]:
    chunk: Chunk = []
    rows = 0
    for one in telemetry:
        chunk.append(one)
        rows += len(one.gps) + len(one.motion)
        if rows >= CHUNK_ROWS:
            yield chunk
            chunk, rows = [], 0
    if chunk:
        yield chunk


def _ahead(items: Iterator[Chunk]) -> Iterator[Chunk]:
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
