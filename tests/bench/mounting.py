"""Is a device's mounting found? Simulated drives and short real ones, at any angle and with what phones do to them.

Sixty seconds with at least one brake and one turn each. ``judge`` has the whole recording; ``live`` is what the
worker has learned by the end of it. Not known is a share of its own: it is no error to say so.
To be said to be known and to be off is the error.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd

from infra.contracts.telemetry import GpsSamples, ImuFrame, ImuSamples, take
from scoring.core.believed import believe
from scoring.core.pipeline import Found, fold_batch
from scoring.core.rules import DEFAULT
from scoring.core.state import VehicleState
from tests.bench.recordings import Recorded, batches, comma, hundred_car, imu_of, rotated
from tests.unit.scoring.road import Leg, any_rotation, drive

G = 9.80665
DRIVES, SHORT = 30, 120
SECONDS = 60
WITHIN_DEG = 5.0


@dataclass(frozen=True)
class Device:
    """How a device spoils what it measures."""

    name: str
    hz: float = 25
    lag_s: float = 0.0
    gyro: bool = True
    gravity: bool = True
    high_pass_s: float | None = None
    shaking_mps2: float = 0.4  # of the road and the engine
    grade: float = 0.03  # slope that the road reaches


DEVICES = (
    Device("10 Hz", hz=10),
    Device("25 Hz"),
    Device("50 Hz", hz=50),
    Device("100 Hz", hz=100),
    Device("GPS 2 s late", lag_s=2.0),
    Device("rough road, hills", shaking_mps2=1.2, grade=0.08),
    Device("no gyroscope", gyro=False),
    Device("gravity removed", gravity=False),
    Device("gravity removed, no gyroscope", gyro=False, gravity=False),
    Device("high-passed 2 s", high_pass_s=2.0),
    Device("high-passed 2 s, GPS 1 s late, no gyroscope", high_pass_s=2.0, lag_s=1.0, gyro=False),
)


@dataclass(frozen=True)
class Outcome:
    """Shares of drives."""

    within: float
    unknown: float
    median_deg: float

    @property
    def wrong(self) -> float:
        """Said to be known, and off by more."""
        return max(1.0 - self.within - self.unknown, 0.0)

    def row(self, name: str, how: str) -> str:
        shares = " | ".join(f"{100 * share:.0f} %" for share in (self.within, self.wrong, self.unknown))
        return f"| {name} | {how} | {shares} | {self.median_deg:.1f} |"


def measure(data: Path) -> tuple[list[str], dict[str, float]]:
    """Rows of a table, and figures. Recordings that are not there are left out."""
    rows = ["| device | by | forward within 5° | known, but off by more | not known | median error (°) |"]
    rows += ["|---|---|---|---|---|---|"]
    figures: dict[str, float] = {}
    for device in DEVICES:
        pairs = [_drive(device, seed) for seed in range(DRIVES)]
        for how, ask in (("judge", _by_judge), ("live", _by_worker)):
            outcome = _outcome([_error_deg(ask(recorded), turn[:, 0]) for recorded, turn in pairs])
            rows.append(outcome.row(f"simulated, {device.name}", how))
            figures[f"mounting_{_key(device.name)}_{how}_within_share"] = outcome.within
            figures[f"mounting_{_key(device.name)}_{how}_wrong_share"] = outcome.wrong
    rows += _recordings(data, figures)
    return rows, figures


def _recordings(data: Path, figures: dict[str, float]) -> list[str]:
    rows = []
    if (data / "comma2k19").exists():
        seen, outcome = _halves(data / "comma2k19")
        figures["mounting_moved_seen_share"] = seen
        rows.append(outcome.row(f"comma2k19, turned otherwise from its middle: seen in {100 * seen:.0f} %", "judge"))
    if (data / "nds100car").exists():
        events = islice(hundred_car(data / "nds100car"), SHORT)
        outcome = _outcome([_short(one.recorded, seed) for seed, one in enumerate(events)])
        figures["mounting_100car_within_share"] = outcome.within
        figures["mounting_100car_unknown_share"] = outcome.unknown
        figures["mounting_100car_wrong_share"] = outcome.wrong
        rows.append(outcome.row("100-Car, 40 s at 10 Hz", "judge"))
    return rows


def _key(name: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in name.lower()).replace("__", "_")


# --- drives -----------------------------------------------------------------------------------------------


def _drive(device: Device, seed: int) -> tuple[Recorded, np.ndarray]:
    """A minute of town with a brake and a turn, as this device records it at some angle."""
    rng = np.random.default_rng(seed)
    made = drive(*_legs(rng), start_mps=float(rng.uniform(5, 12)), imu_hz=device.hz, gps_lag_s=device.lag_s, seed=seed)
    accel, gyro = _columns(made.imu)
    count = len(accel)
    slope = device.grade * np.sin(2 * np.pi * np.arange(count) / count * rng.uniform(0.5, 2) + rng.uniform(0, 6))
    accel[:, 0] += G * slope
    accel += rng.normal(0, device.shaking_mps2, accel.shape)
    if device.high_pass_s is not None:
        share = 1 - np.exp(-1 / device.hz / device.high_pass_s)
        accel -= pd.DataFrame(accel).ewm(alpha=share, adjust=False).mean().to_numpy()
    elif not device.gravity:
        accel[:, 2] -= G
    imu = imu_of(made.imu.time_us, accel.T, gyro.T if device.gyro else None)
    turn = any_rotation(seed + 1000)
    gps = _wandering(made.gps, rng)
    return rotated(Recorded(device.name, "v", gps, imu), turn), turn


def _legs(rng: np.random.Generator) -> list[Leg]:
    side = float(rng.choice([-1, 1]))
    legs = [
        Leg(float(rng.uniform(4, 8)), float(rng.uniform(0.1, 0.2))),
        Leg(float(rng.uniform(2, 4)), -float(rng.uniform(0.15, 0.35))),
        Leg(float(rng.uniform(3, 5)), 0.0, side * float(rng.uniform(0.15, 0.3))),
        Leg(float(rng.uniform(3, 6)), float(rng.uniform(0.08, 0.2))),
    ]
    order = rng.permutation(len(legs))
    calm = (SECONDS - sum(leg.seconds for leg in legs)) / (len(legs) + 1)
    found = [Leg(calm)]
    for index in order:
        found += [legs[index], Leg(calm)]
    return found


def _wandering(gps: GpsSamples, rng: np.random.Generator) -> GpsSamples:
    speed = np.maximum(gps.speed_mps + rng.normal(0, 0.15, len(gps)), 0).astype(np.float32)
    heading = (gps.heading_deg + rng.normal(0, 1.0, len(gps))).astype(np.float32) % 360
    return replace(gps, speed_mps=speed, heading_deg=heading)


def _columns(imu: ImuSamples) -> tuple[np.ndarray, np.ndarray]:
    accel = np.stack([imu.accel_x_mps2, imu.accel_y_mps2, imu.accel_z_mps2], axis=1).astype(np.float64)
    return accel, np.stack([imu.gyro_x_radps, imu.gyro_y_radps, imu.gyro_z_radps], axis=1).astype(np.float64)


def _short(recorded: Recorded, seed: int) -> float:
    turn = any_rotation(seed)
    return _error_deg(_by_judge(rotated(recorded, turn)), turn[:, 0])


def _halves(folder: Path, rotations: int = 40) -> tuple[float, Outcome]:
    """Share in which the move was seen; then what became of the halves."""
    recorded, ahead = comma(folder)
    half = len(recorded.imu) // 2
    seen, errors = 0, []
    for seed in range(rotations):
        turns = any_rotation(seed), any_rotation(seed + 500)
        parts = [rotated(recorded, turn).imu for turn in turns]
        first, second = take(parts[0], slice(0, half)), take(parts[1], slice(half, None))
        whole = {n: np.concatenate([getattr(first, n), getattr(second, n)]) for n in ImuSamples.__slots__}
        survey = believe(recorded.gps, ImuSamples(**whole), ImuFrame.PHONE).survey
        spans = survey.spans if survey else ()
        seen += len(spans) == 2
        if len(spans) == 2:
            pairs = zip(spans, turns, strict=True)
            errors += [_error_deg(s.fitted and s.fitted.matrix[0], turn @ ahead) for s, turn in pairs]
    return seen / rotations, _outcome(errors)


# --- answers ----------------------------------------------------------------------------------------------


def _by_judge(recorded: Recorded) -> np.ndarray | None:
    survey = believe(recorded.gps, recorded.imu, ImuFrame.PHONE).survey
    known = [span for span in survey.spans if span.fitted] if survey else []
    if not known:
        return None
    return max(known, key=lambda span: span.end_us - span.start_us).fitted.matrix[0]


def _by_worker(recorded: Recorded) -> np.ndarray | None:
    state, found = VehicleState(), Found(recorded.vehicle, DEFAULT)
    for batch in batches(recorded):
        state = fold_batch(state, batch, found)
    known = state.mounting.current if state.mounting else None
    return None if known is None else known.matrix[0]


def _error_deg(forward: np.ndarray | None, true: np.ndarray) -> float:
    """NaN for not known."""
    return np.nan if forward is None else float(np.degrees(np.arccos(np.clip(forward @ true, -1, 1))))


def _outcome(errors: list[float]) -> Outcome:
    values = np.array(errors)
    known = values[np.isfinite(values)]
    median = float(np.median(known)) if len(known) else np.nan
    return Outcome(float((known <= WITHIN_DEG).sum()) / max(len(values), 1), float(np.isnan(values).mean()), median)


def main() -> None:
    rows, _ = measure(Path("../shared/data/drives"))
    print("\n".join(rows))


if __name__ == "__main__":
    main()
