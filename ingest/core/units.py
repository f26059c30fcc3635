"""Whether a stream looks as if it were sent in other units than it says. Pure.

A wrong unit is worse than a missing value: every threshold downstream would be off without a sign of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from infra.contracts.telemetry import GpsSamples, ImuSamples

_MIN_IMU_ROWS = 50  # two seconds at 25 Hz: a shorter run may be steady by chance
_G_BAND = (0.95, 1.05)
# In m/s² with gravity taken off, a bend can hold a norm near 1, but not with eight rows in ten this close to it.
_G_SPREAD = (0.85, 1.15)

_MIN_PAIRS = 5
_MIN_MOVING_MPS = 5.0  # below it the noise of positions drowns the speed
_PAIR_S = (0.5, 15.0)  # further apart the chord is too short for the road
_EARTH_M_PER_DEG = 111_195.0  # mean radius 6371.0 km

_SPEED_UNITS = (  # times too large, within 12 %
    ("km/h", 3.6),
    ("mph", 2.237),
)
_TOLERANCE = 0.12
_TIME_UNITS = (  # what a value in microseconds is divided by to be milliseconds, had the sender meant the unit
    ("seconds", 1, "multiply by 1,000"),
    ("microseconds", 1_000_000, "divide by 1,000"),
)
_CENTURY_MIDDLE_MS = 2_524_608_000_000  # 2050
_HALF_CENTURY_MS = 1_577_836_800_000
_LEAST_RATIO = 1.5  # of all together; nearly always under it, which is cheaper to see than percentiles

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Suspicion:
    """What looks wrong, and what the integrator should do."""

    column: str
    hint: str


def suspect_imu(samples: ImuSamples) -> Suspicion | None:
    """Accelerations in g: gravity makes their norm 1 where it should be 9.8."""
    if len(samples) < _MIN_IMU_ROWS:
        return None
    x, y, z = samples.accel_x_mps2, samples.accel_y_mps2, samples.accel_z_mps2
    norm = np.sqrt(x * x + y * y + z * z)
    if not _G_SPREAD[0] <= norm.mean() <= _G_SPREAD[1]:  # nearly always, and cheaper than percentiles
        return None
    low, middle, high = np.percentile(norm[:: 1 + len(norm) // 500], (10, 50, 90))
    if not (_G_BAND[0] <= middle <= _G_BAND[1] and _G_SPREAD[0] <= low and high <= _G_SPREAD[1]):
        return None
    return Suspicion(
        "accel_x_mps2",
        f"the accelerations have a median norm of {middle:.2f}, as if they were in g: send m/s² (multiply by 9.80665)",
    )


def suspect_gps(samples: GpsSamples) -> Suspicion | None:
    """Speeds in km/h or mph, by the ratio to what the positions say; latitude and longitude exchanged."""
    if len(samples) <= _MIN_PAIRS or not np.fmax.reduce(samples.speed_mps) > _MIN_MOVING_MPS:
        return None
    gap_s = np.diff(samples.time_us) / 1e6
    driven_mps = _step_m(samples.lat, samples.lon) / gap_s
    said = (samples.speed_mps[1:].astype(np.float64) + samples.speed_mps[:-1]) / 2
    usable = (gap_s >= _PAIR_S[0]) & (gap_s <= _PAIR_S[1]) & (driven_mps > _MIN_MOVING_MPS) & ~np.isnan(said)
    if usable.sum() < _MIN_PAIRS or said[usable].sum() < _LEAST_RATIO * driven_mps[usable].sum():
        return None
    low, ratio, high = np.percentile(said[usable] / driven_mps[usable], (25, 50, 75))
    for unit, factor in _SPEED_UNITS:
        if factor * (1 - _TOLERANCE) <= low and high <= factor * (1 + _TOLERANCE):
            return Suspicion(
                "speed_mps",
                f"the speeds are {ratio:.2f} times what the positions say, as if they were in {unit}: "
                f"send m/s (divide by {factor})",
            )
    return None


def suspect_times(time_us: npt.NDArray[np.int64]) -> Suspicion | None:
    """Seconds or microseconds where milliseconds are asked for: this century's read as 1970's, or as the far future."""
    if not len(time_us):
        return None
    for unit, factor, advice in _TIME_UNITS:
        if (np.abs(time_us // factor - _CENTURY_MIDDLE_MS) < _HALF_CENTURY_MS).all():
            return Suspicion("time_ms", f"the times read as if they were in {unit}: send milliseconds ({advice})")
    return None


def suspect_swapped(lat: Float64, lon: Float64) -> Suspicion | None:
    """Latitudes beyond ±90 beside longitudes that would be latitudes: the two are exchanged."""
    if len(lat) and (np.abs(lat) > 90).all() and (np.abs(lat) <= 180).all() and (np.abs(lon) <= 90).all():
        return Suspicion("lat", "every latitude is beyond ±90: lat and lon look exchanged")
    return None


def _step_m(lat: Float64, lon: Float64) -> Float64:
    north = np.diff(lat) * _EARTH_M_PER_DEG
    east = np.diff(lon) * _EARTH_M_PER_DEG * np.cos(np.radians(lat[1:]))
    return np.hypot(north, east)
