"""Drives along real roads: a way found by Valhalla, driven with known limits and a receiver's noise."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from infra.contracts.telemetry import UNKNOWN, GpsSamples
from scoring.core.fixes import haversine_m
from scoring.roads.matcher import Matcher
from scoring.roads.tiles import build

ROOT = Path(__file__).parents[1]
EXTRACT = Path(os.environ.get("RUMBLESTRIP_TEST_EXTRACT", ROOT.parent / "shared/data/drives/osm/andorra.osm.pbf"))
HOW = f"{EXTRACT} is not there: get andorra-latest.osm.pbf from https://download.geofabrik.de/europe/andorra.html"
START_US = 1_700_000_000_000_000
_METRES_PER_DEGREE = 111_195.0

PLACES = {
    "La Vella": (42.5063, 1.5218),
    "Pas de la Casa": (42.5424, 1.7335),
    "Sant Julià": (42.4640, 1.4913),
    "Ordino": (42.5557, 1.5331),
    "Arinsal": (42.5728, 1.4845),
    "Encamp": (42.5361, 1.5828),
    "Canillo": (42.5676, 1.5976),
}


def need_extract() -> Path:
    """Skips the test, and says what to do, where there is no extract. In CI it must be there."""
    if not EXTRACT.is_file():
        assert os.environ.get("CI") != "true", HOW
        pytest.skip(HOW)
    return EXTRACT


def build_tiles(folder: Path) -> Path:
    build([need_extract()], folder, lambda _line: None)
    return folder


@dataclass(frozen=True, eq=False)
class Route:
    """A way without noise: a place every metre, with the limit that the map has there (NaN: none)."""

    lat: np.ndarray
    lon: np.ndarray
    limit_mps: np.ndarray
    road: np.ndarray
    use: np.ndarray


def route(matcher: Matcher, *places: tuple[float, float]) -> Route:
    """The quickest way between places."""
    actor = matcher._actor
    locations = [{"lat": lat, "lon": lon, "radius": 50} for lat, lon in places]
    answer = actor.route({"locations": locations, "costing": "auto"})
    shape = [decode(leg["shape"]) for leg in answer["trip"]["legs"]]
    lat, lon = np.concatenate(shape).T
    keep = np.r_[True, (np.diff(lat) != 0) | (np.diff(lon) != 0)]
    return _every_metre(actor, lat[keep], lon[keep])


def _every_metre(actor, lat: np.ndarray, lon: np.ndarray) -> Route:
    """The truth comes of walking the edges of the way itself, not of matching noisy places to it."""
    request = {
        "shape": [{"lat": y, "lon": x} for y, x in zip(lat.tolist(), lon.tolist(), strict=True)],
        "costing": "auto",
        "shape_match": "edge_walk",
    }
    answer = actor.trace_attributes(request)
    shape = decode(answer["shape"])
    at_m = np.r_[0, np.cumsum(haversine_m(shape[:-1, 0], shape[:-1, 1], shape[1:, 0], shape[1:, 1]))]
    rows = []
    for edge in answer["edges"]:
        said = edge.get("speed_limit")
        limit = np.inf if said == "unlimited" else (said or np.nan)
        rows.append((at_m[edge["begin_shape_index"]], limit / 3.6, edge["road_class"], edge["use"]))
    begins, limits, roads, uses = (np.array(column) for column in zip(*rows, strict=True))
    every = np.arange(0, at_m[-1], 1.0)
    edge_at = np.searchsorted(begins, every, side="right") - 1
    columns = (np.interp(every, at_m, shape[:, 0]), np.interp(every, at_m, shape[:, 1]))
    return Route(*columns, limits[edge_at], roads[edge_at], uses[edge_at])


def decode(text: str) -> np.ndarray:
    """(n, 2) latitudes and longitudes of a polyline of six decimals."""
    numbers, value, shift = [], 0, 0
    for byte in text.encode():
        value |= ((byte - 63) & 0x1F) << shift
        shift += 5
        if byte - 63 < 0x20:
            numbers.append(~(value >> 1) if value & 1 else value >> 1)
            value = shift = 0
    return np.cumsum(np.array(numbers).reshape(-1, 2), axis=0) / 1e6


@dataclass(frozen=True, eq=False)
class Driven:
    """What a receiver saw of a way, and the truth of each fix: limit, road, and metres along the way."""

    gps: GpsSamples
    limit_mps: np.ndarray
    road: np.ndarray
    at_m: np.ndarray
    speed_mps: np.ndarray


def driven(
    way: Route,
    speed_mps: float | None = None,
    over: float = 1.0,
    fast: Sequence[tuple[float, float]] = (),
    noise_m: float = 5.0,
    wander_s: float = 20.0,
    every_s: float = 1.0,
    seed: int = 1,
) -> Driven:
    """Along the way at 0.9 of the limit (13 m/s where there is none), or at a speed; ``fast``: seconds from and to
    in which the speed is ``over`` times the limit. The receiver's error wanders with ``wander_s``, as it truly does.
    """
    at, place, speeds, clock = 0.0, [], [], 0.0
    while at < len(way.lat) - 1:
        limit = way.limit_mps[int(at)]
        slow = 0.9 * limit if np.isfinite(limit) else 13.0
        hurry = any(start <= clock < end for start, end in fast)
        now = speed_mps or (limit * over if hurry and np.isfinite(limit) else slow)
        place.append(at)
        speeds.append(now)
        at += now * every_s
        clock += every_s
    at_m = np.array(place)
    east, north = _wandering(len(at_m), noise_m, wander_s / every_s, seed)
    index = at_m.astype(int)
    lat = way.lat[index] + north / _METRES_PER_DEGREE
    lon = way.lon[index] + east / _METRES_PER_DEGREE / np.cos(np.radians(way.lat[index]))
    gps = _samples(lat, lon, np.array(speeds), noise_m, every_s)
    return Driven(gps, way.limit_mps[index], way.road[index], at_m, np.array(speeds))


def _wandering(count: int, noise_m: float, steps: float, seed: int) -> np.ndarray:
    """Two coloured noises of this standard deviation along each axis over sqrt 2 (so that noise_m is horizontal)."""
    rng, keep = np.random.default_rng(seed), np.exp(-1 / steps)
    drive = rng.normal(0, np.sqrt(1 - keep**2), (count, 2))
    out = np.empty((count, 2))
    now = rng.normal(0, 1, 2)
    for i in range(count):
        now = keep * now + drive[i]
        out[i] = now
    return out.T * noise_m / np.sqrt(2)


def _samples(lat, lon, speed, noise_m, every_s) -> GpsSamples:
    n = len(lat)
    time_us = START_US + (np.arange(n) * every_s * 1e6).astype(np.int64)
    nan4, flags = np.full(n, np.nan, np.float32), np.full(n, UNKNOWN, np.int8)
    accuracy = np.full(n, noise_m, np.float32)
    return GpsSamples(
        time_us, lat, lon, speed.astype(np.float32), nan4, accuracy, nan4.copy(), np.full(n, np.nan), flags, flags
    )
