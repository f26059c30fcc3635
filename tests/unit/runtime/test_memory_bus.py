"""What the memory bus has besides the port: it counts on from an earlier life, and lets go of what is done with."""

import asyncio

from infra.bus.memory import MemoryBus
from infra.contracts.topics import FRAMES, TELEMETRY


def publish(bus: MemoryBus, topic: str, *values: bytes) -> None:
    producer = bus.producer()

    async def send() -> None:
        for value in values:
            await producer.publish(topic, "van-7", value, 1_000_000)

    asyncio.run(send())


def read(consumer, bus, offset: int) -> list[tuple[int, bytes]]:
    consumer.poll(0, 100)
    for lane in consumer.assigned():
        consumer.seek(lane, {TELEMETRY: offset})
    return [(record.offset, record.value) for record in consumer.poll(0, 100)]


def test_offsets_go_on_where_the_last_bus_ended():
    bus = MemoryBus(1, begins={TELEMETRY: {0: 40}})
    publish(bus, TELEMETRY, b"a", b"b")
    assert bus.start_offsets(TELEMETRY) == {0: 40}
    assert bus.end_offsets(TELEMETRY) == {0: 42}
    assert bus.end_offsets(FRAMES) == {0: 0}
    consumer = bus.consumer("scoring", [TELEMETRY])
    assert read(consumer, bus, 40) == [(40, b"a"), (41, b"b")]
    assert read(consumer, bus, 41) == [(41, b"b")]


def test_a_group_that_was_behind_goes_on_with_what_there_is():
    bus = MemoryBus(1, begins={TELEMETRY: {0: 40}})
    publish(bus, TELEMETRY, b"a")
    assert read(bus.consumer("scoring", [TELEMETRY]), bus, 7) == [(40, b"a")]


def test_trim_lets_go_of_what_every_group_has():
    bus = MemoryBus(1)
    publish(bus, TELEMETRY, b"a", b"b", b"c")
    quick, slow = bus.consumer("quick", [TELEMETRY]), bus.consumer("slow", [TELEMETRY])
    read(quick, bus, 0)
    quick.commit_for_display(0, {TELEMETRY: 3})
    assert bus.trim() == 0, "the slow group has committed nothing"
    slow.commit_for_display(0, {TELEMETRY: 2})
    assert bus.trim() == 2
    assert bus.start_offsets(TELEMETRY) == {0: 2}
    assert read(slow, bus, 2) == [(2, b"c")]
    publish(bus, TELEMETRY, b"d")
    assert [record.offset for record in quick.poll(0, 100)] == [3]


def test_trim_keeps_nothing_of_a_topic_that_nobody_reads():
    bus = MemoryBus(1)
    publish(bus, TELEMETRY, b"a")
    assert bus.trim() == 1
    assert bus.end_offsets(TELEMETRY) == {0: 1}


def test_the_newest_frames_stay_to_be_read_again_and_older_ones_are_gone():
    bus = MemoryBus(1, kept_bytes={FRAMES: 4})
    publish(bus, FRAMES, b"aa", b"bb", b"cc")
    slow = bus.consumer("slow", [FRAMES])
    read(slow, bus, 0)
    assert bus.trim() == 0, "what a group has not committed stays, however much it is"
    slow.commit_for_display(0, {FRAMES: 3})
    assert bus.trim() == 1
    assert [record.value for record in bus.read(FRAMES, 0, 0, 3)] == [b"bb", b"cc"]
    assert bus.trim() == 0
