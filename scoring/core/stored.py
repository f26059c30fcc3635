"""Telemetry as the store keeps it, a row a second, of many vehicles one after the other on a single axis of time.

Every signal and detector takes a long gap for what it is. So vehicles that are laid out with an hour between them can
be looked at as one, in whole columns, by the very code that judges a vehicle as it drives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from infra.contracts.telemetry import Float64, GpsSamples, Int64, VehicleClass, concat, take
from scoring.core import samples
from scoring.core.fixes import FASTEST_MPS, believable, fill_speed
from scoring.core.rules import SECOND_US
from scoring.core.samples import FixRing, ImuRing

BETWEEN_US = 3600 * SECOND_US  # longer than any quiet time or settling
DENSE_HZ = 6.0  # an accelerometer this dense is judged itself; what is slower only supports GPS
ALWAYS_US = -(2**62)
_BLOCK = 64  # fixes that are looked at together where something is wrong
_LARGEST_CHANGE_MPS2, _SLACK_M, _DEGREE_M = 15.0, 50.0, 111_400.0  # as in fixes.believable; the last: at most
_GRID = np.array([[samples.ACCEL_LSB_MPS2]] * 3 + [[samples.GYRO_LSB_RADPS]] * 3)


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """What must be known of a vehicle besides its rows.

    ``mounting``: rows are the vehicle's forward, left and up in the device's axes; the identity where the device
    sends these; None where it is not known. It holds for rows from ``since_us`` on. ``imu_hz`` 0: no accelerometer.
    """

    vehicle_id: str
    vehicle_class: VehicleClass
    mounting: Float64 | None = None
    since_us: int = ALWAYS_US
    imu_hz: float = 0.0

    @property
    def dense(self) -> bool:
        """Whether harshness is judged by the accelerometer; if not, by GPS."""
        return self.mounting is not None and self.imu_hz >= DENSE_HZ


@dataclass(frozen=True, slots=True, eq=False)
class Motion:
    """Rows of the table motion: (3, n) in m/s2 along the device's axes, ``turn`` in rad/s, NaN where not known."""

    time_us: Int64  # the second's beginning
    mean: Float64
    rms: Float64
    least: Float64
    most: Float64
    turn: Float64

    def __len__(self) -> int:
        return len(self.time_us)


@dataclass(frozen=True, slots=True, eq=False)
class Telemetry:
    """One vehicle's rows, in order of time. Where ``subject.dense``, calm seconds of ``motion`` may be left out."""

    subject: Subject
    gps: GpsSamples
    motion: Motion


@dataclass(frozen=True, slots=True, eq=False)
class Fleet:
    """Vehicles laid out: ``stride_us`` apart, the first beginning at 0. ``gps`` belongs to ``fixes``.

    ``mean``, ``spread``, ``most`` and ``least`` are (2, m), forward and left, of the rows of ``imu``.
    """

    vehicles: Sequence[str]
    origin_us: int
    stride_us: int
    fixes: FixRing
    gps: GpsSamples
    imu: ImuRing
    mean: Float64
    spread: Float64
    least: Float64
    most: Float64

    def place(self, laid_us: int) -> tuple[str, int]:
        """The vehicle, and what is to be added for its own time."""
        number = laid_us // self.stride_us
        return self.vehicles[number], self.origin_us - number * self.stride_us


def no_motion() -> Motion:
    none, three = np.empty(0, np.int64), np.empty((3, 0))
    return Motion(none, three, three, three, three, three)


def lay_out(chunk: Sequence[Telemetry]) -> Fleet:
    """Vehicles one after the other; fixes that are not believed left out, motion in the vehicles' axes."""
    believed = [_believed(one.gps) for one in chunk]
    turned = [_turned(one.subject, one.motion) for one in chunk]
    times = [t for t in (*(gps.time_us for gps, _ in believed), *(one.time_us for one, _ in turned)) if len(t)]
    origin = min((int(t[0]) for t in times), default=0)
    stride = max((int(t[-1]) for t in times), default=0) - origin + BETWEEN_US
    shifts = [number * stride - origin for number in range(len(chunk))]
    gps = concat([gps for gps, _ in believed])
    laid = np.concatenate([one.time_us + shift for (one, _), shift in zip(believed, shifts, strict=True)])
    imu = [ImuRing(one.time_us + shift, one.counts) for (one, _), shift in zip(turned, shifts, strict=True)]
    rings = ImuRing(*(np.concatenate([getattr(r, f.name) for r in imu], axis=-1) for f in fields(ImuRing)))
    stats = np.concatenate([stats for _, stats in turned], axis=-1)
    fixes = FixRing(laid, gps.lat, gps.lon, np.concatenate([speed for _, speed in believed]), gps.heading_deg)
    return Fleet([one.subject.vehicle_id for one in chunk], origin, stride, fixes, gps, rings, *stats)


