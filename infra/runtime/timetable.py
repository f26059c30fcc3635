"""What a process does now and then besides its work: ticks, the outbox, footage past its time."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable

from sqlalchemy import Engine

from infra.bus.port import Bus
from infra.clock import Clock, to_datetime
from infra.runtime.footage_retention import purge_footage
from infra.runtime.outbox import Outbox
from infra.runtime.ticker import Ticker
from infra.runtime.worker import AWAY
from infra.settings import Settings
from infra.store.media import MediaStore

logger = logging.getLogger(__name__)

OUTBOX_S = 1.0
FOOTAGE_S = 3600.0


class Timetable:
    """Tasks, each with its interval. The first round of each comes one interval after the start."""

    def __init__(self, tasks: list[tuple[float, Callable[[], object]]]) -> None:
        now = time.monotonic()
        self._tasks = tasks
        self._due = [now + every_s for every_s, _ in tasks]

    def run_due(self) -> None:
        """Run what is due. A broker or database that is away is noted; the task comes again at its time."""
        for index, (every_s, task) in enumerate(self._tasks):
            if time.monotonic() < self._due[index]:
                continue
            try:
                task()
            except AWAY as error:
                logger.warning("%s", error)
            self._due[index] = time.monotonic() + every_s

    def run_until(self, stopping: threading.Event) -> None:
        """Look every half second, in a thread of its own."""
        while not stopping.wait(0.5):
            self.run_due()


def timetable(settings: Settings, bus: Bus, engine: Engine, media: MediaStore, clock: Clock) -> Timetable:
    """The tasks of a fleet. Several processes may each have one: more ticks come, and the outbox has a lock."""
    ticker = Ticker(bus.producer(), bus.lanes, clock, settings.tick_s)
    outbox = Outbox(bus, clock)
    return Timetable(
        [
            (settings.tick_s, lambda: asyncio.run(ticker.tick())),
            (OUTBOX_S, lambda: outbox(engine)),
            (FOOTAGE_S, lambda: purge_footage(engine, media, settings, to_datetime(clock.now_us()))),
        ]
    )
