"""How a device is mounted: the rotation from its axes to the vehicle's, learned while driving, with its quality.

The rotation is found from sums over pairs of driven seconds (see rotation_fit) that forget slowly. GPS speed comes
late by up to 2 s, so the sums are kept for several lags, and the one that explains most is believed.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from infra.contracts.events import JsonObject
from infra.contracts.telemetry import Float64
from scoring.core import driven
from scoring.core.driven import LAGS_US, Driven
from scoring.core.rotation_fit import apart_deg, explained, fit
from scoring.core.rules import SECOND_US
from scoring.core.samples import MISSING, FixRing, ImuRing
from scoring.core.terms import ACCEL, CHANGE, TERMS, Matrix, of_now, unit

EPOCH_US = 10 * SECOND_US  # the mounting is looked at this often, at the same times however the stream is cut
_KEPT = 0.99  # of the sums per epoch: a memory of about 17 min of driving
_AGAIN = 6  # epochs after which a known mounting is estimated anew
_SAME_DEG = 3.0  # an estimate this close to the rotation in force does not replace it
_MOVED_DEG = 15.0  # gravity this far off, twice in a row: the device was moved
_STRIKES = 2
_LEAST_STAND_US = 70 * SECOND_US  # between two changes, so that kept samples know at most two rotations

_WIDTH = 2 * TERMS


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

    sums: Matrix = field(default_factory=lambda: np.zeros((len(LAGS_US), _WIDTH, _WIDTH)))
    recent: Driven = field(default_factory=Driven)  # the last second before this epoch, and those since
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
    seconds = driven.driven(imu, fixes, fresh)
    fresh_us = fixes.time_us[fresh:]
    for epoch in np.unique(fresh_us // EPOCH_US).tolist():
        if epoch != mounting.epoch:
            # From this fix on: no cut of the stream can have let later samples be judged before it.
            since_us = int(fresh_us[np.searchsorted(fresh_us, epoch * EPOCH_US)])
            mounting = replace(_close(mounting, since_us), epoch=epoch)
        inside = seconds.end_us // EPOCH_US == epoch
        if inside.any():
            mounting = replace(mounting, recent=mounting.recent.then(seconds.of(inside)))
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


# --- epochs -----------------------------------------------------------------------------------------------


def _close(mounting: Mounting, since_us: int) -> Mounting:
    """The end of an epoch: has the device been moved, is its mounting known now, or known better?"""
    mounting = _watch(mounting, since_us)
    recent = mounting.recent
    sums = (mounting.sums + recent.pairs()) * _KEPT
    mounting = replace(mounting, sums=sums, recent=recent.of(slice(-1, None)))
    current, epoch = mounting.current, mounting.epoch or 0
    young = current is not None and since_us - current.since_us < _LEAST_STAND_US
    if young or (current is not None and epoch % _AGAIN):
        return mounting
    found = estimate(sums)
    if found is None or (current is not None and apart_deg(found.matrix, current.matrix) < _SAME_DEG):
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
    current, recent = mounting.current, mounting.recent
    total = recent.terms[0, recent.end_us // EPOCH_US == mounting.epoch].sum(axis=0)
    if current is None or total[0] < 3 or not current.gravity:
        return mounting
    gravity = (total[ACCEL] - total[CHANGE] * current.matrix[0]) / total[0]
    if _angle_deg(gravity, current.matrix[2]) < _MOVED_DEG:
        return replace(mounting, strikes=0)
    if mounting.strikes + 1 < _STRIKES:
        return replace(mounting, strikes=mounting.strikes + 1)
    return Mounting(before=current, lost_us=now_us, moves=mounting.moves + 1, learned=mounting.learned)


def estimate(sums: Matrix) -> Rotation | None:
    """The rotation that the sums tell, with its error; None while they do not."""
    best = int(np.argmax([explained(one) for one in of_now(sums)]))
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
        "recent": driven.dump(mounting.recent),
        "epoch": mounting.epoch,
        "current": _dump_rotation(mounting.current),
        "before": _dump_rotation(mounting.before),
        "strikes": mounting.strikes,
        "moves": mounting.moves,
        "learned": mounting.learned,
        "lost_us": mounting.lost_us,
    }


def load(state: Any) -> Mounting:
    return Mounting(
        sums=_unpack(state["sums"]),
        recent=_recent(state["recent"]),
        epoch=state["epoch"],
        current=_load_rotation(state["current"]),
        before=_load_rotation(state["before"]),
        strikes=state["strikes"],
        moves=state["moves"],
        learned=state.get("learned", 0),
        lost_us=state.get("lost_us"),
    )


_UPPER = np.triu_indices(_WIDTH)


def _pack(sums: Matrix) -> str:
    """The sums are symmetric: their upper triangles will do."""
    return base64.b64encode(sums[:, _UPPER[0], _UPPER[1]].astype("<f8").tobytes()).decode()


def _unpack(text: str | None) -> Matrix:
    """States of before seconds were looked at in pairs have fewer sums: these are begun anew."""
    sums = np.zeros((len(LAGS_US), _WIDTH, _WIDTH))
    upper = np.frombuffer(base64.b64decode(text or ""), "<f8")
    if len(upper) == len(LAGS_US) * len(_UPPER[0]):
        sums[:, _UPPER[0], _UPPER[1]] = sums[:, _UPPER[1], _UPPER[0]] = upper.reshape(len(LAGS_US), -1)
    return sums


def _recent(state: Any) -> Driven:
    """States of before have a list of sums here, of one epoch at most: they begin it anew."""
    return Driven() if isinstance(state, list) else driven.load(state)


def _dump_rotation(rotation: Rotation | None) -> JsonObject | None:
    if rotation is None:
        return None
    rows = {"matrix": rotation.matrix.tolist(), "since_us": rotation.since_us}
    return rows | {"error_deg": rotation.error_deg, "lag_us": rotation.lag_us, **_signal(rotation)}


def _signal(rotation: Rotation) -> JsonObject:
    return {"gravity": rotation.gravity, "yaw_sign": rotation.yaw_sign}


def _load_rotation(state: Any) -> Rotation | None:
    return None if state is None else Rotation(**(state | {"matrix": np.array(state["matrix"])}))