def _believed(gps: GpsSamples) -> tuple[GpsSamples, npt.NDArray[np.float32]]:
    """The fixes that the worker believes, and their speeds."""
    mask = _mask(gps)
    gps = gps if mask.all() else take(gps, mask)
    return gps, fill_speed(gps, samples.no_fixes())


def _mask(gps: GpsSamples) -> npt.NDArray[np.bool_]:
    wrong = _suspects(gps)
    mask = np.ones(len(gps), np.bool_)
    if not wrong.any():
        return mask
    last, blocks = samples.no_fixes(), np.unique(np.flatnonzero(wrong) // _BLOCK)
    looked_at = np.union1d(blocks, blocks + 1)  # what follows a wrong one is measured from the last that was right
    for block in looked_at.tolist():
        part = slice(block * _BLOCK, (block + 1) * _BLOCK)
        if part.start >= len(gps):
            break
        if block - 1 not in looked_at:
            last = _ring(take(gps, slice(max(part.start - 1, 0), part.start)))
        mask[part] = believable(take(gps, part), last)
        believed = take(gps, np.flatnonzero(mask[: part.stop])[-1:])
        last = _ring(believed)
    return mask


def _suspects(gps: GpsSamples) -> npt.NDArray[np.bool_]:
    """Fixes that may be unbelievable: a superset, without trigonometry."""
    wrong: npt.NDArray[np.bool_] = ~(np.isfinite(gps.lat) & np.isfinite(gps.lon)) | (gps.accuracy_m > 200.0)
    wrong |= (gps.speed_mps > FASTEST_MPS) | (gps.speed_mps < 0)
    dt_s = np.diff(gps.time_us) / SECOND_US
    jump_m = (np.abs(np.diff(gps.lat)) + np.abs(np.diff(gps.lon))) * _DEGREE_M
    step = (dt_s <= 0) | (jump_m > FASTEST_MPS * dt_s + _SLACK_M)
    step |= np.abs(np.diff(gps.speed_mps)) > _LARGEST_CHANGE_MPS2 * dt_s
    wrong[1:] |= step
    return wrong


def _ring(gps: GpsSamples) -> FixRing:
    return FixRing(gps.time_us, gps.lat, gps.lon, gps.speed_mps, gps.heading_deg)


def _turned(subject: Subject, motion: Motion) -> tuple[ImuRing, Float64]:
    """The means as samples at the middle of their seconds, and (4, 2, n): mean, spread, least and most.

    Along a turned axis the spread of a motion in one direction is the sum of its shares; the extremes are not known.
    """
    matrix = subject.mounting
    if matrix is None or not len(motion):
        return samples.no_imu(), np.empty((4, 2, 0))
    holds = motion.time_us >= subject.since_us
    mean, turn = matrix @ motion.mean[:, holds], matrix @ motion.turn[:, holds]
    spread = np.sqrt(np.maximum(motion.rms[:, holds] ** 2 - motion.mean[:, holds] ** 2, 0))
    flat = np.abs(matrix) @ spread
    straight = bool(np.array_equal(matrix, np.eye(3)))
    least = motion.least[:2, holds] if straight else np.full((2, int(holds.sum())), -np.inf)
    most = motion.most[:2, holds] if straight else -least
    counts = np.rint(np.concatenate([mean, turn]) / _GRID)
    counts = np.where(np.isfinite(counts), np.clip(counts, -32_767, 32_767), samples.MISSING).astype(np.int16)
    ring = ImuRing(motion.time_us[holds] + SECOND_US // 2, counts)
    return ring, np.stack([mean[:2], flat[:2], least, most])
