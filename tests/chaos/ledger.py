"""A small room for disturbing: it writes one row per message, and keeps per vehicle a chain that shows any message
lost, repeated or out of order. Two topics feed one state row."""

from __future__ import annotations

import asyncio
import random
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Engine, text

from infra.bus.port import Producer
from infra.contracts.codec import encode
from infra.contracts.frames import Camera, Frame
from infra.contracts.telemetry import ImuFrame, TelemetryBatch, VehicleClass, empty_gps, empty_imu
from infra.contracts.topics import FRAMES, TELEMETRY
from infra.runtime.step import Delivery, Folded
from infra.store.outputs import Outputs, ScoreDue

BEGUN_US = 1_700_000_000_000_000
Chains = dict[str, list[int]]
"""topic to [messages, sum of sequences, chain of sequences]"""


def telemetry(vehicle: str, sequence: int, boot: str = "b0", device: str = "tracker") -> TelemetryBatch:
    return TelemetryBatch(
        vehicle_id=vehicle,
        device_id=device,
        boot_id=boot,
        sequence=sequence,
        driver_id=None,
        vehicle_class=VehicleClass.PASSENGER,
        imu_frame=ImuFrame.VEHICLE,
        received_us=BEGUN_US,
        gps=empty_gps(),
        imu=empty_imu(),
    )


def frame(vehicle: str, sequence: int, boot: str = "b0", camera: Camera = Camera.DRIVER) -> Frame:
    return Frame(vehicle, "cam", boot, sequence, None, camera, BEGUN_US + sequence, None, BEGUN_US, b"jpeg")


def extend(chain: Sequence[int], sequence: int) -> list[int]:
    count, total, digest = chain
    return [count + 1, total + sequence, zlib.crc32(sequence.to_bytes(8, "big"), digest)]


@dataclass
class LedgerStep:
    """``disturb`` is called in the middle of every round, before anything is committed."""

    group: str = "ledger"
    topics: Sequence[str] = (TELEMETRY, FRAMES)
    rules_version: str = "1"
    disturb: Callable[[], None] = field(default=lambda: None)

    def load(self, state: Mapping[str, Any] | None) -> Chains:
        return {topic: list(chain) for topic, chain in state.items()} if state else {}

    def dump(self, state: Chains) -> dict[str, object]:
        return dict(state)

    def prepare(self, deliveries: Sequence[Delivery]) -> Sequence[Delivery]:
        self.disturb()
        return deliveries

    def fold(
        self, states: Mapping[str, Chains], deliveries: Sequence[Delivery], woken: Mapping[str, int]
    ) -> Folded[Chains]:
        folded: Folded[Chains] = Folded(states={vehicle: dict(chains) for vehicle, chains in states.items()})
        rows = []
        for delivery in deliveries:
            topic, message = delivery.record.topic, delivery.message
            chains = folded.states[message.vehicle_id]
            chains[topic] = extend(chains.get(topic, [0, 0, 0]), message.sequence)
            rows.append(ScoreDue(message.vehicle_id, f"{topic} {message.sequence}", BEGUN_US))
        folded.outputs = Outputs(score_due=rows)
        return folded


@dataclass(frozen=True)
class Traffic:
    """What devices send: in order, as the truth; and as it arrives, with repeats and disorder."""

    lengths: Mapping[tuple[str, str], int]  # (vehicle, topic) to messages
    arrivals: Sequence[tuple[str, str, int]]  # vehicle, topic, sequence

    @property
    def chains(self) -> dict[str, Chains]:
        """The sequential oracle's states."""
        truth: dict[str, Chains] = {}
        for (vehicle, topic), length in self.lengths.items():
            chain = [0, 0, 0]
            for sequence in range(length):
                chain = extend(chain, sequence)
            truth.setdefault(vehicle, {})[topic] = chain
        return truth

    @property
    def rows(self) -> list[tuple[str, str]]:
        """The sequential oracle's rows."""
        return sorted(
            (vehicle, f"{topic} {sequence}")
            for (vehicle, topic), length in self.lengths.items()
            for sequence in range(length)
        )

    @property
    def repeats(self) -> int:
        return len(self.arrivals) - sum(self.lengths.values())


def make_traffic(rng: random.Random, vehicles: int, most: int) -> Traffic:
    lengths = {
        (f"vehicle-{number}", topic): rng.randint(most // 2, most)
        for number in range(vehicles)
        for topic in (TELEMETRY, FRAMES)
    }
    placed = [
        (sequence * 1000 / length + rng.uniform(0, 20), vehicle, topic, sequence)
        for (vehicle, topic), length in lengths.items()
        for sequence in range(length)
        for _ in range(2 if rng.random() < 0.1 else 1)
    ]
    return Traffic(lengths, [(vehicle, topic, sequence) for _, vehicle, topic, sequence in sorted(placed)])


def publish(producer: Producer, traffic: Traffic, first: int = 0) -> None:
    """All at once, waiting for the broker in the end. ``first`` is how many arrived before."""

    async def send() -> None:
        waits = []
        for number, (vehicle, topic, sequence) in enumerate(traffic.arrivals, first):
            message = telemetry(vehicle, sequence) if topic == TELEMETRY else frame(vehicle, sequence)
            waits.append(producer.publish(topic, vehicle, encode(message), BEGUN_US + number * 1000))
        for wait in waits:
            await wait

    asyncio.run(send())


def rows_of(engine: Engine) -> list[tuple[str, str]]:
    with engine.connect() as connection:
        found = connection.execute(text("SELECT vehicle_id, driver_id FROM score_due"))
        return sorted((row[0], row[1]) for row in found)


def chains_of(engine: Engine, group: str = "ledger") -> dict[str, Chains]:
    with engine.connect() as connection:
        query = text("SELECT vehicle_id, state->'room' FROM vehicle_state WHERE consumer_group = :group")
        return {row[0]: row[1] for row in connection.execute(query, {"group": group})}


def counts_of(engine: Engine, group: str = "ledger") -> dict[str, int]:
    with engine.connect() as connection:
        query = text("SELECT word, sum(total) FROM stream_count WHERE consumer_group = :group GROUP BY word")
        return {row[0]: int(row[1]) for row in connection.execute(query, {"group": group})}


def wipe(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("TRUNCATE lane_position, vehicle_state, score_due, stream_count, dead_letter"))
