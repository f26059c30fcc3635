"""A simulated fleet over a bad network, through the rooms into the database: every event that was made is found,
once, and nothing else; every message is stored once, and what is missing is counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine, select, text

from infra.bus.port import Bus
from infra.clock import SECOND_US, to_us
from infra.contracts.telemetry import TelemetryBatch
from infra.drives import find_drives
from infra.runtime.parcels import telemetry_batches
from infra.runtime.simulate import DRIVES, Arrival, Faults, read_plan, read_truth, simulate_vehicle, write_fleet
from infra.runtime.simulated_drive import Noise, Simulated
from infra.settings import Settings
from infra.store.media import LocalMedia
from infra.store.tables import position, safety_event
from ingest.service import build_recorder
from scoring.core.rules import DEFAULT
from scoring.service import build as build_scoring
from tests.fleets import publish, traffic

pytestmark = pytest.mark.bus("memory")

SEED, VEHICLES, SECONDS = 5, 20, 1800.0
FAULTS = Faults(duplicate=0.03, swapped=0.05, lost=0.005, offline=0.006, clock_jump=0.0)
NOISES = {"noiseless": Noise(0.0, 0.0, 0.0, 0.0), "normal noise": Noise()}
TOLERANCE_US = {  # GPS says once a second where the limit is passed; the top speed has a hysteresis of 1.4 m/s
    "speeding": 2 * SECOND_US,
    "max_speed": 4 * SECOND_US,
}
HARSH_TOLERANCE_US = SECOND_US
BORDER_S = 2.0  # a stretch of speeding this close to the duration that makes it an event may be one or not
AROUND_US = 25 * SECOND_US  # an event is judged with what comes up to here before and after it


@dataclass(frozen=True)
class Event:
    """As it was made, or as it was found."""

    vehicle_id: str
    kind: str
    start_us: int
    end_us: int

    def is_seen_in(self, other: Event) -> bool:
        tolerance_us = TOLERANCE_US.get(self.kind, HARSH_TOLERANCE_US)
        same = (self.vehicle_id, self.kind) == (other.vehicle_id, other.kind)
        return same and max(abs(self.start_us - other.start_us), abs(self.end_us - other.end_us)) <= tolerance_us

    def overlaps(self, other: Event) -> bool:
        same = (self.vehicle_id, self.kind) == (other.vehicle_id, other.kind)
        return same and self.start_us <= other.end_us and other.start_us <= self.end_us


@dataclass(frozen=True)
class Truth:
    """``sure`` must be found; ``possible`` are on the border of the rule, or some of their samples were
    lost: then a part of one may be found."""

    sure: Sequence[Event]
    possible: Sequence[Event]


@dataclass(frozen=True)
class Fleet:
    """What was made, what was sent of it, and the database that holds what became of it."""

    folder: Path
    arrivals: Sequence[Arrival] = field(repr=False)
    engine: Engine

    @property
    def made(self) -> dict[tuple[str, int], TelemetryBatch]:
        drives = find_drives([self.folder / DRIVES])
        batches = (batch for drive in drives for batch in telemetry_batches(drive, f"{drive.name}-boot", 0))
        return {(batch.vehicle_id, batch.sequence): batch for batch in batches}

    @property
    def delivered(self) -> dict[tuple[str, int], TelemetryBatch]:
        return {(a.batch.vehicle_id, a.batch.sequence): a.batch for a in self.arrivals}

    def counts(self, group: str) -> dict[str, int]:
        query = text("SELECT word, sum(total) FROM stream_count WHERE consumer_group = :group GROUP BY 1")
        with self.engine.connect() as connection:
            return {word: int(total) for word, total in connection.execute(query, {"group": group})}

    def rows(self, query: Any) -> list[Any]:
        with self.engine.connect() as connection:
            return list(connection.execute(query))


@pytest.fixture(params=NOISES)
def fleet(
    request: pytest.FixtureRequest, bus: Bus, database: Engine, settings: Settings, media: LocalMedia, tmp_path: Path
) -> Iterator[Fleet]:
    write_fleet(tmp_path / "fleet", VEHICLES, SECONDS, SEED, FAULTS, NOISES[request.param])
    arrivals = list(read_plan(tmp_path / "fleet"))
    publish(bus, traffic(arrivals))
    workers = [build(settings, bus, database, media) for build in (build_recorder, build_scoring)]
    while sum(worker.pump() for worker in workers) or not all(worker.settled for worker in workers):
        pass
    for worker in workers:
        worker.close()
    return Fleet(tmp_path / "fleet", arrivals, database)


def test_what_was_made_is_found_and_what_was_sent_is_stored(fleet: Fleet) -> None:
    """One run for all of it: it is the run that takes the time."""
    for check in (check_events, check_counts, check_positions, check_motion, check_trips_and_scores):
        check(fleet)


def check_events(fleet: Fleet) -> None:
    truth, found = truth_of(fleet), found_in(fleet)
    missed = [event for event in truth.sure if sum(event.is_seen_in(one) for one in found) != 1]
    known = [event for event in found if any(event.overlaps(one) for one in truth.possible)]
    false = [event for event in found if event not in known and not any(one.is_seen_in(event) for one in truth.sure)]
    recall, precision = 1 - len(missed) / len(truth.sure), 1 - len(false) / len(found)
    print(f"{len(truth.sure)} sure, {len(truth.possible)} possible, {len(found)} found:", end=" ")
    print(f"recall {recall:.3f}, precision {precision:.3f}; {dict(Counter(event.kind for event in found))}")
    assert not missed
    assert not false
    assert {event.kind for event in truth.sure} >= {"harsh_brake", "harsh_acceleration", "harsh_turn", "speeding"}


def truth_of(fleet: Fleet) -> Truth:
    lost = {place: batch for place, batch in fleet.made.items() if place not in fleet.delivered}
    sure: list[Event] = []
    possible: list[Event] = []
    for row in read_truth(fleet.folder):
        event = Event(str(row["vehicle_id"]), str(row["word"]), int(row["start_us"]), int(row["end_us"]))
        due = _is_an_event(event)
        if due is None or any(_touches(event, batch) for batch in lost.values()):
            possible.append(event)
        elif due:
            sure.append(event)
    return Truth(sure, possible)


def _touches(event: Event, batch: TelemetryBatch) -> bool:
    first_us, last_us = int(batch.gps.time_us[0]), int(batch.gps.time_us[-1])
    near = first_us <= event.end_us + AROUND_US and last_us >= event.start_us - AROUND_US
    return near and batch.vehicle_id == event.vehicle_id


def _is_an_event(event: Event) -> bool | None:
    """Everything harsh that is made is over its threshold. Of speeding the rules want a time in each band, which is
    read off the noiseless drive; None: so close to it that noise may decide."""
    if event.kind != "speeding":
        return True
    gps = _noiseless(int(event.vehicle_id[-4:])).gps
    inside = (gps.time_us >= event.start_us) & (gps.time_us <= event.end_us)
    share = gps.speed_mps[inside] / gps.speed_limit_mps[inside] - 1
    over = [float((share > band.over_share).sum()) - band.minimum_s for band in DEFAULT.speeding_bands]
    if any(abs(s) < BORDER_S for s in over) and not any(s >= BORDER_S for s in over):
        return None
    return any(s > 0 for s in over)


@cache
def _noiseless(index: int) -> Simulated:
    """The drive of a vehicle of the fleet without its sensors' noise: it is the same drive."""
    return simulate_vehicle(SEED, index, SECONDS, NOISES["noiseless"])[2]


