"""What GPS says of a whole drive's motion, as functions of time: speed, its change, course, yaw rate."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from infra.contracts.telemetry import Float64, GpsSamples, Int64, take
from scoring.core import samples
from scoring.core.fixes import believable, fill_speed, haversine_m
from scoring.core.rules import SECOND_US

_HELD_HZ = 3.0  # tables denser than this are looked at for values that a logger only repeats
_HELD_SHARE = 0.5
_SPAN_US = 900_000  # speed from positions closer than this is mostly their noise
_FAR_US = 3_100_000  # between fixes further apart nothing is known
_HALF_US = SECOND_US // 2
_COURSE_MPS = 3.0  # below, GPS headings wander
_COURSE_M = 3.0

Bool = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class GpsMotion:
    """Fixes with a known speed, and those that also tell a course (rad, clockwise from north, without jumps)."""

    time_us: Int64
    speed_mps: Float64
    course_us: Int64
    course_rad: Float64

    def known(self, at_us: Int64) -> Bool:
        """Whether there are fixes close before and after."""
        after = np.searchsorted(self.time_us, at_us)
        inside = (after > 0) & (after < len(self.time_us))
        after = np.clip(after, 1, max(len(self.time_us) - 1, 1))
        return inside & (np.diff(self.time_us)[after - 1] <= _FAR_US) if len(self.time_us) > 1 else inside

    def speed(self, at_us: Int64) -> Float64:
        return np.interp(at_us, self.time_us, self.speed_mps)

    def change(self, at_us: Int64) -> Float64:
        """Change of speed over the second around a time, m/s2."""
        return self.speed(at_us + _HALF_US) - self.speed(at_us - _HALF_US)

    def course(self, at_us: Int64) -> Float64:
        if not len(self.course_us):
            return np.full(len(at_us), np.nan)
        return np.interp(at_us, self.course_us, self.course_rad)

    def yaw(self, at_us: Int64) -> Float64:
        """Yaw rate over the second around a time, rad/s, left positive; 0 where no course is known."""
        turned = self.course(at_us - _HALF_US) - self.course(at_us + _HALF_US)
        return np.where(np.isfinite(turned), turned, 0.0)


def motion_of(gps: GpsSamples) -> GpsMotion:
    """From fixes in time order, held ones taken out."""
    gps = take(gps, believable(gps, samples.no_fixes()))
    if not np.isfinite(gps.speed_mps).any():
        gps = take(gps, _spaced(gps.time_us, _SPAN_US))
    speed = fill_speed(gps, samples.no_fixes()).astype(np.float64)
    known = np.isfinite(speed)
    gps, speed = take(gps, known), speed[known]
    course_us, course_rad = _courses(gps, speed)
    return GpsMotion(gps.time_us, speed, course_us, course_rad)


def without_held(gps: GpsSamples) -> tuple[GpsSamples, int]:
    """Without the rows in which a logger of a denser table only repeats the last fix, and how many these were.

    While a vehicle stands, true fixes repeat as well: one is kept now and then.
    """
    if len(gps) < 3 or (len(gps) - 1) * SECOND_US < _HELD_HZ * (int(gps.time_us[-1]) - int(gps.time_us[0])):
        return gps, 0
    columns = (gps.lat, gps.lon, np.nan_to_num(gps.speed_mps, nan=-1.0))
    changed = np.logical_or.reduce([np.diff(column, prepend=np.nan) != 0 for column in columns])
    moving = gps.speed_mps > _COURSE_MPS
    if changed[moving if moving.any() else slice(None)].mean() > _HELD_SHARE:
        return gps, 0
    kept = np.flatnonzero(changed)
    typical_us = max(float(np.median(np.diff(gps.time_us[kept]))), 1.0) if len(kept) > 2 else float(SECOND_US)
    fills = [_held(gps.time_us, a, b, typical_us) for a, b in pairwise([*kept.tolist(), len(gps)]) if b - a > 1]
    index = np.unique(np.concatenate([kept, *fills])).astype(np.int64)
    return take(gps, index), len(gps) - len(index)


def _held(time_us: Int64, first: int, last: int, typical_us: float) -> Int64:
    """Rows to keep of a value that is held from row ``first`` to before ``last``: one each usual interval."""
    end_us = time_us[min(last, len(time_us) - 1)] - 0.6 * typical_us
    times = np.arange(time_us[first] + 1.4 * typical_us, end_us, typical_us)
    return np.searchsorted(time_us, times).astype(np.int64)


def _spaced(time_us: Int64, least_us: int) -> Int64:
    """Indices of rows at least so far apart."""
    slots = time_us // least_us
    return np.flatnonzero(np.diff(slots, prepend=slots[:1] - 1) != 0).astype(np.int64)


def _courses(gps: GpsSamples, speed: Float64) -> tuple[Int64, Float64]:
    moving = speed >= _COURSE_MPS
    heading = gps.heading_deg.astype(np.float64)
    told = moving & np.isfinite(heading)
    if told.any() and told.sum() >= moving.sum() / 2 and np.ptp(heading[told]) > 0:
        return gps.time_us[told], np.unwrap(np.radians(heading[told]))
    at = _spaced(gps.time_us, _SPAN_US)
    lat, lon, time_us = gps.lat[at], gps.lon[at], gps.time_us[at]
    north = np.diff(lat)
    east = np.diff(lon) * np.cos(np.radians(lat[:-1])) if len(lat) else north
    close = (haversine_m(lat[:-1], lon[:-1], lat[1:], lon[1:]) >= _COURSE_M) & (np.diff(time_us) <= _FAR_US)
    middle = (time_us[:-1] + time_us[1:]) // 2
    return middle[close], np.unwrap(np.arctan2(east, north)[close])
