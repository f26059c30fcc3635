"""What a poll becomes: messages in order, wake-ups at their time, poison set apart. No database, no clock.

Whatever the polls, a vehicle goes through the same messages and wake-ups in the same order, because every decision
goes by the arrival times in its lane, one topic at a time. (Between two topics of a lane the log knows no order: a
room that reads two must not care which comes first.)
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, NamedTuple, TypeVar

import pyarrow as pa

from infra.bus.port import Record
from infra.contracts.codec import DecodeError, Message, decode, decode_tick
from infra.contracts.telemetry import Rejection
from infra.contracts.topics import lane_of
from infra.runtime.ordering import Limits, Order, Passed
from infra.runtime.step import Delivery, Step
from infra.store.outputs import DeadLetter, Outputs
from infra.store.positions import Position

logger = logging.getLogger(__name__)

State = TypeVar("State")

SOONEST_WAKE_S = 30.0
"""A wake-up comes this long after the vehicle's last fold, or later. So messages that arrived within such a time
can be folded in one call, whatever wake-up one of them asks for."""
_SOONEST_WAKE_US = int(SOONEST_WAKE_S * 1e6)


class Arrival(NamedTuple):
    """A record of a lane. Without a message it is a tick, or could not be read: it counts for the time alone."""

    record: Record
    message: Message | None


class Turn(NamedTuple):
    """A delivery, and the arrival time that counts for wake-ups before it."""

    delivery: Delivery
    at_us: int


@dataclass(slots=True)
class Memory(Generic[State]):
    """What a worker remembers of a vehicle."""

    lane: int
    order: Order
    room: State
    wake_us: int | None = None  # the room's; what the order waits for is its own affair
    replaces: str | None = None  # the other rules version that the order was read from

    def next_wake(self, topics: Iterable[str]) -> int | None:
        dues = (self.wake_us, *(self.order.due_us(topic) for topic in topics))
        return min((due for due in dues if due is not None), default=None)


@dataclass(frozen=True, slots=True)
class LaneWork:
    """What one poll brought for one lane."""

    before: Position
    arrivals: Sequence[Arrival]
    dead_letters: Sequence[DeadLetter]
    after: Position  # of the same version
    due: Sequence[str]  # vehicles whose wake-up time has come by ``after``

    @property
    def vehicles(self) -> list[str]:
        heard = (arrival.message.vehicle_id for arrival in self.arrivals if arrival.message)
        return list(dict.fromkeys((*heard, *self.due)))


@dataclass(slots=True)
class Outcome(Generic[State]):
    """What a transaction is to make true."""

    memories: dict[str, Memory[State]] = field(default_factory=dict)  # of the vehicles touched
    parts: list[Outputs] = field(default_factory=list)
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    dead_letters: list[DeadLetter] = field(default_factory=list)
    delivered: int = 0

    def outputs(self) -> Outputs:
        """All that is to be written, as one."""
        own = Outputs(dead_letters=self.dead_letters, counts=self.counts)
        return combine([*self.parts, own])


def read_lane(before: Position, records: Sequence[Record], wakes: Mapping[str, int], lanes: int) -> LaneWork:
    """Decode a lane's records; what cannot be read becomes a dead letter.

    Args:
        before: where the lane stands. Records before it are left out.
        wakes: vehicles of the lane that want to be woken, and when.
        lanes: how many there are, to see that a message is where it belongs.
    """
    offsets, clocks = dict(before.offsets), dict(before.clocks)
    arrivals, dead_letters = [], []
    for record in records:
        if record.offset < offsets.get(record.topic, 0):
            continue
        message, dead_letter = _read(record, lanes)
        arrivals.append(Arrival(record, message))
        dead_letters += [dead_letter] if dead_letter else []
        offsets[record.topic] = record.offset + 1
        clocks[record.topic] = max(clocks.get(record.topic, 0), record.arrived_us)
    newest = max(clocks.values(), default=0)
    due = [vehicle for vehicle, wake_us in wakes.items() if wake_us <= newest]
    return LaneWork(before, arrivals, dead_letters, replace(before, offsets=offsets, clocks=clocks), due)


def _read(record: Record, lanes: int) -> tuple[Message | None, DeadLetter | None]:
    try:
        if not record.key:
            decode_tick(record.value)
            return None, None
        message = decode(record.value)
        # A state belongs to one lane, and the fence protects it there only.
        if message.vehicle_id != record.key or lane_of(record.key, lanes) != record.lane:
            raise DecodeError("misplaced", f"of {message.vehicle_id}, in lane {record.lane} under key {record.key!r}")
    except DecodeError as error:
        return None, dead_letter_of(record, error.reason, error.detail, record.value)
    return message, None


def dead_letter_of(record: Record, reason: str, detail: str, payload: bytes | None) -> DeadLetter:
    """A dead letter that stands for a whole record."""
    place = (record.topic, record.lane, record.offset)
    return DeadLetter(*place, record.key, reason, detail, 1, record.arrived_us, payload)


def dead_letters_of(record: Record, rejected: Iterable[Rejection]) -> Iterator[DeadLetter]:
    """One for each reason for which the gateway left rows out of a batch; ids are derived from the reason."""
    place = (record.topic, record.lane, record.offset)
    for each in rejected:
        reason = f"{each.stream}_{each.reason}"
        yield DeadLetter(*place, record.key, reason, each.example, each.rows, record.arrived_us)


def combine(parts: Sequence[Outputs]) -> Outputs:
    """Several outputs as one."""
    counts: Counter[tuple[str, str]] = Counter()
    for part in parts:
        counts.update(part.counts)
    return Outputs(
        positions=_concat([part.positions for part in parts]),
        motion=_concat([part.motion for part in parts]),
        observations=_concat([part.observations for part in parts]),
        trips=[trip for part in parts for trip in part.trips],
        events=[event for part in parts for event in part.events],
        traces=[trace for part in parts for trace in part.traces],
        score_due=[due for part in parts for due in part.score_due],
        dead_letters=[letter for part in parts for letter in part.dead_letters],
        counts=counts,
    )


def _concat(tables: Sequence[pa.Table | None]) -> pa.Table | None:
    present = [table for table in tables if table is not None]
    return pa.concat_tables(present) if present else None


class Folding(Generic[State]):
    """One pass of a step over what was polled. Memories passed in are left as they are."""

    def __init__(self, step: Step[State], limits: Limits, memories: Mapping[str, Memory[State]]) -> None:
        self._step = step
        self._limits = limits
        self._memories = memories
        self._outcome: Outcome[State] = Outcome()
        self._ends: dict[str, int] = {}  # vehicle to the arrival time that its lane has reached

    def fold(self, work: Sequence[LaneWork]) -> Outcome[State]:
        """The outcome. A step may raise what it likes: the message that made it becomes a dead letter."""
        turns = [turn for lane in work for turn in self._arrange(lane)]
        self._outcome.dead_letters += [letter for lane in work for letter in lane.dead_letters]
        waiting: dict[str, deque[Turn]] = {vehicle: deque() for vehicle in self._ends}
        for turn in self._prepare(turns):
            waiting[turn.delivery.vehicle_id].append(turn)
        while waiting:
            self._fold_once(waiting)
        self._count()
        return self._outcome

    # --- order ---

    def _arrange(self, work: LaneWork) -> Iterator[Turn]:
        clocks = dict(work.before.clocks)
        for record, message in work.arrivals:
            now_us = clocks[record.topic] = max(clocks.get(record.topic, 0), record.arrived_us)
            if message is None:
                continue
            order = self._touch(message.vehicle_id).order
            passed = order.release(record.topic, now_us)
            passed += order.accept(record, message, now_us, self._limits)
            yield from self._turns(passed, record, message, clocks)
        for vehicle in work.vehicles:
            yield from self._release_due(vehicle, work.after.clocks)

    def _touch(self, vehicle: str) -> Memory[State]:
        memory = self._outcome.memories.get(vehicle)
        if memory is None:
            kept = self._memories[vehicle]
            memory = self._outcome.memories[vehicle] = replace(kept, order=kept.order.clone())
        return memory

    def _release_due(self, vehicle: str, clocks: Mapping[str, int]) -> Iterator[Turn]:
        memory = self._touch(vehicle)
        for topic in self._step.topics:
            yield from self._turns(memory.order.release(topic, clocks.get(topic, 0)), None, None, clocks)
        self._ends[vehicle] = min(clocks.get(topic, 0) for topic in self._step.topics)

    def _turns(
        self, passed: Sequence[Passed], fresh: Record | None, message: Message | None, clocks: Mapping[str, int]
    ) -> Iterator[Turn]:
        """A held record has lost its message on the way through the state, and is decoded once more."""
        for record, at_us, late in passed:
            known = message if record is fresh and message is not None else decode(record.value)
            others = (clocks.get(topic, 0) for topic in self._step.topics if topic != record.topic)
            yield Turn(Delivery(record, known, late), min((at_us, *others)))

    # --- fold ---

    def _prepare(self, turns: Sequence[Turn]) -> Sequence[Turn]:
        if not turns:
            return turns
        try:
            prepared = self._step.prepare([turn.delivery for turn in turns])
            return [Turn(delivery, turn.at_us) for delivery, turn in zip(prepared, turns, strict=True)]
        except Exception as error:  # noqa: BLE001 (whatever it is: the message that does it must not stop the lane)
            if len(turns) == 1:
                self._poison(turns[0].delivery, error)
                return []
        half = len(turns) // 2
        return [*self._prepare(turns[:half]), *self._prepare(turns[half:])]

    def _fold_once(self, waiting: dict[str, deque[Turn]]) -> None:
        """The next stretch of every vehicle: messages up to a wake-up, or a wake-up. Vehicles that are done go."""
        turns: list[Turn] = []
        woken: dict[str, int] = {}
        for vehicle, queue in list(waiting.items()):
            wake_us = self._outcome.memories[vehicle].wake_us
            reached_us = queue[0].at_us if queue else self._ends[vehicle]
            if wake_us is not None and wake_us <= reached_us:
                woken[vehicle] = wake_us
            elif queue:
                turns += _stretch(queue, wake_us)
            else:
                del waiting[vehicle]
        if turns or woken:
            self._fold_part(turns, woken)

    def _fold_part(self, turns: Sequence[Turn], woken: dict[str, int]) -> None:
        vehicles = dict.fromkeys((*(turn.delivery.vehicle_id for turn in turns), *woken))
        memories = {vehicle: self._outcome.memories[vehicle] for vehicle in vehicles}
        states = {vehicle: memory.room for vehicle, memory in memories.items()}
        try:
            folded = self._step.fold(states, [turn.delivery for turn in turns], woken)
        except Exception as error:  # noqa: BLE001 (as above)
            self._fold_halves(turns, woken, error)
            return
        self._outcome.parts.append(folded.outputs)
        self._outcome.delivered += len(turns)
        self._outcome.counts.update((turn.delivery.vehicle_id, "messages") for turn in turns)
        last_us = {turn.delivery.vehicle_id: turn.at_us for turn in turns} | woken
        for vehicle, memory in memories.items():
            memory.room = folded.states.get(vehicle, memory.room)
            wish_us = folded.wake_us.get(vehicle)
            memory.wake_us = None if wish_us is None else max(wish_us, last_us[vehicle] + _SOONEST_WAKE_US)

    def _fold_halves(self, turns: Sequence[Turn], woken: dict[str, int], error: Exception) -> None:
        if len(turns) + len(woken) == 1:
            for turn in turns:
                self._poison(turn.delivery, error)
            for vehicle, wake_us in woken.items():
                self._poison_wake(vehicle, wake_us, error)
            return
        if turns and woken:
            self._fold_part(turns, {})
            self._fold_part([], woken)
            return
        half = (len(turns) + len(woken)) // 2
        sleepers = list(woken.items())
        for first, last in ((0, half), (half, None)):
            self._fold_part(turns[first:last], dict(sleepers[first:last]))

    # --- poison ---

    def _poison(self, delivery: Delivery, error: Exception) -> None:
        logger.error("poison in %r", delivery.record, exc_info=error)
        record = delivery.record
        letter = dead_letter_of(record, f"poison:{type(error).__name__}", str(error)[:500], record.value)
        self._outcome.dead_letters.append(letter)

    def _poison_wake(self, vehicle: str, wake_us: int, error: Exception) -> None:
        """There is no record to blame; the time, negative, stands where its offset would."""
        logger.error("poison: waking %s", vehicle, exc_info=error)
        memory = self._outcome.memories[vehicle]
        memory.wake_us = None
        record = Record(self._step.topics[0], memory.lane, -wake_us, vehicle, b"", wake_us)
        letter = dead_letter_of(record, f"poison:{type(error).__name__}", f"woken: {error}"[:500], None)
        self._outcome.dead_letters.append(letter)

    def _count(self) -> None:
        for vehicle, memory in self._outcome.memories.items():
            self._outcome.counts.update({(vehicle, word): n for word, n in memory.order.counts.items()})
            memory.order.counts.clear()


def _stretch(queue: deque[Turn], wake_us: int | None) -> list[Turn]:
    """Turns off the queue that no wake-up can come between, known or yet to be asked for."""
    before_us = queue[0].at_us + _SOONEST_WAKE_US
    if wake_us is not None:
        before_us = min(before_us, wake_us)
    turns = []
    while queue and queue[0].at_us < before_us:
        turns.append(queue.popleft())
    return turns


def longest_bad_run(run: int, work: Sequence[LaneWork], dead_letters: Sequence[DeadLetter]) -> tuple[int, int]:
    """How many bad messages came in a row: the longest run, and the one that is still going on.

    Args:
        run: the one that was going on before.
    """
    bad = {(letter.topic, letter.lane, letter.offset) for letter in dead_letters}
    longest = run
    for lane in work:
        for record, message in lane.arrivals:
            if (record.topic, record.lane, record.offset) in bad:
                run += 1
                longest = max(longest, run)
            elif message is not None:
                run = 0
    return longest, run
