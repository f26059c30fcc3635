"""How a device is mounted: the rotation from its axes to the vehicle's, learned while driving, with its quality.

The rotation is found from sums over driven seconds (see rotation_fit) that forget slowly. GPS speed comes late by up
to 2 s, so the sums are kept for several lags, and the one that explains most is believed.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from infra.contracts.events import JsonObject
from infra.contracts.telemetry import Float64, Int64
from scoring.core.rotation_fit import ACCEL, TERMS, Matrix, apart_deg, explained, fit, unit
from scoring.core.rules import SECOND_US
from scoring.core.samples import ACCEL_LSB_MPS2, GYRO_LSB_RADPS, MISSING, FixRing, ImuRing

LAGS_US = (0, 1_000_000, 2_000_000)
EPOCH_US = 10 * SECOND_US  # the mounting is looked at this often, at the same times however the stream is cut
_KEPT = 0.99  # of the sums per epoch: a memory of about 17 min of driving
_FEWEST = 3  # samples in a second
_MOVING_MPS = 2.0
_COURSE_MPS = 4.0  # below, GPS headings wander
_SAME_DEG = 3.0  # an estimate this close to the rotation in force does not replace it
_MOVED_DEG = 15.0  # gravity this far off, twice in a row: the device was moved
_STRIKES = 2
_LEAST_STAND_US = 70 * SECOND_US  # between two changes, so that kept samples know at most two rotations

Index = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Rotation:
    """Rows: forward, left and up of the vehicle in the device's axes. Holds for samples from ``since_us``."""

    matrix: Matrix
    since_us: int
    error_deg: float
    lag_us: int
    gravity: bool = True  # whether the signal holds it
    yaw_sign: int = 1  # -1: the gyroscope counts turns to the right


@dataclass(frozen=True, slots=True, eq=False)
class Mounting:
    """What is known of one device's mounting. ``current`` None: not calibrated (yet, or not any more)."""

    sums: Matrix = field(default_factory=lambda: np.zeros((len(LAGS_US), TERMS, TERMS)))
    recent: Matrix = field(default_factory=lambda: np.zeros(TERMS))  # sums of the terms since the last epoch
    epoch: int | None = None
    current: Rotation | None = None
    before: Rotation | None = None
    strikes: int = 0
    moves: int = 0
    learned: int = 0
    lost_us: int | None = None  # when it was seen that the device had been moved; ``before`` held until then

    @property
    def latest(self) -> Rotation | None:
        """The rotation in force, or the last one that was."""
        return self.current or self.before


@dataclass(frozen=True, slots=True, eq=False)
class KnownAxes:
    """Every sample of a recording in the vehicle's axes, found in hindsight; MISSING where not known."""

    ring: ImuRing
    error_deg: float | None

    def of(self, raw: ImuRing) -> ImuRing:
        """The same samples as these, which must be of that recording."""
        return ImuRing(raw.time_us, self.ring.counts[:, np.searchsorted(self.ring.time_us, raw.time_us)])


