"""Swerves: out of the way and back within 3 s, harder than anybody changes lanes, in about the same direction after.

Measured as the swing of the lateral acceleration, at most what yaw rate times GPS speed says. What turns the vehicle
is none: a bend, a roundabout, a street corner.
"""

from __future__ import annotations

import numpy as np

from infra.contracts.events import EventKind
from scoring.core.detectors.axes import severity
from scoring.core.detectors.port import Accepted, Detector, Refused, View
from scoring.core.episodes import Episode, Following, Signal, follow
from scoring.core.rules import SECOND_US
from scoring.core.swing import SPEED_US, SWING, fastest_mps, swings_g
from scoring.core.tenths import TENTH_US, fresh_tenths
from scoring.core.window import LEFT

_NAME = "swerve"
_QUIET_US = 2 * SECOND_US
_SETTLE_US = 2_500_000  # GPS speed may lag by 2 s
_LONGEST_US = 8 * SECOND_US  # a slalom, or a road of bends
_BEFORE_US, _AFTER_US = 3 * SECOND_US, SECOND_US  # within which the heading has turned and come back


def detectors() -> tuple[Detector, ...]:
    memory_us = SWING * TENTH_US
    return (
        Detector(
            _NAME, EventKind.SWERVE, _scan, _judge, _SETTLE_US, traced=True, joins=True, hold_us=memory_us,
            reach_us=2 * memory_us,
        ),
    )  # fmt: skip


def threshold_g(view: View) -> float:
    """Of the swing, for the vehicle's class: scaled as its threshold of turns is."""
    return view.rules.swerve.threshold_g * view.rules.turn_share(view.vehicle_class)


def _scan(view: View, open_episode: Episode | None) -> tuple[list[Episode], Episode | None]:
    enter_g = threshold_g(view)
    if open_episode is None and not _may_reach(view, enter_g):
        return [], None
    tenths = fresh_tenths(view.window)
    if tenths is None:
        return [], open_episode
    speed_mps = fastest_mps(view.window, tenths.end_us)
    swing = np.where(speed_mps >= view.rules.swerve.least_mps, swings_g(tenths, speed_mps), 0.0)
    signal = Signal(tenths.end_us, swing, tenths.step_us)
    return follow(Following(_NAME, (enter_g,), _QUIET_US), signal, swing >= enter_g, open_episode)


def _may_reach(view: View, level_g: float) -> bool:
    """A cheap look at the range of the raw samples."""
    window = view.window
    if window.imu_from == len(window.imu) or not window.in_vehicle_frame:
        return False
    low_g, high_g = window.recent_range_g[LEFT]
    return high_g - low_g >= level_g


def _judge(view: View, episode: Episode) -> Accepted | Refused:
    rule, window = view.rules.swerve, view.window
    if episode.end_us - episode.start_us > _LONGEST_US:
        return Refused("too_long")
    turned_deg, net_deg = _turned_deg(view, episode)
    if turned_deg > rule.most_turned_deg or net_deg > rule.most_net_deg:
        return Refused("turned_off")
    speeds = window.speeds_mps(episode.start_us - SPEED_US, episode.end_us)
    enough_g = threshold_g(view)
    evidence = {
        "source": "accelerometer and gyroscope",
        "threshold_g": round(enough_g, 3),
        "swing_g": round(episode.peak, 3),
        "heading_turned_deg": round(turned_deg, 1),
        "heading_net_deg": round(net_deg, 1),
    }
    if window.mounting_error_deg is not None:
        evidence["mounting_error_deg"] = round(window.mounting_error_deg, 1)
    confidence = 0.8 if len(speeds) and window.mounting_error_deg is None else 0.7
    return Accepted(severity(episode.peak, enough_g, view.rules), round(episode.peak, 3), "g", confidence, evidence)


def _turned_deg(view: View, episode: Episode) -> tuple[float, float]:
    """How far the heading went at most, and how far it was off in the end."""
    start_us, end_us = episode.start_us - _BEFORE_US, episode.end_us + _AFTER_US
    rates = view.window.yaw_rates_radps(start_us, end_us)
    if len(rates) < 2:
        return 0.0, 0.0
    heading = np.degrees(np.concatenate([[0.0], np.cumsum(rates)])) * (end_us - start_us) / SECOND_US / len(rates)
    return float(np.ptp(heading)), abs(float(heading[-1]))
