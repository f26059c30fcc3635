"""Faster than the fleet allows anywhere: its own top speed for the vehicle's class, whatever is posted."""

from __future__ import annotations

import numpy as np

from infra.contracts.events import EventKind, Severity
from infra.contracts.telemetry import Float64
from scoring.core.detectors.port import Accepted, Detector, Refused, View
from scoring.core.episodes import Episode, Following, Signal, follow
from scoring.core.rules import SECOND_US

_NAME = "max_speed"
_LIKELY_SHARE = 1.6  # a receiver that says more for long is wrong, not fast


def detectors() -> tuple[Detector, ...]:
    return (Detector(_NAME, EventKind.MAX_SPEED, _scan, _judge, settle_us=0, traced=False),)


def _scan(view: View, open_episode: Episode | None) -> tuple[list[Episode], Episode | None]:
    window, rule = view.window, view.rules.max_speed
    if window.fix_from == len(window.fixes):
        return [], open_episode
    top_mps = rule.top_mps[view.vehicle_class]
    speed: Float64 = window.fixes.speed_mps[window.fix_from :].astype(np.float64)
    inside = speed > top_mps - rule.hysteresis_mps
    if inside.any():
        inside &= ~window.speed_hangs
    if open_episode is None and not inside.any():
        return [], None
    step_us = np.where(window.fix_step_us <= view.rules.hold_us, window.fix_step_us, 0)
    signal = Signal(window.fixes.time_us[window.fix_from :], speed, step_us)
    return follow(
        Following(_NAME, (float(np.nextafter(top_mps, np.inf)),), rule.quiet_us), signal, inside, open_episode
    )


def _judge(view: View, episode: Episode) -> Accepted | Refused:
    rule = view.rules.max_speed
    top_mps = rule.top_mps[view.vehicle_class]
    if episode.above_us[0] < rule.minimum_us:
        return Refused("too_short")
    if episode.peak > _LIKELY_SHARE * top_mps:
        return Refused("unlikely")
    evidence = {
        "source": "GPS speed",
        "top_speed_mps": round(top_mps, 2),
        "fastest_mps": round(episode.peak, 2),
        "seconds_over_threshold": episode.above_us[0] / SECOND_US,
    }
    return Accepted(_severity(view, episode.peak / top_mps - 1), round(episode.peak - top_mps, 2), "m/s", 0.9, evidence)


def _severity(view: View, over: float) -> Severity:
    """As over a posted limit: the bands of speeding, one step milder."""
    words = [Severity.LOW, Severity.LOW, Severity.MODERATE, Severity.HIGH]
    reached = [word for band, word in zip(view.rules.speeding_bands, words, strict=True) if over >= band.over_share]
    return reached[-1] if reached else Severity.LOW
