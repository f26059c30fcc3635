"""Everything in one process: database, bus, gateway, workers pumped in a fixed order, and the desk beside it."""

from __future__ import annotations

import fcntl
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import httpx
from sqlalchemy import Engine

from infra.bus.memory import MemoryBus
from infra.bus.port import Bus
from infra.clock import Clock, SystemClock
from infra.runtime.adapters import open_bus, open_database, open_media
from infra.runtime.rooms import ROOMS, WORKERS, Desk, Gateway, Server, build, resolve
from infra.runtime.timetable import Timetable, timetable
from infra.runtime.worker import AWAY, PAUSES_S, Worker
from infra.settings import Settings
from infra.store.engine import plain_url

logger = logging.getLogger(__name__)

IDLE_S = 0.02  # between two looks at an empty bus
DRAIN_S = 3.0  # for what is on the bus when it is told to stop: Ctrl-C is answered within 5 s
STOP_S = 5.0


class AlreadyRunning(RuntimeError):
    """Another process has this data folder: two memory buses over one database would not know of each other."""


class PartEnded(RuntimeError):
    """The gateway or the dashboard ended without being told to."""


@dataclass(slots=True)
class Embedded:
    """The running house."""

    settings: Settings
    engine: Engine
    bus: Bus
    gateway: Gateway
    gateway_url: str
    pump: Pump
    dashboard: Desk | None = None
    servers: list[Serving] = field(default_factory=list)

    def settle(self, timeout_s: float) -> bool:
        """Wait until the workers have nothing left to do. False: they had, at the end of the time."""
        return self.pump.wait_idle(timeout_s)

    def serve(self, server: Server, name: str) -> None:
        self.servers.append(Serving(server, name))
        self.servers[-1].start()

    def wait_for_dashboard(self, timeout_s: float) -> None:
        """Until it answers. Raises what ended it, or PartEnded."""
        give_up = time.monotonic() + timeout_s
        while self.dashboard is not None and not answers(self.dashboard.url):
            self.check()
            if time.monotonic() > give_up:
                raise PartEnded(f"the dashboard does not answer at {self.dashboard.url}")
            time.sleep(0.1)

    def watch(self, look_s: float) -> None:
        """Block until a part of the house ends by itself. Raises what ended it, or PartEnded."""
        while True:
            self.check()
            time.sleep(look_s)

    def check(self) -> None:
        """Raises what ended a part of the house, or PartEnded."""
        parts: list[Pump | Serving] = [self.pump, *self.servers]
        for part in parts:
            if part.failure:
                raise part.failure
            if not part.is_alive():
                raise PartEnded(f"{part.name} ended; see the log above")


