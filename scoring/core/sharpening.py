"""A first rotation made sharper: slow noise is taken out, and every hint of an angle counts by its own error.

A slope is felt as a slow acceleration forward, a cambered road as one to the left. How much of what is left
unexplained along an axis stays from one second to the next (rho) is estimated from the drive itself; each second less
rho times the one before it is what is regressed (Cochrane and Orcutt 1949). A slope then counts for little, the onset
of a brake for much, and the errors are honest. Hints that contradict each other make the error larger (Birge 1932).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from infra.contracts.telemetry import Float64
from scoring.core.terms import ACCEL, CHANGE, TERMS, Matrix, unit

_ROUNDS = 4
_RHO = (-0.5, 0.95)  # below zero: a heading that is off makes one rate too large and the next too small
_COEFFICIENTS = 4.0  # rest, forward, left and rho
_FARTHEST = 0.2  # rad, that one round may turn
_LEAST_GAIN = 1e-3
_YAW_SYSTEMATIC = np.radians(0.5)
_FELT_SYSTEMATIC = np.radians(1.5)  # a body dives when it brakes and rolls in bends
_REST_SYSTEMATIC = np.radians(1.5)  # roads are cambered by 1 to 2 %, accelerometers off by 0.2 m/s2

Hint = tuple[float, float]  # an angle and its variance, rad


@dataclass(frozen=True, slots=True, eq=False)
class Sharpened:
    """Rows: forward, left, up in the device's axes; standard errors of the three angles."""

    matrix: Matrix
    yaw_deg: float
    pitch_deg: float
    roll_deg: float

    @property
    def forward_deg(self) -> float:
        """How far the forward axis may be off, to any side."""
        return float(np.hypot(self.yaw_deg, self.pitch_deg))


@dataclass(frozen=True, slots=True, eq=False)
class _Axes:
    """Of each of the vehicle's axes: what it feels at rest, of dv/dt and of turns (3, 3), with covariances, rho."""

    felt: Matrix
    covariance: Matrix
    rho: Float64


def sharpen(pairs: Matrix, matrix: Matrix, turn: Float64, up: Float64 | None, up_variance: float) -> Sharpened:
    """The rotation near ``matrix`` that the sums over pairs (2 TERMS x 2 TERMS) tell best.

    ``turn``: the weights of the terms whose sum is speed x yaw rate. ``up``: the vertical by other means than
    gravity, with its variance (rad2); None where the signal holds gravity.
    """
    hand = float(np.sign(np.linalg.det(matrix)))
    rho = np.zeros(3)
    for _ in range(_ROUNDS):
        axes = _regress(pairs, matrix, turn, rho)
        rho = axes.rho
        hints = [_yaw(axes), *_tilts(axes, None if up is None else matrix @ up, up_variance)]
        angles, errors = zip(*(_weigh(hint) for hint in hints), strict=True)
        matrix = _turned(matrix, np.clip(angles, -_FARTHEST, _FARTHEST), hand)
    yaw, pitch, roll = np.degrees(errors).tolist()
    return Sharpened(matrix, float(np.hypot(yaw, np.degrees(_YAW_SYSTEMATIC))), pitch, roll)


def _regress(pairs: Matrix, matrix: Matrix, turn: Float64, rho: Float64) -> _Axes:
    pick = np.zeros((3, 4, TERMS))
    pick[:, 0, 0], pick[:, 1, CHANGE], pick[:, 2], pick[:, 3, ACCEL] = 1.0, 1.0, turn, matrix
    turned = pick.swapaxes(1, 2)
    now, before = pick @ pairs[:TERMS, :TERMS] @ turned, pick @ pairs[TERMS:, TERMS:] @ turned
    cross = pick @ pairs[:TERMS, TERMS:] @ turned
    share = rho[:, None, None]
    white = now - share * (cross + cross.swapaxes(1, 2)) + share**2 * before
    inverse = np.linalg.inv(white[:, :3, :3] + np.diag([0.0, 1e-6, 1e-6]))
    felt = (inverse @ white[:, :3, 3:])[:, :, 0]
    left = np.concatenate([-felt, np.ones((3, 1))], axis=1)[:, None]
    noise, first, then, second = ((left @ one @ left.swapaxes(1, 2))[:, 0, 0] for one in (white, now, cross, before))
    variance = np.maximum(noise, 1e-9) / max(float(pairs[0, 0]) - _COEFFICIENTS, 1.0)
    found = then / np.sqrt(np.maximum(first * second, 1e-18))
    return _Axes(felt, inverse * variance[:, None, None], np.clip(found, *_RHO))


def _yaw(axes: _Axes) -> list[Hint]:
    """What brakes push to the left, and bends forward, says how far forward is off."""
    brakes, bends = _gain(axes.felt[0, 1]), _gain(axes.felt[1, 2])
    return [
        (axes.felt[1, 1] / brakes, axes.covariance[1, 1, 1] / brakes**2),
        (-axes.felt[0, 2] / bends, axes.covariance[0, 2, 2] / bends**2),
    ]


def _tilts(axes: _Axes, up: Float64 | None, up_variance: float) -> tuple[list[Hint], list[Hint]]:
    """Pitch and roll: what brakes and bends lift, and how rest, or ``up`` in the axes so far, leans."""
    tilts = []
    for axis, gain in ((0, _gain(axes.felt[0, 1])), (1, _gain(axes.felt[1, 2]))):
        lifted = axes.covariance[2, axis + 1, axis + 1] / gain**2 + _FELT_SYSTEMATIC**2
        hints = [(axes.felt[2, axis + 1] / gain, lifted)]
        if up is None:
            rest = _gain(axes.felt[2, 0])
            leaning = axes.covariance[axis, 0, 0] / rest**2 + _REST_SYSTEMATIC**2
            hints.append((-axes.felt[axis, 0] / rest, leaning))
        else:
            hints.append((-float(up[axis]), up_variance))
        tilts.append(hints)
    return tilts[0], tilts[1]


def _gain(felt: float) -> float:
    return felt if abs(felt) > _LEAST_GAIN else _LEAST_GAIN


def _weigh(hints: list[Hint]) -> tuple[float, float]:
    """The mean by inverse variance, and its error: larger where the hints are apart by more than twice theirs."""
    angle, variance = np.array(hints).T
    weight = 1.0 / np.maximum(variance, 1e-9)
    mean = float(weight @ angle / weight.sum())
    apart = float(weight @ (angle - mean) ** 2)
    return mean, float(np.sqrt(max(1.0, apart / 4.0) / weight.sum()))


def _turned(matrix: Matrix, angles: Float64, hand: float) -> Matrix:
    forward, left, up = matrix
    yaw, pitch, roll = angles
    x = unit(forward + yaw * left + pitch * up)
    z = up - pitch * forward - roll * left
    z = unit(z - x * (x @ z))
    return np.stack([x, hand * np.cross(z, x), z])
