"""Near crashes: a brake that comes on hard, an evasive swing to one side and back, or both, as one measure in g.

    evidence = 0.36 x brake + 0.64 x onset + 1.41 x swing

``brake`` is the highest deceleration of the last 1.5 s (0.3 s means of medians of three tenths), ``onset`` the
highest rise of it within 2 s. ``swing`` is how far the lateral acceleration went and came back within 3 s, as far as
the yaw rate times GPS speed says the same, and less below 20 m/s, where people turn into streets. So a brake of
0.5 g out of coasting, in a straight line, is evidence of 0.5 g. Shares and threshold: see ``NearCrashRule``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from infra.contracts.events import EventKind, Severity
from infra.contracts.telemetry import Float64, Int64
from scoring.core.detectors.port import Accepted, Detector, Refused, View
from scoring.core.episodes import Episode, Following, Signal, follow
from scoring.core.rules import G_MPS2, SECOND_US
from scoring.core.swing import SPEED_US, SWING, fastest_mps, swings_g
from scoring.core.tenths import TENTH_US, Tenths, fresh_tenths, highest, lowest, mean, median_of_three

_NAME = "near_crash"
_HOLD = 15  # tenths: brake and swing need not come at one moment
_ONSET = 20
_FLOOR_G = -0.3  # letting go of the accelerator is not the onset of a brake
_FULL_MPS, _MOST_SHARE = 20.0, 1.25
_STANDING_MPS = 1.0
_SLOWED_MPS = 2.0  # whoever loses this much by the accelerometer was not standing: GPS is dead
_SLOWING = 30
_LONGEST_US = 15 * SECOND_US
_QUIET_US = 3 * SECOND_US
_SETTLE_US = 2_500_000  # GPS speed may lag by 2 s


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """Of each fresh tenth, in g; ``slowed_mps`` is what the accelerometer says was lost within 3 s."""

    end_us: Int64
    total_g: Float64
    brake_g: Float64
    onset_g: Float64
    swing_g: Float64
    slowed_mps: Float64

    def at(self, index: int) -> dict[str, float]:
        names = ("brake_g", "onset_g", "swing_g", "slowed_mps")
        return {name: round(float(getattr(self, name)[index]), 3) for name in names}


def detectors() -> tuple[Detector, ...]:
    return (
        Detector(
            _NAME,
            EventKind.NEAR_CRASH,
            _scan,
            _judge,
            _SETTLE_US,
            traced=True,
            joins=True,
            hold_us=_HOLD * TENTH_US,
            reach_us=2 * SWING * TENTH_US,
        ),
    )


def threshold_g(view: View) -> float:
    """Of the evidence, for the vehicle's class: scaled as its threshold of braking is."""
    return view.rules.near_crash.threshold_g * view.rules.brake_share(view.vehicle_class)


def _scan(view: View, open_episode: Episode | None) -> tuple[list[Episode], Episode | None]:
    enter_g = threshold_g(view)
    if open_episode is None and not _may_reach(view, enter_g):
        return [], None
    tenths = fresh_tenths(view.window)
    if tenths is None:
        return [], open_episode
    evidence = _evidence(view, tenths)
    signal = Signal(evidence.end_us, evidence.total_g, tenths.step_us)
    closed, still_open = follow(Following(_NAME, (enter_g,), _QUIET_US), signal, signal.value >= enter_g, open_episode)
    return [_with_parts(e, evidence) for e in closed], _with_parts(still_open, evidence) if still_open else None


def _may_reach(view: View, level_g: float) -> bool:
    """A cheap look at the range of the raw samples: most messages are calm."""
    window, rule = view.window, view.rules.near_crash
    if window.imu_from == len(window.imu) or not window.in_vehicle_frame:
        return False
    (lowest_g, highest_g), (right_g, left_g) = window.recent_range_g
    brake_g, swing_g = max(-lowest_g, 0.0), left_g - right_g
    onset_g = min(brake_g + max(highest_g, 0.0), brake_g - _FLOOR_G)
    return rule.brake_share * brake_g + rule.onset_share * onset_g + rule.swing_share * _MOST_SHARE * swing_g >= level_g


def _evidence(view: View, tenths: Tenths) -> Evidence:
    rule, fresh = view.rules.near_crash, tenths.fresh
    slowing = mean(median_of_three(-tenths.forward_g), 3)
    brake = highest(slowing, _HOLD)[fresh]
    onset = highest(slowing - np.maximum(lowest(slowing, _ONSET), _FLOOR_G), _HOLD)[fresh]
    speed_mps = fastest_mps(view.window, tenths.end_us)
    swing = swings_g(tenths, speed_mps) * np.minimum(speed_mps / _FULL_MPS, _MOST_SHARE)
    total = rule.brake_share * brake + rule.onset_share * onset + rule.swing_share * swing
    slowed = mean(np.nan_to_num(slowing), _SLOWING)[fresh] * _SLOWING * (TENTH_US / SECOND_US) * G_MPS2
    return Evidence(tenths.end_us, total, brake, onset, swing, np.nan_to_num(slowed))


def _with_parts(episode: Episode, evidence: Evidence) -> Episode:
    """With what its peak is made of."""
    at = int(np.searchsorted(evidence.end_us, episode.peak_us))
    if at == len(evidence.end_us) or int(evidence.end_us[at]) != episode.peak_us:
        return episode
    return replace(episode, detail=episode.detail | evidence.at(at))


def _judge(view: View, episode: Episode) -> Accepted | Refused:
    if episode.end_us - episode.start_us > _LONGEST_US:
        return Refused("too_long")
    parts = {name: episode.detail[name] for name in ("brake_g", "onset_g", "swing_g", "slowed_mps")}
    speeds = view.window.speeds_mps(episode.start_us - SPEED_US, episode.end_us)
    if len(speeds) and speeds.max() < _STANDING_MPS and parts["slowed_mps"] < _SLOWED_MPS:
        return Refused("standing")
    enough_g = threshold_g(view)
    evidence = {"source": "accelerometer", "threshold_g": round(enough_g, 3), "evidence_g": round(episode.peak, 3)}
    if not len(speeds):
        evidence["gps_support"] = "unknown"
    grave = episode.peak >= view.rules.near_crash.critical_share * enough_g
    severity = Severity.CRITICAL if grave else Severity.HIGH
    confidence = 0.6 if "gps_support" in evidence else 0.8
    return Accepted(severity, round(episode.peak, 3), "g", confidence, evidence | parts)
