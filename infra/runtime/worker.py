"""Runs a room's step over the bus: reads, folds, and commits what came of it once. The only place that commits.

The database says how far a group is, not the bus: see "Exactly once" in the README for the protocol.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar, cast

import orjson
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from infra import metrics
from infra.bus.port import Bus, BusUnavailable, LaneLost, Record
from infra.clock import SECOND_US
from infra.contracts.events import JsonObject
from infra.runtime import ordering
from infra.runtime.folding import Folding, LaneWork, Memory, Outcome, longest_bad_run, read_lane
from infra.runtime.step import Step
from infra.settings import Settings
from infra.store import outputs
from infra.store.engine import StoreUnavailable
from infra.store.media import MediaStore, MediaUnavailable
from infra.store.outputs import Outputs
from infra.store.positions import Position, move_fence, read_positions
from infra.store.states import StateRow, StoredState, load_states, load_wakes, save_states

logger = logging.getLogger(__name__)

State = TypeVar("State")
Writer = Callable[[Connection, Outputs, MediaStore, str], None]
"""``infra.store.outputs.write``: writes a group's outputs on the connection; never commits."""
Chore = Callable[[Engine], int]
"""Work of a room besides its step, in ``transaction``s of its own. Returns how much it did; 0 for nothing to do."""
Refresh = Callable[[Connection], None]
"""Reads what a step goes by and people may change; called before the records of every round are folded."""

POLL_S = 0.5  # how long an idle worker waits for records, and at most for being told to stop
LAG_EVERY_S = 5.0
PAUSES_S = (0.2, 1.0, 5.0, 15.0)  # between attempts while the database or the broker is away; then the last for ever
_COUNTERS = {
    "duplicate": metrics.WORKER_DUPLICATES,
    "late": metrics.WORKER_LATE,
    "frames_skipped": metrics.WORKER_SKIPPED,
}
AWAY = (OperationalError, InterfaceError, PoolTimeout, StoreUnavailable, BusUnavailable, MediaUnavailable)


class PoisonRun(RuntimeError):
    """Too many bad messages in a row: something is wrong that dead letters do not mend. Nothing was committed."""


class _Fenced(Exception):
    """Another worker moved these lanes."""

    def __init__(self, lanes: set[int]) -> None:
        super().__init__(f"lanes {sorted(lanes)}")
        self.lanes = lanes


@dataclass(slots=True)
class Lane:
    """A lane that was sought: where this worker's last commit left it."""

    generation: int
    position: Position
    wakes: dict[str, int]  # vehicle to the arrival time at which it wants to be looked at


def transaction(engine: Engine) -> AbstractContextManager[Connection]:
    """A transaction, committed at the end of the block. For the worker and its chores; writers are passed one."""
    return engine.begin()


def pump_until(stopping: threading.Event, pump: Callable[[], object], name: str) -> None:
    """One round after the other until told to stop, waiting out a database or a broker that is away."""
    failures = 0
    while not stopping.is_set():
        try:
            pump()
            failures = 0
        except AWAY as error:
            pause_s = PAUSES_S[min(failures, len(PAUSES_S) - 1)]
            failures += 1
            logger.warning("%s: starting afresh in %g s: %s", name, pause_s, error)
            stopping.wait(pause_s)


