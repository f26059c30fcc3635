"""A seeded fleet with known events: drives, the truth beside them, and a plan of how they arrive."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.progress import track

from infra.clock import SECOND_US, to_datetime, to_us
from infra.contracts.telemetry import ImuFrame, TelemetryBatch
from infra.drives import Drive, DriveError, Manifest, find_drives, write_drive
from infra.runtime.parcels import BATCH_S, ending, telemetry_batches, window_starts
from infra.runtime.simulated_drive import EVERYDAY, Noise, Simulated, Word, simulate_drive

START_US = 1_767_600_000 * SECOND_US  # Monday 2026-01-05 08:00 UTC: a fixed day, so that a seed says all
EVENTS_PER_HOUR = 4.0  # of each kind, of a driver of average risk
RISK_SPREAD = 0.7  # standard deviation of a driver's log rate: the worst tenth has 6 times the events of the best

BATCH_US = int(BATCH_S * SECOND_US)

DRIVES, TRUTH, DRIVERS, PLAN = "drives", "truth.parquet", "drivers.parquet", "plan.parquet"


@dataclass(frozen=True, slots=True)
class Faults:
    """Shares of batches that something happens to on their way."""

    duplicate: float = 0.02  # delivered twice
    swapped: float = 0.03  # overtaken by up to 5 later ones
    lost: float = 0.002  # never delivered
    offline: float = 0.004  # starts a time without a network, after which all that was stored comes in a burst
    clock_jump: float = 0.0005  # starts 3 batches of a clock that is wrong by up to 10 minutes


@dataclass(frozen=True, slots=True)
class Arrival:
    """A batch as it comes in. ``fault`` is a word of Faults, or empty."""

    arrival_us: int
    batch: TelemetryBatch
    fault: str


def simulate_vehicle(
    seed: int,
    index: int,
    seconds: float,
    noise: Noise = Noise(),  # noqa: B008 (frozen)
    wreck: Word | None = None,
    kinds: tuple[Word, ...] = EVERYDAY,
) -> tuple[Manifest, float, Simulated]:
    """Vehicle number ``index`` of the fleet of this seed: who, the driver's risk (log of the rate against the
    average), and the drive. It does not depend on how many others there are. ``wreck``: how it
    ends; ``kinds``: what happens by chance."""
    rng = np.random.default_rng([seed, index])
    risk = float(rng.normal(0.0, RISK_SPREAD))
    start_us = START_US + int(rng.uniform(0, 600)) * SECOND_US
    drive = simulate_drive(rng, start_us, seconds, EVENTS_PER_HOUR * float(np.exp(risk)), noise, wreck, kinds)
    name = f"sim-{seed}-{index:04d}"
    manifest = Manifest(
        vehicle_id=name,
        vehicle_name=f"Simulated vehicle {index}",
        device_id=f"{name}-device",
        driver_id=f"{name}-driver",
        driver_name=f"Simulated driver {index}",
        start=to_datetime(start_us),
        imu_frame=ImuFrame.VEHICLE,
        source=f"rumblestrip simulate --seed {seed}",
    )
    return manifest, risk, drive


def write_fleet(
    out: Path,
    vehicles: int,
    seconds: float,
    seed: int,
    faults: Faults = Faults(),
    noise: Noise = Noise(),  # noqa: B008 (frozen)
) -> str:
    """Write the fleet's drives, ``truth.parquet``, ``drivers.parquet`` and ``plan.parquet``. Returns a line to print.

    Raises:
        DriveError: the folder holds drives already.
    """
    if (out / DRIVES).exists():
        raise DriveError(f"{out}: holds a fleet already; name another folder or delete this one")
    truth: list[dict[str, object]] = []
    drivers: list[dict[str, object]] = []
    arrivals: list[dict[str, object]] = []
    for index in track(range(vehicles), description="simulating", transient=True):
        manifest, risk, drive = simulate_vehicle(seed, index, seconds, noise)
        folder = out / DRIVES / manifest.vehicle_id
        write_drive(folder, manifest, drive.gps, drive.imu)
        who: dict[str, object] = {"vehicle_id": manifest.vehicle_id, "driver_id": manifest.driver_id}
        truth += [who | asdict(event) for event in drive.events]
        drivers.append(who | {"risk": risk, "distance_m": drive.distance_m, "events": len(drive.events)})
        count = len(window_starts(ending(drive.gps), drive.imu, BATCH_US))
        arrivals += plan_arrivals(np.random.default_rng([seed, index, 1]), manifest, count, faults)
    plan = pa.Table.from_pylist(arrivals).sort_by([(name, "ascending") for name in ("arrival_us", "drive", "sequence")])
    pq.write_table(pa.Table.from_pylist(truth, _TRUTH_SCHEMA), out / TRUTH)
    pq.write_table(pa.Table.from_pylist(drivers), out / DRIVERS)
    pq.write_table(plan, out / PLAN)
    return f"{vehicles} vehicles, {seconds / 60:g} min each, {len(truth)} events; truth and plan in {out}"


_TRUTH_SCHEMA = pa.schema(
    [
        ("vehicle_id", pa.string()),
        ("driver_id", pa.string()),
        ("word", pa.string()),
        ("start_us", pa.int64()),
        ("end_us", pa.int64()),
        ("peak", pa.float64()),
        ("speed_mps", pa.float64()),
        ("band", pa.string()),
    ]
)


def read_plan(out: Path) -> Iterator[Arrival]:
    """The fleet's batches in the order in which they arrive, faults included. Holds all drives in memory."""
    batches = {drive.name: _batches(drive) for drive in find_drives([out / DRIVES])}
    for row in pq.read_table(out / PLAN).to_pylist():
        batch = batches[row["drive"]][row["sequence"]]
        yield Arrival(row["arrival_us"], _jumped(batch, row["clock_jump_us"]), row["fault"])


