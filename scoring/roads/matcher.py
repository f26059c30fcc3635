"""Matches traces to roads with Valhalla: limits and road classes of every fix, with confidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from infra.contracts.telemetry import Float64, GpsSamples, take
from scoring.core import roads
from scoring.core.roads import Matched
from scoring.roads import tiles as tiles_of
from scoring.roads.tiles import TilesNote

_ATTRIBUTES = (
    "edge.speed_limit",
    "edge.road_class",
    "edge.use",
    "matched.edge_index",
    "matched.distance_from_trace_point",
    "matched.type",
)
_NO_ROAD = ("No suitable edges", "Map Match algorithm failed", "Insufficient shape", "failed to find")
"""Answers that mean: there is no road here. Everything else is a failure, and is raised."""
_USUAL_ACCURACY_M, _LEAST_ACCURACY_M, _MOST_ACCURACY_M = 8.0, 4.0, 25.0  # the last: Valhalla looks 50 m around
_UNLIMITED = "unlimited"


class Matcher:
    """Opens tiles, and matches with them. Not to be shared between threads."""

    def __init__(self, tiles: Path) -> None:
        """Raises RoadsError: no Valhalla, or no tiles there."""
        self.note: TilesNote = tiles_of.read_note(tiles)
        self._actor = tiles_of.valhalla().Actor(tiles_of.configuration(tiles))

    def match(self, gps: GpsSamples) -> Matched:
        """The roads of fixes in order of time. Where there is none, or the fix has no position, there is none.

        Every piece is matched as it is and moved to each side: see ``roads.agree``.
        """
        placed = np.flatnonzero(np.isfinite(gps.lat) & np.isfinite(gps.lon))
        known = take(gps, placed)
        runs = [(run, self._piece(take(known, run))) for run in roads.pieces(known)]
        found = roads.joined(runs, known.time_us)
        return found if len(placed) == len(gps) else roads.joined([(placed, found)], gps.time_us)

    def _piece(self, gps: GpsSamples) -> Matched:
        accuracy_m = _typical(gps)
        first = self._trace(gps.lat, gps.lon, accuracy_m)
        trials = [self._trace(*roads.shifted(gps, side), accuracy_m) for side in (-1, 1)]
        return roads.agree(first, trials, gps.accuracy_m)

    def _trace(self, lat: Float64, lon: Float64, accuracy_m: float) -> Matched:
        answer = self.answer(lat, lon, accuracy_m)
        return roads.no_roads(len(lat)) if answer is None else _matched(answer, len(lat))

    def answer(self, lat: Float64, lon: Float64, accuracy_m: float) -> Mapping[str, Any] | None:
        """Valhalla's own answer to ``trace_attributes``; None where it finds no road."""
        request = {
            "shape": [{"lat": y, "lon": x} for y, x in zip(lat.tolist(), lon.tolist(), strict=True)],
            "costing": "auto",
            "shape_match": "map_snap",
            "units": "kilometers",
            "trace_options": {"gps_accuracy": accuracy_m},
            "filters": {"action": "include", "attributes": _ATTRIBUTES},
        }
        try:
            answer: Mapping[str, Any] = orjson.loads(self._actor.trace_attributes(orjson.dumps(request).decode()))
        except RuntimeError as error:
            if any(words in str(error) for words in _NO_ROAD):
                return None
            raise
        return answer


def _typical(gps: GpsSamples) -> float:
    known = gps.accuracy_m[np.isfinite(gps.accuracy_m)]
    return float(np.clip(np.median(known), _LEAST_ACCURACY_M, _MOST_ACCURACY_M)) if len(known) else _USUAL_ACCURACY_M


def _matched(answer: Mapping[str, Any], count: int) -> Matched:
    """One type for what Valhalla returns. A fix without an edge has an index past the last one."""
    edges, points = answer.get("edges", []), answer.get("matched_points", [])
    if len(points) != count:
        return roads.no_roads(count)
    index = np.array([min(point.get("edge_index", len(edges)), len(edges)) for point in points], np.int64)
    off_m = np.array([point.get("distance_from_trace_point", np.nan) for point in points], np.float32)
    limits, words = _columns(edges)
    return Matched(limits[index], np.zeros(count, np.float32), off_m, words[index])


def _columns(edges: Sequence[Mapping[str, Any]]) -> tuple[Any, Any]:
    """Limits and words of the edges, and at the end those of none."""
    said = [edge.get("speed_limit") for edge in edges]
    kmh = [np.inf if one == _UNLIMITED else one or np.nan for one in said]
    words = [str(edge.get("road_class", "road")) for edge in edges]
    return roads.limit_mps(np.array([*kmh, np.nan], np.float64)), np.array([*words, ""], "U24")
