"""The terms of a driven second, and sums of their products over pairs of neighbouring seconds."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from infra.contracts.telemetry import Float64

Matrix = npt.NDArray[np.float64]

TERMS = 9  # of a second: 1, dv/dt, acceleration (3), speed x rotation (3), speed x yaw rate by the GPS course
CHANGE, ACCEL, TURN, COURSE = 1, slice(2, 5), slice(5, 8), 8


def pair_sums(now: Matrix, before: Matrix) -> Matrix:
    """Of rows (…, n, TERMS) and of those a second before them: (…, 2 TERMS, 2 TERMS)."""
    both = np.concatenate([now, before], axis=-1)
    sums: Matrix = np.swapaxes(both, -1, -2) @ both
    return sums


def of_now(pairs: Matrix) -> Matrix:
    """The part of the sums that is of one second alone (…, TERMS, TERMS)."""
    return pairs[..., :TERMS, :TERMS]


def unit(vector: Float64) -> Float64:
    return vector / max(float(np.linalg.norm(vector)), 1e-9)
