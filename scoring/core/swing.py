"""Evasive swings: how far the lateral acceleration goes to one side and comes back, as far as the yaw rate agrees."""

from __future__ import annotations

import numpy as np

from infra.contracts.telemetry import Float64, Int64
from scoring.core.rules import G_MPS2, SECOND_US
from scoring.core.tenths import Tenths, highest, lowest, mean
from scoring.core.window import Window

SWING = 15  # tenths: there, and back
SPEED_US = 3 * SECOND_US  # the highest GPS speed of so long: it falls while the driver brakes, and may lag


def swings_g(tenths: Tenths, speed_mps: Float64) -> Float64:
    """Of each fresh tenth: the swing of the last 3 s, at most what yaw rate times speed says; 0 where unknown."""
    by_yaw = there_and_back(mean(tenths.yaw_radps, 3))[tenths.fresh] * speed_mps / G_MPS2
    swing: Float64 = np.minimum(there_and_back(mean(tenths.left_g, 5))[tenths.fresh], by_yaw)
    return swing


def there_and_back(value: Float64) -> Float64:
    """The smaller of the rise and the fall; 0 where nothing is known."""
    up, down = value - lowest(value, SWING), highest(value, SWING) - value
    both: Float64 = np.maximum(np.minimum(highest(up, SWING), highest(down, SWING)), 0.0)
    return both


def fastest_mps(window: Window, at_us: Int64) -> Float64:
    """The highest known GPS speed of the 3 s before each time; 0 where there is none."""
    fixes = window.fixes
    speed = np.nan_to_num(fixes.speed_mps.astype(np.float64))
    last = np.searchsorted(fixes.time_us, at_us)
    first = np.searchsorted(fixes.time_us, at_us - SPEED_US)
    found = np.zeros(len(at_us))
    for back in range(int((last - first).max(initial=0))):
        inside = last - 1 - back >= first
        found[inside] = np.maximum(found[inside], speed[last[inside] - 1 - back])
    return found
