"""Which GPS fixes to believe, and how far apart they lie."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from infra.contracts.telemetry import Float64, GpsSamples, Int64
from scoring.core.rules import SECOND_US
from scoring.core.samples import FixRing

_EARTH_M = 6_371_008.8  # mean radius, IUGG
FASTEST_MPS = 90.0  # 324 km/h: faster is a receiver's error
_LARGEST_CHANGE_MPS2 = 15.0  # 1.5 g between fixes: more is an error, or a crash, whose next fix will be believed
_WORST_ACCURACY_M = 200.0
_JUMP_SLACK_M = 50.0  # urban receivers wander this far between two fixes
_ANCHOR_US = 30 * SECOND_US  # after this long without a believable fix, the next one is a new beginning
_SPEED_GAP_S = 10.0  # fixes further apart do not bound the distance between them by their speeds
_CURVE_SHARE = 1.3  # distance may exceed mean speed x time by this much: speeds are rounded, filtered, late

Bool = npt.NDArray[np.bool_]


def haversine_m(lat0: Float64, lon0: Float64, lat1: Float64, lon1: Float64) -> Float64:
    """Great-circle distance, element by element, of degrees on a sphere; within 0.5 % of the ellipsoid."""
    phi0, phi1 = np.radians(lat0), np.radians(lat1)
    across = np.sin(np.radians(lon1 - lon0) / 2) ** 2 * np.cos(phi0) * np.cos(phi1)
    h = np.sin((phi1 - phi0) / 2) ** 2 + across
    return np.asarray(2 * _EARTH_M * np.arcsin(np.sqrt(np.minimum(h, 1.0))), np.float64)


def believable(gps: GpsSamples, last: FixRing) -> Bool:
    """Mask of the fixes to use. ``last`` holds the fixes believed before (the newest one counts)."""
    own: Bool = np.isfinite(gps.lat) & np.isfinite(gps.lon) & ~(gps.accuracy_m > _WORST_ACCURACY_M)
    own &= ~(gps.speed_mps > FASTEST_MPS) & ~(gps.speed_mps < 0)
    if own.all() and _steps_believable(gps, last):
        return own
    return _one_by_one(gps, last, own)


def _steps_believable(gps: GpsSamples, last: FixRing) -> bool:
    time_us = np.concatenate([last.time_us[-1:], gps.time_us])
    dt_s = np.diff(time_us) / SECOND_US
    if (dt_s <= 0).any():
        return False
    speed = np.concatenate([last.speed_mps[-1:], gps.speed_mps]).astype(np.float64)
    if (np.abs(np.diff(speed)) > _LARGEST_CHANGE_MPS2 * dt_s).any():
        return False
    lat, lon = np.concatenate([last.lat[-1:], gps.lat]), np.concatenate([last.lon[-1:], gps.lon])
    jumps = haversine_m(lat[:-1], lon[:-1], lat[1:], lon[1:])
    return bool((jumps <= FASTEST_MPS * dt_s + _JUMP_SLACK_M).all())


def _one_by_one(gps: GpsSamples, last: FixRing, own: Bool) -> Bool:
    """Each fix against the newest one believed. Only for batches in which something is wrong."""
    kept = np.zeros(len(gps), bool)
    have = len(last) > 0
    anchor = (last.time_us[-1], last.lat[-1], last.lon[-1], float(last.speed_mps[-1])) if have else None
    rows = zip(gps.time_us.tolist(), gps.lat.tolist(), gps.lon.tolist(), gps.speed_mps.tolist(), strict=True)
    for index, row in enumerate(rows):
        if own[index] and (anchor is None or _follows(anchor, row)):
            kept[index] = True
            anchor = row
    return kept


def _follows(anchor: tuple[int, float, float, float], row: tuple[int, float, float, float]) -> bool:
    dt_us = row[0] - anchor[0]
    if dt_us <= 0 or dt_us > _ANCHOR_US:
        return dt_us > 0
    dt_s = dt_us / SECOND_US
    if abs(row[3] - anchor[3]) > _LARGEST_CHANGE_MPS2 * dt_s:
        return False
    ends = (np.array([anchor[1]]), np.array([anchor[2]]), np.array([row[1]]), np.array([row[2]]))
    return bool(haversine_m(*ends)[0] <= FASTEST_MPS * dt_s + _JUMP_SLACK_M)


def fill_speed(gps: GpsSamples, last: FixRing) -> npt.NDArray[np.float32]:
    """Speeds; where a device reports none, from the fix before, if that is at most 10 s old."""
    if not np.isnan(gps.speed_mps).any():
        return gps.speed_mps
    time_us = np.concatenate([last.time_us[-1:], gps.time_us])
    lat, lon = np.concatenate([last.lat[-1:], gps.lat]), np.concatenate([last.lon[-1:], gps.lon])
    dt_s = np.diff(time_us) / SECOND_US
    derived = haversine_m(lat[:-1], lon[:-1], lat[1:], lon[1:]) / dt_s
    derived[dt_s > _SPEED_GAP_S] = np.nan
    if len(derived) < len(gps):
        derived = np.concatenate([[np.nan], derived])
    return np.where(np.isnan(gps.speed_mps), derived, gps.speed_mps).astype(np.float32)


def distances_mm(track: FixRing) -> Int64:
    """Way between each fix and the next, in whole millimetres, so that sums are exact in any order.

    By position, which every receiver reports and no wheel size spoils (odometers come in steps of up to 1 km);
    bounded by speed x time where both fixes have a speed and are close, since positions of a standing vehicle
    wander. Across a gap the straight line counts.
    """
    way_m = haversine_m(track.lat[:-1], track.lon[:-1], track.lat[1:], track.lon[1:])
    dt_s = np.diff(track.time_us) / SECOND_US
    speed = track.speed_mps.astype(np.float64)
    by_speed = (speed[:-1] + speed[1:]) / 2 * dt_s * _CURVE_SHARE
    bounded = np.where((dt_s <= _SPEED_GAP_S) & np.isfinite(by_speed), np.minimum(way_m, by_speed), way_m)
    possible = np.where(way_m <= FASTEST_MPS * dt_s, bounded, 0.0)
    whole: Int64 = np.rint(possible * 1000).astype(np.int64)
    return whole