class Worker(Generic[State]):
    """One member of a step's consumer group. ``pump`` in one thread only; ``stop`` from anywhere."""

    def __init__(
        self,
        step: Step[State],
        bus: Bus,
        engine: Engine,
        settings: Settings,
        media: MediaStore,
        *,
        chores: Sequence[Chore] = (),
        write: Writer = outputs.write,
        refresh: Refresh | None = None,
    ) -> None:
        self._step = step
        self._bus = bus
        self._engine = engine
        self._settings = settings
        self._media = media
        self._write = write
        self._chores = chores
        self._refresh = refresh
        self._limits = ordering.Limits(int(settings.late_window_s * SECOND_US), settings.max_held_bytes)
        self._consumer = bus.consumer(step.group, step.topics)
        self._lanes: dict[int, Lane] = {}
        self._memories: OrderedDict[str, Memory[State]] = OrderedDict()  # least recently used first
        self._bad_run = 0
        self._lag_at = 0.0
        self._stopping = threading.Event()

    def run(self) -> None:
        """Pump until told to stop, waiting out a database or a broker that is away.

        Raises:
            PoisonRun: more than ``max_poison_run`` bad messages in a row.
            RecordsGone: the log is shorter than the outage was.
        """
        try:
            pump_until(self._stopping, lambda: self.pump(POLL_S), self._step.group)
        finally:
            self.close()

    def stop(self) -> None:
        """End ``run`` after the round it is in. From any thread, or a signal handler."""
        self._stopping.set()

    def close(self) -> None:
        """Leave the group."""
        self._consumer.close()
        metrics.WORKER_LANES.labels(self._step.group).set(0)

    def pump(self, timeout_s: float = 0.0) -> int:
        """One round: poll, fold, commit; then the chores.

        Returns:
            Records and chores done. 0: there is nothing to do, if the worker is ``settled``.
        """
        try:
            records = self._poll(timeout_s) or self._poll(0.0)  # again, for the lanes that the first one brought
            if records:
                self._read_rules()
                self._handle(records)
            done = len(records)
            with self._phase("chores"):
                done += sum(chore(self._engine) for chore in self._chores)
        except BaseException:
            self._forget(list(self._lanes))  # what a broken transaction did is unknown: read again
            raise
        self._tell_lag()
        return done

    @property
    def settled(self) -> bool:
        """Whether it was told its lanes, sought every one, and folded all that is in them. Asks the broker."""
        sought = {lane: standing.generation for lane, standing in self._lanes.items()}
        return self._consumer.joined() and sought == self._consumer.assigned() and not self._lag()

    # --- lanes ---

    def _poll(self, timeout_s: float) -> list[Record]:
        """Records of lanes that were sought. What comes with a lane that is new to us is thrown away."""
        with self._phase("poll"):
            records = self._consumer.poll(timeout_s, self._settings.worker_batch)
        fresh = self._follow(self._consumer.assigned())
        return [record for record in records if record.lane in self._lanes and record.lane not in fresh]

    def _follow(self, assigned: Mapping[int, int]) -> set[int]:
        """Let go of lanes that are not ours any more, and start those that newly are."""
        gone = [lane for lane, standing in self._lanes.items() if assigned.get(lane) != standing.generation]
        self._forget(gone)
        fresh = assigned.keys() - self._lanes.keys()
        if fresh:
            with self._phase("seek"):
                self._start({lane: assigned[lane] for lane in fresh})
        if gone or fresh:
            logger.info("%s: lanes %s", self._step.group, ", ".join(map(str, sorted(self._lanes))) or "none")
        metrics.WORKER_LANES.labels(self._step.group).set(len(self._lanes))
        return set(fresh)

    def _start(self, fresh: Mapping[int, int]) -> None:
        with transaction(self._engine) as connection:
            positions = read_positions(connection, self._step.group, fresh)
            wakes = load_wakes(connection, self._step.group, fresh)
        for lane, generation in fresh.items():
            try:
                self._consumer.seek(lane, positions[lane].offsets)
            except LaneLost:
                continue  # taken away meanwhile; if it comes back, then with a new generation
            self._lanes[lane] = Lane(generation, positions[lane], wakes[lane])

    def _forget(self, lanes: Collection[int]) -> None:
        if not lanes:
            return
        for lane in lanes:
            self._lanes.pop(lane, None)
        for vehicle in [vehicle for vehicle, memory in self._memories.items() if memory.lane not in self._lanes]:
            del self._memories[vehicle]

    # --- one round ---

    def _read_rules(self) -> None:
        if self._refresh is not None:
            with self._phase("rules"), transaction(self._engine) as connection:
                self._refresh(connection)

    def _handle(self, records: Sequence[Record]) -> None:
        by_lane: dict[int, list[Record]] = {}
        for record in records:
            by_lane.setdefault(record.lane, []).append(record)
        with self._phase("decode"):
            work = [
                read_lane(self._lanes[lane].position, ours, self._lanes[lane].wakes, self._bus.lanes)
                for lane, ours in by_lane.items()
            ]
        while work:
            try:
                self._settle(work)
                return
            except _Fenced as fenced:
                logger.warning("%s: %s moved by another worker; starting them afresh", self._step.group, fenced)
                metrics.WORKER_FENCED.labels(self._step.group).inc(len(fenced.lanes))
                self._forget(fenced.lanes)
                work = [lane for lane in work if lane.before.lane not in fenced.lanes]

    def _settle(self, work: Sequence[LaneWork]) -> None:
        """Fold and commit, then adopt. One transaction for all lanes of the poll: raises _Fenced before it writes
        anything if some are not ours."""
        memories = self._recall({vehicle: lane.before.lane for lane in work for vehicle in lane.vehicles})
        with self._phase("fold"):
            outcome = Folding(self._step, self._limits, memories).fold(work)
        bad_run = self._check_poison(work, outcome)
        with self._phase("dump"):
            rows = [self._row(vehicle, memory) for vehicle, memory in outcome.memories.items()]
        with self._phase("write"):
            self._commit([lane.after for lane in work], outcome.outputs(), rows)
        self._bad_run = bad_run
        self._adopt(work, outcome, rows)
        self._tell(outcome)

    def _recall(self, vehicles: Mapping[str, int]) -> dict[str, Memory[State]]:
        """What is remembered of these vehicles (vehicle to lane), missing ones read with one SELECT."""
        missing = [vehicle for vehicle in vehicles if vehicle not in self._memories]
        if missing:
            with self._phase("load"), transaction(self._engine) as connection:
                stored = load_states(connection, self._step.group, self._step.rules_version, missing)
            for vehicle in missing:
                self._memories[vehicle] = self._remember(vehicles[vehicle], stored.get(vehicle))
        return {vehicle: self._memories[vehicle] for vehicle in vehicles}

    def _remember(self, lane: int, stored: StoredState | None) -> Memory[State]:
        if stored is None:
            return Memory(lane, ordering.Order(), self._step.load(None))
        document = cast(dict[str, Any], stored.document)
        order = ordering.load(document["order"], lane)
        if stored.rules_version != self._step.rules_version:
            return Memory(lane, order, self._step.load(None), replaces=stored.rules_version)
        return Memory(lane, order, self._step.load(document["room"]), document["wake_us"])

    def _row(self, vehicle: str, memory: Memory[State]) -> StateRow:
        document: JsonObject = {
            "order": ordering.dump(memory.order),
            "room": self._step.dump(memory.room),
            "wake_us": memory.wake_us,
        }
        wake_us = memory.next_wake(self._step.topics)
        return StateRow(vehicle, memory.lane, orjson.dumps(document), wake_us, memory.replaces)

    def _check_poison(self, work: Sequence[LaneWork], outcome: Outcome[State]) -> int:
        longest, still = longest_bad_run(self._bad_run, work, outcome.dead_letters)
        if longest > self._settings.max_poison_run:
            last = outcome.dead_letters[-1]
            raise PoisonRun(
                f"{self._step.group}: {longest} bad messages in a row, and max_poison_run is "
                f"{self._settings.max_poison_run}. The last: {last.topic}/{last.lane}/{last.offset} of "
                f"{last.vehicle_id!r}, {last.reason}: {last.detail}"
            )
        return still

    def _commit(self, moved: Sequence[Position], written: Outputs, rows: Sequence[StateRow]) -> None:
        with transaction(self._engine) as connection:
            lost = move_fence(connection, self._step.group, moved)
            if lost:
                raise _Fenced(lost)
            self._write(connection, written, self._media, self._step.group)
            if rows:
                save_states(connection, self._step.group, self._step.rules_version, rows)

    def _adopt(self, work: Sequence[LaneWork], outcome: Outcome[State], rows: Sequence[StateRow]) -> None:
        for vehicle, memory in outcome.memories.items():
            self._memories[vehicle] = replace(memory, replaces=None)
            self._memories.move_to_end(vehicle)
        while len(self._memories) > self._settings.state_cache:
            self._memories.popitem(last=False)
        for row in rows:
            wakes = self._lanes[row.lane].wakes
            wakes.pop(row.vehicle_id, None)
            if row.wake_us is not None:
                wakes[row.vehicle_id] = row.wake_us
        for lane in work:
            after = replace(lane.after, version=lane.before.version + 1)
            self._lanes[after.lane].position = after
            self._consumer.commit_for_display(after.lane, after.offsets)

    # --- figures ---

    def _tell(self, outcome: Outcome[State]) -> None:
        group = self._step.group
        metrics.WORKER_COMMITS.labels(group).inc()
        metrics.WORKER_MESSAGES.labels(group).inc(outcome.delivered)
        for letter in outcome.dead_letters:
            metrics.WORKER_DEAD_LETTERS.labels(group, letter.reason).inc()
        for (_, word), count in outcome.counts.items():
            if word in _COUNTERS:
                _COUNTERS[word].labels(group).inc(count)

    def _tell_lag(self) -> None:
        now = time.monotonic()
        if now < self._lag_at:
            return
        self._lag_at = now + LAG_EVERY_S
        metrics.WORKER_LAG.labels(self._step.group).set(self._lag())

    def _lag(self) -> int:
        """Records in this worker's lanes that it has yet to fold."""
        return sum(self._behind(topic) for topic in self._step.topics)

    def _behind(self, topic: str) -> int:
        ends = self._bus.end_offsets(topic)
        at = {lane: standing.position.offsets.get(topic) for lane, standing in self._lanes.items()}
        starts = self._bus.start_offsets(topic) if None in at.values() else {}  # retention may have taken the oldest
        return sum(ends[lane] - (starts[lane] if offset is None else offset) for lane, offset in at.items())

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        begun = time.perf_counter()
        try:
            yield
        finally:
            metrics.WORKER_PHASE_SECONDS.labels(self._step.group, name).inc(time.perf_counter() - begun)
