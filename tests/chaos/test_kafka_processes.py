"""Three worker processes on a real Kafka, killed and frozen at random: the rows and states of an undisturbed run."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from infra.bus.kafka import KafkaBus
from infra.contracts.topics import FRAMES, TELEMETRY
from tests.chaos.ledger import Traffic, chains_of, counts_of, make_traffic, publish, rows_of
from tests.chaos.member import SESSION_MS

ROOT = Path(__file__).parents[2]
PROCESSES = 3
FREEZE_S = SESSION_MS / 1000 + 2  # long enough that the broker gives the lanes away
SLICES = 60  # the traffic is sent over the whole time of trouble
TROUBLE_S = 30.0


class Gang:
    """The processes, and what is done to them."""

    def __init__(self, bus: KafkaBus, prefix: str, database_url: str, folder: Path) -> None:
        self.command = [sys.executable, "-m", "tests.chaos.member", bus.bootstrap[0], prefix, str(bus.lanes)]
        self.command.append(database_url)
        self.log = folder / "members.log"
        self.members = [self.start() for _ in range(PROCESSES)]

    def start(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(self.command, cwd=ROOT, stdout=log, stderr=log)

    def kill(self, index: int) -> None:
        self.members[index].kill()
        self.members[index].wait()
        self.members[index] = self.start()

    def freeze(self, index: int) -> None:
        """It wakes as a zombie: its lanes are others', and it has not been told."""
        os.kill(self.members[index].pid, signal.SIGSTOP)
        time.sleep(FREEZE_S)
        os.kill(self.members[index].pid, signal.SIGCONT)

    def stop(self) -> list[int]:
        for member in self.members:
            member.send_signal(signal.SIGTERM)
        return [member.wait(20) for member in self.members]


def send_slowly(bus: KafkaBus, traffic: Traffic) -> None:
    producer = bus.producer()
    size = -(-len(traffic.arrivals) // SLICES)
    for first in range(0, len(traffic.arrivals), size):
        publish(producer, Traffic(traffic.lengths, traffic.arrivals[first : first + size]), first)
        time.sleep(TROUBLE_S / SLICES)
    producer.close()


def make_trouble(gang: Gang, rng: random.Random) -> list[str]:
    done = []
    deeds = ["kill", "freeze", "kill", "freeze", "kill"]
    for deed in deeds:
        time.sleep(rng.uniform(0.5, 4))
        index = rng.randrange(PROCESSES)
        getattr(gang, deed)(index)
        done.append(f"{deed} {index}")
    return done


def wait_for_the_end(bus: KafkaBus, database: Engine, timeout_s: float) -> None:
    ends = {topic: bus.end_offsets(topic) for topic in (TELEMETRY, FRAMES)}
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        with database.connect() as connection:
            found = connection.execute(text("SELECT lane, offsets FROM lane_position"))
            positions = {row[0]: row[1] for row in found}
        if all(positions.get(lane, {}).get(topic, 0) == end for topic in ends for lane, end in ends[topic].items()):
            return
        time.sleep(0.3)
    raise AssertionError(f"not done after {timeout_s} s: {positions}, and the topics end at {ends}")


@pytest.mark.bus("kafka")
@pytest.mark.timeout(240)
def test_killed_and_frozen_processes_leave_every_row_once(
    bus: KafkaBus, topic_prefix: str, database: Engine, database_url: str, tmp_path: Path
) -> None:
    rng = random.Random(3)
    traffic = make_traffic(rng, vehicles=24, most=250)
    gang = Gang(bus, topic_prefix, database_url, tmp_path)
    try:
        sender = threading.Thread(target=send_slowly, args=(bus, traffic))
        sender.start()
        deeds = make_trouble(gang, rng)
        sender.join()
        wait_for_the_end(bus, database, timeout_s=90)
        assert gang.stop() == [0] * PROCESSES, gang.log.read_text()
    finally:
        for member in gang.members:
            member.kill()
            member.wait()
    assert rows_of(database) == traffic.rows, (deeds, gang.log.read_text())
    assert chains_of(database) == traffic.chains
    assert counts_of(database) == {"messages": len(traffic.rows), "duplicate": traffic.repeats}
    print(f"{len(traffic.arrivals)} messages, {deeds}, {gang.log.read_text().count('moved by another')} fenced")
