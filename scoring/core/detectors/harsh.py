"""Harsh braking, acceleration and turns from an accelerometer in the vehicle's frame, at 8 Hz and more."""

from __future__ import annotations

from functools import partial

import numpy as np

from infra.contracts.events import EventKind
from scoring.core.detectors.axes import AXES, Axis, severity
from scoring.core.detectors.port import Accepted, Detector, Refused, View
from scoring.core.episodes import Episode, Following, Signal, follow
from scoring.core.rules import G_MPS2, SECOND_US
from scoring.core.window import HELD_SHARE, Window

_SETTLE_US = 2_500_000  # GPS speed may lag by 2 s
_BEFORE_US = 2_000_000
_SUPPORT_SHARE = 0.4  # of the speed change that the acceleration implies, GPS must show this much
_YAW_SHARE = 0.2  # of the peak: yaw is averaged over the episode, and a swerve turns both ways
_LEAST_CHANGE_MPS = 0.5
_STUCK_SAMPLES = 8  # noise alone changes a live sensor's last bit sooner
_HELD_US = 5 * SECOND_US  # a speed that is the very same for so long, and while the accelerometer brakes, is dead
_FEWEST_HELD = 5
_WANDER_MPS = 5.0  # positions wander by some metres
_DRIVEN_MPS = (2.0, 40.0)  # what no parked vehicle loses, and what hardly any loses at once: a box that was tilted
_STANDING_MPS = 3.0  # walking pace: a parked vehicle being leant on does not turn


def detectors() -> tuple[Detector, ...]:
    return tuple(
        Detector(
            f"imu_{axis.word}",
            axis.kind,
            partial(_scan, axis),
            partial(_judge, axis),
            _SETTLE_US,
            traced=True,
            joins=True,
        )
        for axis in AXES
    )


def _scan(axis: Axis, view: View, open_episode: Episode | None) -> tuple[list[Episode], Episode | None]:
    window, enter_g = view.window, axis.threshold_g(view)
    exit_g = enter_g * view.rules.harsh_exit_share
    if window.imu_from == len(window.imu):
        return [], open_episode
    if open_episode is None and not window.may_reach(axis.row, axis.sign, exit_g):
        return [], None
    smoothed = window.smoothed(axis.row)
    signal = Signal(smoothed.time_us, smoothed.value * axis.sign, smoothed.step_us)
    following = Following(f"imu_{axis.word}", (enter_g,), view.rules.harsh_quiet_us)
    return follow(following, signal, signal.value >= exit_g, open_episode)


def _judge(axis: Axis, view: View, episode: Episode) -> Accepted | Refused:
    refused = _implausible(axis, view, episode)
    if refused is not None:
        return refused
    turn = axis.kind is EventKind.HARSH_TURN
    support = _turn_support(axis, view.window, episode) if turn else _way_support(axis, view.window, episode)
    if isinstance(support, Refused):
        return support
    threshold_g = axis.threshold_g(view)
    evidence = {
        "source": "accelerometer",
        "threshold_g": threshold_g,
        "seconds_over_threshold": episode.above_us[0] / SECOND_US,
        "seconds": (episode.end_us - episode.start_us) / SECOND_US,
        **axis.evidence,
        **support,
        **_mounting(view.window),
    }
    confidence = 0.7 if "gps_support" in support else 0.9
    how_bad = severity(episode.peak, threshold_g, view.rules)
    return Accepted(how_bad, round(episode.peak, 3), "g", confidence, evidence)


def _mounting(window: Window) -> dict[str, object]:
    learned = window.mounting_error_deg
    return {} if learned is None else {"mounting": "learned", "mounting_error_deg": round(learned, 1)}


def _implausible(axis: Axis, view: View, episode: Episode) -> Refused | None:
    if episode.above_us[0] < view.rules.harsh_minimum_us:
        return Refused("too_short")
    if episode.end_us - episode.start_us > view.rules.harsh_longest_us:
        return Refused("too_long")
    raw = view.window.accelerations_g(axis.row, episode.start_us, episode.end_us)
    if len(raw) >= _STUCK_SAMPLES and np.ptp(raw) == 0:
        return Refused("stuck_sensor")
    return None


def _way_support(axis: Axis, window: Window, episode: Episode) -> dict[str, object] | Refused:
    """Does GPS speed change as the acceleration says? Unknown without GPS."""
    before = window.speeds_mps(episode.start_us - _BEFORE_US, episode.start_us + SECOND_US)
    after = window.speeds_mps(episode.end_us - SECOND_US, episode.end_us + _SETTLE_US)
    if not len(before) or not len(after):
        return {"gps_support": "unknown"}
    change = float(after.max() - before.min()) if axis.sign > 0 else float(before.max() - after.min())
    implied = episode.peak * G_MPS2 * (episode.end_us - episode.start_us) / SECOND_US
    if change < max(_SUPPORT_SHARE * implied, _LEAST_CHANGE_MPS):
        dead = _speed_is_dead(window, episode, implied)
        return {"gps_support": "unknown", "gps_speed": "dead"} if dead else Refused("no_speed_change")
    return {"speed_change_mps": round(axis.sign * change, 2)}


def _speed_is_dead(window: Window, episode: Episode, implied_mps: float) -> bool:
    """Has the GPS speed stood still, to the last bit, since before and until after, and do the positions not bear it
    out? Then it says nothing. Where these stand still too, the vehicle may be parked, and a loose device be touched."""
    start_us, end_us = episode.start_us - _HELD_US, episode.end_us + _SETTLE_US
    speeds = window.speeds_mps(start_us, end_us)
    if len(speeds) < _FEWEST_HELD or np.ptp(speeds) > 0:
        return False
    said_mps, moved_mps = float(speeds[0]), window.moved_mps(start_us, end_us)
    if moved_mps is not None:
        return not HELD_SHARE * said_mps <= moved_mps <= said_mps + _WANDER_MPS
    return said_mps >= _STANDING_MPS or (window.declared and _DRIVEN_MPS[0] <= implied_mps <= _DRIVEN_MPS[1])


def _turn_support(axis: Axis, window: Window, episode: Episode) -> dict[str, object] | Refused:
    """Lateral acceleration is speed times yaw rate. Unknown without GPS speed or gyroscope."""
    speeds = window.speeds_mps(episode.start_us - _BEFORE_US, episode.end_us + _SETTLE_US)
    if not len(speeds):
        return {"gps_support": "unknown"}
    if speeds.max() < _STANDING_MPS:
        return Refused("standing")
    yaw = window.yaw_rates_radps(episode.start_us, episode.end_us)
    if not len(yaw):
        return {"gps_support": "unknown"}
    yaw_g = float(yaw.mean()) * axis.sign * float(speeds.max()) / G_MPS2
    if yaw_g < _YAW_SHARE * episode.peak:
        return Refused("no_yaw")
    return {"yaw_g": round(yaw_g, 3)}
