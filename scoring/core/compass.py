"""Signals in the compass's axes, which stay while the vehicle turns under them: turned by the GPS course.

Android's order is x east, y north, z up; aviation's is x north, y east, z down. Which of the two it is, how far the
compass is off, and whether the signal is of this kind at all follow from what GPS says should have been felt:
acceleration = dv/dt along the course + speed x yaw rate to its left, as complex numbers (east + i north).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from infra.contracts.telemetry import Float64, Int64
from scoring.core.felt import Felt, expected, low_pass
from scoring.core.gps_motion import GpsMotion
from scoring.core.rotation_fit import NO_GRAVITY_MPS2
from scoring.core.rules import SECOND_US
from scoring.core.survey import HIGH_PASS_S, LAGS_S

Complex = npt.NDArray[np.complex128]

_LEAST_TENTHS = 200
_LEAST_EXPLAINED = 0.15
_WORST_ERROR_DEG = 6.0
_GAIN = (0.4, 1.6)
_SLOW_NOISE = 6.0  # the tenths are not independent: some 3 s are
_SURE_SHARE = 0.03  # of what is explained: less does not make a filter
_FITS_US = 20 * SECOND_US  # a gyroscope bridges the fixes of so long


@dataclass(frozen=True, slots=True)
class Compass:
    """``north_first``: x north, y east, z down. ``offset_rad``: how far north is off, counter-clockwise.

    ``error_deg`` None: GPS could not tell, and the axes are believed as declared.
    """

    north_first: bool
    offset_rad: float
    error_deg: float | None
    explained: float
    lag_s: float | None
    high_pass_s: float | None
    gravity: bool

    @property
    def sure(self) -> bool:
        return self.error_deg is not None


def take_bearings(felt: Felt, motion: GpsMotion) -> Compass:
    """How the axes lie, from a whole drive."""
    gravity = len(felt) > 0 and float(np.median(np.linalg.norm(felt.accel, axis=1))) > 3 * NO_GRAVITY_MPS2
    down = gravity and float(np.median(felt.accel[:, 2])) < 0
    plain = _best(felt, motion, None, gravity)
    found = plain
    if not gravity:
        filtered = max((_best(felt, motion, tau, gravity) for tau in HIGH_PASS_S), key=lambda c: c.explained)
        if filtered.explained > plain.explained + _SURE_SHARE:
            found = filtered
    if found.sure:
        return found
    return Compass(down, 0.0, None, found.explained, None, None, gravity)


def course_of(felt: Felt, motion: GpsMotion, compass: Compass) -> Float64:
    """The course of each tenth, rad clockwise from north: by GPS, and by the gyroscope between fixes."""
    at_us = felt.time_us + round((compass.lag_s or 0.0) * SECOND_US)
    course = motion.course(at_us)
    if felt.gyro is None or not len(motion.course_us):
        return course
    steps_s = np.minimum(np.diff(felt.time_us, prepend=felt.time_us[:1]), SECOND_US) / SECOND_US
    turned = np.cumsum(felt.gyro[:, 2] * steps_s) * (1.0 if compass.north_first else -1.0)
    known = np.searchsorted(at_us, motion.course_us)
    inside = (known > 0) & (known < len(at_us))
    drift = motion.course_rad[inside] - turned[known[inside]]
    if not inside.any():
        return course
    smooth = _running_median(drift, motion.course_us[inside])
    return np.asarray(turned + np.interp(at_us, motion.course_us[inside], smooth))


def turn_level(x: Float64, y: Float64, course: Float64, compass: Compass) -> tuple[Float64, Float64]:
    """Forward and left of a vector that is given in the compass's axes."""
    level = (y + 1j * x) if compass.north_first else (x + 1j * y)
    turned = level * np.conj(_ahead(course) * np.exp(1j * compass.offset_rad))
    return turned.real, turned.imag


def _ahead(course: Float64) -> Complex:
    return np.asarray(np.sin(course) + 1j * np.cos(course))


def _running_median(values: Float64, time_us: Int64) -> Float64:
    """Over the values within some seconds, so that one wrong heading counts for nothing."""
    first = np.searchsorted(time_us, time_us - _FITS_US // 2)
    last = np.searchsorted(time_us, time_us + _FITS_US // 2)
    return np.array([float(np.median(values[a:b])) for a, b in zip(first, last, strict=True)])


def _best(felt: Felt, motion: GpsMotion, high_pass_s: float | None, gravity: bool) -> Compass:
    steps = LAGS_S if high_pass_s is None else LAGS_S[::2]
    tried = (_try(felt, motion, lag_s, high_pass_s, gravity) for lag_s in steps)
    return max((one for pair in tried for one in pair), key=lambda c: (c.sure, c.explained))


def _try(
    felt: Felt, motion: GpsMotion, lag_s: float, high_pass_s: float | None, gravity: bool
) -> tuple[Compass, Compass]:
    """Both orders of the axes at one lag."""
    lag_us = round(lag_s * SECOND_US)
    rows, driven = expected(felt, motion, lag_us)
    course = motion.course(felt.time_us + lag_us)
    should = (rows[:, 0] + 1j * rows[:, 4]) * _ahead(course)
    should[~np.isfinite(should)] = 0.0
    if high_pass_s is not None:
        passed = low_pass(np.column_stack([should.real, should.imag]), high_pass_s)
        should = should - (passed[:, 0] + 1j * passed[:, 1])
    should, felt_xy = should[driven], felt.accel[driven, :2]
    orders = (False, felt_xy[:, 0] + 1j * felt_xy[:, 1]), (True, felt_xy[:, 1] + 1j * felt_xy[:, 0])
    one, two = (_compare(level, should, order, lag_s, high_pass_s, gravity) for order, level in orders)
    return one, two


def _compare(
    level: Complex, should: Complex, north_first: bool, lag_s: float, high_pass_s: float | None, gravity: bool
) -> Compass:
    if len(level) < _LEAST_TENTHS:
        return Compass(north_first, 0.0, None, 0.0, None, None, gravity)
    level, should = level - level.mean(), should - should.mean()
    power = float((np.abs(should) ** 2).sum())
    product = complex((level * np.conj(should)).sum())
    spread = float((np.abs(level) ** 2).sum())
    share = abs(product) ** 2 / max(power * spread, 1e-9)
    blur = np.sqrt((1 - share) / max(share, 1e-9) / len(level) / 2)
    error_deg = float(np.degrees(_SLOW_NOISE * blur))
    gain = abs(product) / max(power, 1e-9)
    sure = share > _LEAST_EXPLAINED and error_deg < _WORST_ERROR_DEG and _GAIN[0] < gain < _GAIN[1]
    offset = float(np.angle(product))
    return Compass(north_first, offset, error_deg if sure else None, share, lag_s, high_pass_s, gravity)
