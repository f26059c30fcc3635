"""What broken sensors make of recordings: no event may come of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from infra.contracts.events import EventKind
from infra.contracts.telemetry import empty_imu, take
from infra.runtime.simulated_drive import Noise, simulate_drive
from tests.bench.judged import Section, judge
from tests.bench.recordings import Recorded, hundred_car


def glitches(data: Path) -> Section:
    """What a broken sensor says must make no event, and lose none.

    The 100-Car series have infinite rows, values to -34 g and dead speeds of their own. Here the events of their
    recordings are compared with those of the same recordings in which every such row is left out; then more is put
    into calm simulated drives, on which nothing may be found.
    """
    rows = ["| recordings | glitches | events they make |", "|---|---|---|"]
    wild = made = renamed = lost = 0
    for one in hundred_car(data / "nds100car"):
        accel = np.stack([one.recorded.imu.accel_x_mps2, one.recorded.imu.accel_y_mps2])
        broken = ~np.isfinite(accel).all(axis=0) | (np.abs(accel) > 2 * 9.80665).any(axis=0)
        if not broken.any():
            continue
        wild += int(broken.sum())
        clean = replace(one.recorded, imu=take(one.recorded.imu, ~broken))
        kinds, others = ({(e.kind, round(e.start_us / 2e6)) for e in judge(r).events} for r in (one.recorded, clean))
        near = {(kind, at + by) for kind, at in others for by in (-1, 0, 1)}
        new = [(kind, at) for kind, at in kinds if (kind, at) not in near and kind is not EventKind.CRASH]
        times = {at for _, at in near}
        made += sum(at not in times for _, at in new)
        renamed += sum(at in times for _, at in new)
        lost += max(len(others) - len(kinds), 0)
    said = f"{made} made, {renamed} told by another kind, {lost} lost"
    rows.append(f"| 100-Car, their own | {wild} samples over 2 g or infinite | {said} |")
    injected = 0
    for name, spoil in FAULTS.items():
        found = Counter()
        for number in range(CALM_DRIVES):
            recorded = spoil(_calm_drive(number), np.random.default_rng(number))
            found.update(str(e.kind) for e in judge(recorded).events)
        injected += found.total()
        said = ", ".join(f"{n} {kind}" for kind, n in found.items()) or "0"
        rows.append(f"| {CALM_DRIVES} calm simulated drives of 15 min | {name} | {said} |")
    return Section(
        "Glitches", rows, {"glitch_events_nds100car": made, "glitch_events_injected": injected, "glitch_lost": lost}
    )


CALM_DRIVES = 6
Break = Callable[[Recorded, np.random.Generator], Recorded]


def _calm_drive(number: int) -> Recorded:
    drive = simulate_drive(np.random.default_rng([9, number]), 1_767_636_000_000_000, 900.0, 0.0, Noise())
    return Recorded("simulated", "v", drive.gps, drive.imu)


def _imu_with(**values: float) -> Break:
    """Some columns of 20 places of one or two samples overwritten."""

    def spoil(recorded: Recorded, rng: np.random.Generator) -> Recorded:
        imu = recorded.imu
        at = rng.integers(0, len(imu) - 2, 20)
        columns = {name: getattr(imu, name).copy() for name in values}
        for name, value in values.items():
            columns[name][at] = value
            columns[name][at[:10] + 1] = value
        return replace(recorded, imu=replace(imu, **columns))

    return spoil


def _stuck_axis(recorded: Recorded, rng: np.random.Generator) -> Recorded:
    """Half a minute of one value, at 0.7 g."""
    column = recorded.imu.accel_x_mps2.copy()
    at = int(rng.integers(0, len(column) - 800))
    column[at : at + 750] = -0.7 * 9.80665
    return replace(recorded, imu=replace(recorded.imu, accel_x_mps2=column))


def _speed_of(value: float | None) -> Break:
    """Five minutes of a dead speed: a value, or the last one (None). The device has no accelerometer."""

    def spoil(recorded: Recorded, rng: np.random.Generator) -> Recorded:
        speed = recorded.gps.speed_mps.copy()
        at = int(rng.integers(30, len(speed) - 310))
        speed[at : at + 300] = speed[at] if value is None else value
        return replace(recorded, imu=empty_imu(), gps=replace(recorded.gps, speed_mps=speed))

    return spoil


def _gaps(recorded: Recorded, rng: np.random.Generator) -> Recorded:
    kept, kept_imu = np.ones(len(recorded.gps), bool), np.ones(len(recorded.imu), bool)
    for at in rng.integers(0, 880, 15):
        kept[at : at + 12], kept_imu[25 * at : 25 * (at + 12)] = False, False
    return replace(recorded, gps=take(recorded.gps, kept), imu=take(recorded.imu, kept_imu))


FAULTS: dict[str, Break] = {
    "samples of -34 g along": _imu_with(accel_x_mps2=-34 * 9.80665),
    "samples of 12 g upwards": _imu_with(accel_z_mps2=12 * 9.80665),
    "infinite samples": _imu_with(accel_x_mps2=np.inf, accel_y_mps2=-np.inf),
    "an axis stuck at 0.7 g for 30 s": _stuck_axis,
    "speed dead at 0 for 5 min": _speed_of(0.0),
    "speed stuck for 5 min": _speed_of(None),
    "15 gaps of 12 s": _gaps,
}
