"""The rooms themselves on a real Kafka and TimescaleDB, killed, frozen and sent away at random: the database holds
what a quiet house in one process makes of the same messages."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import Engine, Row, select, text

from infra.bus.kafka import KafkaBus
from infra.bus.memory import MemoryBus
from infra.clock import SECOND_US, SystemClock
from infra.contracts.codec import encode
from infra.contracts.telemetry import Rejection
from infra.contracts.topics import FRAMES, TELEMETRY
from infra.drives import open_drive
from infra.runtime.adapters import open_media
from infra.runtime.parcels import frames_with_speed, telemetry_batches
from infra.runtime.rooms import WORKERS, build
from infra.runtime.simulate import Arrival, Faults, read_plan, write_fleet
from infra.settings import Settings
from infra.store import tables
from infra.store.engine import make_engine
from tests.fleets import Sent, publish, traffic
from tests.processes import Process, wait_for_no_lag
from tests.servers import Servers

SEED = 7
VEHICLES, SECONDS = 16, 1200.0
FAULTS = Faults(duplicate=0.05, swapped=0.08, lost=0.01, offline=0.01, clock_jump=0.004)
LATE_WINDOW_S = 30.0  # less than the simulated disorder, so that some messages are late
DEMO = Path(__file__).parents[2] / "infra" / "demo" / "omaha-31"

GROUPS = {"recorder": (TELEMETRY,), "scoring": (TELEMETRY,), "vision": (FRAMES,)}
PROCESSES = {"scoring": 3, "recorder": 2, "vision": 1}
DEEDS = (
    ("kill", "scoring"),
    ("freeze", "scoring"),
    ("kill", "recorder"),
    ("kill", "vision"),
    ("send away", "scoring"),
    ("kill", "scoring"),
    ("kill", "recorder"),
    ("kill", "scoring"),
)
PAUSE_S = (0.5, 3.0)
FREEZE_S = 13.0  # longer than a consumer's session: the broker gives its lanes away, and it wakes as a zombie
SENDING_S, SLICE = 25.0, 40
DONE_S = 120.0

RESULTS = (
    tables.trip,
    tables.safety_event,
    tables.event_trace,
    tables.event_media,
    tables.score,
    tables.position,
    tables.motion,
    tables.observation,
    tables.stream_count,
    tables.dead_letter,
    tables.vehicle_state,
)
Contents = dict[str, Counter[tuple[object, ...]]]


@pytest.mark.bus("kafka")
@pytest.mark.timeout(400)
def test_rooms_killed_and_frozen_leave_what_a_quiet_house_leaves(
    bus: KafkaBus, database: Engine, settings: Settings, servers: Servers, tmp_path: Path
) -> None:
    rng = random.Random(SEED)
    messages = make_traffic(rng, tmp_path / "fleet")
    settings = settings.model_copy(update={"late_window_s": LATE_WINDOW_S, "worker_batch": 40})
    with gang(settings, tmp_path / "rooms.log") as rooms:
        sender = threading.Thread(target=send_slowly, args=(bus, messages))
        sender.start()
        wait_until_at_work(database)
        during = make_trouble(rooms, rng, sender)
        sender.join()
        wait_for_no_lag(bus, database, GROUPS, rooms, DONE_S)
        for room in rooms:
            room.stop()
    expected = quiet_house(messages, settings, servers, tmp_path / "quiet")
    assert_same(contents(database, settings), expected)
    assert during >= len(DEEDS) // 2, "most of the trouble came after the last message"
    print({name: rows.total() for name, rows in expected.items()}, during, "deeds while messages came")


# --- what is sent -----------------------------------------------------------------------------------------


def make_traffic(rng: random.Random, folder: Path) -> list[Sent]:
    """A fleet over a bad network, a driver who falls asleep, and some rubbish; all of it arrived by now."""
    write_fleet(folder, VEHICLES, SECONDS, SEED, FAULTS)
    fleet = [_with_refusals(rng, arrival) for arrival in read_plan(folder)]
    others = [*drowsy_drive(rng, fleet[0].arrival_us), *rubbish(rng, fleet)]
    messages = traffic(fleet, *others)
    # Kafka throws away what is older than a week, and refuses what is far in the future.
    shift_us = SystemClock().now_us() // 1000 * 1000 - messages[-1].arrival_us
    return [sent._replace(arrival_us=sent.arrival_us + shift_us) for sent in messages]


def _with_refusals(rng: random.Random, arrival: Arrival) -> Arrival:
    refused = (Rejection("imu", "missing_value", 3, "{}"),) if rng.random() < 0.02 else ()
    return replace(arrival, batch=replace(arrival.batch, rejected=refused))


def drowsy_drive(rng: random.Random, begin_us: int) -> Iterator[Sent]:
    """The demo drive with its frames; some come twice, some much later."""
    drive = open_drive(DEMO)
    shift_us = begin_us - int(drive.gps().time_us[0])
    vehicle = drive.manifest.vehicle_id
    for batch in telemetry_batches(drive, "boot", shift_us):
        yield Sent(int(batch.gps.time_us[-1]) + SECOND_US, TELEMETRY, vehicle, encode(batch))
    for frame in frames_with_speed(drive, list(drive.frames()), drive.gps(), "boot", shift_us):
        sent = Sent(frame.time_us + SECOND_US, FRAMES, vehicle, encode(frame))
        delay_us = rng.choice([0] * 10 + [2 * SECOND_US, 8 * SECOND_US, 50 * SECOND_US])
        yield sent._replace(arrival_us=sent.arrival_us + delay_us)
        if rng.random() < 0.1:
            yield sent._replace(arrival_us=sent.arrival_us + 4 * SECOND_US)


def rubbish(rng: random.Random, fleet: Sequence[Arrival]) -> Iterator[Sent]:
    for arrival in rng.sample(fleet, 6):
        yield Sent(arrival.arrival_us, rng.choice((TELEMETRY, FRAMES)), arrival.batch.vehicle_id, b"no message")


def send_slowly(bus: KafkaBus, messages: Sequence[Sent]) -> None:
    for first in range(0, len(messages), SLICE):
        publish(bus, messages[first : first + SLICE])
        time.sleep(SENDING_S * SLICE / len(messages))


# --- the rooms, and what is done to them ------------------------------------------------------------------


@contextmanager
def gang(settings: Settings, log: Path) -> Iterator[list[Process]]:
    rooms = [Process(settings, log, "run", room) for room, count in PROCESSES.items() for _ in range(count)]
    try:
        yield rooms
    finally:
        for room in rooms:
            room.kill()


def wait_until_at_work(database: Engine, timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        with database.connect() as connection:
            groups = connection.execute(text("SELECT count(DISTINCT consumer_group) FROM lane_position")).scalar_one()
        if groups == len(GROUPS):
            return
        time.sleep(0.1)
    raise AssertionError(f"not all rooms are at work after {timeout_s} s")


def make_trouble(rooms: Sequence[Process], rng: random.Random, sender: threading.Thread) -> int:
    """Returns how much was done while messages still came."""
    frozen: list[Process] = []
    thaws: list[threading.Timer] = []
    during = 0
    for deed, name in DEEDS:
        time.sleep(rng.uniform(*PAUSE_S))
        during += sender.is_alive()
        room = rng.choice([room for room in rooms if room.name == f"run {name}" and room not in frozen])
        if deed == "freeze":
            room.freeze()
            frozen.append(room)
            thaws.append(threading.Timer(FREEZE_S, room.thaw))
            thaws[-1].start()
        else:
            room.restart(signal.SIGKILL if deed == "kill" else signal.SIGTERM)
    for thaw in thaws:
        thaw.join()
    return during


# --- what must come of it ---------------------------------------------------------------------------------


def quiet_house(messages: Sequence[Sent], settings: Settings, servers: Servers, folder: Path) -> Contents:
    """The same messages on a memory bus: one worker each, pumped in turn, and nothing happens to them."""
    url = servers.fresh_database("timescale")
    engine = make_engine(url)
    quiet = settings.model_copy(update={"data_dir": folder, "worker_batch": 500})
    bus = MemoryBus(settings.lanes)
    publish(bus, messages)
    workers = [build(room, quiet, bus, engine, open_media(quiet)) for room in WORKERS]
    while sum(worker.pump() for worker in workers) or not all(worker.settled for worker in workers):
        pass
    for worker in workers:
        worker.close()
    found = contents(engine, quiet)
    engine.dispose()
    servers.drop_database(url)
    return found


def contents(engine: Engine, settings: Settings) -> Contents:
    """Every row of every result, and the files that rows name. No column is left out: all ids are derived."""
    with engine.connect() as connection:
        found = {table.name: Counter(_plain(row) for row in connection.execute(select(table))) for table in RESULTS}
        paths = [row.path for row in connection.execute(select(tables.event_media))]
    media = open_media(settings)
    return found | {"files": Counter((path, media.read(path)) for path in paths)}


def _plain(row: Row[Any]) -> tuple[object, ...]:
    """Values that compare and hash; documents as text."""
    return tuple(
        orjson.dumps(value, option=orjson.OPT_SORT_KEYS) if isinstance(value, dict | list) else value for value in row
    )


def assert_same(found: Contents, expected: Contents) -> None:
    wrong = {}
    for name, rows in expected.items():
        more, less = found[name] - rows, rows - found[name]
        if more or less:
            wrong[name] = f"{more.total()} too many, {less.total()} missing: {_some(more)} and {_some(less)}"
    assert not wrong, "\n".join(f"{name}: {what}" for name, what in wrong.items())
    empty = [name for name, rows in expected.items() if not rows]
    assert not empty, f"nothing is proven about {empty}"


def _some(rows: Counter[tuple[object, ...]]) -> str:
    return str([tuple(str(value)[:200] for value in row) for row in list(rows)[:3]])
