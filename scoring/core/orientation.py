"""How a device is mounted: the rotation from its axes to the vehicle's, learned while driving, with its quality.

Gravity tells what is up. What is forward follows from the changes of GPS speed, what is left from speed times
rotation: over each second, acceleration = gravity + forward x dv/dt + left x (v x yaw rate), and the three vectors
are found together by least squares over sums that forget slowly. GPS speed comes late by up to 2 s, so the sums are
kept for several lags, and the one that explains most is believed.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from infra.contracts.events import JsonObject
from infra.contracts.telemetry import Float64, Int64
from scoring.core.rules import SECOND_US
from scoring.core.samples import ACCEL_LSB_MPS2, GYRO_LSB_RADPS, MISSING, FixRing, ImuRing

LAGS_US = (0, 1_000_000, 2_000_000)
EPOCH_US = 10 * SECOND_US  # the mounting is looked at this often, at the same times however the stream is cut
_KEPT = 0.99  # of the sums per epoch: a memory of about 17 min of driving
_FEWEST = 3  # samples in a second
_MOVING_MPS = 2.0
_TERMS = 8  # 1, dv/dt, acceleration (3), speed x rotation (3)
_ACCEL, _TURN = slice(2, 5), slice(5, 8)

_GRAVITY_MPS2 = (8.0, 11.5)  # a mean outside was taken from a signal without gravity, or from a broken sensor
_LEAST_SECONDS = 20
_LEAST_SIGNAL = 6.0  # sum of squared accelerations, (m/s2)2 x s: a brake of 0.2 g for 2 s, or a turn
_WORST_ERROR_DEG = 4.0
_GAIN = (0.5, 1.5)  # the accelerometer must show this much of what GPS says, or one of the two is wrong
_SLOW_NOISE = 2.0  # slopes last longer than a second, so that the seconds are not independent
_SAME_DEG = 3.0  # an estimate this close to the rotation in force does not replace it
_MOVED_DEG = 15.0  # gravity this far off, twice in a row: the device was moved
_STRIKES = 2
_LEAST_STAND_US = 70 * SECOND_US  # between two changes, so that kept samples know at most two rotations

Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Rotation:
    """Rows: forward, left and up of the vehicle in the device's axes. Holds for samples from ``since_us``."""

    matrix: Matrix
    since_us: int
    error_deg: float
    lag_us: int


@dataclass(frozen=True, slots=True, eq=False)
class Mounting:
    """What is known of one device's mounting. ``current`` None: not calibrated (yet, or not any more)."""

    sums: Matrix = field(default_factory=lambda: np.zeros((len(LAGS_US), _TERMS, _TERMS)))
    recent: Matrix = field(default_factory=lambda: np.zeros(_TERMS))  # sums of the terms since the last epoch
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


def learn(mounting: Mounting, imu: ImuRing, fixes: FixRing, fresh: int) -> Mounting:
    """The mounting after the fixes from index ``fresh`` on; ``imu`` must reach back 3 s before them."""
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
        counts[:, first:last] = _rotate(rotation.matrix, imu.counts[:, first:last])
    return ImuRing(imu.time_us, counts)


def _spans(mounting: Mounting) -> list[tuple[Rotation, int]]:
    never = np.iinfo(np.int64).max
    changed_us = mounting.current.since_us if mounting.current else never
    lost_us = never if mounting.lost_us is None else mounting.lost_us
    spans = [(mounting.before, min(changed_us, lost_us)), (mounting.current, never)]
    return [(rotation, until) for rotation, until in spans if rotation is not None]


def _rotate(matrix: Matrix, counts: npt.NDArray[np.int16]) -> npt.NDArray[np.int16]:
    unknown = counts == MISSING
    both = np.concatenate([matrix @ counts[:3], matrix @ counts[3:]])
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
    terms = np.zeros((len(LAGS_US), len(ends), _TERMS))
    sums = _running_sums(imu)
    for number, lag_us in enumerate(LAGS_US):
        accel, turn = _means(imu, sums, time_us[starts] - lag_us, time_us[ends] - lag_us)
        known = np.isfinite(accel).all(axis=1)
        rows = np.column_stack([np.ones(len(ends)), change, accel, turn * mean[:, None]])
        terms[number] = np.where(known[:, None], rows, 0.0)
    return time_us[ends], terms


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
    mounting = replace(mounting, sums=mounting.sums * _KEPT, recent=np.zeros(_TERMS))
    found = estimate(mounting.sums)
    if found is None:
        return mounting
    current = mounting.current
    if current is not None:
        young = since_us - current.since_us < _LEAST_STAND_US
        if young or _apart_deg(found.matrix, current.matrix) < _SAME_DEG:
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
    if current is None or count < 3:
        return mounting
    gravity = (mounting.recent[_ACCEL] - mounting.recent[1] * current.matrix[0]) / count
    if _angle_deg(gravity, current.matrix[2]) < _MOVED_DEG:
        return replace(mounting, strikes=0)
    if mounting.strikes + 1 < _STRIKES:
        return replace(mounting, strikes=mounting.strikes + 1)
    return Mounting(before=current, lost_us=now_us, moves=mounting.moves + 1, learned=mounting.learned)


