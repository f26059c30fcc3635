"""The rooms themselves on a real Kafka and TimescaleDB, killed, frozen and sent away at random: the database holds
what a quiet house in one process makes of the same messages."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import orjson
import pytest
from sqlalchemy import Column, Engine, Row, Table, TextClause, select, text

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
from tests.fleets import Sent, publish, send, traffic
from tests.processes import Process, wait_for_no_lag
from tests.servers import Servers

SEED = 7
VEHICLES, SECONDS = 16, 1200.0
FAULTS = Faults(duplicate=0.05, swapped=0.08, lost=0.01, offline=0.01, clock_jump=0.004)
LATE_WINDOW_S = 30.0  # less than the simulated disorder, so that some messages are late
DEMO = Path(__file__).parents[2] / "infra" / "demo" / "omaha-31"

GROUPS = {"recorder": (TELEMETRY,), "scoring": (TELEMETRY,), "vision": (FRAMES,)}
PROCESSES = {"scoring": 3, "recorder": 1, "vision": 1}
DEEDS = (
    ("freeze folding", "scoring"),
    ("kill", "vision"),
    ("thaw", "scoring"),
    ("freeze writing", "scoring"),
    ("kill writing", "recorder"),
    ("thaw", "scoring"),
    ("kill writing", "scoring"),
    ("send away", "scoring"),
    ("kill", "scoring"),
)
PAUSE_S = (0.2, 1.5)
EXPELLED_S = 12.0  # more than a consumer's session: the broker gives its lanes away, and it wakes as a zombie
SLICE_S, SLICE, BURST = 0.6, 6, 500  # over three minutes of traffic; the trouble takes one, and the rest comes at once
FOLDED_S = 0.15  # of work on a burst: then a process has polled some of it
STARTED = " at work on "
SEEN_S = 90.0  # to see a process do what it must do again and again
# What every batch of a room writes past the fence, and none of the rooms that are frozen then: the test can lock it.
HELD_UP_AT = {"scoring": "vehicle_state", "recorder": "position"}
LOCKED_S, FREE_S = 2.0, 0.5
DONE_S = 120.0

# Transactions of a process: all, and those that wait for another.
OPEN = text("""
    SELECT count(*) FROM pg_stat_activity WHERE client_port = ANY(:ports) AND xact_start IS NOT NULL
""")
HELD_UP = text("""
    SELECT count(*) FROM pg_stat_activity WHERE client_port = ANY(:ports) AND :by = ANY(pg_blocking_pids(pid))
""")
# Those of somebody who took a lane over that wait for one of the process.
WAITING = text("""
    SELECT count(*) FROM pg_stat_activity AS waiting, unnest(pg_blocking_pids(waiting.pid)) AS blocking
    JOIN pg_stat_activity AS frozen ON frozen.pid = blocking
    WHERE frozen.client_port = ANY(:ports) AND waiting.query LIKE '%lane_position%'
