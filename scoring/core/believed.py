"""A drive's samples in the vehicle's axes, as far as they can be believed, and how that came about.

What a phone's gravity removal took away is put back: such a filter passes quick changes and forgets slow ones, so
that a long brake fades and leaves a rebound of the other sign. The slow part is what GPS knows best.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from enum import StrEnum
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from infra.contracts.telemetry import GpsSamples, ImuFrame, ImuSamples, Int64
from scoring.core import compass as bearings
from scoring.core.compass import Compass
from scoring.core.felt import Felt, expected, feel, low_pass
from scoring.core.gps_motion import GpsMotion, motion_of
from scoring.core.rotation_fit import Fitted
from scoring.core.rules import G_MPS2, SECOND_US
from scoring.core.survey import Span, Survey, survey
from scoring.core.terms import Matrix

Bool = npt.NDArray[np.bool_]

_PITCH_RADPS = 0.4  # mean over a second, of pitch and roll: no road tilts a vehicle so fast
_TILT_MPS2 = 1.5  # mean over a second, off the usual: gravity is elsewhere by 30 degrees
_FEWEST_TENTHS = 4  # with samples, of a second: the road shakes single ones as much
_MARGIN_US = 1_500_000
_JOIN_US = 4 * SECOND_US  # a hand that is gone for less than this has not gone
_CHANGE_US = 3 * SECOND_US  # around a change of mounting
_ALWAYS_US = 2**62
_CLEARLY = 1.05  # on a straight road both explain the same


class How(StrEnum):
    """How the vehicle's axes were come by."""

    DECLARED = "declared"
    LEARNED = "learned"
    COURSE = "gps course"
    UNKNOWN = "not known"


@dataclass(frozen=True, slots=True, eq=False)
class Believed:
    """``imu``: vehicle axes, NaN where not known. ``handled``: spans (us) in which the device was held in a hand.

    ``survey`` None: nothing could be asked. ``turned_deg``: how far a declared frame is from what the drive says.
    """

    imu: ImuSamples
    how: How
    survey: Survey | None = None
    compass: Compass | None = None
    handled: tuple[tuple[int, int], ...] = ()
    turned_deg: float | None = None

    @property
    def error_deg(self) -> float | None:
        """The worst of the rotations in use; None where none was learned."""
        if self.compass:
            return self.compass.error_deg
        found = [s.fitted.error_deg for s in self.survey.spans if s.fitted] if self.survey else []
        return max(found) if found and self.how is How.LEARNED else None

    @property
    def lag_s(self) -> float | None:
        return self.compass.lag_s if self.compass else self.survey.lag_s if self.survey else None

    @property
    def high_pass_s(self) -> float | None:
        return self.compass.high_pass_s if self.compass else self.survey.high_pass_s if self.survey else None

    @property
    def gravity(self) -> bool | None:
        return self.compass.gravity if self.compass else self.survey.gravity if self.survey else None

    def span_at(self, time_us: int) -> Span | None:
        """The stretch of one learned mounting around a time."""
        spans = self.survey.spans if self.survey and self.how is How.LEARNED else ()
        return next((s for s in _widened(spans) if s.start_us <= time_us < s.end_us), None)


def believe(gps: GpsSamples, imu: ImuSamples, frame: ImuFrame) -> Believed:
    """The samples in the vehicle's axes. ``gps`` without held rows; both in time order."""
    felt = feel(imu)
    if not len(felt):
        return Believed(imu, How.DECLARED if frame is ImuFrame.VEHICLE else How.UNKNOWN)
    motion = motion_of(gps)
    moving = motion if len(motion.time_us) > 1 else None
    if frame is ImuFrame.EARTH:
        return _by_course(imu, felt, moving)
    found = survey(felt, moving)
    if frame is ImuFrame.VEHICLE:
        return _declared(imu, felt, moving, found)
    learned = _learned(imu, felt, moving, found)
    if frame is not ImuFrame.UNKNOWN or moving is None or (len(found.spans) == 1 and learned.how is How.LEARNED):
        return learned
    turned = _by_course(imu, felt, moving)
    sure = turned.compass is not None and turned.compass.sure
    return turned if sure and _agreement(turned, moving) > _CLEARLY * _agreement(learned, moving) else learned


