"""Driven seconds of a stream, with their terms for each lag that GPS may have; the same however the stream is cut."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from infra.contracts.events import JsonObject
from infra.contracts.telemetry import Float64, Int64
from scoring.core.rules import SECOND_US
from scoring.core.samples import ACCEL_LSB_MPS2, GYRO_LSB_RADPS, MISSING, FixRing, ImuRing
from scoring.core.terms import TERMS, Matrix, pair_sums

LAGS_US = (0, 1_000_000, 2_000_000)
_FEWEST = 3  # samples in a second
_MOVING_MPS = 2.0
_COURSE_MPS = 4.0  # below, GPS headings wander

Index = npt.NDArray[np.intp]
Bool = npt.NDArray[np.bool_]


def _nothing() -> Int64:
    return np.empty(0, np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Driven:
    """Seconds in time order. ``terms``: (lags, n, TERMS), zeros where a lag's samples are not known."""

    start_us: Int64 = field(default_factory=_nothing)
    end_us: Int64 = field(default_factory=_nothing)
    terms: Matrix = field(default_factory=lambda: np.zeros((len(LAGS_US), 0, TERMS)))

    def __len__(self) -> int:
        return len(self.end_us)

    def of(self, index: Bool | slice) -> Driven:
        return Driven(self.start_us[index], self.end_us[index], self.terms[:, index])

    def then(self, more: Driven) -> Driven:
        return Driven(
            np.concatenate([self.start_us, more.start_us]),
            np.concatenate([self.end_us, more.end_us]),
            np.concatenate([self.terms, more.terms], axis=1),
        )

    def pairs(self) -> Matrix:
        """Sums over the seconds that follow right after another, of each lag (lags, 2 TERMS, 2 TERMS)."""
        now, before = self.terms[:, 1:], self.terms[:, :-1]
        both = (self.start_us[1:] == self.end_us[:-1]) & (now[:, :, 0] > 0) & (before[:, :, 0] > 0)
        return pair_sums(now * both[:, :, None], before * both[:, :, None])


def driven(imu: ImuRing, fixes: FixRing, fresh: int) -> Driven:
    """The driven seconds that end with a fix from index ``fresh`` on."""
    first_of_second = np.diff(fixes.time_us // SECOND_US, prepend=-1) != 0
    anchors = np.flatnonzero(first_of_second & np.isfinite(fixes.speed_mps))
    starts, ends = anchors[:-1], anchors[1:]
    time_us, speed = fixes.time_us, fixes.speed_mps.astype(np.float64)
    span_us = time_us[ends] - time_us[starts]
    use = (ends >= fresh) & (span_us >= SECOND_US // 2) & (span_us <= 2 * SECOND_US + SECOND_US // 2)
    use &= np.maximum(speed[starts], speed[ends]) >= _MOVING_MPS
    starts, ends, span_us = starts[use], ends[use], span_us[use]
    change = (speed[ends] - speed[starts]) / (span_us / SECOND_US)
    mean = (speed[ends] + speed[starts]) / 2
    course = _course_rates(fixes, starts, ends) * mean
    terms = np.zeros((len(LAGS_US), len(ends), TERMS))
    sums = _running_sums(imu)
    for number, lag_us in enumerate(LAGS_US):
        accel, turn = _means(imu, sums, time_us[starts] - lag_us, time_us[ends] - lag_us)
        known = np.isfinite(accel).all(axis=1)
        rows = np.column_stack([np.ones(len(ends)), change, accel, turn * mean[:, None], course])
        terms[number] = np.where(known[:, None], rows, 0.0)
    return Driven(time_us[starts], time_us[ends], terms)


def _course_rates(fixes: FixRing, starts: Index, ends: Index) -> Float64:
    """Yaw rate by the GPS course, rad/s, left positive; 0 where it is not known."""
    heading = fixes.heading_deg.astype(np.float64)
    change = (heading[starts] - heading[ends] + 180.0) % 360.0 - 180.0
    span_s = (fixes.time_us[ends] - fixes.time_us[starts]) / SECOND_US
    known = np.minimum(fixes.speed_mps[starts], fixes.speed_mps[ends]) >= _COURSE_MPS
    return np.where(known & np.isfinite(change), np.radians(change) / span_s, 0.0)


def _running_sums(imu: ImuRing) -> Int64:
    known = imu.counts != MISSING
    values = np.where(known, imu.counts, 0).astype(np.int64)
    stacked = np.concatenate([values, known[:1], known[3:4]])
    return np.concatenate([np.zeros((8, 1), np.int64), np.cumsum(stacked, axis=1)], axis=1)


def _means(imu: ImuRing, sums: Int64, start_us: Int64, end_us: Int64) -> tuple[Float64, Float64]:
    """Mean acceleration (m/s2; NaN for too few) and rotation (rad/s; 0 without a gyroscope) of each span."""
    first, last = np.searchsorted(imu.time_us, start_us), np.searchsorted(imu.time_us, end_us)
    total = (sums[:, last] - sums[:, first]).T
    accel = total[:, :3] / np.maximum(total[:, 6:7], 1) * ACCEL_LSB_MPS2
    accel[total[:, 6] < _FEWEST] = np.nan
    turn = total[:, 3:6] / np.maximum(total[:, 7:8], 1) * GYRO_LSB_RADPS
    return accel, turn


def dump(driven: Driven) -> JsonObject | None:
    if not len(driven):
        return None
    times = {"start_us": driven.start_us.tolist(), "end_us": driven.end_us.tolist()}
    return times | {"terms": base64.b64encode(driven.terms.astype("<f8").tobytes()).decode()}


def load(state: Any) -> Driven:
    if not state:
        return Driven()
    terms = np.frombuffer(base64.b64decode(state["terms"]), "<f8").reshape(len(LAGS_US), -1, TERMS)
    start_us, end_us = (np.array(state[name], np.int64) for name in ("start_us", "end_us"))
    return Driven(start_us, end_us, terms.astype(np.float64))