def learn(mounting: Mounting, imu: ImuRing, fixes: FixRing, fresh: int) -> Mounting:
    """The mounting after the fixes from index ``fresh`` on; ``imu`` must reach back 3 s before them.

    Fixes before the first sample tell nothing, and a cut of the stream may have kept them from being looked at.
    """
    if not len(imu):
        return mounting
    fresh = max(fresh, int(np.searchsorted(fixes.time_us, imu.time_us[0])))
    ends_us, terms = _terms(imu, fixes, fresh)
    fresh_us = fixes.time_us[fresh:]
    for epoch in np.unique(fresh_us // EPOCH_US).tolist():
        if epoch != mounting.epoch:
            # From this fix on: no cut of the stream can have let later samples be judged before it.
            since_us = int(fresh_us[np.searchsorted(fresh_us, epoch * EPOCH_US)])
            mounting = replace(_close(mounting, since_us), epoch=epoch)
        inside = ends_us // EPOCH_US == epoch
        if inside.any():
            mounting = _add(mounting, terms[:, inside])
    return mounting


def rotated(mounting: Mounting, imu: ImuRing) -> ImuRing:
    """Samples in the vehicle's axes, as far as a rotation is known for their time; MISSING where not."""
    counts = np.full_like(imu.counts, MISSING)
    for rotation, until_us in _spans(mounting):
        first, last = np.searchsorted(imu.time_us, [rotation.since_us, until_us])
        counts[:, first:last] = _rotate(rotation, imu.counts[:, first:last])
    return ImuRing(imu.time_us, counts)


def _spans(mounting: Mounting) -> list[tuple[Rotation, int]]:
    never = np.iinfo(np.int64).max
    changed_us = mounting.current.since_us if mounting.current else never
    lost_us = never if mounting.lost_us is None else mounting.lost_us
    spans = [(mounting.before, min(changed_us, lost_us)), (mounting.current, never)]
    return [(rotation, until) for rotation, until in spans if rotation is not None]


def _rotate(rotation: Rotation, counts: npt.NDArray[np.int16]) -> npt.NDArray[np.int16]:
    unknown = counts == MISSING
    matrix = rotation.matrix
    both = np.concatenate([matrix @ counts[:3], rotation.yaw_sign * (matrix @ counts[3:])])
    turned: npt.NDArray[np.int16] = np.clip(np.rint(both), MISSING + 1, -MISSING - 1).astype(np.int16)
    for axes in (slice(0, 3), slice(3, 6)):
        turned[axes, unknown[axes].any(axis=0)] = MISSING
    return turned


# --- seconds ----------------------------------------------------------------------------------------------


def _terms(imu: ImuRing, fixes: FixRing, fresh: int) -> tuple[Int64, Float64]:
    """Of each driven second that ends with a fresh fix: its end, and its terms for each lag."""
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
    return time_us[ends], terms


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


# --- epochs -----------------------------------------------------------------------------------------------


def _add(mounting: Mounting, terms: Float64) -> Mounting:
    """Second by second, so that a cut between them does not change a sum's last bit."""
    squares = terms[:, :, :, None] * terms[:, :, None, :]
    sums = np.add.accumulate(np.concatenate([mounting.sums[:, None], squares], axis=1), axis=1)[:, -1]
    recent = np.add.accumulate(np.concatenate([mounting.recent[None], terms[0]]), axis=0)[-1]
    return replace(mounting, sums=sums, recent=recent)


def _close(mounting: Mounting, since_us: int) -> Mounting:
    """The end of an epoch: has the device been moved, is its mounting known now, or known better?"""
    mounting = _watch(mounting, since_us)
    mounting = replace(mounting, sums=mounting.sums * _KEPT, recent=np.zeros(TERMS))
    found = estimate(mounting.sums)
    if found is None:
        return mounting
    current = mounting.current
    if current is not None:
        young = since_us - current.since_us < _LEAST_STAND_US
        if young or apart_deg(found.matrix, current.matrix) < _SAME_DEG:
            return mounting
    found = replace(found, since_us=since_us)
    return replace(
        mounting,
        current=found,
        before=current or mounting.before,
        lost_us=None if current else mounting.lost_us,
        learned=mounting.learned + 1,
    )


def _watch(mounting: Mounting, now_us: int) -> Mounting:
    current, count = mounting.current, mounting.recent[0]
    if current is None or count < 3 or not current.gravity:
        return mounting
    gravity = (mounting.recent[ACCEL] - mounting.recent[1] * current.matrix[0]) / count
    if _angle_deg(gravity, current.matrix[2]) < _MOVED_DEG:
        return replace(mounting, strikes=0)
    if mounting.strikes + 1 < _STRIKES:
        return replace(mounting, strikes=mounting.strikes + 1)
    return Mounting(before=current, lost_us=now_us, moves=mounting.moves + 1, learned=mounting.learned)


def estimate(sums: Matrix) -> Rotation | None:
    """The rotation that the sums tell, with its error; None while they do not."""
    best = int(np.argmax([explained(one) for one in sums]))
    found = fit(sums[best])
    if found is None:
        return None
    return Rotation(found.matrix, 0, found.error_deg, LAGS_US[best], found.gravity, found.yaw_sign)


def _angle_deg(a: Float64, b: Float64) -> float:
    return float(np.degrees(np.arccos(np.clip(unit(a) @ unit(b), -1.0, 1.0))))


# --- JSON -------------------------------------------------------------------------------------------------


def dump(mounting: Mounting) -> JsonObject:
    return {
        "sums": _pack(mounting.sums) if mounting.sums.any() else None,
        "recent": mounting.recent.tolist(),
        "epoch": mounting.epoch,
        "current": _dump_rotation(mounting.current),
        "before": _dump_rotation(mounting.before),
        "strikes": mounting.strikes,
        "moves": mounting.moves,
        "learned": mounting.learned,
        "lost_us": mounting.lost_us,
    }


def load(state: Any) -> Mounting:
    empty = Mounting()
    return Mounting(
        sums=_unpack(state["sums"]) if state["sums"] else empty.sums,
        recent=np.array(state["recent"]),
        epoch=state["epoch"],
        current=_load_rotation(state["current"]),
        before=_load_rotation(state["before"]),
        strikes=state["strikes"],
        moves=state["moves"],
        learned=state.get("learned", 0),
        lost_us=state.get("lost_us"),
    )


_UPPER = np.triu_indices(TERMS)


def _pack(sums: Matrix) -> str:
    """The sums are symmetric: their upper triangles will do."""
    return base64.b64encode(sums[:, _UPPER[0], _UPPER[1]].astype("<f8").tobytes()).decode()


def _unpack(text: str) -> Matrix:
    upper = np.frombuffer(base64.b64decode(text), "<f8").reshape(len(LAGS_US), -1)
    size = int(np.sqrt(2 * upper.shape[1]))  # states of before the course was among the terms have one less
    rows, columns = np.triu_indices(size)
    sums = np.zeros((len(LAGS_US), TERMS, TERMS))
    sums[:, rows, columns] = upper
    sums[:, columns, rows] = upper
    return sums


def _dump_rotation(rotation: Rotation | None) -> JsonObject | None:
    if rotation is None:
        return None
    rows = {"matrix": rotation.matrix.tolist(), "since_us": rotation.since_us}
    return rows | {"error_deg": rotation.error_deg, "lag_us": rotation.lag_us, **_signal(rotation)}


def _signal(rotation: Rotation) -> JsonObject:
    return {"gravity": rotation.gravity, "yaw_sign": rotation.yaw_sign}


def _load_rotation(state: Any) -> Rotation | None:
    return None if state is None else Rotation(**(state | {"matrix": np.array(state["matrix"])}))
