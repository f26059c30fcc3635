"""What a whole drive tells of its device: how late GPS is, what the device filtered away, each mounting it had.

Hindsight of what `orientation` learns while driving. For every lag and filter in question, all minutes are fitted
freely; the best pair explains most. A device that was moved leaves two stretches which two fits explain far better
than one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from infra.contracts.telemetry import Float64
from scoring.core.felt import Felt, Seconds, seconds
from scoring.core.gps_motion import GpsMotion
from scoring.core.rotation_fit import NO_GRAVITY_MPS2, Fitted, fit
from scoring.core.rules import SECOND_US
from scoring.core.terms import ACCEL, CHANGE, COURSE, TURN, Matrix, unit

LAGS_S = tuple(np.arange(-1.0, 3.01, 0.25).tolist())
HIGH_PASS_S = (0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 16.0)  # time constants of a phone's gravity removal
_COARSE = 2  # every second lag, while the filter is looked for
_BLOCK_S = 60
_SURE_LAG = 12.0  # log likelihood ratios
_SURE_FILTER = 25.0
_FILTER_SHARE = 0.03  # of the residual must go, besides
_SURE_MOVE = 60.0
_MOVED_DEG = 10.0  # of gravity: no road is so steep
_TURNED_DEG = 25.0  # of forward
_LEAST_PIECE = 15  # seconds
_SPIN_RADPS = 1.2  # mean over a second: no car turns so fast
_OUTLIER_MPS2 = 4.0
_LEAST_KEPT = 0.6

Bool = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Span:
    """A stretch of one mounting; ``fitted`` None where the drive does not tell it."""

    start_us: int
    end_us: int
    fitted: Fitted | None


@dataclass(frozen=True, slots=True, eq=False)
class Survey:
    """``lag_s``: how late GPS is, None where the drive does not tell. ``high_pass_s``: the time constant of the
    filter that took gravity away, and sustained braking with it; None without. ``gravity``: in the signal."""

    lag_s: float | None
    high_pass_s: float | None
    gravity: bool
    spans: tuple[Span, ...]

    @property
    def lag_us(self) -> int:
        return round((self.lag_s or 0.0) * SECOND_US)


def survey(felt: Felt, motion: GpsMotion | None) -> Survey:
    """What the drive tells. ``motion`` None: there is no GPS."""
    gravity = _holds_gravity(felt)
    lag_s, high_pass_s = _delays(felt, motion, gravity) if motion else (None, None)
    driven = _calm(felt, seconds(felt, motion, round((lag_s or 0.0) * SECOND_US), high_pass_s))
    pieces = _pieces(driven, 0, len(driven.start_us), gravity)
    spans = tuple(_span(driven, first, last, motion is not None) for first, last in pieces if last > first)
    return Survey(lag_s, high_pass_s, gravity, spans)


def _holds_gravity(felt: Felt) -> bool:
    """By its size, which does not depend on how the device was turned about."""
    return len(felt) > 0 and float(np.median(np.linalg.norm(felt.accel, axis=1))) > 3 * NO_GRAVITY_MPS2


# --- lag and filter ---------------------------------------------------------------------------------------


def _delays(felt: Felt, motion: GpsMotion, gravity: bool) -> tuple[float | None, float | None]:
    plain = _left_over(felt, motion, LAGS_S, None)
    found, high_pass_s = plain, None
    if not gravity:
        tried = {tau: _left_over(felt, motion, LAGS_S[::_COARSE], tau) for tau in HIGH_PASS_S}
        tau = min(tried, key=lambda t: float(tried[t][1].min()))
        count, before, after = plain[0], float(plain[1].min()), float(tried[tau][1].min())
        gone = count * np.log(max(before, 1e-9) / max(after, 1e-9))
        if gone > _SURE_FILTER and after < before * (1 - _FILTER_SHARE):
            found, high_pass_s = _left_over(felt, motion, LAGS_S, tau), tau
    return _lag(*found), high_pass_s


def _lag(count: int, left: Float64) -> float | None:
    """Where least is left unexplained, between the steps; None where another would do as well."""
    if count < _LEAST_PIECE:
        return None
    best = int(np.argmin(left))
    typical = float(np.median(left))
    if count * np.log(max(typical, 1e-9) / max(float(left[best]), 1e-9)) < _SURE_LAG:
        return None
    shift = 0.0
    if 0 < best < len(left) - 1:
        before, here, after = left[best - 1 : best + 2]
        bend = before - 2 * here + after
        shift = 0.5 * (before - after) / bend if bend > 0 else 0.0
    return round(float(LAGS_S[best] + 0.25 * shift), 2)


def _left_over(
    felt: Felt, motion: GpsMotion, lags_s: tuple[float, ...], high_pass_s: float | None
) -> tuple[int, Float64]:
    """Driven seconds, and for each lag the squares that are left when every minute is fitted for itself."""
    left = []
    for lag_s in lags_s:
        driven = _calm(felt, seconds(felt, motion, round(lag_s * SECOND_US), high_pass_s))
        left.append(_left_per_second(driven))
        count = len(driven.start_us)
    return count, np.array(left)


def _left_per_second(driven: Seconds) -> float:
    if not len(driven.start_us):
        return 0.0
    block = driven.start_us // (_BLOCK_S * SECOND_US)
    starts = np.flatnonzero(np.diff(block, prepend=block[:1] - 1) != 0)
    sums = np.add.reduceat(driven.products, starts)
    return float(_residual(sums).sum()) / len(block)


def _residual(sums: Matrix) -> Float64:
    """Squares of acceleration that the terms cannot explain, of each (…, TERMS, TERMS)."""
    has_gyro = bool((np.diagonal(sums, axis1=-2, axis2=-1)[..., TURN] > 0).any())
    picked = np.array([0, CHANGE, *(range(TURN.start, TURN.stop) if has_gyro else [COURSE])])
    gram = sums[..., picked[:, None], picked] + 1e-6 * np.eye(len(picked))
    cross = sums[..., picked, ACCEL]
    found = np.linalg.solve(gram, cross)
    total = np.trace(sums[..., ACCEL, ACCEL], axis1=-2, axis2=-1)
    left: Float64 = np.maximum(total - (cross * found).sum(axis=(-2, -1)), 1e-9)
    return left


def _calm(felt: Felt, driven: Seconds) -> Seconds:
    """Without the seconds in which the device was spun about."""
    if felt.gyro is None or not len(driven.start_us):
        return driven
    spun = np.linalg.norm(felt.gyro, axis=1) > _SPIN_RADPS
    wild = np.unique(felt.second[spun]) * SECOND_US
    return _keep(driven, ~np.isin(driven.start_us, wild))


def _keep(driven: Seconds, mask: Bool) -> Seconds:
    return Seconds(driven.start_us[mask], driven.terms[mask])


# --- mountings --------------------------------------------------------------------------------------------


def _pieces(driven: Seconds, first: int, last: int, gravity: bool) -> list[tuple[int, int]]:
    """Stretches of one mounting, as ranges of seconds: split where two fits explain far more than one."""
    at = _best_split(driven, first, last)
    if at is None or not _differ(driven, (first, at), (at, last), gravity):
        return [(first, last)]
    return _pieces(driven, first, at, gravity) + _pieces(driven, at, last, gravity)


def _best_split(driven: Seconds, first: int, last: int) -> int | None:
    count = last - first
    if count < 2 * _LEAST_PIECE:
        return None
    running = np.cumsum(driven.products[first:last], axis=0)
    at = np.arange(_LEAST_PIECE, count - _LEAST_PIECE + 1)
    left = _residual(running[at - 1]) + _residual(running[-1] - running[at - 1])
    best = int(np.argmin(left))
    gain = count * np.log(float(_residual(running[-1])) / float(left[best]))
    return first + int(at[best]) if gain > _SURE_MOVE else None


def _differ(driven: Seconds, one: tuple[int, int], two: tuple[int, int], gravity: bool) -> bool:
    a, b = (driven.products[first:last].sum(axis=0) for first, last in (one, two))
    if gravity and _angle_deg(a[0, ACCEL], b[0, ACCEL]) > _MOVED_DEG:
        return True
    (ahead_a, sure_a), (ahead_b, sure_b) = _ahead(a), _ahead(b)
    return sure_a and sure_b and _angle_deg(ahead_a, ahead_b) > _TURNED_DEG


def _ahead(sums: Matrix) -> tuple[Float64, bool]:
    """Which way the device feels forward, and whether that is more than noise."""
    centred = sums - np.outer(sums[0], sums[0]) / max(sums[0, 0], 1.0)
    along = float(centred[CHANGE, CHANGE])
    ahead: Float64 = centred[CHANGE, ACCEL] / max(along, 1e-9)
    noise = float(np.trace(centred[ACCEL, ACCEL])) - along * float(ahead @ ahead)
    blur = np.sqrt(max(noise, 0.0) / 3 / max(sums[0, 0], 1.0) / max(along, 1e-9))
    return ahead, bool(2 * blur < np.radians(_TURNED_DEG / 3) * np.linalg.norm(ahead))


def _span(driven: Seconds, first: int, last: int, scaled: bool) -> Span:
    piece = Seconds(driven.start_us[first:last], driven.terms[first:last])
    found = fit(piece.pairs, scaled)
    calm = _residual_size(piece) < _OUTLIER_MPS2
    if _LEAST_KEPT < calm.mean() < 1.0:  # some seconds in a hand, potholes
        found = fit(_keep(piece, calm).pairs, scaled) or found
    return Span(int(piece.start_us[0]), int(piece.start_us[-1]) + SECOND_US, found)


def _residual_size(piece: Seconds) -> Float64:
    """How far each second is from what the piece's own free fit expects, m/s2."""
    picked = [0, CHANGE, *range(TURN.start, TURN.stop), COURSE]
    terms = piece.terms[:, picked]
    found = np.linalg.solve(terms.T @ terms + 1e-6 * np.eye(len(picked)), terms.T @ piece.terms[:, ACCEL])
    size: Float64 = np.linalg.norm(piece.terms[:, ACCEL] - terms @ found, axis=1)
    return size


def _angle_deg(a: Float64, b: Float64) -> float:
    return float(np.degrees(np.arccos(np.clip(unit(a) @ unit(b), -1.0, 1.0))))
