"""What is believed of a match to the road: which limits are sure enough to judge by, and what an event says of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from infra.contracts.events import EventKind, SafetyEvent
from infra.contracts.telemetry import Float32, Float64, GpsSamples, Int64
from scoring.core.fixes import FASTEST_MPS, haversine_m
from scoring.core.rules import MPH_MPS, SECOND_US

Bool = npt.NDArray[np.bool_]

SOURCE = "posted limit from OpenStreetMap, matched"
ATTRIBUTION = "© OpenStreetMap contributors, ODbL 1.0"
LEAST_CONFIDENCE = 0.5
"""A match of less is as good as none: the limit counts as unknown. Figures: tests/bench/roads.md."""

KMH_MPS = 1 / 3.6
_GAP_US = 60 * SECOND_US  # a vehicle that was not heard of for longer may have taken any road
_JUMP_SLACK_M = 50.0  # as fixes.believable
_LONGEST_PIECE = 8_000  # fixes in one match; Valhalla's own limit is 16,000
_FEWEST = 3  # fixes: fewer do not tell a direction
_LEAST_SHIFT_M, _LARGEST_SHIFT_M = 8.0, 20.0  # sideways, for the trial matches; open sky and urban canyon
_COURSE_US = 4 * SECOND_US  # over which the course of a trace is taken
_DEGREE_M = 111_195.0


@dataclass(frozen=True, slots=True, eq=False)
class Matched:
    """Of each fix, its road. ``limit_mps``: NaN not known, inf none (a motorway without a limit).

    ``confidence`` is 0 to 1, 0 where there is no road; ``road`` a word of OpenStreetMap's (motorway, residential …),
    empty for none; ``off_m`` the distance from the fix to it.
    """

    limit_mps: Float32
    confidence: Float32
    off_m: Float32
    road: npt.NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.limit_mps)

    @property
    def believed(self) -> Bool:
        return (self.confidence >= LEAST_CONFIDENCE) & ~np.isnan(self.limit_mps)


def pieces(gps: GpsSamples) -> list[slice]:
    """Runs of fixes without a gap or an impossible jump between them. Fixes must be in order of time."""
    if not len(gps):
        return []
    dt_s = np.diff(gps.time_us) / SECOND_US
    jump_m = haversine_m(gps.lat[:-1], gps.lon[:-1], gps.lat[1:], gps.lon[1:])
    apart = (np.diff(gps.time_us) > _GAP_US) | (jump_m > FASTEST_MPS * dt_s + _JUMP_SLACK_M)
    starts = [0, *(np.flatnonzero(apart) + 1).tolist(), len(gps)]
    runs = [
        slice(a, min(a + _LONGEST_PIECE, end))
        for first, end in pairwise(starts)
        for a in range(first, end, _LONGEST_PIECE)
    ]
    return [run for run in runs if run.stop - run.start >= _FEWEST]


def shifted(gps: GpsSamples, side: int) -> tuple[Float64, Float64]:
    """Latitudes and longitudes moved to the right (1) or the left (-1) by what the receiver may be wrong.

    A road that is still found was no lucky one.
    """
    off_m = np.clip(np.nan_to_num(gps.accuracy_m, nan=_LEAST_SHIFT_M), _LEAST_SHIFT_M, _LARGEST_SHIFT_M) * side
    before = np.searchsorted(gps.time_us, gps.time_us - _COURSE_US // 2)
    after = np.minimum(np.searchsorted(gps.time_us, gps.time_us + _COURSE_US // 2), len(gps) - 1)
    narrow = np.maximum(np.cos(np.radians(gps.lat)), 0.01)
    north, east = gps.lat[after] - gps.lat[before], (gps.lon[after] - gps.lon[before]) * narrow
    length = np.hypot(north, east)
    length[length == 0] = np.inf  # stood: moved nowhere
    return gps.lat - east / length * off_m / _DEGREE_M, gps.lon + north / length * off_m / _DEGREE_M / narrow


def agree(match: Matched, others: Sequence[Matched], accuracy_m: Float32) -> Matched:
    """With its confidence: how many of the trial matches know the same limit, and how far off the fix is.

    All must agree for more than half; three standard deviations off leave a tenth.
    """
    same = sum(_same(match.limit_mps, other.limit_mps).astype(np.float64) for other in others)
    share = (1.0 + same) / (1 + len(others))
    sigma_m = np.clip(np.nan_to_num(accuracy_m, nan=_LEAST_SHIFT_M), _LEAST_SHIFT_M, _LARGEST_SHIFT_M)
    near = np.exp(-((match.off_m / sigma_m) ** 2) / 4)
    found = np.where(match.road != "", share**2 * near, 0.0)
    return replace(match, confidence=np.nan_to_num(found).astype(np.float32))


def _same(a: Float32, b: Float32) -> Bool:
    same: Bool = (a == b) | (np.isnan(a) & np.isnan(b))
    return same


def limit_mps(limit_kmh: Float64) -> Float32:
    """Limits in m/s of Valhalla's whole km/h. What is no multiple of 5 was posted in mph, of which it is one."""
    mph = np.rint(limit_kmh / (MPH_MPS / KMH_MPS) / 5) * 5
    posted_mph = np.rint(mph * MPH_MPS / KMH_MPS) == limit_kmh
    in_mph = posted_mph & (np.mod(np.where(np.isfinite(limit_kmh), limit_kmh, 0), 5) != 0)
    return np.where(in_mph, mph * MPH_MPS, limit_kmh * KMH_MPS).astype(np.float32)


def missing(gps: GpsSamples) -> Bool:
    """Fixes whose message does not know the posted limit."""
    return ~(gps.speed_limit_mps > 0)


def filled(gps: GpsSamples, matched: Matched) -> GpsSamples:
    """With the limits of the roads where the message has none. What the device says stands."""
    use = missing(gps) & matched.believed
    return replace(gps, speed_limit_mps=np.where(use, matched.limit_mps, gps.speed_limit_mps).astype(np.float32))


def attributed(event: SafetyEvent, gps: GpsSamples, matched: Matched) -> SafetyEvent:
    """A speeding event with the source of its limits, and as much confidence as their match has.

    Args:
        gps: as recorded, before ``filled``.
    """
    if event.kind is not EventKind.SPEEDING:
        return event
    span = slice(*np.searchsorted(gps.time_us, [event.start_us, event.end_us + 1]))
    used = missing(gps)[span] & matched.believed[span]
    if used.sum() * 2 < span.stop - span.start:
        return event
    sure = float(matched.confidence[span][used].mean())
    roads, counts = np.unique(matched.road[span][used], return_counts=True)
    limits = np.unique(np.round(matched.limit_mps[span][used] / KMH_MPS, 1))
    evidence = {
        **event.evidence,
        "source": SOURCE,
        "limit_confidence": round(sure, 2),
        "limits_kmh": limits.tolist(),
        "road": str(roads[counts.argmax()]),
        "attribution": ATTRIBUTION,
    }
    return replace(event, evidence=evidence, confidence=round(min(event.confidence, sure), 2))


def no_roads(count: int) -> Matched:
    """Of fixes that lie on none."""
    nan = np.full(count, np.nan, np.float32)
    return Matched(nan, np.zeros(count, np.float32), nan.copy(), np.full(count, "", "U24"))


def joined(runs: Sequence[tuple[slice | npt.NDArray[np.intp], Matched]], times: Int64) -> Matched:
    """Of all fixes, from those of runs."""
    whole = no_roads(len(times))
    for run, part in runs:
        for name in ("limit_mps", "confidence", "off_m", "road"):
            getattr(whole, name)[run] = getattr(part, name)
    return whole