def found_in(fleet: Fleet) -> list[Event]:
    rows = fleet.rows(select(safety_event))
    return [Event(row.vehicle_id, row.kind, to_us(row.start_at), to_us(row.end_at)) for row in rows]


def check_counts(fleet: Fleet) -> None:
    """Exactly. A message lost at the end of a drive is missed by nobody: nothing came after it."""
    faults = Counter(arrival.fault for arrival in fleet.arrivals)
    last = dict(sorted(fleet.delivered))
    missing = [place for place in fleet.made if place not in fleet.delivered and place[1] < last[place[0]]]
    assert min(faults["duplicate"], faults["swapped"], faults["offline"], len(missing)) >= 10, faults
    for group in ("recorder", "scoring"):
        counts = fleet.counts(group)
        of_the_order = {word: counts.get(word, 0) for word in ("messages", "duplicate", "missing", "late")}
        assert of_the_order == {
            "messages": len(fleet.delivered),
            "duplicate": faults["duplicate"],
            "missing": len(missing),
            "late": 0,
        }, group
    assert fleet.rows(text("SELECT * FROM dead_letter")) == []
    assert fleet.rows(text("SELECT * FROM vehicle_state WHERE wake_us IS NOT NULL")) == []


def check_positions(fleet: Fleet) -> None:
    columns = ("time_us", "lat", "lon", "speed_mps")
    sent = [
        (batch.vehicle_id, *values)
        for batch in fleet.delivered.values()
        for values in zip(*(getattr(batch.gps, name).tolist() for name in columns), strict=True)
    ]
    c = position.c
    rows = fleet.rows(select(c.vehicle_id, c.time, c.lat, c.lon, c.speed_mps))
    stored = [(vehicle, to_us(time), lat, lon, speed) for vehicle, time, lat, lon, speed in rows]
    assert len(stored) == len(sent)
    assert Counter(_rounded(stored)) == Counter(_rounded(sent))


def _rounded(rows: Sequence[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    """Speeds as the database writes them: the shortest decimals of a single. Unknown is None."""
    for vehicle, time_us, lat, lon, speed in rows:
        known = None if speed is None or np.isnan(speed) else str(np.float32(speed))
        yield vehicle, time_us, lat, lon, known


def check_motion(fleet: Fleet) -> None:
    """Every second of which samples were delivered, with all of them."""
    sent: Counter[tuple[str, int]] = Counter()
    for batch in fleet.delivered.values():
        seconds, samples = np.unique(batch.imu.time_us // SECOND_US, return_counts=True)
        sent.update({(batch.vehicle_id, s): n for s, n in zip(seconds.tolist(), samples.tolist(), strict=True)})
    rows = fleet.rows(text("SELECT vehicle_id, time, samples FROM motion"))
    assert len(rows) == len(sent)
    assert {(vehicle, to_us(time) // SECOND_US): samples for vehicle, time, samples in rows} == dict(sent)


def check_trips_and_scores(fleet: Fleet) -> None:
    """One trip a drive, as long as it was, and a score for it and for the day of its driver and vehicle."""
    rows = fleet.rows(text("SELECT vehicle_id, status, distance_m FROM trip"))
    assert [status for _, status, _ in rows] == ["ended"] * VEHICLES
    driven = {vehicle: distance_m for vehicle, _, distance_m in rows}
    for index in range(VEHICLES):
        assert driven[f"sim-{SEED}-{index:04d}"] == pytest.approx(_noiseless(index).distance_m, rel=0.02)
    scopes = Counter(scope for (scope,) in fleet.rows(text("SELECT scope FROM score WHERE value IS NOT NULL")))
    assert scopes == {"trip": VEHICLES, "driver_day": VEHICLES, "vehicle_day": VEHICLES}
    assert fleet.rows(text("SELECT * FROM score_due")) == []
