"""What surrounds an event and is known from time and place alone: whether it was night."""

from __future__ import annotations

import math

_J2000_US = 946_728_000_000_000  # 2000-01-01 12:00 UTC
_DAY_US = 86_400_000_000
_CIVIL_DUSK_DEG = -6.0  # the sun's elevation at which headlights are needed (civil twilight)


def context_labels(time_us: int, lat: float | None, lon: float | None) -> list[str]:
    if lat is None or lon is None or not (math.isfinite(lat) and math.isfinite(lon)):
        return []
    return ["night"] if sun_elevation_deg(time_us, lat, lon) < _CIVIL_DUSK_DEG else []


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
