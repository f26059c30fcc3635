"""What every bus promises (infra.bus.port): one suite for the one in memory and for Kafka."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence

import pytest

from infra.bus.kafka import KafkaBus
from infra.bus.memory import MemoryBus
from infra.bus.port import Bus, Consumer, LaneLost, MessageTooLarge, Record
from infra.contracts.topics import FRAMES, TELEMETRY, lane_of

BOTH = (TELEMETRY, FRAMES)
NOW_US = 1_700_000_000_123_000


def send(bus: Bus, *messages: tuple[str, str, bytes]) -> None:
    producer = bus.producer()

    async def publish() -> None:
        sent = [
            producer.publish(topic, key, value, NOW_US + n * 1000) for n, (topic, key, value) in enumerate(messages)
        ]
        for each in sent:
            await each

    try:
        asyncio.run(publish())
    finally:
        producer.close()


def key_in(lane: int, lanes: int) -> str:
    return next(key for key in (f"vehicle-{n}" for n in range(1000)) if lane_of(key, lanes) == lane)


def until(consumer: Consumer, done: Callable[[], bool], timeout_s: float = 20.0) -> list[Record]:
    """Poll until something holds, keeping what comes."""
    deadline = time.monotonic() + timeout_s
    records: list[Record] = []
    while not done():
        assert time.monotonic() < deadline, "waited in vain"
        records += consumer.poll(0.1, 100)
    return records


def join(bus: Bus, group: str = "group", topics: Sequence[str] = BOTH) -> Consumer:
    """A consumer that owns lanes, and reads from the beginning of each."""
    consumer = bus.consumer(group, topics)
    until(consumer, lambda: bool(consumer.assigned()))
    for lane in consumer.assigned():
        consumer.seek(lane, {})
    return consumer


def read(consumer: Consumer, count: int) -> list[Record]:
    records: list[Record] = []
    deadline = time.monotonic() + 20
    while len(records) < count and time.monotonic() < deadline:
        records += consumer.poll(0.1, 100)
    return records


def test_a_vehicle_has_the_same_lane_in_every_topic_and_keeps_its_order(bus: Bus) -> None:
    sent = [(topic, f"vehicle-{n % 5}", b"%d" % n) for n in range(40) for topic in BOTH]
    send(bus, *sent)
    consumer = join(bus)
    records = read(consumer, len(sent))
    consumer.close()
    assert {record.lane == lane_of(record.key, bus.lanes) for record in records} == {True}
    for topic in BOTH:
        for vehicle in range(5):
            values = [int(r.value) for r in records if r.topic == topic and r.key == f"vehicle-{vehicle}"]
            assert values == list(range(vehicle, 40, 5))


def test_a_record_comes_back_as_it_was_sent(bus: Bus) -> None:
    send(bus, (TELEMETRY, "vehicle-1", bytes(range(256))))
    consumer = join(bus)
    (record,) = read(consumer, 1)
    consumer.close()
    assert record == Record(TELEMETRY, lane_of("vehicle-1", bus.lanes), 0, "vehicle-1", bytes(range(256)), NOW_US)


def test_a_tick_has_no_key_and_goes_to_the_lane_that_was_named(bus: Bus) -> None:
    producer = bus.producer()

    async def publish() -> None:
        for lane in range(bus.lanes):
            await producer.publish_to_lane(FRAMES, lane, b"tick", NOW_US)

    asyncio.run(publish())
    producer.close()
    consumer = join(bus)
    records = read(consumer, bus.lanes)
    consumer.close()
    assert sorted((record.lane, record.key, record.value) for record in records) == [
        (lane, "", b"tick") for lane in range(bus.lanes)
    ]


def test_reading_goes_on_where_it_was_sought(bus: Bus) -> None:
    key = key_in(2, bus.lanes)
    send(bus, *((TELEMETRY, key, b"%d" % n) for n in range(10)), *((FRAMES, key, b"%d" % n) for n in range(3)))
    consumer = join(bus)
    read(consumer, 13)
    consumer.seek(2, {TELEMETRY: 7})
    again = read(consumer, 6)
    consumer.close()
    assert [(r.topic, r.offset) for r in again if r.topic == TELEMETRY] == [(TELEMETRY, n) for n in (7, 8, 9)]
    assert [r.offset for r in again if r.topic == FRAMES] == [0, 1, 2], "a topic left out starts at its beginning"


def test_a_poll_returns_no_more_than_it_is_asked_for(bus: Bus) -> None:
    send(bus, *((TELEMETRY, f"vehicle-{n}", b"x") for n in range(30)))
    consumer = join(bus)
    sizes: list[int] = []
    while sum(sizes) < 30:
        sizes.append(len(consumer.poll(0.5, 7)))
    consumer.close()
    assert max(sizes) <= 7


def test_two_members_share_the_lanes_and_each_lane_has_one_owner(bus: Bus) -> None:
    first = join(bus)
    assert sorted(first.assigned()) == list(range(bus.lanes))
    second = bus.consumer("group", BOTH)
    until_both(first, second, lambda: len(first.assigned()) == len(second.assigned()) == bus.lanes // 2)
    assert sorted([*first.assigned(), *second.assigned()]) == list(range(bus.lanes))
    first.close()
    until(second, lambda: len(second.assigned()) == bus.lanes)
    second.close()


def until_both(first: Consumer, second: Consumer, done: Callable[[], bool]) -> None:
    """Joining takes both: each is polled by its own thread."""
    helper = threading.Thread(target=until, args=(second, done))
    helper.start()
    until(first, done)
    helper.join()


def test_a_lane_that_was_assigned_again_has_a_greater_generation(bus: Bus) -> None:
    first = join(bus)
    before = dict(first.assigned())
    second = bus.consumer("group", BOTH)
    until_both(first, second, lambda: len(first.assigned()) == len(second.assigned()) == bus.lanes // 2)
    kept = first.assigned()
    assert all(generation > before[lane] for lane, generation in kept.items())
    lost = next(lane for lane in before if lane not in kept)
    with pytest.raises(LaneLost):
        first.seek(lost, {})
    first.close()
    second.close()


def test_a_member_knows_whether_it_was_told_its_lanes(bus: Bus) -> None:
    consumer = bus.consumer("group", BOTH)
    assert (consumer.joined(), consumer.assigned()) == (False, {})
    until(consumer, consumer.joined)
    assert sorted(consumer.assigned()) == list(range(bus.lanes))
    consumer.close()


@pytest.mark.bus("kafka")
def test_nobody_shares_lanes_out_before_it_knows_the_topics(bus: Bus, caplog: pytest.LogCaptureFixture) -> None:
    """A leader that does not know them gives nobody a lane, and may not look again for minutes."""
    for number in range(5):
        join(bus, f"group-{number}").close()
    assert "No partition metadata" not in caplog.text


@pytest.mark.bus("kafka")
def test_a_leader_that_rejoins_works_on_when_the_answer_comes_between_two_polls(bus: KafkaBus) -> None:
    consumer = join(bus)
    before = consumer.assigned()
    client = consumer._client  # type: ignore[attr-defined]
    client._coordinator._assignment_snapshot = {}  # as where topics were unknown when it shared them out
    while not client._coordinator.rejoining:
        client.poll(1)
    time.sleep(1)
    until(consumer, lambda: consumer.assigned().keys() == before.keys())
    assert all(generation > before[lane] for lane, generation in consumer.assigned().items())
    for lane in consumer.assigned():
        consumer.seek(lane, {})
    send(bus, (TELEMETRY, "vehicle-1", b"after"))
    assert [record.value for record in read(consumer, 1)] == [b"after"]
    consumer.close()


def test_groups_do_not_share(bus: Bus) -> None:
    send(bus, (TELEMETRY, "vehicle-1", b"for everyone"))
    consumers = [join(bus, group) for group in ("one", "other")]
    assert [[r.value for r in read(consumer, 1)] for consumer in consumers] == [[b"for everyone"]] * 2
    for consumer in consumers:
        consumer.close()


def test_display_offsets_do_not_decide_where_reading_begins(bus: Bus) -> None:
    key = key_in(1, bus.lanes)
    send(bus, *((TELEMETRY, key, b"%d" % n) for n in range(5)))
    first = join(bus)
    read(first, 5)
    first.commit_for_display(1, {TELEMETRY: 5, FRAMES: 0})
    first.poll(0.1, 10)
    first.close()
    second = join(bus)
    assert [r.offset for r in read(second, 5)] == [0, 1, 2, 3, 4]
    second.close()


def test_offsets_of_a_topic(bus: Bus) -> None:
    lane = lane_of("vehicle-1", bus.lanes)
    send(bus, *[(TELEMETRY, "vehicle-1", b"x")] * 3)
    empty = dict.fromkeys(range(bus.lanes), 0)
    assert bus.end_offsets(TELEMETRY) == empty | {lane: 3}
    assert bus.end_offsets(FRAMES) == empty
    assert bus.start_offsets(TELEMETRY) == empty


def test_a_message_over_the_limit_is_refused_and_the_next_one_is_not(bus: Bus) -> None:
    with pytest.raises(MessageTooLarge):
        send(bus, (FRAMES, "vehicle-1", bytes(5_000_001)))
    send(bus, (FRAMES, "vehicle-1", bytes(4_999_999)))
    assert sum(bus.end_offsets(FRAMES).values()) == 1


def test_publishing_while_another_thread_polls(bus: Bus) -> None:
    consumer = join(bus)
    records: list[Record] = []
    reader = threading.Thread(target=lambda: records.extend(read(consumer, 300)))
    reader.start()
    send(bus, *((TELEMETRY, f"vehicle-{n % 7}", b"%d" % n) for n in range(300)))
    reader.join()
    consumer.close()
    assert sorted(int(record.value) for record in records) == list(range(300))


def test_a_poll_waits_for_what_comes_and_no_longer(bus: Bus) -> None:
    consumer = join(bus)
    begun = time.monotonic()
    assert consumer.poll(0.3, 10) == []
    assert 0.25 < time.monotonic() - begun < 2
    threading.Timer(0.2, send, (bus, (TELEMETRY, "vehicle-1", b"at last"))).start()
    begun = time.monotonic()
    assert [record.value for record in until_any(consumer)] == [b"at last"]
    assert time.monotonic() - begun < 5
    consumer.close()


def until_any(consumer: Consumer) -> Sequence[Record]:
    return next(records for records in iter(lambda: consumer.poll(10, 10), None) if records)


def test_a_producer_that_reached_its_broker_is_ready(bus: Bus) -> None:
    producer = bus.producer()
    send(bus, (TELEMETRY, "vehicle-1", b"x"))
    deadline = time.monotonic() + 10
    while not producer.ready():
        assert time.monotonic() < deadline
    producer.close()


def test_topics_are_made_once(bus: Bus) -> None:
    send(bus, (TELEMETRY, "vehicle-1", b"x"))
    bus.ensure_topics()
    assert sum(bus.end_offsets(TELEMETRY).values()) == 1


@pytest.mark.bus("memory")
def test_an_expelled_member_reads_on_in_lanes_that_are_anothers(bus: MemoryBus) -> None:
    zombie, heir = join(bus), bus.consumer("group", BOTH)
    heir.poll(0, 1), zombie.poll(0, 1)
    bus.expel(zombie, unaware_polls=2)
    send(bus, *((TELEMETRY, key_in(lane, bus.lanes), b"x") for lane in range(bus.lanes)))
    heir.poll(0, 100)
    assert sorted(heir.assigned()) == list(range(bus.lanes))
    believed = set(zombie.assigned())
    assert believed
    assert {record.lane for record in zombie.poll(0, 100)} == believed
    zombie.poll(0, 100)  # here it learns, and joins again
    zombie.poll(0, 100)
    heir.poll(0, 100)
    assert sorted([*heir.assigned(), *zombie.assigned()]) == list(range(bus.lanes))


def test_a_stretch_of_a_lane_is_read_again_whoever_has_it(bus: Bus) -> None:
    lane = lane_of("vehicle-1", bus.lanes)
    send(bus, *((FRAMES, "vehicle-1", b"%d" % n) for n in range(120)))
    consumer = join(bus)
    read(consumer, 120)
    again = [(r.offset, r.key, r.value, r.arrived_us) for r in bus.read(FRAMES, lane, 3, 6)]
    assert again == [(n, "vehicle-1", b"%d" % n, NOW_US + n * 1000) for n in (3, 4, 5)]
    assert [r.offset for r in bus.read(FRAMES, lane, 20, 119)] == list(range(20, 119))
    assert [r.offset for r in bus.read(FRAMES, lane, 118, 999)] == [118, 119], "what is not there yet is left out"
    assert list(bus.read(FRAMES, lane, 500, 999)) == []
    assert list(bus.read(FRAMES, lane, 6, 6)) == []
    consumer.close()
