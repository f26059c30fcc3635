"""Puts a vehicle's messages back into their devices' order, each once. Pure: decides by what the log says alone.

A source is a device's stream on a topic (one camera of it, for frames). It numbers its messages from 0 at each
boot. A message ahead of a missing one is held until that one comes, or until the lane's arrival time has moved on
by the late window; then the missing ones are given up, counted, and passed on as late should they still come.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from infra.bus.port import Record
from infra.contracts.codec import Message
from infra.contracts.frames import Frame

BOOTS_KEPT = 8  # a copy from a boot further back would be taken for a new boot
GAPS_KEPT = 64  # of a boot; late comers of an older gap are dropped as duplicates

MOST_MISSING = 1_000_000

Source = tuple[str, str, str]
"""(topic, device, camera or nothing)"""


class Passed(NamedTuple):
    """A record whose turn has come, at an arrival time of its lane."""

    record: Record
    at_us: int
    late: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    late_window_us: int
    max_held_bytes: int  # of one source; over it the wait ends early


@dataclass(frozen=True, slots=True)
class Held:
    record: Record
    due_us: int


@dataclass(slots=True)
class Boot:
    """How far a source came in one boot: every number below ``next`` was passed on, save those in ``gaps``."""

    boot_id: str
    next: int = 0
    gaps: list[tuple[int, int]] = field(default_factory=list)  # first and one past the last given up, rising

    def pass_over(self, sequence: int) -> int:
        """Go on after this number; what lies before it is given up. Returns how many those are, at most a million:
        a device that jumps further lost no such number, and a few such jumps would overflow the stored count."""
        missing = sequence - self.next
        if missing:
            self.gaps = [*self.gaps, (self.next, sequence)][-GAPS_KEPT:]
        self.next = sequence + 1
        return min(missing, MOST_MISSING)

    def fill(self, sequence: int) -> bool:
        """Take a number out of the gap it lies in. False: it lies in none."""
        for index, (first, stop) in enumerate(self.gaps):
            if first <= sequence < stop:
                parts = [(first, sequence), (sequence + 1, stop)]
                filled = [*self.gaps[:index], *(part for part in parts if part[0] < part[1]), *self.gaps[index + 1 :]]
                self.gaps = filled[-GAPS_KEPT:]
                return True
        return False


@dataclass(slots=True)
class Stream:
    """One source. The last of ``boots`` is the current one; ``held`` belongs to it."""

    boots: list[Boot] = field(default_factory=list)
    held: dict[int, Held] = field(default_factory=dict)

    def clone(self) -> Stream:
        return Stream([Boot(boot.boot_id, boot.next, boot.gaps) for boot in self.boots], dict(self.held))

    @property
    def held_bytes(self) -> int:
        return sum(len(held.record.value) for held in self.held.values())

    def next_due(self) -> tuple[int, int] | None:
        """(due time, sequence) of the held message whose window closes first."""
        return min(((held.due_us, sequence) for sequence, held in self.held.items()), default=None)


class Order:
    """The order of one vehicle's messages. Changes in place: clone it where a change may have to be taken back."""

    __slots__ = ("counts", "streams")

    def __init__(self, streams: dict[Source, Stream] | None = None) -> None:
        self.streams = streams or {}
        self.counts: Counter[str] = Counter()  # duplicate, late, missing: since it was loaded or cloned

    def clone(self) -> Order:
        return Order({source: stream.clone() for source, stream in self.streams.items()})

    def due_us(self, topic: str) -> int | None:
        """When the first wait on this topic ends."""
        dues = (stream.next_due() for source, stream in self.streams.items() if source[0] == topic)
        return min((due[0] for due in dues if due), default=None)

    def release(self, topic: str, now_us: int) -> list[Passed]:
        """What no longer waits now that the lane's arrival time on this topic is ``now_us``: first due first."""
        passed: list[Passed] = []
        while due := self._first_due(topic, now_us):
            due_us, source, sequence = due
            passed += self._close(self.streams[source], sequence, due_us)
        return passed

    def accept(self, record: Record, message: Message, now_us: int, limits: Limits) -> list[Passed]:
        """What a new record lets through: itself, those held behind it, all, or nothing.

        Call ``release`` with the same ``now_us`` before.
        """
        camera = message.camera.value if isinstance(message, Frame) else ""
        stream = self.streams.setdefault((record.topic, message.device_id, camera), Stream())
        boot = next((boot for boot in stream.boots if boot.boot_id == message.boot_id), None)
        if boot is None:
            before = self._close(stream, max(stream.held), now_us) if stream.held else []
            stream.boots = [*stream.boots, Boot(message.boot_id)][-BOOTS_KEPT:]
            return before + self._take(stream, record, message.sequence, now_us, limits)
        if boot is not stream.boots[-1]:
            return self._take_old(boot, record, message.sequence, now_us)
        return self._take(stream, record, message.sequence, now_us, limits)

    def _first_due(self, topic: str, now_us: int) -> tuple[int, Source, int] | None:
        dues = (
            (due[0], source, due[1])
            for source, stream in self.streams.items()
            if source[0] == topic and (due := stream.next_due()) and due[0] <= now_us
        )
        return min(dues, default=None)

    def _take(self, stream: Stream, record: Record, sequence: int, now_us: int, limits: Limits) -> list[Passed]:
        boot = stream.boots[-1]
        if sequence < boot.next:
            return self._take_late(boot, record, sequence, now_us)
        if sequence in stream.held:
            self.counts["duplicate"] += 1
            return []
        if sequence == boot.next:
            boot.next += 1
            return [Passed(record, now_us), *self._follow(stream, now_us)]
        stream.held[sequence] = Held(record, now_us + limits.late_window_us)
        return self._relieve(stream, now_us, limits)

    def _take_late(self, boot: Boot, record: Record, sequence: int, now_us: int) -> list[Passed]:
        if not boot.fill(sequence):
            self.counts["duplicate"] += 1
            return []
        self.counts["late"] += 1
        return [Passed(record, now_us, late=True)]

    def _take_old(self, boot: Boot, record: Record, sequence: int, now_us: int) -> list[Passed]:
        """Of a boot that is over: nothing to wait for."""
        if sequence < boot.next:
            return self._take_late(boot, record, sequence, now_us)
        self.counts["missing"] += boot.pass_over(sequence)
        self.counts["late"] += 1
        return [Passed(record, now_us, late=True)]

    def _relieve(self, stream: Stream, now_us: int, limits: Limits) -> list[Passed]:
        """End waits until what is held is within bounds."""
        passed: list[Passed] = []
        while stream.held and stream.held_bytes > limits.max_held_bytes:
            passed += self._close(stream, min(stream.held), now_us)
        return passed

    def _close(self, stream: Stream, sequence: int, at_us: int) -> list[Passed]:
        """Pass on everything held up to this number, giving up what is missing before, and what then follows."""
        passed: list[Passed] = []
        for ready in sorted(held for held in stream.held if held <= sequence):
            self.counts["missing"] += stream.boots[-1].pass_over(ready)
            passed.append(Passed(stream.held.pop(ready).record, at_us))
        return [*passed, *self._follow(stream, at_us)]

    def _follow(self, stream: Stream, at_us: int) -> Iterator[Passed]:
        boot = stream.boots[-1]
        while held := stream.held.pop(boot.next, None):
            boot.next += 1
            yield Passed(held.record, at_us)


def dump(order: Order) -> list[object]:
    """The order as JSON: sources with their boots and what they hold."""
    return [
        [
            *source,
            [[boot.boot_id, boot.next, boot.gaps] for boot in stream.boots],
            [[sequence, held.due_us, *_record_to_json(held.record)] for sequence, held in stream.held.items()],
        ]
        for source, stream in order.streams.items()
    ]


def load(document: Sequence[Any], lane: int) -> Order:
    """The order from its JSON. ``lane`` is the vehicle's."""
    streams = {}
    for topic, device, camera, boots, held in document:
        streams[topic, device, camera] = Stream(
            [Boot(boot_id, following, [(first, stop) for first, stop in gaps]) for boot_id, following, gaps in boots],
            {sequence: Held(_record_from_json(topic, lane, row), due_us) for sequence, due_us, *row in held},
        )
    return Order(streams)


def _record_to_json(record: Record) -> tuple[int, str, int, str]:
    return record.offset, record.key, record.arrived_us, base64.b64encode(record.value).decode()


def _record_from_json(topic: str, lane: int, row: Sequence[Any]) -> Record:
    offset, key, arrived_us, value = row
    return Record(topic, lane, offset, key, base64.b64decode(value), arrived_us)
