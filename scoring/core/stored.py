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
_ANCHOR_US = 31 * SECOND_US  # a believed fix is held for no longer against those that follow: 30 s, and one to spare
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

    @property
    def straight(self) -> bool:
        """Whether the device sends the vehicle's axes."""
        return self.mounting is not None and bool(np.array_equal(self.mounting, np.eye(3)))


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
    """One vehicle's rows, in order of time. Calm ones may be left out, as ``scoring.core.calm`` says."""

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


def unsure(gps: GpsSamples) -> npt.NDArray[np.bool_]:
    """Fixes that may be unbelievable, and those of half a minute after, which are held against what was believed last.

    All others are believed, whatever was before: a fix is refused for 30 s at most.
    """
    near = np.zeros(len(gps), np.bool_)
    first = np.flatnonzero(_suspects(gps))
    if len(first):
        last = np.searchsorted(gps.time_us, gps.time_us[first] + _ANCHOR_US, side="right")
        steps = np.bincount(first, minlength=len(gps) + 1) - np.bincount(last, minlength=len(gps) + 1)
        near = np.cumsum(steps[:-1]) > 0
    return near


def _mask(gps: GpsSamples) -> npt.NDArray[np.bool_]:
    mask, near = np.ones(len(gps), np.bool_), unsure(gps)
    runs = np.flatnonzero(np.diff(near, prepend=False, append=False)).reshape(-1, 2)
    for first, last in runs.tolist():
        before = take(gps, slice(max(first - 1, 0), first))
        mask[first:last] = believable(take(gps, slice(first, last)), _ring(before))
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
    if subject.mounting is None or not len(motion):
        return samples.no_imu(), np.empty((4, 2, 0))
    if subject.since_us > int(motion.time_us[0]):
        motion = _from(motion, subject.since_us)
    spread = np.sqrt(np.maximum(motion.rms**2 - motion.mean**2, 0))
    if subject.straight:
        mean, turn, flat, least, most = motion.mean, motion.turn, spread, motion.least[:2], motion.most[:2]
    else:
        mean, turn = (_product(subject.mounting, values) for values in (motion.mean, motion.turn))
        flat = _product(np.abs(subject.mounting), spread)
        least, most = np.full((2, len(motion)), -np.inf), np.full((2, len(motion)), np.inf)
    counts = np.rint(np.concatenate([mean, turn]) / _GRID)
    counts = np.where(np.isfinite(counts), np.clip(counts, -32_767, 32_767), samples.MISSING).astype(np.int16)
    ring = ImuRing(motion.time_us + SECOND_US // 2, counts)
    return ring, np.stack([mean[:2], flat[:2], least, most])


def _from(motion: Motion, since_us: int) -> Motion:
    first = int(np.searchsorted(motion.time_us, since_us))
    return Motion(*(getattr(motion, f.name)[..., first:] for f in fields(Motion)))


def _product(matrix: Float64, values: Float64) -> Float64:
    """Of a matrix (3, 3) and columns (3, n); to the last bit the same for a column whatever stands beside it."""
    x, y, z = values
    return np.stack([row[0] * x + row[1] * y + row[2] * z for row in matrix])
