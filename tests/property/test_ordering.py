"""Laws of the order and of folding: how the log is cut, repeated or shuffled does not matter."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from infra.bus.port import Record
from infra.contracts.codec import encode, encode_tick
from infra.contracts.topics import FRAMES, TELEMETRY, lane_of
from infra.runtime import ordering
from infra.runtime.folding import Folding, Memory, read_lane
from infra.runtime.ordering import Limits, Order
from infra.runtime.step import Delivery, Folded
from infra.store.outputs import Outputs, ScoreDue
from infra.store.positions import Position
from tests.chaos.ledger import BEGUN_US, frame, telemetry

SECOND_US = 1_000_000
WINDOW_S = 120
LIMITS = Limits(WINDOW_S * SECOND_US, max_held_bytes=100_000)
LANES = 1
Diary = list[str]


@dataclass
class DiaryStep:
    """Its state is a diary of all that happened to a vehicle. It asks to be woken 50 s after most messages, and
    10 s (which is too soon) after some; a wake-up now and then asks for another."""

    topics: Sequence[str] = (TELEMETRY,)
    group: str = "diary"
    rules_version: str = "1"

    def load(self, state: Any) -> Diary:
        return list(state["diary"]) if state else []

    def dump(self, state: Diary) -> dict[str, object]:
        return {"diary": state}

    def prepare(self, deliveries: Sequence[Delivery]) -> Sequence[Delivery]:
        return [replace(delivery, prepared=delivery.message.sequence) for delivery in deliveries]

    def fold(
        self, states: Mapping[str, Diary], deliveries: Sequence[Delivery], woken: Mapping[str, int]
    ) -> Folded[Diary]:
        assert not {delivery.vehicle_id for delivery in deliveries} & woken.keys()
        folded: Folded[Diary] = Folded({vehicle: list(diary) for vehicle, diary in states.items()})
        rows = []
        for delivery in deliveries:
            message = delivery.message
            assert delivery.prepared == message.sequence
            entry = f"{message.device_id} {message.boot_id} {message.sequence}{' late' if delivery.late else ''}"
            folded.states[message.vehicle_id].append(entry)
            rows.append(ScoreDue(message.vehicle_id, entry, 0))
            wait_s = {0: None, 1: 10}.get(message.sequence % 5, 50)
            asked = None if wait_s is None else delivery.record.arrived_us + wait_s * SECOND_US
            folded.wake_us[message.vehicle_id] = asked
        for vehicle, now_us in woken.items():
            diary = folded.states[vehicle]
            diary.append(f"woken {(now_us - BEGUN_US) // SECOND_US}")
            folded.wake_us[vehicle] = now_us + 40 * SECOND_US if len(diary) % 2 else None
        folded.outputs = Outputs(score_due=rows)
        return folded


@dataclass
class Group:
    """A group that reads a log in pieces. Between pieces it remembers nothing but JSON."""

    step: DiaryStep
    position: Position = field(default_factory=lambda: Position(0))
    documents: dict[str, bytes] = field(default_factory=dict)
    wakes: dict[str, int] = field(default_factory=dict)
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    rows: list[tuple[str, str | None]] = field(default_factory=list)

    def read(self, records: Sequence[Record]) -> None:
        work = read_lane(self.position, records, self.wakes, LANES)
        memories = {vehicle: self.remember(vehicle) for vehicle in work.vehicles}
        outcome = Folding(self.step, LIMITS, memories).fold([work])
        written = outcome.outputs()
        assert not written.dead_letters
        for vehicle, memory in outcome.memories.items():
            document = {
                "order": ordering.dump(memory.order),
                "room": self.step.dump(memory.room),
                "wake_us": memory.wake_us,
            }
            self.documents[vehicle] = orjson.dumps(document)
            self.wakes.pop(vehicle, None)
            wake_us = memory.next_wake(self.step.topics)
            if wake_us is not None:
                self.wakes[vehicle] = wake_us
        self.position = work.after
        self.counts.update(written.counts)
        self.rows += [(due.vehicle_id, due.driver_id) for due in written.score_due]

    def remember(self, vehicle: str) -> Memory[Diary]:
        if vehicle not in self.documents:
            return Memory(0, Order(), self.step.load(None))
        document = orjson.loads(self.documents[vehicle])
        return Memory(0, ordering.load(document["order"], 0), self.step.load(document["room"]), document["wake_us"])

    @property
    def diaries(self) -> dict[str, Diary]:
        return {vehicle: orjson.loads(document)["room"]["diary"] for vehicle, document in self.documents.items()}


def read_all(log: Sequence[Record], cuts: Sequence[int] = (), step: DiaryStep | None = None) -> Group:
    group = Group(step or DiaryStep())
    edges = [0, *sorted(cut % (len(log) + 1) for cut in cuts), len(log)]
    for first, last in itertools.pairwise(edges):
        if first < last:
            group.read(log[first:last])
    return group


@st.composite
def wild_logs(draw: st.DrawFn) -> list[Record]:
    """Anything: gaps, repeats, old boots, long silences, clocks that go back, ticks."""
    log = []
    now_us = BEGUN_US
    for offset in range(draw(st.integers(1, 40))):
        now_us += draw(st.sampled_from([0, 1, 5, 20, 45, 130, -10])) * SECOND_US
        if draw(st.integers(0, 6)) == 0:
            log.append(Record(TELEMETRY, 0, offset, "", encode_tick(now_us), now_us))
            continue
        message = telemetry(
            draw(st.sampled_from(["bus", "van"])),
            draw(st.integers(0, 9)),
            draw(st.sampled_from(["b0", "b0", "b0", "b1", "b2"])),
            draw(st.sampled_from(["tracker", "tracker", "phone"])),
        )
        log.append(Record(TELEMETRY, 0, offset, message.vehicle_id, encode(message), now_us))
    return log


def orderly(vehicle: str, device: str, boots: Sequence[int], gap_s: float = 5) -> list[Record]:
    """What a device sends, boot after boot, without offsets."""
    messages = [telemetry(vehicle, n, f"b{boot}", device) for boot, length in enumerate(boots) for n in range(length)]
    return [
        Record(TELEMETRY, 0, 0, vehicle, encode(message), BEGUN_US + int(n * gap_s * SECOND_US))
        for n, message in enumerate(messages)
    ]


def logged(records: Sequence[Record]) -> list[Record]:
    """Records in order of arrival, with offsets; a tick long after closes every window."""
    placed = sorted(records, key=lambda record: record.arrived_us)
    end_us = placed[-1].arrived_us + 10 * WINDOW_S * SECOND_US if placed else BEGUN_US
    placed.append(Record(TELEMETRY, 0, 0, "", encode_tick(end_us), end_us))
    return [replace(record, offset=offset) for offset, record in enumerate(placed)]


def heard(group: Group) -> dict[str, Diary]:
    """Diaries without wake-ups, which go by arrival."""
    return {vehicle: [entry for entry in diary if "woken" not in entry] for vehicle, diary in group.diaries.items()}


@given(wild_logs(), st.lists(st.integers(0, 1000), max_size=8))
def test_any_split_of_the_log_gives_the_same(log: list[Record], cuts: list[int]) -> None:
    whole, pieces = read_all(log), read_all(log, cuts)
    assert pieces.diaries == whole.diaries
    assert sorted(pieces.rows) == sorted(whole.rows)
    assert pieces.counts == whole.counts
    assert pieces.wakes == whole.wakes
    assert [orjson.loads(pieces.documents[v]) for v in sorted(pieces.documents)] == [
        orjson.loads(whole.documents[v]) for v in sorted(whole.documents)
    ]


@given(wild_logs())
def test_one_record_at_a_time_gives_the_same(log: list[Record]) -> None:
    assert read_all(log, range(len(log))).diaries == read_all(log).diaries


@given(wild_logs())
def test_every_message_is_passed_on_at_most_once(log: list[Record]) -> None:
    for diary in read_all(log).diaries.values():
        entries = [entry.removesuffix(" late") for entry in diary if "woken" not in entry]
        assert len(entries) == len(set(entries))


@given(wild_logs())
def test_nothing_is_lost(log: list[Record]) -> None:
    """Once every window has closed, each message that came was passed on."""
    group = read_all(logged(log))
    sent = {(r.key, ordering_key(r)) for r in log if r.key}
    assert {(vehicle, entry) for vehicle, diary in heard(group).items() for entry in map(strip, diary)} == sent
    assert group.counts.total() - sum(group.counts[v, "late"] + group.counts[v, "missing"] for v in ("bus", "van")) == (
        sum(1 for r in log if r.key)
    ), "messages and duplicates add up to what came"


def ordering_key(record: Record) -> str:
    from infra.contracts.codec import decode

    message = decode(record.value)
    return f"{message.device_id} {message.boot_id} {message.sequence}"


def strip(entry: str) -> str:
    return entry.removesuffix(" late")


@given(st.lists(st.integers(1, 12), min_size=1, max_size=3), st.randoms(use_true_random=False))
def test_duplicates_change_nothing_but_their_count(boots: list[int], rng: random.Random) -> None:
    """Repeats come at any later time, even boots later."""
    sent = orderly("bus", "tracker", boots)
    last_us = sent[-1].arrived_us
    again = [
        replace(record, arrived_us=rng.randint(record.arrived_us + 1, last_us + 60 * SECOND_US))
        for record in sent
        for _ in range(rng.choice([0, 0, 1, 2]))
    ]
    once, twice = read_all(logged(sent)), read_all(logged([*sent, *again]))
    assert heard(twice) == heard(once)
    assert twice.rows == once.rows
    assert twice.counts == once.counts + Counter({("bus", "duplicate"): len(again)})


@given(st.integers(1, 30), st.integers(1, 30), st.randoms(use_true_random=False))
def test_shuffles_within_the_late_window_change_nothing(first: int, second: int, rng: random.Random) -> None:
    sent = orderly("bus", "tracker", [first]) + orderly("bus", "phone", [second])
    shuffled = [
        replace(record, arrived_us=record.arrived_us + rng.randint(0, (WINDOW_S - 1) * SECOND_US)) for record in sent
    ]
    straight, wild = read_all(logged(sent)), read_all(logged(shuffled), [rng.randint(0, 60) for _ in range(5)])
    assert wild.counts == straight.counts == Counter({("bus", "messages"): first + second})
    for device in ("tracker", "phone"):
        entries = [[e for e in heard(group)["bus"] if e.startswith(device)] for group in (straight, wild)]
        assert entries[0] == entries[1]


@given(wild_logs())
def test_an_order_survives_json(log: list[Record]) -> None:
    order = Order()
    for record in log:
        if record.key:
            order.release(TELEMETRY, record.arrived_us)
            order.accept(record, _message(record), record.arrived_us, LIMITS)
    document = orjson.loads(orjson.dumps(ordering.dump(order)))
    assert ordering.load(document, 0).streams == order.streams
    assert ordering.dump(ordering.load(document, 0)) == ordering.dump(order)


def _message(record: Record) -> Any:
    from infra.contracts.codec import decode

    return decode(record.value)


@given(wild_logs(), st.randoms(use_true_random=False), st.lists(st.integers(0, 1000), max_size=6))
def test_two_topics_of_a_lane_may_be_read_in_any_interleaving(
    log: list[Record], rng: random.Random, cuts: list[int]
) -> None:
    """Where a step does not care which topic comes first. (Wake-ups wait for the slower topic.)"""
    frames = [replace(record, topic=FRAMES, value=_as_frame(record)) for record in log]
    streams = [list(log), list(frames)]
    mixed = [streams[side].pop(0) for side in rng.sample([0] * len(log) + [1] * len(log), 2 * len(log))]
    step = DiaryStep(topics=(TELEMETRY, FRAMES))
    one_after_other, interleaved = read_all([*log, *frames], step=step), read_all(mixed, cuts, step)
    for vehicle, diary in heard(one_after_other).items():
        for device in ("tracker", "phone", "cam"):
            assert [e for e in diary if e.startswith(device)] == [
                e for e in heard(interleaved)[vehicle] if e.startswith(device)
            ]
    assert interleaved.counts == one_after_other.counts


def _as_frame(record: Record) -> bytes:
    if not record.key:
        return record.value
    message = _message(record)
    return encode(frame(message.vehicle_id, message.sequence, message.boot_id))


def test_lanes_of_this_suite() -> None:
    assert lane_of("bus", LANES) == lane_of("van", LANES) == 0
