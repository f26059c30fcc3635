"""Rollovers: gravity comes from another side than before, stays there, and the vehicle has stopped. At 1 Hz and more.

Seen in the device's own axes, so at any mounting. A device that falls out of its holder turns too: the vehicle drives
on. One that is taken out of it turns gently, and after the vehicle has stopped.
"""

from __future__ import annotations

import numpy as np

from infra.contracts.events import EventKind, Severity
from infra.contracts.telemetry import Float64, Int64
from scoring.core.detectors.impacts import COUNT_G, believed
from scoring.core.detectors.port import Accepted, Detector, Refused, View
from scoring.core.episodes import Episode, Following, Signal, follow
from scoring.core.rules import SECOND_US
from scoring.core.window import Window

_NAME = "rollover"
_BEFORE_S, _AFTER_S = (10, 6), 2  # seconds before the last of the two after, whose mean is compared with theirs
_GRAVITY_G = (0.7, 1.3)
_QUIET_US = 3 * SECOND_US
_SETTLE_US = 8 * SECOND_US
_LONGEST_US = 30 * SECOND_US
_SPEED_US = 4 * SECOND_US  # before it is seen: a mean over 2 s, and GPS speed may lag
_STANDING_MPS = 1.5


def detectors() -> tuple[Detector, ...]:
    return (
        Detector(_NAME, EventKind.ROLLOVER, _scan, _judge, _SETTLE_US, traced=True, joins=True, reach_us=_SPEED_US),
    )


def _scan(view: View, open_episode: Episode | None) -> tuple[list[Episode], Episode | None]:
    window = view.window
    if window.imu_from == len(window.raw):
        return [], open_episode
    enter_deg = view.rules.rollover.threshold_deg
    if open_episode is None and not _may_tilt(window, enter_deg):
        return [], None
    end_us, turned_deg = _turned(window)
    if not len(end_us):
        return [], open_episode
    steps_us = np.minimum(np.diff(end_us, prepend=end_us[0] - SECOND_US), SECOND_US)
    signal = Signal(end_us, turned_deg, steps_us)
    return follow(Following(_NAME, (enter_deg,), _QUIET_US), signal, turned_deg >= enter_deg, open_episode)


def _may_tilt(window: Window, enter_deg: float) -> bool:
    """A cheap look: two means of at least 0.7 g, so many degrees apart, lie this far apart."""
    chord_g = 2 * np.sin(np.radians(enter_deg) / 2) * _GRAVITY_G[0]
    return bool((window.spread_g**2).sum() >= chord_g**2)


def _turned(window: Window) -> tuple[Int64, Float64]:
    """Of each fresh whole second: its end, and how many degrees gravity has turned; NaN where it is not known."""
    raw = window.raw
    keep = believed(raw)
    time_us, counts = raw.time_us[keep], raw.counts[:3, keep].astype(np.int64)
    if not len(time_us):
        return np.empty(0, np.int64), np.empty(0)
    now, old = int(raw.time_us[-1]) // SECOND_US, int(raw.time_us[max(window.imu_from - 1, 0)]) // SECOND_US
    number = time_us // SECOND_US
    base = old - _BEFORE_S[0] - 2
    wide = np.clip(np.arange(base, now + 1) * SECOND_US, time_us[0], None)
    edges = np.searchsorted(time_us, wide)
    sums = np.concatenate([np.zeros((3, 1), np.int64), np.cumsum(counts, axis=1)], axis=1)
    fresh = np.arange(old, now)
    fresh = fresh[np.isin(fresh, number)]
    after = _mean_g(sums, edges, fresh - base - _AFTER_S + 1, fresh - base + 1)
    before = _mean_g(sums, edges, fresh - base - _BEFORE_S[0], fresh - base - _BEFORE_S[1] + 1)
    return (fresh + 1) * SECOND_US, _angles_deg(before, after)


def _mean_g(sums: Float64, edges: Int64, first: Int64, past: Int64) -> Float64:
    start, end = edges[first], edges[past]
    rows = end - start
    mean: Float64 = np.where(rows > 0, (sums[:, end] - sums[:, start]) / np.maximum(rows, 1), np.nan) * COUNT_G
    return mean


def _angles_deg(before: Float64, after: Float64) -> Float64:
    sizes = [np.sqrt((mean**2).sum(axis=0)) for mean in (before, after)]
    cosine = (before * after).sum(axis=0) / np.maximum(sizes[0] * sizes[1], 1e-9)
    known = np.all([(size >= _GRAVITY_G[0]) & (size <= _GRAVITY_G[1]) for size in sizes], axis=0)
    return np.where(known, np.degrees(np.arccos(np.clip(cosine, -1, 1))), np.nan)


def _judge(view: View, episode: Episode) -> Accepted | Refused:
    window, rule = view.window, view.rules.rollover
    if episode.above_us[0] < rule.minimum_us:
        return Refused("came_back")
    if episode.end_us - episode.start_us > _LONGEST_US:
        return Refused("too_long")
    support = _speed_support(view, episode)
    if isinstance(support, Refused):
        return support
    evidence = {
        "source": "direction of gravity",
        "threshold_deg": rule.threshold_deg,
        "gravity_turned_deg": round(episode.peak, 1),
        "seconds_over_threshold": episode.above_us[0] / SECOND_US,
        **support,
    }
    confidence = 0.5 if "gps_support" in support or not window.declared else 0.9
    return Accepted(Severity.CRITICAL, round(episode.peak, 1), "deg", confidence, evidence)


def _speed_support(view: View, episode: Episode) -> dict[str, object] | Refused:
    """It was driving, and is not any more. A device that is not fixed must have been hit as well."""
    window = view.window
    before = window.speeds_mps(episode.start_us - 2 * _SPEED_US, episode.start_us - SECOND_US)
    after = window.speeds_mps(episode.end_us, episode.end_us + _SETTLE_US)
    hit_g = _hardest_g(window, episode)
    if not window.declared and hit_g < view.rules.rollover.loose_impact_g:
        return Refused("device_turned")
    found: dict[str, object] = {"impact_peak_g": round(hit_g, 2)}
    if not len(before) or not len(after):
        return found | {"gps_support": "unknown"} if window.declared else Refused("gps_unknown")
    if before.max() < view.rules.moving_mps:
        return Refused("standing")
    if after[-1] >= _STANDING_MPS:
        return Refused("drove_on")
    return found | {"speed_change_mps": round(float(after[-1] - before.max()), 2), "stopped": True}


def _hardest_g(window: Window, episode: Episode) -> float:
    """The largest acceleration beside gravity around the turning."""
    raw = window.raw
    first, last = np.searchsorted(raw.time_us, [episode.start_us - _SPEED_US, episode.start_us + SECOND_US])
    counts = raw.counts[:3, first:last][:, believed(raw)[first:last]].astype(np.float64) * COUNT_G
    return float(np.abs(np.sqrt((counts**2).sum(axis=0)) - 1.0).max(initial=0.0))