def _agreement(believed: Believed, motion: GpsMotion) -> float:
    """Squares of level acceleration that GPS explains; what is not known counts for nothing."""
    felt = feel(believed.imu)
    rows, driven = expected(felt, motion, round((believed.lag_s or 0.0) * SECOND_US))
    level, should = felt.accel[driven, :2], rows[driven][:, [0, 4]]
    return float((level**2 - (level - should) ** 2).sum())


def _declared(imu: ImuSamples, felt: Felt, motion: GpsMotion | None, found: Survey) -> Believed:
    shown = max((s for s in found.spans if s.fitted), key=lambda s: s.end_us - s.start_us, default=None)
    turned = None
    if shown is not None and shown.fitted is not None:
        turned = float(np.degrees(np.arccos(np.clip(shown.fitted.matrix[0, 0], -1.0, 1.0))))
    restored = _restored(imu, felt, motion, found, felt.gyro)
    return Believed(restored, How.DECLARED, found, turned_deg=turned)


def _learned(imu: ImuSamples, felt: Felt, motion: GpsMotion | None, found: Survey) -> Believed:
    """Each stretch turned by its own rotation; what was felt in a hand is not judged."""
    if not any(span.fitted for span in found.spans):
        return Believed(_nothing(imu), How.UNKNOWN, found)
    columns, gyro = np.full((6, len(imu)), np.nan), np.full((len(felt), 3), np.nan)
    raw = _columns(imu)
    handled: list[tuple[int, int]] = []
    for span in _widened(found.spans):
        if span.fitted is None:
            continue
        part = slice(*np.searchsorted(imu.time_us, [span.start_us, span.end_us]))
        columns[:, part] = _turned(span.fitted, raw[:, part])
        inside = slice(*np.searchsorted(felt.time_us, [span.start_us, span.end_us]))
        if felt.gyro is not None:
            gyro[inside] = felt.gyro[inside] @ span.fitted.matrix.T * span.fitted.yaw_sign
        handled += _handled(felt, inside, span.fitted.matrix, found.gravity)
    changes = [(b.start_us - _CHANGE_US, b.start_us + _CHANGE_US) for b in _widened(found.spans)[1:]]
    spans = _merged(handled + changes)
    if not found.gravity:
        columns[2] += G_MPS2  # what is behind here reads gravity on the vertical axis
    turned = _samples(imu.time_us, _without(columns, imu.time_us, spans))
    restored = _restored(turned, felt, motion, found, None if felt.gyro is None else gyro)
    return Believed(restored, How.LEARNED, found, handled=tuple(spans))


def _by_course(imu: ImuSamples, felt: Felt, motion: GpsMotion | None) -> Believed:
    if motion is None or not len(motion.course_us):
        return Believed(_nothing(imu), How.UNKNOWN)
    compass = bearings.take_bearings(felt, motion)
    tenths = bearings.course_of(felt, motion, compass)
    course = np.interp(imu.time_us, felt.time_us, tenths)
    raw = _columns(imu)
    columns = np.full((6, len(imu)), np.nan)
    upward = -1.0 if compass.north_first else 1.0
    for first in (0, 3):
        columns[first : first + 2] = bearings.turn_level(raw[first], raw[first + 1], course, compass)
        columns[first + 2] = raw[first + 2] * upward
    if not compass.gravity:
        columns[2] += G_MPS2
    turned = _samples(imu.time_us, columns)
    gyro = None if felt.gyro is None else np.column_stack([felt.gyro[:, :2] * 0.0, felt.gyro[:, 2] * upward])
    found = Survey(compass.lag_s, compass.high_pass_s, compass.gravity, ())
    return Believed(_restored(turned, felt, motion, found, gyro), How.COURSE, compass=compass)


