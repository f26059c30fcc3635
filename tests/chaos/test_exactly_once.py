"""Crashes, zombies and rebalances on a real PostgreSQL: the database holds what one undisturbed pass would leave."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, text

from infra.bus.memory import MemoryBus
from infra.runtime import worker as worker_module
from infra.runtime.worker import Worker
from infra.settings import Settings
from infra.store import outputs, positions
from infra.store.media import LocalMedia, MediaStore
from infra.store.outputs import Outputs
from infra.store.positions import Position
from tests.chaos.ledger import LedgerStep, Traffic, chains_of, counts_of, make_traffic, publish, rows_of, wipe

pytestmark = pytest.mark.store("postgres")  # plain: what is at stake here does not touch a hypertable

SEEDS = range(20)
LANES = 4


class Crash(Exception):
    """The process ends here."""


class Rig:
    """Workers of one group under a seeded hail of mishaps. One thread: every seed does the same each time."""

    def __init__(self, seed: int, engine: Engine, folder: Path) -> None:
        self.rng = random.Random(seed)
        self.bus = MemoryBus(LANES)
        self.engine = engine
        self.media = LocalMedia(folder)
        self.settings = Settings(lanes=LANES, worker_batch=15, state_cache=5)
        self.mishaps: dict[str, int] = {}
        self.calm = False
        self.nested = False
        self.workers: list[Worker] = [self.hire() for _ in range(3)]

    def hire(self) -> Worker:
        step = LedgerStep()
        step.disturb = lambda: self.disturb(step)
        return Worker(step, self.bus, self.engine, self.settings, self.media, write=self.write)

    def happens(self, what: str, chance: float) -> bool:
        happened = not self.calm and self.rng.random() < chance
        if happened:
            self.mishaps[what] = self.mishaps.get(what, 0) + 1
        return happened

    def disturb(self, step: LedgerStep) -> None:
        """Between reading and committing: a crash, or somebody else gets ahead with the very same lanes."""
        if self.happens("crash before", 0.03):
            raise KeyboardInterrupt
        if not self.nested and self.happens("overtaken", 0.15):
            self.nested = True
            for other in [other for other in self.workers if other._step is not step]:
                self.pump(other)
            self.nested = False

    def write(self, connection: Connection, written: Outputs, media: MediaStore, group: str) -> None:
        outputs.write(connection, written, media, group)
        if self.happens("crash inside", 0.05):
            raise Crash

    def pump(self, worker: Worker) -> int:
        try:
            done = worker.pump()
            if self.happens("crash after", 0.03):
                raise Crash
            return done
        except (Crash, KeyboardInterrupt):
            self.replace(worker)
            return 1

    def replace(self, worker: Worker) -> None:
        """It died; sometimes the supervisor starts the same one again, which must have forgotten everything."""
        if worker in self.workers and self.rng.random() < 0.7:
            worker.close()
            self.workers[self.workers.index(worker)] = self.hire()

    def pump_all(self) -> bool:
        """Whether there was anything left to do."""
        done = [self.pump(worker) for worker in self.workers]
        return any(done) or not all(worker.settled for worker in self.workers)

    def run(self) -> None:
        rounds = 0
        while not self.calm or self.pump_all():
            rounds += 1
            self.calm = rounds > 120
            worker = self.rng.choice(self.workers)
            if self.happens("frozen", 0.08):
                self.bus.expel(worker._consumer, unaware_polls=self.rng.randint(1, 12))
            if self.happens("rebalance", 0.04):
                self.bus.rebalance("ledger")
            self.pump(worker)
            assert rounds < 2000, "the workers do not come to an end"


def run_seed(seed: int, engine: Engine, folder: Path) -> tuple[Rig, Traffic]:
    wipe(engine)
    rig = Rig(seed, engine, folder)
    traffic = make_traffic(rig.rng, vehicles=6, most=40)
    publish(rig.bus.producer(), traffic)
    rig.run()
    return rig, traffic


@pytest.mark.parametrize("seed", SEEDS)
def test_every_row_once_and_every_state_right(seed: int, database: Engine, tmp_path: Path) -> None:
    rig, traffic = run_seed(seed, database, tmp_path)
    assert rows_of(database) == traffic.rows
    assert chains_of(database) == traffic.chains
    counts = counts_of(database)
    assert counts == {"messages": len(traffic.rows), "duplicate": traffic.repeats}
    assert sum(rig.mishaps.values()) >= 10, f"a run without trouble proves nothing: {rig.mishaps}"


def test_the_suite_can_fail_without_the_fence_most_seeds_are_wrong(
    database: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def move_whatever_was_seen(connection: Connection, group: str, moved: list[Position]) -> set[int]:
        standing: Mapping[int, Position] = positions.read_positions(connection, group, [at.lane for at in moved])
        return positions.move_fence(connection, group, [replace(at, version=standing[at.lane].version) for at in moved])

    monkeypatch.setattr(worker_module, "move_fence", move_whatever_was_seen)
    wrong = 0
    for seed in SEEDS:
        _, traffic = run_seed(seed, database, tmp_path)
        wrong += rows_of(database) != traffic.rows or chains_of(database) != traffic.chains
    assert wrong >= len(SEEDS) // 2


def test_all_mishaps_happen_over_the_seeds(database: Engine, tmp_path: Path) -> None:
    kinds: set[str] = set()
    for seed in range(4):
        rig, _ = run_seed(seed, database, tmp_path)
        kinds |= rig.mishaps.keys()
    assert kinds == {"crash before", "crash inside", "crash after", "overtaken", "frozen", "rebalance"}
    with database.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM dead_letter")) == 0