""")

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
    settings = settings.model_copy(update={"late_window_s": LATE_WINDOW_S, "worker_batch": 100, "vision_lag_s": 1e6})
    sender = Sender(bus, messages)
    with gang(settings, tmp_path / "rooms.log", sender) as rooms:
        wait_until(lambda: all_at_work(rooms, database), "not all rooms are at work")
        sender.slice = SLICE
        make_trouble(rooms, rng, database, sender)
        assert sender.is_alive(), "some of the trouble came after the last message"
        sender.finish()
        wait_for_no_lag(bus, database, GROUPS, rooms, DONE_S)
        log = rooms[0].log
        assert {room.stop() for room in rooms} <= {0, -signal.SIGTERM}, log.read_text()  # some may be starting yet
        fenced = log.read_text().count("moved by another worker")
    expected = quiet_house(messages, settings, servers, tmp_path / "quiet")
    assert_same(contents(database, settings), expected)
    print({name: rows.total() for name, rows in expected.items()}, f"zombies turned away: {fenced}")


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


class Sender(threading.Thread):
    """Sends little by little, and one by one until ``slice`` is made larger: rooms may take long to start."""

    def __init__(self, bus: KafkaBus, messages: Sequence[Sent]) -> None:
        super().__init__(name="sender")
        self._bus, self._messages, self.slice = bus, messages, 1
        self._wanted: SimpleQueue[int] = SimpleQueue()

    def run(self) -> None:
        producer, left = self._bus.producer(), deque(self._messages)
        while left:
            wanted = self._next_slice()
            send(producer, self._bus.lanes, [left.popleft() for _ in range(min(wanted, len(left)))])
        producer.close()

    def burst(self, count: int) -> None:
        """Send so many at once."""
        self._wanted.put(count)

    def finish(self) -> None:
        """Send what is left without delay, and return when all is sent."""
        self.burst(len(self._messages))
        self.join()

    def _next_slice(self) -> int:
        try:
            return self._wanted.get(timeout=SLICE_S)
        except Empty:
            return self.slice


# --- the rooms, and what is done to them ------------------------------------------------------------------


@contextmanager
def gang(settings: Settings, log: Path, sender: Sender) -> Iterator[list[Process]]:
    rooms = [Process(settings, log, "run", room) for room, count in PROCESSES.items() for _ in range(count)]
    try:
        sender.start()
        yield rooms
    except BaseException as error:
        error.add_note(f"{'traffic' if sender.is_alive() else 'no more traffic'}; the rooms said: {log.read_text()}")
        raise
    finally:
        sender.finish()
        for room in rooms:
            room.kill()


def all_at_work(rooms: Sequence[Process], database: Engine) -> bool:
    """Every process has started (that takes much work, which is no folding), and every group has committed."""
    with database.connect() as connection:
        groups = connection.execute(text("SELECT count(DISTINCT consumer_group) FROM lane_position")).scalar_one()
    return bool(groups == len(GROUPS)) and rooms[0].log.read_text().count(STARTED) == len(rooms)


def make_trouble(rooms: Sequence[Process], rng: random.Random, database: Engine, sender: Sender) -> None:
    frozen: list[tuple[Process, float]] = []
    for deed, name in DEEDS:
        time.sleep(rng.uniform(*PAUSE_S))
        room = rng.choice([room for room in rooms if room.name == f"run {name}"])
        if "writing" in deed:
            freeze_while_writing(room, database, HELD_UP_AT[name])
        if deed == "freeze folding":
            sender.burst(BURST)
            freeze_while_folding(room, database)
        if "freeze" in deed:
            frozen.append((room, time.monotonic()))
        elif deed == "thaw":
            thaw_when_overtaken(*frozen.pop(), database)
        else:
            room.restart(signal.SIGTERM if deed == "send away" else signal.SIGKILL)


def freeze_while_writing(room: Process, database: Engine, table: str) -> None:
    """In the middle of a transaction, past the fence: at a table that is locked until it stands there. Locked for a
    while only, again and again: others wait there, too, and who waits joins no group, so that lanes are not given."""

    def try_once() -> bool:
        time.sleep(FREE_S)
        with database.begin() as ours:
            ours.execute(text(f"LOCK TABLE {table} IN SHARE MODE"))
            by = ours.execute(text("SELECT pg_backend_pid()")).scalar_one()
            until = time.monotonic() + LOCKED_S
            while not (held_up := seen(database, HELD_UP, room, by=by)) and time.monotonic() < until:
                time.sleep(0.02)
            if held_up:
                room.freeze()
        return held_up

    wait_until(try_once, f"{room.name} was not seen writing {table}")
    room.check()
    assert seen(database, OPEN, room), f"{room.name} has left its transaction"


def freeze_while_folding(room: Process, database: Engine) -> None:
    """After it has polled, and before it opens its transaction (most probably: nobody can look inside): it is found
    there by stopping it again and again."""
    begun_s = room.cpu_s()

    def try_once() -> bool:
        room.check()
        room.freeze()
        if room.cpu_s() - begun_s > FOLDED_S and not seen(database, OPEN, room):
            return True
        room.thaw()
        return False

    wait_until(try_once, f"{room.name} was not seen folding")


def thaw_when_overtaken(room: Process, since: float, database: Engine) -> None:
    """When its lanes are others': they wait for its transaction, or have gone on without it."""
    writing = seen(database, OPEN, room)
    wait_until(
        lambda: seen(database, WAITING, room) if writing else time.monotonic() - since > EXPELLED_S,
        "its lanes were not taken over",
    )
    room.thaw()


def wait_until(happened: Callable[[], bool], complaint: str) -> None:
    deadline = time.monotonic() + SEEN_S
    while not happened():
        assert time.monotonic() < deadline, f"{complaint} for {SEEN_S} s"
        time.sleep(0.02)


def seen(database: Engine, query: TextClause, room: Process, **others: int) -> bool:
    with database.connect() as connection:
        return bool(connection.execute(query, {"ports": room.ports(), **others}).scalar_one())


# --- what must come of it ---------------------------------------------------------------------------------


def quiet_house(messages: Sequence[Sent], settings: Settings, servers: Servers, folder: Path) -> Contents:
    """The same messages on a memory bus: one worker each, pumped in turn, and nothing happens to them."""
    url = servers.fresh_database("timescale")
    engine = make_engine(url)
    quiet = settings.model_copy(update={"data_dir": folder, "worker_batch": 500})
    bus = MemoryBus(settings.lanes)
    publish(bus, messages)
    rooms = [room for room in WORKERS if room != "footage"]  # it reads no lane: see tests/replay/test_footage.py
    workers = [build(room, quiet, bus, engine, open_media(quiet)) for room in rooms]
    while sum(worker.pump() for worker in workers) or not all(worker.settled for worker in workers):
        pass
    for worker in workers:
        worker.close()
    found = contents(engine, quiet)
    engine.dispose()
    servers.drop_database(url)
    return found


def contents(engine: Engine, settings: Settings) -> Contents:
    """Every row of every result, and the files that rows name. No column is left out, for all ids are derived, but
    where a frame lies in its lane: ticks come between."""
    with engine.connect() as connection:
        found = {
            table.name: Counter(_plain(row) for row in connection.execute(select(*_told(table)))) for table in RESULTS
        }
        paths = [row.path for row in connection.execute(select(tables.event_media))]
    media = open_media(settings)
    return found | {"files": Counter((path, media.read(path)) for path in paths)}


def _told(table: Table) -> list[Column[Any]]:
    return [column for column in table.columns if column.name != "record_offset"]


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
    return str([tuple(str(value)[:60] for value in row) for row in list(rows)[:3]])
