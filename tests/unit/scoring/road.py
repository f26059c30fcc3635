"""Drives for stories: legs of constant acceleration, driven on a flat earth and sampled as a device would."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from infra.contracts.telemetry import (
    UNKNOWN,
    GpsSamples,
    ImuFrame,
    ImuSamples,
    TelemetryBatch,
    VehicleClass,
    empty_gps,
    empty_imu,
    take,
)
from scoring.core.pipeline import Found, fold_batch, fold_silence
from scoring.core.rules import DEFAULT, Rules
from scoring.core.state import VehicleState

G = 9.80665
START_US = 1_700_000_000_000_000
_STEP_HZ = 100
_M_PER_DEGREE = 111_195.0


@dataclass(frozen=True)
class Leg:
    """Some seconds of one acceleration: forward and to the left, in g. Speed stops at zero."""

    seconds: float
    forward_g: float = 0.0
    left_g: float = 0.0


@dataclass(frozen=True, eq=False)
class Recording:
    gps: GpsSamples
    imu: ImuSamples
    batch: TelemetryBatch  # vehicle, device, class, frame; its samples are not used


def drive(
    *legs: Leg,
    start_mps: float = 0.0,
    limit_mps: float = np.nan,
    imu_hz: float = 25,
    gps_hz: float = 1,
    gps_lag_s: float = 0.0,
    noise_g: float = 0.02,
    start_us: int = START_US,
    frame: ImuFrame = ImuFrame.VEHICLE,
    seed: int = 1,
) -> Recording:
    """What a device records on these legs. ``imu_hz`` or ``gps_hz`` 0: it has none."""
    forward, left = (
        np.concatenate([np.full(round(leg.seconds * _STEP_HZ), getattr(leg, name)) for leg in legs])
        for name in ("forward_g", "left_g")
    )
    speed = np.empty(len(forward))
    now = start_mps
    for i, accel in enumerate(forward):
        now = max(0.0, now + accel * G / _STEP_HZ)
        speed[i] = now
    forward = np.where((speed == 0) & (forward < 0), 0.0, forward)
    yaw = np.where(speed > 1, left * G / np.maximum(speed, 1), 0.0)
    heading = np.pi / 2 - np.cumsum(yaw) / _STEP_HZ
    east, north = (np.cumsum(speed * f(heading)) / _STEP_HZ for f in (np.sin, np.cos))
    rng = np.random.default_rng(seed)
    gps = _gps(speed, heading, east, north, limit_mps, gps_hz, gps_lag_s, start_us)
    imu = _imu(forward, left, yaw, imu_hz, noise_g, start_us, rng)
    batch = TelemetryBatch(
        "van-1", "box-1", "boot", 0, "ada", VehicleClass.PASSENGER, frame, start_us, empty_gps(), empty_imu()
    )
    return Recording(gps, imu, batch)


def _gps(speed, heading, east, north, limit_mps, hz, lag_s, start_us) -> GpsSamples:
    if not hz:
        return empty_gps()
    at = np.arange(0, len(speed), round(_STEP_HZ / hz))
    felt = np.maximum(at - round(lag_s * _STEP_HZ), 0)
    n, nan = len(at), np.full(len(at), np.nan, np.float32)
    return GpsSamples(
        start_us + at * (1_000_000 // _STEP_HZ),
        52 + north[at] / _M_PER_DEGREE,
        8 + east[at] / (_M_PER_DEGREE * np.cos(np.radians(52))),
        speed[felt].astype(np.float32),
        (np.degrees(heading[felt]) % 360).astype(np.float32),
        nan,
        np.full(n, limit_mps, np.float32),
        np.full(n, np.nan),
        np.full(n, UNKNOWN, np.int8),
        np.full(n, UNKNOWN, np.int8),
    )


def _imu(forward, left, yaw, hz, noise_g, start_us, rng) -> ImuSamples:
    if not hz:
        return empty_imu()
    at = np.arange(0, len(forward), round(_STEP_HZ / hz))

    def noisy(values, scale):
        return (values + rng.normal(0, noise_g * scale, len(at))).astype(np.float32)

    return ImuSamples(
        start_us + at * (1_000_000 // _STEP_HZ),
        noisy(forward[at] * G, G),
        noisy(left[at] * G, G),
        noisy(np.full(len(at), G), G),
        noisy(np.zeros(len(at)), 0.1),
        noisy(np.zeros(len(at)), 0.1),
        noisy(yaw[at], 0.1),
    )


def batches(
    recording: Recording, cuts_us: Sequence[int] | None = None, every_s: float = 10.0
) -> Iterator[TelemetryBatch]:
    """The recording as messages, cut at some times or every so many seconds."""
    times = [t for t in (recording.gps.time_us, recording.imu.time_us) if len(t)]
    first, last = min(t[0] for t in times), max(t[-1] for t in times)
    if cuts_us is None:
        cuts_us = np.arange(first + every_s * 1e6, last, every_s * 1e6).astype(np.int64).tolist()
    bounds = [int(first), *cuts_us, int(last) + 1]
    for number, (start, end) in enumerate(itertools.pairwise(bounds)):
        gps, imu = (take(s, slice(*np.searchsorted(s.time_us, [start, end]))) for s in (recording.gps, recording.imu))
        yield replace(recording.batch, sequence=number, gps=gps, imu=imu)


def judge(
    recording: Recording, rules: Rules = DEFAULT, *, cuts_us: Sequence[int] | None = None, silence: bool = True
) -> tuple[VehicleState, Found]:
    """Everything found on a recording, to its end in silence."""
    state, found = VehicleState(), Found(recording.batch.vehicle_id, rules)
    for batch in batches(recording, cuts_us):
        state = fold_batch(state, batch, found)
    return (fold_silence(state, found) if silence else state), found


def spoil(recording: Recording, seconds: tuple[float, float], **columns: float) -> Recording:
    """With some columns of some seconds overwritten."""
    gps, imu = recording.gps, recording.imu
    for name, value in columns.items():
        samples = imu if hasattr(imu, name) and name != "time_us" else gps
        values = getattr(samples, name).copy()
        since_s = (samples.time_us - START_US) / 1e6
        values[(since_s >= seconds[0]) & (since_s < seconds[1])] = value
        samples = replace(samples, **{name: values})
        gps, imu = (gps, samples) if isinstance(samples, ImuSamples) else (samples, imu)
    return replace(recording, gps=gps, imu=imu)


def any_rotation(seed: int) -> np.ndarray:
    """A rotation drawn evenly from all there are."""
    w, x, y, z = (q := np.random.default_rng(seed).normal(size=4)) / np.linalg.norm(q)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def mounted(recording: Recording, turn: np.ndarray, since_s: float = 0.0) -> Recording:
    """As a device at this angle records it, from some second on: ``turn`` takes vehicle axes to the device's."""
    imu = recording.imu
    after = (imu.time_us - START_US) / 1e6 >= since_s
    columns = {}
    for names in (
        ["accel_x_mps2", "accel_y_mps2", "accel_z_mps2"],
        ["gyro_x_radps", "gyro_y_radps", "gyro_z_radps"],
    ):
        values = np.stack([getattr(imu, name) for name in names])
        turned = np.where(after, turn @ values, values).astype(np.float32)
        columns |= dict(zip(names, turned, strict=True))
    batch = replace(recording.batch, imu_frame=ImuFrame.DEVICE)
    return replace(recording, imu=replace(imu, **columns), batch=batch)
