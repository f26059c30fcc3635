"""How open the eyes are: from eye contours to a share of what is usual for this driver."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from vision.core.histogram import Histogram, add_time, find_quantile

EyeContour = npt.NDArray[np.float64]
"""(6, 2) pixels: outer corner, two points above, inner corner, two points below (Soukupová and Čech 2016)."""

Baseline = Histogram
"""A driver's usual aspect ratio: time spent at each, halved when it grows beyond ``MEMORY_US``."""

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

SHUT_OPENNESS = 0.2
"""At most this is shut: the 80 % of P80 (Wierwille 1994, FHWA 1998)."""

REOPENED_OPENNESS = 0.3
"""Shut eyes are open again above this: one noisy frame at the threshold does not cut a closure in two."""

RATIO_SHARE = 0.35
"""Of the aspect ratio in how open the eyes are; the rest is the eye-state network's."""

SMALLEST_EYE_PX = 5.0
"""Narrower eyes are noise."""

_BIN = 0.015  # the 40 bins are aspect ratios from 0 to 0.6
_WIDEST = 4.0  # openness is cut here; a wide-eyed fright is no more than twice the usual


def measure_aspect_ratio(left: EyeContour, right: EyeContour) -> float | None:
    """Eye height over eye width, the two eyes weighted by the square of their width: a turned head shows one eye
    narrowed, and its ratio says little. None where the wider eye is too small to judge.

    On the shipped clip a threshold over every frame of shut eyes takes in 0.4 % of awake frames with these weights,
    4 and 10 % with either eye alone, 13 % with distances in three dimensions.
    """
    eyes = [_ratio_and_width_px(eye) for eye in (left, right)]
    weight = sum(width**2 for _, width in eyes)
    if not math.isfinite(weight) or max(width for _, width in eyes) < SMALLEST_EYE_PX:
        return None
    return sum(ratio * width**2 for ratio, width in eyes) / weight


def learn(baseline: Baseline, aspect_ratio: float, lasted_us: int) -> Baseline:
    """The baseline after the eyes showed this ratio for so long."""
    if not math.isfinite(aspect_ratio):
        return baseline
    return add_time(baseline, aspect_ratio / _BIN, lasted_us, LEARNING_US, MEMORY_US)


def is_learned(baseline: Baseline) -> bool:
    return baseline.learned_us >= LEARNING_US


def usual_aspect_ratio(baseline: Baseline) -> float:
    """The driver's open eyes, within ``BASELINE_RANGE``."""
    low, high = BASELINE_RANGE
    return min(max(find_quantile(baseline, BASELINE_QUANTILE) * _BIN, low), high)


def measure_openness(baseline: Baseline, aspect_ratio: float) -> float:
    """0 shut, 1 this driver's usual, more for wider."""
    share = aspect_ratio / usual_aspect_ratio(baseline)
    return min(max((share - SHUT_RATIO) / (1 - SHUT_RATIO), 0.0), _WIDEST)


def fuse_openness(relative: float | None, shut_probability: float | None) -> float | None:
    """How open, from two witnesses: the aspect ratio against the driver's usual, and the eye-state network.

    The network counts for more: it was tried on many people, ``SHUT_RATIO`` on one. So eyes are shut (at most 0.2)
    where it is certain and the ratio at most 0.57, or where the ratio says so entirely and the network leans to it:
    reflections on glasses alone took the network to 0.85 on an awake driver, a glance down takes the ratio to
    nothing. The ratio alone gave 33 false microsleeps an hour on awake people even per person, a learned state none
    (RuchirBhatia4, Eyeblink8).

    Without a baseline the network stands alone, and has to be at 0.9. None where there is neither.
    """
    if shut_probability is None:
        return relative
    if relative is None:
        return min(2 * (1 - shut_probability), 1.0)
    return RATIO_SHARE * min(relative, 1.0) + (1 - RATIO_SHARE) * (1 - shut_probability)


def eye_width_px(eye: EyeContour) -> float:
    return math.dist(eye[0], eye[3])


def _ratio_and_width_px(eye: EyeContour) -> tuple[float, float]:
    width = eye_width_px(eye)
    height = (math.dist(eye[1], eye[5]) + math.dist(eye[2], eye[4])) / 2
    return (height / width if width > 0 else 0.0), width
