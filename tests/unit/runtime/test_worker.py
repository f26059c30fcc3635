"""The worker on a real PostgreSQL: poison, wake-ups, retries, and what it leaves behind."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import OperationalError

from infra import metrics
from infra.bus.memory import MemoryBus
from infra.clock import FixedClock
from infra.contracts.codec import encode
from infra.contracts.topics import ALERTS, TELEMETRY, lane_of
from infra.runtime import worker as worker_module
from infra.runtime.outbox import Outbox
from infra.runtime.step import Delivery, Folded
from infra.runtime.ticker import Ticker
from infra.runtime.worker import PoisonRun, Worker, transaction
from infra.settings import Settings
from infra.store import outputs
from infra.store.media import LocalMedia, MediaUnavailable
from infra.store.outputs import Outputs
from tests.chaos.ledger import BEGUN_US, chains_of, counts_of, telemetry

pytestmark = pytest.mark.store("postgres")
LANES = 4
SECOND_US = 1_000_000


@dataclass
class TouchyStep:
    """Counts messages per vehicle, and dislikes some."""

    group: str = "touchy"
    topics: Sequence[str] = (TELEMETRY,)
    rules_version: str = "1"
    poison: set[int] = field(default_factory=set)
    poison_in_prepare: set[int] = field(default_factory=set)
    wake_after_s: float | None = None
    dislikes_waking: bool = False
    folds: list[int] = field(default_factory=list)

    def load(self, state: Any) -> list[str]:
        return list(state["heard"]) if state else []

    def dump(self, state: list[str]) -> dict[str, object]:
        return {"heard": state}

    def prepare(self, deliveries: Sequence[Delivery]) -> Sequence[Delivery]:
        if any(delivery.message.sequence in self.poison_in_prepare for delivery in deliveries):
            raise ArithmeticError("no such picture")
        return deliveries

    def fold(
        self, states: Mapping[str, list[str]], deliveries: Sequence[Delivery], woken: Mapping[str, int]
    ) -> Folded[list[str]]:
        if woken and self.dislikes_waking:
            raise RuntimeError("let me sleep")
        folded: Folded[list[str]] = Folded({vehicle: list(heard) for vehicle, heard in states.items()})
        for delivery in deliveries:
            if delivery.message.sequence in self.poison:
                raise ZeroDivisionError("speed over nothing")
            folded.states[delivery.vehicle_id].append(str(delivery.message.sequence))
            if self.wake_after_s is not None:
                due_us = delivery.record.arrived_us + int(self.wake_after_s * SECOND_US)
                folded.wake_us[delivery.vehicle_id] = due_us
        for vehicle in woken:
            folded.states[vehicle].append("woken")
        self.folds.append(len(deliveries))
        return folded


class House:
    """A bus, a database, and a worker in it."""

    def __init__(self, engine: Engine, media: LocalMedia) -> None:
        self.bus = MemoryBus(LANES)
        self.producer = self.bus.producer()
        self.engine = engine
        self.media = media
        self.clock_us = BEGUN_US

    def worker(self, step: Any, **settings: Any) -> Worker[Any]:
        extra = {name: settings.pop(name) for name in ("chores", "write") if name in settings}
        return Worker(step, self.bus, self.engine, Settings(lanes=LANES, **settings), self.media, **extra)

    def send(self, *sequences: int, vehicle: str = "bus") -> None:
        for sequence in sequences:
            self.clock_us += SECOND_US
            self.producer.publish(TELEMETRY, vehicle, encode(telemetry(vehicle, sequence)), self.clock_us)

    def tick(self, after_s: float) -> None:
        self.clock_us += int(after_s * SECOND_US)
        asyncio.run(Ticker(self.producer, LANES, FixedClock(self.clock_us), 30).tick())

    def heard(self, group: str = "touchy") -> dict[str, list[str]]:
        return {vehicle: room["heard"] for vehicle, room in chains_of(self.engine, group).items()}

    def letters(self) -> list[tuple[str, int, str, bool]]:
        query = "SELECT vehicle_id, record_offset, reason, payload IS NOT NULL FROM dead_letter ORDER BY record_offset"
        with self.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(query))]  # type: ignore[misc]


@pytest.fixture
def house(database: Engine, media: LocalMedia) -> House:
    return House(database, media)


def drain(worker: Worker[Any]) -> int:
    done = 0
    while (more := worker.pump()) or not worker.settled:
        done += more
    return done


def test_messages_become_states_and_counts(house: House) -> None:
    house.send(0, 1, 1, 2)
    house.send(0, vehicle="van")
    worker = house.worker(TouchyStep())
    assert drain(worker) == 5
    assert house.heard() == {"bus": ["0", "1", "2"], "van": ["0"]}
    assert counts_of(house.engine, "touchy") == {"messages": 4, "duplicate": 1}


def test_a_poisonous_message_becomes_a_dead_letter_and_the_rest_goes_on(house: House) -> None:
    house.send(*range(20))
    house.send(*range(20), vehicle="van")
    step = TouchyStep(poison={7, 13})
    drain(house.worker(step))
    expected = [str(n) for n in range(20) if n not in (7, 13)]
    assert house.heard() == {"bus": expected, "van": expected}
    assert {(vehicle, reason) for vehicle, _, reason, _ in house.letters()} == {
        ("bus", "poison:ZeroDivisionError"),
        ("van", "poison:ZeroDivisionError"),
    }
    assert len(house.letters()) == 4
    assert all(payload for *_, payload in house.letters())
    assert sum(step.folds) == 36, "no message was folded twice with success"


def test_poison_in_preparing_is_set_apart_too(house: House) -> None:
    house.send(*range(6))
    drain(house.worker(TouchyStep(poison_in_prepare={2})))
    assert house.heard() == {"bus": ["0", "1", "3", "4", "5"]}
    assert [reason for _, _, reason, _ in house.letters()] == ["poison:ArithmeticError"]


def test_bytes_that_are_no_message_are_kept_as_dead_letters(house: House) -> None:
    house.send(0)
    house.producer.publish(TELEMETRY, "bus", b"not a message", house.clock_us)
    house.producer.publish(TELEMETRY, "bus", encode(telemetry("van", 0)), house.clock_us)
    house.producer.publish_to_lane(TELEMETRY, 0, b"no tick", house.clock_us)
    drain(house.worker(TouchyStep()))
    assert house.heard() == {"bus": ["0"]}
    letters = house.letters()
    assert sorted(vehicle for vehicle, *_ in letters) == ["", "bus", "bus"]
    assert "misplaced" in {reason for _, _, reason, _ in letters}
    assert all(payload for *_, payload in letters)


def test_a_message_in_a_lane_that_is_not_its_vehicles_is_refused(house: House) -> None:
    """Two lanes would share a state row, and the fence protects one lane."""
    wrong = (lane_of("bus", LANES) + 1) % LANES
    house.bus.append(TELEMETRY, wrong, "bus", encode(telemetry("bus", 0)), house.clock_us)
    drain(house.worker(TouchyStep()))
    assert [(vehicle, reason) for vehicle, _, reason, _ in house.letters()] == [("bus", "misplaced")]
    assert house.heard() == {}


def test_too_much_poison_in_a_row_stops_the_worker_and_commits_nothing(house: House) -> None:
    house.send(*range(30))
    worker = house.worker(TouchyStep(poison=set(range(10, 25))), max_poison_run=14)
    with pytest.raises(PoisonRun, match="touchy: 15 bad messages in a row"):
        worker.run()
    assert house.heard() == {}
    assert house.letters() == []
    drain(house.worker(TouchyStep(poison=set(range(10, 25))), max_poison_run=15))
    assert len(house.letters()) == 15


def test_a_run_of_poison_is_counted_over_several_rounds(house: House) -> None:
    house.send(*range(30))
    worker = house.worker(TouchyStep(poison=set(range(30))), max_poison_run=20, worker_batch=8)
    with pytest.raises(PoisonRun):
        drain(worker)


def test_a_vehicle_is_woken_when_its_lane_has_moved_on(house: House) -> None:
    worker = house.worker(TouchyStep(wake_after_s=60))
    house.send(0)
    drain(worker)
    house.tick(after_s=59)
    drain(worker)
    assert house.heard() == {"bus": ["0"]}
    house.tick(after_s=1)
    drain(worker)
    assert house.heard() == {"bus": ["0", "woken"]}
    house.tick(after_s=600)
    drain(worker)
    assert house.heard() == {"bus": ["0", "woken"]}


def test_a_wake_up_is_not_forgotten_by_a_restart(house: House) -> None:
    worker = house.worker(TouchyStep(wake_after_s=60))
    house.send(0)
    drain(worker)
    worker.close()
    house.tick(after_s=100)
    drain(house.worker(TouchyStep(wake_after_s=60)))
    assert house.heard() == {"bus": ["0", "woken"]}


def test_a_wake_up_that_fails_becomes_a_dead_letter_once(house: House) -> None:
    worker = house.worker(TouchyStep(wake_after_s=60, dislikes_waking=True))
    house.send(0)
    house.tick(after_s=100)
    drain(worker)
    house.tick(after_s=100)
    drain(worker)
    assert [reason for _, _, reason, _ in house.letters()] == ["poison:RuntimeError"]


def test_a_lost_message_is_given_up_when_the_window_has_passed(house: House) -> None:
    worker = house.worker(TouchyStep(), late_window_s=120)
    house.send(0, 2)
    drain(worker)
    assert house.heard() == {"bus": ["0"]}
    worker.close()
    house.tick(after_s=121)
    drain(house.worker(TouchyStep(), late_window_s=120))
    assert house.heard() == {"bus": ["0", "2"]}
    assert counts_of(house.engine, "touchy") == {"messages": 2, "missing": 1}


def test_new_rules_start_rooms_afresh_but_not_the_order(house: House) -> None:
    house.send(0, 1, 2)
    first = house.worker(TouchyStep())
    drain(first)
    first.close()
    house.send(2, 3)
    drain(house.worker(TouchyStep(rules_version="2")))
    assert house.heard() == {"bus": ["3"]}, "one row: the old one gave way"
    assert counts_of(house.engine, "touchy") == {"messages": 4, "duplicate": 1}


def test_a_worker_that_remembers_one_vehicle_only_is_right_all_the_same(house: House) -> None:
    worker = house.worker(TouchyStep(), state_cache=1, worker_batch=3)
    for sequence in range(5):
        for vehicle in ("bus", "van", "tram"):
            house.send(sequence, vehicle=vehicle)
    drain(worker)
    assert set(map(tuple, house.heard().values())) == {("0", "1", "2", "3", "4")}
    assert len(house.heard()) == 3


@pytest.mark.parametrize(
    "away",
    [
        OperationalError("COMMIT", {}, Exception("server closed the connection unexpectedly")),
        MediaUnavailable("s3://bucket/footage: could not connect"),
    ],
    ids=["database", "media"],
)
def test_a_store_that_goes_away_is_waited_for(house: House, monkeypatch: pytest.MonkeyPatch, away: Exception) -> None:
    monkeypatch.setattr(worker_module, "PAUSES_S", (0.01,))
    failures = iter([True, True, True, False])

    def flaky(connection: Connection, written: Outputs, media: LocalMedia, group: str) -> None:
        outputs.write(connection, written, media, group)
        if next(failures, False):
            raise away

    worker = house.worker(TouchyStep(), write=flaky)
    house.send(0, 1, 2)
    runner = threading.Thread(target=worker.run)
    runner.start()
    for _ in range(200):
        if house.heard():
            break
        threading.Event().wait(0.02)
    worker.stop()
    runner.join(10)
    assert not runner.is_alive()
    assert house.heard() == {"bus": ["0", "1", "2"]}
    assert counts_of(house.engine, "touchy") == {"messages": 3}


def test_chores_are_done_after_each_round_and_counted(house: House) -> None:
    pending = [3, 2]

    def chore(engine: Engine) -> int:
        with transaction(engine) as connection:
            assert connection.scalar(text("SELECT 1")) == 1
        return pending.pop() if pending else 0

    assert drain(house.worker(TouchyStep(), chores=[chore])) == 5


def test_a_lane_taken_over_is_read_from_where_the_other_left_it(house: House) -> None:
    step = TouchyStep()
    first = house.worker(step)
    house.send(*range(5))
    drain(first)
    second = house.worker(step)
    house.send(*range(5, 10))
    while first.pump() + second.pump() or not (first.settled and second.settled):
        pass
    assert house.heard() == {"bus": [str(n) for n in range(10)]}


def test_figures_are_kept(house: House) -> None:
    step = TouchyStep(group="figures", poison={1})
    house.send(0, 1, 2)
    worker = house.worker(step)
    drain(worker)
    labels = {"group": "figures"}
    value = metrics.WORKER_MESSAGES.labels(**labels)._value.get()
    assert value == 2
    assert metrics.WORKER_DEAD_LETTERS.labels("figures", "poison:ZeroDivisionError")._value.get() == 1
    assert metrics.WORKER_LANES.labels(**labels)._value.get() == LANES
    assert metrics.WORKER_PHASE_SECONDS.labels("figures", "fold")._value.get() > 0


def test_the_outbox_is_published_in_order_and_once_it_is_sent(house: House) -> None:
    with house.engine.begin() as connection:
        for number in range(3):
            row = {"topic": ALERTS, "key": "bus", "payload": orjson.dumps({"number": number}).decode()}
            query = "INSERT INTO outbox (topic, key, payload) VALUES (:topic, :key, CAST(:payload AS jsonb))"
            connection.execute(text(query), row)
    outbox = Outbox(house.bus, FixedClock(BEGUN_US))
    assert [outbox(house.engine), outbox(house.engine)] == [3, 0]
    records = house.bus.log(ALERTS)[lane_of("bus", LANES)]
    assert [orjson.loads(record.value)["payload"]["number"] for record in records] == [0, 1, 2]
    with house.engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM outbox WHERE sent_at IS NULL")) == 0
