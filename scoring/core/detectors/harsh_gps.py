"""Harsh braking, acceleration and turns from GPS alone, for vehicles whose accelerometer cannot be judged.

Receivers hold zero while a vehicle starts and snap to it when it stops, and single speeds are wrong by several
m/s. So a change counts only over 2 s, both halves of which go the same way, and an accelerometer of 1 Hz in the
vehicle's frame, too slow to be judged alone, must not contradict it.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from infra.contracts.events import EventKind
from infra.contracts.telemetry import VehicleClass
from scoring.core.detectors.axes import AXES, Axis, severity
from scoring.core.detectors.port import Accepted, Detector, Refused, View
from scoring.core.episodes import Episode, Following, Signal, follow
from scoring.core.rules import SECOND_US, Rules
from scoring.core.window import DEAD_SHARE, FORWARD, Window

_SETTLE_US = 3_500_000
_COVERING_HZ = 6.0  # an accelerometer this dense has judged for itself
_AROUND_US = 1_500_000
_HALF_US = SECOND_US  # of the 2 s that a change of GPS speed or heading is taken over
_LONGEST_LOOK_US = 30_000_000  # a state keeps 60 s at most, so a longer curve is judged by its end
_BESIDE_US = 2_500_000
_FEWEST_BESIDE = 3
_KEPT_SHARE = 0.5
_CRAWL_MPS = 1.0
_OTHER_MPS = 5.0  # positions wander by some metres
_POINT_SHARE = 0.75  # of the accelerometer's threshold, its largest 1 Hz point must show this much


def detectors() -> tuple[Detector, ...]:
    return tuple(
        Detector(
            f"gps_{axis.word}",
            axis.kind,
            partial(_scan, axis),
            partial(_judge, axis),
            _SETTLE_US,
            traced=True,
            joins=True,
            half_us=_HALF_US,
        )
        for axis in AXES
    )


def gps_threshold_g(axis: Axis, view: View) -> float:
    """The accelerometer's threshold, scaled to what a 2 s change of GPS shows of such a peak."""
    return gps_level_g(axis, view.rules, view.vehicle_class)


def gps_level_g(axis: Axis, rules: Rules, vehicle_class: VehicleClass) -> float:
    share = {
        EventKind.HARSH_BRAKE: rules.gps_brake_share,
        EventKind.HARSH_ACCELERATION: rules.gps_acceleration_share,
        EventKind.HARSH_TURN: rules.gps_turn_share,
    }[axis.kind]
    return axis.level_g(rules, vehicle_class) * share


def _scan(axis: Axis, view: View, open_episode: Episode | None) -> tuple[list[Episode], Episode | None]:
    window, enter_g = view.window, gps_threshold_g(axis, view)
    if window.fix_from == len(window.fixes):
        return [], open_episode
    seen = window.gps_forward if axis.row == FORWARD else window.gps_left
    signal = Signal(seen.time_us, seen.value * axis.sign, seen.step_us)
    inside = signal.value >= enter_g * view.rules.harsh_exit_share
    if open_episode is None and not inside.any():
        return [], None
    return follow(Following(f"gps_{axis.word}", (enter_g,), view.rules.harsh_quiet_us), signal, inside, open_episode)


def _judge(axis: Axis, view: View, episode: Episode) -> Accepted | Refused:
    threshold_g = gps_threshold_g(axis, view)
    if episode.peak < threshold_g:
        return Refused("too_weak")
    end_us = episode.end_us + _AROUND_US
    start_us = max(episode.start_us - _AROUND_US, end_us - _LONGEST_LOOK_US)
    points = _points(axis, view, start_us, end_us)
    if isinstance(points, Refused):
        return points
    if axis.row == FORWARD and not _lasting(axis, view.window, episode):
        return Refused("speed_came_back")
    speeds = view.window.speeds_mps(start_us, end_us)
    if not len(speeds) or speeds.max() < view.rules.moving_mps:
        return Refused("standing")
    evidence = {
        "source": "gps",
        "threshold_g": round(threshold_g, 3),
        "seconds": (episode.end_us - episode.start_us + 2 * _HALF_US) / SECOND_US,
        "speed_change_mps": round(float(speeds.max() - speeds.min()), 2),
        **axis.evidence,
        **points,
    }
    confidence = 0.7 if "accelerometer_point_g" in points else 0.5
    how_bad = severity(episode.peak, axis.threshold_g(view), view.rules)  # what was surely reached
    return Accepted(how_bad, round(episode.peak, 3), "g", confidence, evidence)


def _points(axis: Axis, view: View, start_us: int, end_us: int) -> dict[str, object] | Refused:
    """What an accelerometer too slow to be judged alone says of it."""
    points = view.window.accelerations_g(axis.row, start_us, end_us) * axis.sign
    if not len(points):
        return {"accelerometer": "mounting not known" if view.window.felt(start_us, end_us) else "none"}
    if len(points) / ((end_us - start_us) / SECOND_US) >= _COVERING_HZ:
        return Refused("judged_by_accelerometer")
    largest = float(points.max())
    if largest < _POINT_SHARE * axis.threshold_g(view):
        return Refused("accelerometer_disagrees")
    return {"accelerometer": "too slow", "accelerometer_point_g": round(largest, 3)}


def _lasting(axis: Axis, window: Window, episode: Episode) -> bool:
    """Is it a step from one speed to another? Receivers that lose their satellites show a speed that was not driven
    for a fix or two, and come back; others hold one speed, and then show at once what changed meanwhile."""
    start_us, end_us = episode.start_us - _HALF_US, episode.end_us + _HALF_US
    if _contradicted(window, end_us):
        return False
    before = window.speeds_mps(start_us - _BESIDE_US, start_us) * axis.sign
    after = window.speeds_mps(end_us, end_us + _BESIDE_US) * axis.sign
    if len(before) < _FEWEST_BESIDE or len(after) < _FEWEST_BESIDE:
        return True
    held = axis.sign > 0 and before[-1] >= _CRAWL_MPS and np.ptp(before) == 0
    change = float(after[0] - before[-1])
    kept = float(np.median(after)) - float(np.median(before))
    return not held and kept >= _KEPT_SHARE * change


def _contradicted(window: Window, end_us: int) -> bool:
    """Do the positions after it tell another speed? Then the speed is dead or stuck."""
    said, moved_mps = window.speeds_mps(end_us, end_us + _BESIDE_US), window.moved_mps(end_us, end_us + _BESIDE_US)
    if moved_mps is None or len(said) < _FEWEST_BESIDE:
        return False
    return moved_mps > float(said.max()) + _OTHER_MPS or moved_mps < DEAD_SHARE * float(said.min()) - _OTHER_MPS
