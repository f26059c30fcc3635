"""How open the eyes are: from eye contours to a share of what is usual for this driver."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

EyeContour = npt.NDArray[np.float64]
"""(6, 2) pixels: outer corner, two points above, inner corner, two points below (Soukupová and Čech 2016)."""

LEARNING_US = 60_000_000
"""Driving time with a face before eyes are judged: openpilot learns its per-driver offset in 60 s as well."""

MEMORY_US = 360_000_000
"""Weight at which everything learned is halved, so that light, seat and driver may change: openpilot keeps 6 min."""

BASELINE_QUANTILE = 0.75
"""Of the aspect ratios seen: above blinks, closures and glances down, below the outliers of a turned head."""

BASELINE_RANGE = (0.18, 0.42)
"""Nobody's open eyes are outside. Keeps a driver who dozes from the first minute on from becoming the norm."""

SHUT_RATIO = 0.46
"""What shut eyes read, as a share of the baseline: the mesh never closes the contour. Median of 18 frames of
shut eyes in the clip that ships with the project; one driver, so expect others to differ."""

SMALLEST_EYE_PX = 5.0
"""Narrower eyes are noise."""

_BIN = 0.015
_BINS = 40  # aspect ratios from 0 to 0.6
_WIDEST = 4.0  # openness is cut here; a wide-eyed fright is no more than twice the usual


@dataclass(frozen=True, slots=True)
class Baseline:
    """A driver's usual aspect ratio: a histogram of microseconds, halved when it grows beyond ``MEMORY_US``."""

    learned_us: int = 0
    weights_us: tuple[int, ...] = (0,) * _BINS


def measure_aspect_ratio(left: EyeContour, right: EyeContour) -> float | None:
    """Eye height over eye width, the two eyes weighted by the square of their width: a turned head shows one eye
    narrowed, and its ratio says little. None where the wider eye is too small to judge.

    On the shipped clip a threshold over every frame of shut eyes takes in 0.4 % of awake frames with these weights,
    4 and 10 % with either eye alone, 13 % with distances in three dimensions.
    """
    ratios, widths = zip(*(_ratio_and_width_px(eye) for eye in (left, right)), strict=True)
    weights = np.square(widths)
    if not np.isfinite(weights).all() or max(widths) < SMALLEST_EYE_PX:
        return None
    return float(np.average(ratios, weights=weights))


def learn(baseline: Baseline, aspect_ratio: float, lasted_us: int) -> Baseline:
    """The baseline after the eyes showed this ratio for so long."""
    weights = list(baseline.weights_us)
    weights[min(max(int(aspect_ratio / _BIN), 0), _BINS - 1)] += lasted_us
    if sum(weights) > MEMORY_US:
        weights = [weight // 2 for weight in weights]
    return Baseline(min(baseline.learned_us + lasted_us, LEARNING_US), tuple(weights))


def is_learned(baseline: Baseline) -> bool:
    return baseline.learned_us >= LEARNING_US


def usual_aspect_ratio(baseline: Baseline) -> float:
    """The driver's open eyes, within ``BASELINE_RANGE``."""
    weights = np.array(baseline.weights_us, np.float64)
    target = weights.sum() * BASELINE_QUANTILE
    below = np.concatenate([[0.0], weights.cumsum()])
    usual = np.interp(target, below, np.arange(_BINS + 1) * _BIN)
    return float(np.clip(usual, *BASELINE_RANGE))


def measure_openness(baseline: Baseline, aspect_ratio: float) -> float:
    """0 shut, 1 this driver's usual, more for wider."""
    share = aspect_ratio / usual_aspect_ratio(baseline)
    return float(np.clip((share - SHUT_RATIO) / (1 - SHUT_RATIO), 0.0, _WIDEST))


def fuse_openness(relative: float | None, shut_probability: float | None) -> float | None:
    """How open, from two witnesses: the aspect ratio against the driver's usual, and the eye-state network.

    Their mean, so that eyes are shut (at most 0.2) only where neither contradicts: reflections on glasses alone took
    the network to 0.85 on an awake driver, a glance down takes the ratio to nothing. The ratio alone gave 33 false
    microsleeps an hour on awake people even per person, a learned state none (RuchirBhatia4, Eyeblink8).
    None without a baseline: one witness is not enough.
    """
    if relative is None or shut_probability is None:
        return relative
    return (min(relative, 1.0) + 1 - shut_probability) / 2


def eye_width_px(eye: EyeContour) -> float:
    return float(np.linalg.norm(eye[0] - eye[3]))


def _ratio_and_width_px(eye: EyeContour) -> tuple[float, float]:
    width = eye_width_px(eye)
    height = float(np.linalg.norm(eye[1] - eye[5]) + np.linalg.norm(eye[2] - eye[4])) / 2
    return (height / width if width > 0 else 0.0), width
