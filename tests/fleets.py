"""A simulated fleet's arrivals on a bus, with the ticks that a gateway puts between them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from infra.bus.port import Bus, Producer
from infra.clock import SECOND_US
from infra.contracts.codec import encode, encode_tick
from infra.contracts.topics import LANED_TOPICS, TELEMETRY
from infra.runtime.simulate import Arrival

TICK_US = 30 * SECOND_US
AFTER_US = 20 * 60 * SECOND_US  # longer than any wait or silence: then nothing is left open


class Sent(NamedTuple):
    """A message on its way; without a vehicle it is a tick, for every lane."""

    arrival_us: int
    topic: str
    vehicle_id: str
    value: bytes


def traffic(arrivals: Sequence[Arrival], *others: Sent) -> list[Sent]:
    """All that is published, in its order: batches, ticks between and after them, and other messages."""
    batches = [Sent(a.arrival_us, TELEMETRY, a.batch.vehicle_id, encode(a.batch)) for a in arrivals]
    begin, end = (at([a.arrival_us for a in arrivals]) for at in (min, max))
    times = [*range(begin, end, TICK_US), end + AFTER_US // 2, end + AFTER_US]
    ticks = [Sent(at_us, topic, "", encode_tick(at_us)) for at_us in times for topic in LANED_TOPICS]
    whole_ms = [sent._replace(arrival_us=sent.arrival_us // 1000 * 1000) for sent in (*batches, *ticks, *others)]
    return sorted(whole_ms, key=lambda sent: sent.arrival_us)  # Kafka keeps milliseconds


def publish(bus: Bus, messages: Iterable[Sent]) -> None:
    """All of them, then wait until the bus has them."""
    producer = bus.producer()
    send(producer, bus.lanes, messages)
    producer.close()


def send(producer: Producer, lanes: int, messages: Iterable[Sent]) -> None:
    """All of them, then wait until the bus has them."""

    async def publish_all() -> None:
        waits = []
        for at_us, topic, vehicle_id, value in messages:
            if vehicle_id:
                waits.append(producer.publish(topic, vehicle_id, value, at_us))
            else:
                waits += [producer.publish_to_lane(topic, lane, value, at_us) for lane in range(lanes)]
        for wait in waits:
            await wait

    asyncio.run(publish_all())
