"""The rotation from a device's axes to the vehicle's, by least squares from sums over pairs of driven seconds.

Of each second: acceleration = rest + forward x dv/dt + left x (v x yaw rate). The rest is gravity, and tells what is
up. Of a device that takes gravity out of its signal, up is the axis that it turns about in bends, upward where the
GPS course turns left. Without a gyroscope the course itself gives the yaw rate.

Tables of loggers often have the left axis pointing right, or a gyroscope that counts the other way. Both are seen
against the course, in bends, and put right.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from infra.contracts.telemetry import Float64
from scoring.core.sharpening import sharpen
from scoring.core.terms import ACCEL, CHANGE, COURSE, TERMS, TURN, Matrix, of_now, unit

GRAVITY_MPS2 = (8.0, 11.5)  # a mean within was taken with gravity
NO_GRAVITY_MPS2 = 2.0  # and one below this without; between them lies a broken sensor
_LEAST_SECONDS = 20
_LEAST_SIGNAL = 6.0  # sum of squared accelerations, (m/s2)2 x s: a brake of 0.2 g for 2 s, or a turn
_LEAST_OF_EACH = 2.0  # without gravity, of braking and of turning
_WORST_ERROR_DEG = 3.5  # standard error of the forward axis, a cautious one: errors of 5 degrees are rare
_WORST_UNSCALED_DEG = 8.0  # without speeds, bends alone: a forward axis that is off by this is better than none
_WORST_TILT_DEG = 8.0  # without gravity: a tilt then leaks vibration, not 9.8 m/s2
_GAIN = (0.5, 1.5)  # the accelerometer must show this much of what GPS says, or one of the two is wrong
_SLOW_NOISE = 2.0  # slopes last longer than a second, so that the seconds are not independent
_SAME_TURN = 0.5  # correlation of gyroscope and course, below which neither says what is up
_SURE_HAND = 4.0  # standard errors
_AXIS_SYSTEMATIC_DEG = 1.0  # a body rolls a little in every bend


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """``matrix``: rows are forward, left and up in the device's axes; its determinant is -1 where these are mirrored.

    ``gravity``: whether the signal holds it. ``yaw_sign`` -1: the gyroscope counts turns to the right.
    """

    matrix: Matrix
    error_deg: float
    gravity: bool
    yaw_sign: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class _Fit:
    """Rest, forward and left as the device feels them; the squared signal of the two; noise per second."""

    rest: Float64
    forward: Float64
    left: Float64
    signal: tuple[float, float]
    noise: Matrix


@dataclass(frozen=True, slots=True, eq=False)
class _Up:
    """The vertical and its variance (rad2); ``turn``: how the yaw rate follows from the terms."""

    axis: Float64
    variance: float
    turn: Float64


def fit(pairs: Matrix, scaled: bool = True) -> Fitted | None:
    """The rotation that the sums (2 TERMS x 2 TERMS) tell; None while they do not.

    ``scaled``: speeds are known, so that gains are too. Else any constant speed may stand for them.
    """
    one = of_now(pairs)
    count = one[0, 0]
    if count < _LEAST_SECONDS:
        return None
    size = float(np.linalg.norm(one[0, ACCEL])) / count
    if GRAVITY_MPS2[0] <= size <= GRAVITY_MPS2[1]:
        return _with_gravity(pairs, scaled)
    return _without_gravity(pairs) if size <= NO_GRAVITY_MPS2 else None


def explained(one: Matrix) -> float:
    """Share of the variance of acceleration that dv/dt explains."""
    count = max(one[0, 0], 1.0)
    centred = one - np.outer(one[0], one[0]) / count
    spread = float(np.trace(centred[ACCEL, ACCEL])) * float(centred[CHANGE, CHANGE])
    return float(centred[CHANGE, ACCEL] @ centred[CHANGE, ACCEL]) / spread if spread > 0 else 0.0


def apart_deg(a: Matrix, b: Matrix) -> float:
    """The angle of the rotation between two."""
    return float(np.degrees(np.arccos(np.clip((np.trace(a @ b.T) - 1) / 2, -1.0, 1.0))))


def _with_gravity(pairs: Matrix, scaled: bool) -> Fitted | None:
    one = of_now(pairs)
    up = unit(one[0, ACCEL])
    for _ in range(2):  # the yaw rate needs up, and up is what remains without the turns
        sign = _yaw_sign(one, up)
        turn = _turn_by(one, up * sign)
        found = _regress(one, turn)
        up = unit(found.rest)
    if not GRAVITY_MPS2[0] <= float(np.linalg.norm(found.rest)) <= GRAVITY_MPS2[1]:
        return None
    matrix = _upright(found, up, _hand(one, up))
    if sum(found.signal) < _LEAST_SIGNAL or (scaled and not _follows(found, matrix)):
        return None
    sharp = sharpen(pairs, matrix, turn, None, 0.0)
    if sharp.forward_deg > (_WORST_ERROR_DEG if scaled else _WORST_UNSCALED_DEG):
        return None
    return Fitted(sharp.matrix, sharp.forward_deg, gravity=True, yaw_sign=sign)


def _yaw_sign(one: Matrix, up: Float64) -> int:
    """-1 where the gyroscope turns against the course."""
    both = float(up @ one[TURN, COURSE])
    power = float(up @ one[TURN, TURN] @ up) * one[COURSE, COURSE]
    return -1 if power > 0 and one[COURSE, COURSE] > _LEAST_SIGNAL and both < -_SAME_TURN * np.sqrt(power) else 1


def _hand(one: Matrix, up: Float64) -> int:
    """-1 where bends, by the course, are felt on the other side than forward and up say."""
    course = np.zeros(TERMS)
    course[COURSE] = 1.0
    found = _regress(one, course)
    along, across = found.signal
    if min(along, across) < _LEAST_SIGNAL:
        return 1
    y = np.cross(up, unit(found.forward - up * (found.forward @ up)))
    felt = float(y @ found.left)
    blur = _SLOW_NOISE * np.sqrt(max(float(y @ found.noise @ y), 0.0) / across)
    return -1 if felt < -_GAIN[0] and felt < -_SURE_HAND * blur else 1


def _without_gravity(pairs: Matrix) -> Fitted | None:
    one = of_now(pairs)
    up = _up_of_turns(one)
    if up is None:
        return None
    found = _regress(one, up.turn)
    if min(found.signal) < _LEAST_OF_EACH or sum(found.signal) < _LEAST_SIGNAL:
        return None
    matrix = _nearest(found, up)
    if not _follows(found, matrix):
        return None
    sharp = sharpen(pairs, matrix, up.turn, up.axis, up.variance)
    tilt_deg = max(sharp.pitch_deg, sharp.roll_deg)
    if sharp.forward_deg > _WORST_ERROR_DEG or tilt_deg > _WORST_TILT_DEG:
        return None
    return Fitted(sharp.matrix, max(sharp.forward_deg, tilt_deg), gravity=False)


def _turn_by(one: Matrix, up: Float64) -> Float64:
    """Weights of the terms whose sum is speed x yaw rate."""
    weights = np.zeros(TERMS)
    if np.trace(one[TURN, TURN]) > 0:
        weights[TURN] = up
    else:
        weights[COURSE] = 1.0
    return weights


def _up_of_turns(one: Matrix) -> _Up | None:
    turns = one[TURN, TURN]
    if np.trace(turns) <= 0:
        return _Up(np.zeros(3), np.inf, _turn_by(one, np.zeros(3)))
    sizes, axes = np.linalg.eigh(turns)
    axis = axes[:, 2]
    same = float(axis @ one[TURN, COURSE]) / max(np.sqrt(sizes[2] * one[COURSE, COURSE]), 1e-9)
    if abs(same) < _SAME_TURN:
        return None
    axis = axis * np.sign(same)
    variance = float(sizes[1] / max(sizes[2], 1e-9) / one[0, 0] * _SLOW_NOISE**2)
    return _Up(axis, variance + float(np.radians(_AXIS_SYSTEMATIC_DEG)) ** 2, _turn_by(one, axis))


def _regress(one: Matrix, turn: Float64) -> _Fit:
    pick = np.zeros((3, TERMS))
    pick[0, 0], pick[1, CHANGE], pick[2] = 1.0, 1.0, turn
    moments, products = pick @ one @ pick.T, pick @ one[:, ACCEL]
    moments += np.diag([0.0, 1e-6, 1e-6])
    found = np.linalg.solve(moments, products)
    centred = np.diag(moments) - moments[0] ** 2 / moments[0, 0]
    noise = (one[ACCEL, ACCEL] - products.T @ found) / one[0, 0]
    return _Fit(found[0], found[1], found[2], (max(float(centred[1]), 0.0), max(float(centred[2]), 0.0)), noise)


def _nearest(found: _Fit, up: _Up) -> Matrix:
    """The rotation nearest to the three vectors, each by its signal (Wahba's problem, solved as Markley does)."""
    along, across = found.signal
    weight = float(np.trace(found.noise)) / 3 / up.variance
    left, _, right = np.linalg.svd(np.stack([along * found.forward, across * found.left, weight * up.axis]))
    flip = np.diag([1.0, 1.0, float(np.sign(np.linalg.det(left @ right)))])
    rotation: Matrix = left @ flip @ right
    return rotation


def _upright(found: _Fit, up: Float64, hand: int) -> Matrix:
    """As ``_nearest`` where up is sure: one angle remains."""
    along, across = found.signal
    ahead = along * found.forward + across * hand * np.cross(found.left, up)
    x = unit(ahead - up * (ahead @ up))
    return np.stack([x, hand * np.cross(up, x), up])


def _follows(found: _Fit, matrix: Matrix) -> bool:
    along, across = found.signal
    shown = along * float(matrix[0] @ found.forward) + across * float(matrix[1] @ found.left)
    return _GAIN[0] <= shown / max(along + across, 1e-9) <= _GAIN[1]
