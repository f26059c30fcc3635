"""The device's own accelerations without gravity, at any mounting: what an impact looks like to it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from infra.contracts.telemetry import Float64, Int64
from scoring.core.rules import G_MPS2, SECOND_US
from scoring.core.samples import ACCEL_LSB_MPS2, ImuRing
from scoring.core.window import Window

COUNT_G = ACCEL_LSB_MPS2 / G_MPS2
FULL_SCALE_COUNTS = int(16 / COUNT_G)  # of the sensors in use: more is a glitch
PULSE_US = 150_000
_REST_US = (3 * SECOND_US, 500_000)  # gravity is the mean of the time between, before each sample
_GRAVITY_G = (0.7, 1.3)  # a mean outside is no gravity: the device takes it off, or is being thrown about
_HALF = 0.5  # of the pulse's mean: what a second sample must show along it, since a lone one may be a glitch


@dataclass(frozen=True, slots=True, eq=False)
class Pulses:
    """Of each fresh sample: mean acceleration across gravity over the last 150 ms, and the highest single one, in g.
    0 where a lone sample or none speaks for it. ``step_us``: since the believed sample before, fresh or not; at most
    150 ms."""

    time_us: Int64
    step_us: Int64
    mean_g: Float64
    highest_g: Float64


def pulses(window: Window) -> Pulses:
    """Exact sums, in one order: the same wherever the stream is cut."""
    raw = window.raw
    first_us = int(raw.time_us[window.imu_from]) - PULSE_US
    keep = believed(raw)
    time_us, counts = raw.time_us[keep], raw.counts[:3, keep].astype(np.int64)
    start = int(np.searchsorted(time_us, first_us))
    across = _across_g(window, time_us, counts, start)
    time_us = time_us[start:]
    fresh = int(np.searchsorted(time_us, raw.time_us[window.imu_from]))
    mean, highest = _pulse_means(time_us, across)
    step_us = np.minimum(np.diff(time_us, prepend=time_us[:1] - PULSE_US), PULSE_US)
    return Pulses(time_us[fresh:], step_us[fresh:], mean[fresh:], highest[fresh:])


def believed(raw: ImuRing) -> npt.NDArray[np.bool_]:
    return np.asarray((np.abs(raw.counts[:3].astype(np.int64)) <= FULL_SCALE_COUNTS).all(axis=0))


def _across_g(window: Window, time_us: Int64, counts: npt.NDArray[np.int64], start: int) -> Float64:
    """(3, n) without what lies along gravity. NaN where nothing came before."""
    sums = np.concatenate([np.zeros((3, 1), np.int64), np.cumsum(counts, axis=1)], axis=1)
    at_us = time_us[start:]
    first, last = (np.searchsorted(time_us, at_us - back_us) for back_us in _REST_US)
    known = last - first > 0
    rest = np.where(known, (sums[:, last] - sums[:, first]) / np.maximum(last - first, 1), np.nan) * COUNT_G
    moved = counts[:, start:] * COUNT_G - rest
    size = np.sqrt((rest**2).sum(axis=0))
    is_gravity = (size >= _GRAVITY_G[0]) & (size <= _GRAVITY_G[1])
    up = np.where(is_gravity, rest / np.maximum(size, 1e-9), 0.0)
    if window.declared:
        up = np.array([[0.0], [0.0], [1.0]])
    across: Float64 = moved - up * (moved * up).sum(axis=0)
    return across


def _pulse_means(time_us: Int64, across: Float64) -> tuple[Float64, Float64]:
    total, rows = np.zeros_like(across), np.zeros(across.shape[1])
    longest = int(np.max(np.arange(len(time_us)) - np.searchsorted(time_us, time_us - PULSE_US), initial=0))
    for back in range(longest + 1):
        inside = _inside(time_us, back)
        total[:, back:] += np.where(inside, across[:, : across.shape[1] - back], 0.0)
        rows[back:] += inside
    mean = total / np.maximum(rows, 1)
    size = np.sqrt((mean**2).sum(axis=0))
    along, highest, support = mean / np.maximum(size, 1e-9), np.zeros(len(size)), np.zeros(len(size))
    for back in range(longest + 1):
        inside, before = _inside(time_us, back), across[:, : across.shape[1] - back]
        shown = (before * along[:, back:]).sum(axis=0)
        support[back:] += inside & (shown >= _HALF * size[back:])
        single = np.where(inside, np.sqrt((before**2).sum(axis=0)), 0.0)
        highest[back:] = np.fmax(highest[back:], single)
    sure = (support >= 2) & np.isfinite(size)
    return np.where(sure, size, 0.0), np.where(sure, highest, 0.0)


def _inside(time_us: Int64, back: int) -> npt.NDArray[np.bool_]:
    return np.asarray(time_us[back:] - time_us[: len(time_us) - back] < PULSE_US)
