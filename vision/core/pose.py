"""Where the head and the eyes point, against this driver's own neutral pose."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from vision.core.histogram import BINS, Histogram, add_time, find_quantile
from vision.core.signals import GAZE_PITCH, GAZE_YAW, HEAD_PITCH, HEAD_YAW

LEARNING_US = 60_000_000
MEMORY_US = 360_000_000
"""openpilot learns a driver's offset in 60 s and keeps 6 min (selfdrive/monitoring/policy.py)."""

YOUNG_US = 10_000_000
YOUNG_SHARE = 2 / 3
"""From 10 s on a guess of the neutral pose is used, and deviations from it count for two thirds: openpilot's first
minute has a third more slack as well (pitch 0.449 rad instead of 0.313)."""

GATE_MPS = 8.9408
"""20 mph. Slower, drivers look around corners."""

_LOW_DEG, _WIDTH_DEG = -80.0, 160.0 / BINS
_ANGLES = (HEAD_YAW, HEAD_PITCH, GAZE_YAW, GAZE_PITCH)


@dataclass(frozen=True, slots=True)
class Neutral:
    """How this driver holds head and eyes most of the time, in the order of ``_ANGLES``."""

    angles: tuple[Histogram, ...] = field(default=(Histogram(),) * len(_ANGLES))


@dataclass(frozen=True, slots=True)
class Turn:
    """Degrees away from neutral: yaw > 0 to the picture's right, pitch > 0 up. ``sight`` is head and eyes together,
    None where the eyes' direction was not measured."""

    yaw_deg: float
    pitch_deg: float
    sight_yaw_deg: float | None = None
    sight_pitch_deg: float | None = None


def learn_pose(neutral: Neutral, numbers: Mapping[str, float], lasted_us: int) -> Neutral:
    """The neutral pose after a frame with these numbers; an angle that was not measured stays as it was."""
    if HEAD_YAW not in numbers:
        return neutral
    pairs = zip(_ANGLES, neutral.angles, strict=True)
    return Neutral(tuple(_learn(seen, numbers.get(name), lasted_us) for name, seen in pairs))


def measure_turn(neutral: Neutral, numbers: Mapping[str, float]) -> Turn | None:
    """None where the head's pose was not measured or nothing is known yet of this driver's own."""
    yaw, pitch, gaze_yaw, gaze_pitch = (
        _deviation(seen, numbers.get(name)) for name, seen in zip(_ANGLES, neutral.angles, strict=True)
    )
    if yaw is None or pitch is None:
        return None
    if gaze_yaw is None or gaze_pitch is None:
        return Turn(yaw, pitch)
    return Turn(yaw, pitch, yaw + gaze_yaw, pitch + gaze_pitch)


def _learn(seen: Histogram, angle_deg: float | None, lasted_us: int) -> Histogram:
    if angle_deg is None or not math.isfinite(angle_deg):
        return seen
    place = (angle_deg - _LOW_DEG) / _WIDTH_DEG
    return add_time(seen, place, lasted_us, LEARNING_US, MEMORY_US)


def _deviation(seen: Histogram, angle_deg: float | None) -> float | None:
    if angle_deg is None or not math.isfinite(angle_deg) or seen.learned_us < YOUNG_US:
        return None
    neutral_deg = _LOW_DEG + find_quantile(seen, 0.5) * _WIDTH_DEG
    share = 1.0 if seen.learned_us >= LEARNING_US else YOUNG_SHARE
    return (angle_deg - neutral_deg) * share
