"""What a device felt over a whole drive, on a grid of tenths of a second, beside what GPS says it should have felt."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from infra.contracts.telemetry import ImuSamples, Int64
from scoring.core.gps_motion import GpsMotion
from scoring.core.rules import G_MPS2, SECOND_US
from scoring.core.terms import TERMS, Matrix, pair_sums

TENTH_US = 100_000
_MOVING_MPS = 2.0
_ANY_SPEED_MPS = 10.0  # stands for the speed where none is known: lateral acceleration then still tells left
_WILD_MPS2 = 4 * G_MPS2
_LARGEST_SHARE = 0.5  # of the usual tenths with samples, a second must have this

Bool = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Felt:
    """Means of the tenths that have samples, in m/s2 and rad/s; ``gyro`` None without one. ``second`` numbers them."""

    time_us: Int64  # the middle of each
    accel: Matrix  # (n, 3)
    gyro: Matrix | None
    second: Int64

    def __len__(self) -> int:
        return len(self.time_us)


@dataclass(frozen=True, slots=True, eq=False)
class Seconds:
    """Driven seconds: their starts, their terms (n, TERMS) and sums of products (n, TERMS, TERMS)."""

    start_us: Int64
    terms: Matrix

    @property
    def products(self) -> Matrix:
        return self.terms[:, :, None] * self.terms[:, None, :]

    @property
    def pairs(self) -> Matrix:
        """Sums over the seconds that follow right after another (2 TERMS, 2 TERMS)."""
        later = np.flatnonzero(np.diff(self.start_us) == SECOND_US) + 1
        return pair_sums(self.terms[later], self.terms[later - 1])


def feel(imu: ImuSamples) -> Felt:
    """The believable samples, averaged."""
    accel = np.stack([imu.accel_x_mps2, imu.accel_y_mps2, imu.accel_z_mps2], axis=1).astype(np.float64)
    gyro = np.stack([imu.gyro_x_radps, imu.gyro_y_radps, imu.gyro_z_radps], axis=1).astype(np.float64)
    known = np.isfinite(accel).all(axis=1)
    known[known] = np.abs(accel[known]).max(axis=1) <= _WILD_MPS2
    time_us, accel, gyro = imu.time_us[known], accel[known], gyro[known]
    tenth = time_us // TENTH_US
    starts = np.flatnonzero(np.diff(tenth, prepend=tenth[:1] - 1) != 0)
    if not len(starts):
        return Felt(np.empty(0, np.int64), np.empty((0, 3)), None, np.empty(0, np.int64))
    counts = np.diff([*starts, len(tenth)])[:, None]
    has_gyro = np.isfinite(gyro).all(axis=1).mean() > 0.5 and bool(np.nanmax(np.abs(gyro)) > 0)
    turning = np.add.reduceat(np.nan_to_num(gyro), starts) / counts if has_gyro else None
    number = tenth[starts]
    means = np.add.reduceat(accel, starts) / counts
    return Felt(number * TENTH_US + TENTH_US // 2, means, turning, number // 10)


def low_pass(values: Matrix, time_constant_s: float) -> Matrix:
    """A filter of the first order along the rows, which are tenths of a second."""
    share = 1.0 - float(np.exp(-TENTH_US / 1e6 / time_constant_s))
    passed: Matrix = pd.DataFrame(values).ewm(alpha=share, adjust=False).mean().to_numpy()
    return passed


def expected(felt: Felt, motion: GpsMotion | None, lag_us: int) -> tuple[Matrix, Bool]:
    """For each tenth dv/dt, speed x rotation (3), speed x yaw rate by course; and whether it was driven."""
    rows = np.zeros((len(felt), 5))
    if motion is None:
        speed, driven = np.full(len(felt), _ANY_SPEED_MPS), np.ones(len(felt), bool)
    else:
        at_us = felt.time_us + lag_us
        speed, driven = motion.speed(at_us), motion.known(at_us)
        driven &= speed >= _MOVING_MPS
        rows[:, 0] = np.where(driven, motion.change(at_us), 0.0)
        rows[:, 4] = np.where(driven, motion.yaw(at_us) * speed, 0.0)
    if felt.gyro is not None:
        rows[:, 1:4] = felt.gyro * speed[:, None]
    return rows, driven


def seconds(felt: Felt, motion: GpsMotion | None, lag_us: int, high_pass_s: float | None) -> Seconds:
    """The driven seconds, with what should have been felt passed through the device's own filter."""
    rows, driven = expected(felt, motion, lag_us)
    if high_pass_s is not None:
        rows = rows - low_pass(rows, high_pass_s)
    starts = np.flatnonzero(np.diff(felt.second, prepend=felt.second[:1] - 1) != 0)
    counts = np.add.reduceat(driven.astype(np.int64), starts)
    tenths = np.column_stack([np.ones(len(felt)), rows[:, 0], felt.accel, rows[:, 1:]])
    means = np.add.reduceat(np.where(driven[:, None], tenths, 0.0), starts) / np.maximum(counts, 1)[:, None]
    usual = float(np.median(np.diff([*starts, len(felt)])))
    enough = counts >= max(1.0, usual * _LARGEST_SHARE)
    assert means.shape[1] == TERMS
    return Seconds(felt.second[starts][enough] * 10 * TENTH_US, means[enough])
