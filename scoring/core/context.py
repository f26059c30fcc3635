"""What surrounds an event and is known from its time, place and posted limit: night, town, motorway."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from infra.contracts.telemetry import Float64, Int64

_J2000_US = 946_728_000_000_000  # 2000-01-01 12:00 UTC
_DAY_US = 86_400_000_000
_CIVIL_DUSK_DEG = -6.0  # the sun's elevation at which headlights are needed (civil twilight)
_CELL_US, _CELL_DEG = 300_000_000, 0.25  # within which the sun stands at one height, to 1.5 degrees
_URBAN_KMH, _MOTORWAY_KMH = 52.0, 95.0  # posted: up to 50 km/h or 30 mph in towns; 60 mph and more between


def context_labels(time_us: int, lat: float | None, lon: float | None, limit_mps: float | None = None) -> list[str]:
    """``night`` by the sun; ``urban`` or ``motorway`` by the posted limit, where it is known and tells."""
    labels: list[str] = []
    if lat is not None and lon is not None and math.isfinite(lat) and math.isfinite(lon):
        labels += ["night"] if sun_elevation_deg(time_us, lat, lon) < _CIVIL_DUSK_DEG else []
    if limit_mps is not None and 0 < limit_mps * 3.6 <= _URBAN_KMH:
        labels.append("urban")
    elif limit_mps is not None and limit_mps * 3.6 >= _MOTORWAY_KMH:
        labels.append("motorway")
    return labels


def in_the_dark(time_us: Int64, lat: Float64, lon: Float64) -> npt.NDArray[np.bool_]:
    """Of each fix, at least one, in time order: is the sun below civil dusk?

    Told for cells of 5 min and a quarter of a degree, so that it does not depend on which are looked at together.
    """
    north, east = lat.tolist(), lon.tolist()
    place = (min(north), max(north), min(east), max(east))
    south, north_end, west, east_end = (math.floor(one / _CELL_DEG) for one in place)
    first, last = int(time_us[0]) // _CELL_US, int(time_us[-1]) // _CELL_US
    if (first, south, west) == (last, north_end, east_end):
        return np.full(len(time_us), _is_dark(first, south, west))
    cells = np.stack([time_us // _CELL_US, np.floor(lat / _CELL_DEG), np.floor(lon / _CELL_DEG)])
    found, which = np.unique(cells, axis=1, return_inverse=True)
    dark = np.array([_is_dark(*cell) for cell in found.T.tolist()])
    return np.asarray(dark[which.reshape(-1)])


def _is_dark(time: float, north: float, east: float) -> bool:
    middle_us = int((time + 0.5) * _CELL_US)
    return sun_elevation_deg(middle_us, (north + 0.5) * _CELL_DEG, (east + 0.5) * _CELL_DEG) < _CIVIL_DUSK_DEG


@lru_cache(maxsize=8192)  # rules that are tried side by side ask for the same moments
def sun_elevation_deg(time_us: int, lat: float, lon: float) -> float:
    """Elevation of the sun's centre, without refraction; the Astronomical Almanac's low-precision formulas, 0.01°."""
    days = (time_us - _J2000_US) / _DAY_US
    anomaly = math.radians(357.528 + 0.9856003 * days)
    longitude = 280.460 + 0.9856474 * days + 1.915 * math.sin(anomaly) + 0.020 * math.sin(2 * anomaly)
    ecliptic, tilt = math.radians(longitude), math.radians(23.439 - 0.0000004 * days)
    ascension = math.atan2(math.cos(tilt) * math.sin(ecliptic), math.cos(ecliptic))
    declination = math.asin(math.sin(tilt) * math.sin(ecliptic))
    sidereal = math.radians((280.46062 + 360.98564737 * days + lon) % 360)
    hour_angle = sidereal - ascension
    up = math.sin(math.radians(lat)) * math.sin(declination)
    across = math.cos(math.radians(lat)) * math.cos(declination) * math.cos(hour_angle)
    return math.degrees(math.asin(up + across))