def _batches(drive: Drive) -> list[TelemetryBatch]:
    return telemetry_batches(drive, f"{drive.name}-boot", 0)


def plan_arrivals(rng: np.random.Generator, manifest: Manifest, count: int, faults: Faults) -> list[dict[str, object]]:
    """When each of a drive's batches comes in, and what happened to it on the way."""
    sent_us = to_us(manifest.start) + (np.arange(count) + 1) * BATCH_US + rng.integers(50_000, 2_000_000, count)
    words = np.full(count, "", dtype=object)
    jumps = np.zeros(count, np.int64)
    for at in np.flatnonzero(rng.random(count) < faults.offline):
        back = min(count, at + int(rng.integers(6, 30)))  # 1 to 5 minutes
        sent_us[at:back] = sent_us[back - 1] + np.arange(back - at) * 20_000
        words[at:back] = "offline"
    for at in np.flatnonzero(rng.random(count) < faults.swapped):
        sent_us[at] += int(rng.integers(1, 6)) * BATCH_US
        words[at] = "swapped"
    for at in np.flatnonzero(rng.random(count) < faults.clock_jump):
        jumps[at : at + 3] = int(rng.integers(-600, 600)) * SECOND_US
        words[at : at + 3] = "clock_jump"
    lost = rng.random(count) < faults.lost
    again = rng.random(count) < faults.duplicate
    rows: list[dict[str, object]] = []
    for at in np.flatnonzero(~lost).tolist():
        row: dict[str, object] = {"drive": manifest.vehicle_id, "sequence": at, "clock_jump_us": int(jumps[at])}
        rows.append(row | {"arrival_us": int(sent_us[at]), "fault": words[at]})
        if again[at]:
            rows.append(row | {"arrival_us": int(sent_us[at]) + 3 * SECOND_US, "fault": "duplicate"})
    return rows


def _jumped(batch: TelemetryBatch, jump_us: int) -> TelemetryBatch:
    if not jump_us:
        return batch
    gps = replace(batch.gps, time_us=batch.gps.time_us + jump_us)
    return replace(batch, gps=gps, imu=replace(batch.imu, time_us=batch.imu.time_us + jump_us))


def read_truth(out: Path) -> Sequence[dict[str, object]]:
    """The events that were made, in order of vehicles and time."""
    return list(pq.read_table(out / TRUTH).to_pylist())