# --- what the filter took ---------------------------------------------------------------------------------


def _restored(imu: ImuSamples, felt: Felt, motion: GpsMotion | None, found: Survey, gyro: Matrix | None) -> ImuSamples:
    """With the slow part of what GPS says added to what the filter passed. ``gyro``: of the tenths, vehicle axes."""
    if found.high_pass_s is None or motion is None:
        return imu
    rows, driven = expected(felt, motion, found.lag_us)
    across = rows[:, 4]
    if gyro is not None:
        speed = np.where(driven, motion.speed(felt.time_us + found.lag_us), 0.0)
        across = np.nan_to_num(gyro[:, 2]) * speed
    slow = low_pass(np.column_stack([rows[:, 0], across]), found.high_pass_s)
    forward, left = (np.interp(imu.time_us, felt.time_us, column) for column in slow.T)
    return replace(
        imu,
        accel_x_mps2=(imu.accel_x_mps2 + forward).astype(np.float32),
        accel_y_mps2=(imu.accel_y_mps2 + left).astype(np.float32),
    )


# --- hands ------------------------------------------------------------------------------------------------


def _handled(felt: Felt, inside: slice, matrix: Matrix, gravity: bool) -> list[tuple[int, int]]:
    """Seconds in which the device tilted as no vehicle does, with margins."""
    second = felt.second[inside]
    starts = np.flatnonzero(np.diff(second, prepend=second[:1] - 1) != 0)
    if not len(starts):
        return []
    counts = np.diff([*starts, len(second)])[:, None]
    wild = np.zeros(len(starts), bool)
    if felt.gyro is not None:
        turning = np.add.reduceat(felt.gyro[inside], starts) / counts
        wild |= np.linalg.norm(turning @ matrix[:2].T, axis=1) > _PITCH_RADPS
    if gravity:
        up = (np.add.reduceat(felt.accel[inside], starts) / counts) @ matrix[2]
        wild |= (np.abs(up - np.median(up)) > _TILT_MPS2) & (counts[:, 0] >= _FEWEST_TENTHS)
    return [(s - _MARGIN_US, s + SECOND_US + _MARGIN_US) for s in (second[starts][wild] * SECOND_US).tolist()]


def _merged(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1] + _JOIN_US:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _without(columns: Matrix, time_us: Int64, spans: list[tuple[int, int]]) -> Matrix:
    for start, end in spans:
        columns[:, slice(*np.searchsorted(time_us, [start, end]))] = np.nan
    return columns


def _widened(spans: tuple[Span, ...]) -> list[Span]:
    """Each from the middle of the change before it to that after it; the first and last without end."""
    if not spans:
        return []
    middles = [(a.end_us + b.start_us) // 2 for a, b in pairwise(spans)]
    starts, ends = [-_ALWAYS_US, *middles], [*middles, _ALWAYS_US]
    return [replace(s, start_us=a, end_us=b) for s, a, b in zip(spans, starts, ends, strict=True)]


# --- columns ----------------------------------------------------------------------------------------------


def _columns(imu: ImuSamples) -> Matrix:
    columns: Matrix = np.stack([getattr(imu, f.name) for f in fields(imu)[1:]]).astype(np.float64)
    return columns


def _turned(fitted: Fitted, columns: Matrix) -> Matrix:
    matrix = fitted.matrix
    turned: Matrix = np.concatenate([matrix @ columns[:3], fitted.yaw_sign * (matrix @ columns[3:])])
    return turned


def _samples(time_us: Int64, columns: Matrix) -> ImuSamples:
    return ImuSamples(time_us, *columns.astype(np.float32))


def _nothing(imu: ImuSamples) -> ImuSamples:
    return _samples(imu.time_us, np.full((6, len(imu)), np.nan))