class Serving(threading.Thread):
    """The gateway or the dashboard at work."""

    def __init__(self, server: Server, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self.server = server
        self.failure: Exception | None = None

    def run(self) -> None:
        try:
            self.server.run()
        except Exception as error:  # noqa: BLE001 (the main thread raises it again)
            self.failure = error


class Pump(threading.Thread):
    """The workers of this process, one after the other, always in the same order; and the timetable."""

    def __init__(self, workers: list[Worker[Any]], bus: Bus, timetable: Timetable) -> None:
        super().__init__(name="workers", daemon=True)
        self._workers = workers
        self._bus = bus
        self._timetable = timetable
        self._stopping = threading.Event()
        self._deadline = float("inf")
        self._rounds_idle = 0
        self._waited_for = False
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            while not self._done():
                if not self._round() and not self._stopping.is_set():
                    self._stopping.wait(IDLE_S)
        except BaseException as error:  # noqa: BLE001 (the main thread raises it again)
            self.failure = error
            logger.error("workers stopped: %s", error)
        finally:
            for worker in self._workers:
                worker.close()

    def drain(self, timeout_s: float) -> bool:
        """End, once the bus is empty or the time is up. False: something was left."""
        self._deadline = time.monotonic() + timeout_s
        self._stopping.set()
        self.join(timeout_s + STOP_S)
        return self._rounds_idle > 0

    def wait_idle(self, timeout_s: float) -> bool:
        """Whether two whole rounds in a row found nothing, within the time. Raises what stopped the workers."""
        give_up = time.monotonic() + timeout_s
        self._rounds_idle, self._waited_for = 0, True
        while self._rounds_idle < 2 and self.is_alive() and time.monotonic() < give_up:
            time.sleep(IDLE_S)
        self._waited_for = False
        if self.failure:
            raise self.failure
        return self._rounds_idle >= 2

    def _done(self) -> bool:
        return self._stopping.is_set() and (self._rounds_idle > 0 or time.monotonic() > self._deadline)

    def _round(self) -> int:
        """One pump of every worker. Returns how much was done."""
        if not self._stopping.is_set():
            self._timetable.run_due()
        done = sum(self._pump(worker) for worker in self._workers)
        asked = self._waited_for or self._stopping.is_set()  # a broker is not asked 20 times a second for nothing
        settled = asked and not done and self._settled()
        self._rounds_idle = self._rounds_idle + 1 if settled else 0
        if not done and isinstance(self._bus, MemoryBus):
            self._bus.trim()
        return done

    def _settled(self) -> bool:
        try:
            return all(worker.settled for worker in self._workers)
        except AWAY:
            return False  # nobody knows; the next round says why

    def _pump(self, worker: Worker[Any]) -> int:
        for pause_s in PAUSES_S:
            try:
                return worker.pump()
            except AWAY as error:
                if self._stopping.is_set():
                    raise
                logger.warning("starting afresh in %g s: %s", pause_s, error)
                self._stopping.wait(pause_s)
        return worker.pump()


@contextmanager
def embedded(settings: Settings, *, dashboard: bool = True, clock: Clock | None = None) -> Iterator[Embedded]:
    """Start everything, and at the end stop it: the gateway first, then the workers when the bus is empty.

    Raises:
        AlreadyRunning: by another process on the same data folder.
        StoreUnavailable, BusUnavailable, OSError: the database, the broker or a port cannot be had.
    """
    clock = clock or SystemClock()
    with ExitStack() as stack:
        stack.enter_context(_only_one(settings.data_dir))
        threading.Thread(target=_load_rooms, name="loading", daemon=True).start()
        engine = stack.enter_context(open_database(settings))
        bus = open_bus(settings, engine)
        stack.callback(bus.close)
        house = _start(settings, engine, bus, clock)
        stack.callback(_stop, house)
        if dashboard:
            desk: Desk = build("dashboard", settings, plain_url(engine))
            house.dashboard = desk
            house.serve(desk, "dashboard")
        yield house


def _load_rooms() -> None:
    """Import what is built once the database is there, in the second or two that PostgreSQL takes to start."""
    for room in ("gateway", *WORKERS):
        resolve(ROOMS[room])


def _start(settings: Settings, engine: Engine, bus: Bus, clock: Clock) -> Embedded:
    gateway: Gateway = build("gateway", settings, bus, engine, clock)
    url = gateway.bind()
    media = open_media(settings)
    workers = [build(room, settings, bus, engine, media) for room in WORKERS]
    pump = Pump(workers, bus, timetable(settings, bus, engine, media, clock))
    house = Embedded(settings, engine, bus, gateway, url, pump)
    house.pump.start()
    house.serve(gateway, "gateway")
    return house


def _stop(house: Embedded) -> None:
    """The gateway takes nothing more; what it took is folded; then the rest."""
    for serving in house.servers:
        serving.server.stop()
    for serving in house.servers:
        serving.join(STOP_S)
    if not house.pump.drain(DRAIN_S) and isinstance(house.bus, MemoryBus):
        logger.error("stopped with messages on the memory bus: they are lost; devices can send them again")


def answers(url: str) -> bool:
    """Whether an HTTP server answers there, whatever it says."""
    try:
        return httpx.get(url, timeout=2.0).status_code > 0
    except httpx.TransportError:
        return False


@contextmanager
def _only_one(data_dir: Path) -> Iterator[None]:
    data_dir.mkdir(parents=True, exist_ok=True)
    with (data_dir / "embedded.lock").open("a") as lock:
        _lock(lock, data_dir)
        yield


def _lock(lock: IO[str], data_dir: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise AlreadyRunning(
            f"{data_dir.absolute()} is in use by another rumblestrip: stop that one, or set RUMBLESTRIP_DATA_DIR"
        ) from error