def estimate(sums: Matrix) -> Rotation | None:
    """The rotation that the sums tell, with its error; None while they do not."""
    explained = [_explained(one) for one in sums]
    best = int(np.argmax(explained))
    one = sums[best]
    if one[0, 0] < _LEAST_SECONDS:
        return None
    up = _unit(one[0, _ACCEL])
    for _ in range(2):  # the yaw rate needs up, and up is what remains without the turns
        fit = _regress(one, up)
        up = _unit(fit.gravity)
    if not _GRAVITY_MPS2[0] <= float(np.linalg.norm(fit.gravity)) <= _GRAVITY_MPS2[1]:
        return None
    along, across = fit.signal
    ahead = along * fit.forward + across * np.cross(fit.left, up)
    ahead -= up * (ahead @ up)
    total = along + across
    x = _unit(ahead)
    y = np.cross(up, x)
    # What blurs the direction is noise to the side of forward, and ahead of left.
    blur = along * float(y @ fit.noise @ y) + across * float(x @ fit.noise @ x)
    error_deg = float(np.degrees(_SLOW_NOISE * np.sqrt(max(blur, 0.0)) / max(total, 1e-9)))
    gain = float(np.linalg.norm(ahead)) / max(total, 1e-9)
    if total < _LEAST_SIGNAL or error_deg > _WORST_ERROR_DEG or not _GAIN[0] <= gain <= _GAIN[1]:
        return None
    return Rotation(np.stack([x, y, up]), 0, error_deg, LAGS_US[best])


@dataclass(frozen=True, slots=True, eq=False)
class _Fit:
    """Gravity, forward and left as the device feels them; the squared signal of the two; noise per second."""

    gravity: Float64
    forward: Float64
    left: Float64
    signal: tuple[float, float]
    noise: Matrix


def _explained(one: Matrix) -> float:
    """Share of the variance of acceleration that dv/dt explains at one lag."""
    count = max(one[0, 0], 1.0)
    centred = one - np.outer(one[0], one[0]) / count
    spread = float(np.trace(centred[_ACCEL, _ACCEL])) * float(centred[1, 1])
    return float(centred[1, _ACCEL] @ centred[1, _ACCEL]) / spread if spread > 0 else 0.0


def _regress(one: Matrix, up: Float64) -> _Fit:
    pick = np.zeros((3, _TERMS))
    pick[0, 0], pick[1, 1], pick[2, _TURN] = 1.0, 1.0, up
    moments, products = pick @ one @ pick.T, pick @ one[:, _ACCEL]
    moments += np.diag([0.0, 1e-6, 1e-6])
    found = np.linalg.solve(moments, products)
    centred = np.diag(moments) - moments[0] ** 2 / moments[0, 0]
    noise = (one[_ACCEL, _ACCEL] - products.T @ found) / one[0, 0]
    return _Fit(found[0], found[1], found[2], (max(float(centred[1]), 0.0), max(float(centred[2]), 0.0)), noise)


def _unit(vector: Float64) -> Float64:
    return vector / max(float(np.linalg.norm(vector)), 1e-9)


def _angle_deg(a: Float64, b: Float64) -> float:
    return float(np.degrees(np.arccos(np.clip(_unit(a) @ _unit(b), -1.0, 1.0))))


def _apart_deg(a: Matrix, b: Matrix) -> float:
    """The angle of the rotation between two."""
    return float(np.degrees(np.arccos(np.clip((np.trace(a @ b.T) - 1) / 2, -1.0, 1.0))))


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


_UPPER = np.triu_indices(_TERMS)


def _pack(sums: Matrix) -> str:
    """The sums are symmetric: their upper triangles will do."""
    return base64.b64encode(sums[:, _UPPER[0], _UPPER[1]].astype("<f8").tobytes()).decode()


def _unpack(text: str) -> Matrix:
    upper = np.frombuffer(base64.b64decode(text), "<f8").reshape(len(LAGS_US), -1)
    sums = np.zeros((len(LAGS_US), _TERMS, _TERMS))
    sums[:, _UPPER[0], _UPPER[1]] = upper
    sums[:, _UPPER[1], _UPPER[0]] = upper
    return sums


def _dump_rotation(rotation: Rotation | None) -> JsonObject | None:
    if rotation is None:
        return None
    rows = {"matrix": rotation.matrix.tolist(), "since_us": rotation.since_us}
    return rows | {"error_deg": rotation.error_deg, "lag_us": rotation.lag_us}


def _load_rotation(state: Any) -> Rotation | None:
    return None if state is None else Rotation(**(state | {"matrix": np.array(state["matrix"])}))
