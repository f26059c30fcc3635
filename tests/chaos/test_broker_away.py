"""A broker that freezes: senders are told within seconds, and all goes on when it is back."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from infra.bus.kafka import KafkaBus
from infra.bus.port import BusUnavailable, Producer
from infra.contracts.topics import TELEMETRY
from infra.runtime.broker import Broker
from tests.servers import Servers

NOW_US = 1_700_000_000_000_000


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def publish(producer: Producer, value: bytes) -> None:
    await producer.publish(TELEMETRY, "bus", value, NOW_US)


@pytest.mark.bus("kafka")
def test_a_frozen_broker_is_told_of_in_seconds_and_forgiven(bus: KafkaBus, servers: Servers) -> None:
    running = Broker(servers.root / "kafka").running()
    if running is None:
        pytest.skip("the broker was given by the environment, and is not ours to freeze")
    producer = bus.producer()
    consumer = bus.consumer("group", [TELEMETRY])
    asyncio.run(publish(producer, b"before"))
    while not consumer.assigned():
        consumer.poll(0.1, 10)
    for lane in consumer.assigned():
        consumer.seek(lane, {})
    with frozen(running.pid):
        for _ in range(2):  # the second one meets a client that has failed already
            begun = time.monotonic()
            with pytest.raises(BusUnavailable):
                asyncio.run(publish(producer, b"meanwhile"))
            assert time.monotonic() - begun < 7
        assert not producer.ready()
    begun = time.monotonic()
    asyncio.run(publish(producer, b"after"))
    assert time.monotonic() - begun < 5
    heard: set[bytes] = set()
    while b"after" not in heard and time.monotonic() - begun < 40:
        heard |= {record.value for record in consumer.poll(0.5, 10)}
    assert heard - {b"meanwhile"} == {b"before", b"after"}, "what was refused may still arrive, or not"
    consumer.close()
    producer.close()


NO_BROKER = """
import asyncio, time
from infra.bus.kafka import KafkaBus
from infra.bus.port import BusUnavailable

async def publish():
    await producer.publish("telemetry", "bus", b"hello", 0)

bus = KafkaBus("127.0.0.1:9", lanes=4)
producer = bus.producer()
print(producer.ready())
begun = time.monotonic()
try:
    asyncio.run(publish())
except BusUnavailable as error:
    print(error, time.monotonic() - begun < 7)
producer.close()
try:
    bus.ensure_topics()
except BusUnavailable:
    print("no topics either")
"""


def test_without_any_broker_sending_fails_and_nothing_hangs() -> None:
    """In a process of its own: kafka-python 3.0.12 leaves sockets that never connected to the garbage collector,
    and pytest would blame whichever test is on then."""
    done = subprocess.run([sys.executable, "-c", NO_BROKER], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines() == ["False", "no broker at 127.0.0.1:9 True", "no topics either"]
