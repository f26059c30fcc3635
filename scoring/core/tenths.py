"""Acceleration and turning on a grid of tenths of a second: the same for every rate from 8 Hz, wherever it is cut."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from infra.contracts.telemetry import Float64, Int64
from scoring.core.rules import G_MPS2
from scoring.core.samples import ACCEL_LSB_MPS2, GYRO_LSB_RADPS, MISSING
from scoring.core.window import Window

TENTH_US = 100_000
LOOK_BACK = 45  # tenths before the first fresh one that a value may depend on
_LONGEST_STEP_US = 250_000
_HELD = 2  # tenths that a sample may stand for after its own: 8 Hz leaves every fifth empty
_FASTEST_COUNTS = int(2 * G_MPS2 / ACCEL_LSB_MPS2)  # tyres hold 1.2 g; more is an impact or a glitch
_ROWS = (0, 1, 5)  # forward, left, yaw of ImuRing.counts
_UNITS = (ACCEL_LSB_MPS2 / G_MPS2, ACCEL_LSB_MPS2 / G_MPS2, GYRO_LSB_RADPS)
_LIMITS = (_FASTEST_COUNTS, _FASTEST_COUNTS, -MISSING - 1)

Index = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Tenths:
    """Mean of the believed samples of each tenth; NaN where there are none. Longer gaps are cut to LOOK_BACK.

    ``fresh`` are the indices of the complete tenths with samples that have not been seen before, ``end_us`` their
    ends, and ``step_us`` the time since the end of the tenth with samples before, seen or not; at most 250 ms.
    """

    forward_g: Float64
    left_g: Float64
    yaw_radps: Float64
    fresh: Index
    end_us: Int64
    step_us: Int64


def fresh_tenths(window: Window) -> Tenths | None:
    """The tenths that are complete with the fresh samples, and those before; None without."""
    time_us = window.imu.time_us
    if window.imu_from == len(time_us) or not window.in_vehicle_frame:
        return None
    before = int(time_us[max(window.imu_from - 1, 0)]) // TENTH_US
    now = int(time_us[-1]) // TENTH_US
    if now == before:
        return None
    first, last = np.searchsorted(time_us, [(before - LOOK_BACK) * TENTH_US, now * TENTH_US])
    number = time_us[first:last] // TENTH_US
    starts = np.flatnonzero(np.diff(number, prepend=number[0] - 1))
    steps = np.minimum(np.diff(number[starts], prepend=number[0] - LOOK_BACK - 1), LOOK_BACK + 1)
    at = np.cumsum(steps)  # from a gap on, as if none came before: where it was cut does not show
    counts = window.imu.counts[:, first:last]
    rows = zip(_ROWS, _LIMITS, _UNITS, strict=True)
    forward, left, yaw = (_means(counts[row], starts, at, limit) * unit for row, limit, unit in rows)
    fresh = number[starts] >= before
    step_us = np.minimum(steps * TENTH_US, _LONGEST_STEP_US)
    return Tenths(forward, left, yaw, at[fresh], (number[starts][fresh] + 1) * TENTH_US, step_us[fresh])


def _means(counts: npt.NDArray[np.int16], starts: Index, at: Index, limit: int) -> Float64:
    whole = counts.astype(np.int64)
    believed = np.abs(whole) <= limit
    sums = np.add.reduceat(np.where(believed, whole, 0), starts)
    rows = np.add.reduceat(believed.astype(np.int64), starts)
    found = at[rows > 0]
    dense = np.full(int(at[-1]) + 1, np.nan)
    dense[found] = sums[rows > 0] / rows[rows > 0]
    source = np.full(len(dense), -_HELD - 1)
    source[found] = found
    source = np.maximum.accumulate(source)
    here = np.arange(len(dense))
    held: Float64 = np.where(here - source <= _HELD, dense[np.maximum(source, 0)], np.nan)
    return held


# --- over the last so many tenths; NaN is left out of extremes, and makes means NaN ------------------------


def highest(value: Float64, tenths: int) -> Float64:
    """Of each tenth and those before it; -inf where none is known."""
    return _extreme(np.maximum, np.where(np.isnan(value), -np.inf, value), tenths)


def lowest(value: Float64, tenths: int) -> Float64:
    """Of each tenth and those before it; +inf where none is known."""
    return _extreme(np.minimum, np.where(np.isnan(value), np.inf, value), tenths)


def _extreme(pick: Callable[[Float64, Float64], Float64], value: Float64, tenths: int) -> Float64:
    reached, result = 1, value
    while reached < tenths:
        step = min(reached, tenths - reached)
        later = result.copy()
        later[step:] = pick(result[step:], result[:-step])
        result, reached = later, reached + step
    return result


def mean(value: Float64, tenths: int) -> Float64:
    """Of each tenth and those before it: summed in one order, so that it is the same wherever a stream is cut."""
    total = value.copy()
    for step in range(1, tenths):
        total[step:] += value[:-step]
        total[:step] = np.nan
    result: Float64 = total / tenths
    return result


def median_of_three(value: Float64) -> Float64:
    """Of each tenth and the two before it."""
    result = np.full(len(value), np.nan)
    a, b, c = value[:-2], value[1:-1], value[2:]
    result[2:] = np.maximum(np.minimum(a, b), np.minimum(np.maximum(a, b), c))
    return result
