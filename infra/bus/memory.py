"""The bus within one process: partitions, groups and rebalances as Kafka has them, without a broker."""

from __future__ import annotations

import threading
import time
from collections.abc import Awaitable, Generator, Iterator, Mapping, Sequence

from infra.bus.port import LaneLost, MessageTooLarge, Record
from infra.contracts.topics import ALERTS, FRAMES, LANED_TOPICS, lane_of

MAX_MESSAGE_BYTES = 5_000_000  # as infra.settings has it; one of 12 megapixels is smaller
KEPT_BYTES = {FRAMES: 128_000_000}
"""Of a topic's newest records that stay when every group has them: a clip is made of frames that were folded before.
At 30 kB a frame and 2 frames a second this is two minutes of 18 cameras."""


class _Done:
    """Awaitable, and done already: the record was appended before it was made."""

    def __await__(self) -> Generator[None, None, None]:
        return
        yield


class MemoryBus:
    """Topics as lists. Thread-safe: a gateway's loop publishes while worker threads poll.

    Nothing is thrown away but by ``trim``. Topics come into being when first named. Besides the port it has two
    levers for tests: ``rebalance`` and ``expel``.
    """

    def __init__(
        self,
        lanes: int,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        begins: Mapping[str, Mapping[int, int]] | None = None,
        kept_bytes: Mapping[str, int] | None = None,
    ) -> None:
        """
        Args:
            kept_bytes: topic to bytes that ``trim`` leaves; KEPT_BYTES where this is None.
            begins: topic to lane to the first offset. A database outlives this bus, and the positions in it must
                not point past the end of a log that starts anew: offsets go on where the last one ended.
        """
        self.lanes = lanes
        self.max_message_bytes = max_message_bytes
        self._begins = {(topic, lane): offset for topic, by in (begins or {}).items() for lane, offset in by.items()}
        self.changed = threading.Condition()
        self._kept_bytes = KEPT_BYTES if kept_bytes is None else kept_bytes
        self._held_bytes: dict[str, int] = {}
        self._logs: dict[str, list[list[Record]]] = {}
        self._groups: dict[str, _Group] = {}

    def producer(self) -> MemoryProducer:
        return MemoryProducer(self)

    def consumer(self, group: str, topics: Sequence[str]) -> MemoryConsumer:
        with self.changed:
            member = MemoryConsumer(self, self._groups.setdefault(group, _Group(self.lanes)), topics)
            member.group.join(member)
            self.changed.notify_all()
            return member

    def ensure_topics(self) -> None:
        for topic in (*LANED_TOPICS, ALERTS):
            self.log(topic)

    def end_offsets(self, topic: str) -> Mapping[int, int]:
        with self.changed:
            return {lane: self.begin(topic, lane) + len(records) for lane, records in enumerate(self.log(topic))}

    def start_offsets(self, topic: str) -> Mapping[int, int]:
        return {lane: self.begin(topic, lane) for lane in range(len(self.log(topic)))}

    def begin(self, topic: str, lane: int) -> int:
        """The oldest offset still kept."""
        return self._begins.get((topic, lane), 0)

    def trim(self) -> int:
        """Let go of what every group that reads a topic has committed (all of it, where none does), oldest first,
        down to what is kept of the topic.

        Returns:
            Records let go.
        """
        with self.changed:
            return sum(self._trim(topic, logs) for topic, logs in self._logs.items())

    def read(self, topic: str, lane: int, start: int, end: int) -> Iterator[Record]:
        with self.changed:
            begin = self.begin(topic, lane)
            found = self.log(topic)[lane][max(0, start - begin) : max(0, end - begin)]
        return iter(found)

    def _trim(self, topic: str, logs: list[list[Record]]) -> int:
        surplus = self._held_bytes.get(topic, 0) - self._kept_bytes.get(topic, 0)
        if surplus <= 0:
            return 0
        done = [record for lane, log in enumerate(logs) for record in log[: self._done(topic, lane, log)]]
        counts = [0] * len(logs)
        for record in sorted(done, key=lambda record: record.arrived_us):
            if surplus <= 0:
                break
            counts[record.lane] += 1
            surplus -= len(record.value)
        for lane, count in enumerate(counts):
            self._held_bytes[topic] -= sum(len(record.value) for record in logs[lane][:count])
            del logs[lane][:count]
            self._begins[topic, lane] = self.begin(topic, lane) + count
        return sum(counts)

    def _done(self, topic: str, lane: int, log: list[Record]) -> int:
        """How many of a lane's records every group has."""
        passed = [group.committed(topic, lane) for group in self._groups.values() if group.reads(topic)]
        begin = self.begin(topic, lane)
        return min((max(0, offset - begin) for offset in passed), default=len(log))

    def close(self) -> None:
        """Nothing to let go of: producers and consumers close themselves."""

    def rebalance(self, group: str) -> None:
        """Assign the group's lanes anew, as a broker does when it sees fit. Every lane gets a new generation."""
        with self.changed:
            self._groups[group].share_out()
            self.changed.notify_all()

    def expel(self, consumer: MemoryConsumer, unaware_polls: int) -> None:
        """Give a member's lanes to the others without telling it, as a broker does with a frozen process.

        For its next ``unaware_polls`` polls it goes on reading the lanes it lost: a zombie. Then it joins again.
        """
        with self.changed:
            consumer.group.leave(consumer)
            consumer.unaware_polls = unaware_polls
            self.changed.notify_all()

    def append(self, topic: str, lane: int, key: str, value: bytes, arrived_us: int) -> None:
        if len(value) > self.max_message_bytes:
            raise MessageTooLarge(f"{len(value)} bytes; at most {self.max_message_bytes}")
        with self.changed:
            log = self.log(topic)[lane]
            # a broker keeps milliseconds
            log.append(Record(topic, lane, self.begin(topic, lane) + len(log), key, value, arrived_us // 1000 * 1000))
            self._held_bytes[topic] = self._held_bytes.get(topic, 0) + len(value)
            self.changed.notify_all()

    def log(self, topic: str) -> list[list[Record]]:
        """The topic's records by lane."""
        with self.changed:
            return self._logs.setdefault(topic, [[] for _ in range(self.lanes)])


class MemoryProducer:
    def __init__(self, bus: MemoryBus) -> None:
        self._bus = bus

    def publish(self, topic: str, key: str, value: bytes, arrived_us: int) -> Awaitable[None]:
        return self._append(topic, lane_of(key, self._bus.lanes), key, value, arrived_us)

    def publish_to_lane(self, topic: str, lane: int, value: bytes, arrived_us: int) -> Awaitable[None]:
        return self._append(topic, lane, "", value, arrived_us)

    def ready(self) -> bool:
        return True

    def close(self) -> None:
        """Nothing is buffered."""

    def _append(self, topic: str, lane: int, key: str, value: bytes, arrived_us: int) -> Awaitable[None]:
        try:
            self._bus.append(topic, lane, key, value, arrived_us)
        except MessageTooLarge as error:
            return _refused(error)
        return _Done()


async def _refused(error: MessageTooLarge) -> None:
    raise error


class _Group:
    """Members of a group, and which lane is whose. Guarded by the bus's condition."""

    def __init__(self, lanes: int) -> None:
        self._lanes = lanes
        self._members: list[MemoryConsumer] = []
        self._generation = 0

    def join(self, member: MemoryConsumer) -> None:
        self._members.append(member)
        self.share_out()

    def leave(self, member: MemoryConsumer) -> None:
        if member in self._members:
            self._members.remove(member)
            self.share_out()

    def reads(self, topic: str) -> bool:
        return any(topic in member.topics for member in self._members)

    def committed(self, topic: str, lane: int) -> int:
        return max(member.shown.get(lane, {}).get(topic, 0) for member in self._members)

    def share_out(self) -> None:
        """Ranges of lanes in order of joining. A member learns of it at its next poll, as with Kafka."""
        self._generation += 1
        count = len(self._members)
        for index, member in enumerate(self._members):
            lanes = range(index * self._lanes // count, (index + 1) * self._lanes // count)
            member.pending = dict.fromkeys(lanes, self._generation)


class MemoryConsumer:
    """A member of a group. One thread polls it."""

    def __init__(self, bus: MemoryBus, group: _Group, topics: Sequence[str]) -> None:
        self.group = group
        self.pending: dict[int, int] | None = None  # an assignment it has not been told of
        self.unaware_polls = 0
        self.shown: dict[int, dict[str, int]] = {}  # commit_for_display
        self._bus = bus
        self.topics = tuple(topics)
        self._owned: dict[int, int] = {}
        self._next: dict[tuple[int, str], int] = {}
        self._turn = 0  # lane that is served first, so that a busy one starves nobody
        self._closed = False

    def poll(self, timeout_s: float, limit: int) -> Sequence[Record]:
        deadline = time.monotonic() + timeout_s
        with self._bus.changed:
            self._learn()
            while True:
                records = self._take(limit)
                left = deadline - time.monotonic()
                if records or self.pending is not None or left <= 0 or self._closed:
                    return records
                self._bus.changed.wait(left)

    def assigned(self) -> Mapping[int, int]:
        return dict(self._owned)

    def joined(self) -> bool:
        return self.pending is None

    def seek(self, lane: int, offsets: Mapping[str, int]) -> None:
        with self._bus.changed:
            if lane not in self._owned:
                raise LaneLost(f"lane {lane}")
            for topic in self.topics:
                self._next[lane, topic] = offsets.get(topic, 0)

    def commit_for_display(self, lane: int, offsets: Mapping[str, int]) -> None:
        self.shown[lane] = dict(offsets)

    def close(self) -> None:
        with self._bus.changed:
            self._closed = True
            self.group.leave(self)
            self._owned = {}
            self._bus.changed.notify_all()

    def _learn(self) -> None:
        if self.unaware_polls:
            self.unaware_polls -= 1
            if not self.unaware_polls:
                self.group.join(self)
            return
        if self.pending is not None:
            self._owned, self.pending = self.pending, None
            # From the beginning on: who does not seek counts everything twice, and is found out.
            self._next = {(lane, topic): 0 for lane in self._owned for topic in self.topics}

    def _take(self, limit: int) -> list[Record]:
        taken: list[Record] = []
        for lane, topic in self._in_turn():
            log = self._bus.log(topic)[lane]
            start = max(0, self._next[lane, topic] - self._bus.begin(topic, lane))
            found = log[start : start + limit - len(taken)]
            if found:
                self._next[lane, topic] = found[-1].offset + 1
                taken += found
            if len(taken) >= limit:
                self._turn = lane + 1
                break
        return taken

    def _in_turn(self) -> Iterator[tuple[int, str]]:
        lanes = sorted(self._owned, key=lambda lane: (lane < self._turn, lane))
        return ((lane, topic) for lane in lanes for topic in self.topics)
