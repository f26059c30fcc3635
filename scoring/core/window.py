"""What the detectors look at: a vehicle's last seconds together with what is fresh, and signals made of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from infra.contracts.telemetry import Float32, Float64, Int8, Int64
from scoring.core.episodes import Signal
from scoring.core.fixes import haversine_m
from scoring.core.rules import G_MPS2, SECOND_US
from scoring.core.samples import ACCEL_LSB_MPS2, GYRO_LSB_RADPS, MISSING, FixRing, ImuRing

Index = npt.NDArray[np.intp]
FORWARD, LEFT = 0, 1  # rows of ImuRing.counts, ISO 8855
_YAW = 5
_SMOOTH_US = 500_000  # longer than a pothole, shorter than a brake
_FEWEST = 4  # samples in that time: 8 Hz and more; slower ones are judged by GPS
_LONGEST_STEP_US = 250_000
_BELIEVED_COUNTS = int(2 * G_MPS2 / ACCEL_LSB_MPS2)  # tyres hold 1.2 g; more is an impact or a glitch, not driving

_BASE_US, _HALF_US, _LONGEST_BASE_US = 1_900_000, 900_000, 3_100_000  # 2 s, allowing for jitter
_WEAKER_SHARE = 0.2  # each half of the 2 s must carry at least this share: a single wrong speed carries none
_RECENT_US = 5 * SECOND_US
_POSITION_US = 5 * SECOND_US
_PLACE_US = 10 * SECOND_US  # a fix so old still tells the place
DEAD_SHARE = 0.4  # a speed of which the positions show less is not believed; a hairpin bend shows half
HELD_SHARE = 0.9
_HELD_TURNING_SHARE = 0.75  # in a bend of 0.5 g at 10 m/s the crow flies 0.8 of the way
_TURNING_MPS = 4.0  # below, GPS headings wander


@dataclass(frozen=True, eq=False)
class Window:
    """``imu`` and ``fixes`` hold the past and the fresh; the fresh begin at ``imu_from`` and ``fix_from``.

    ``imu`` is in the vehicle's axes, MISSING where these are not known; ``raw`` is as the device sent it.
    ``in_vehicle_frame`` says whether any of it may be judged. ``limit_mps`` and ``ignition`` belong to the
    fresh fixes.
    """

    raw: ImuRing
    imu: ImuRing
    imu_from: int
    in_vehicle_frame: bool
    mounting_error_deg: float | None  # None: the device sends the vehicle's axes, or its mounting is not known
    fixes: FixRing
    fix_from: int
    limit_mps: Float32
    ignition: Int8

    @property
    def declared(self) -> bool:
        """Does the device send the vehicle's own axes? Then it is fixed to it."""
        return self.in_vehicle_frame and self.mounting_error_deg is None

    @cached_property
    def spread_g(self) -> Float64:
        """Range of each axis of the device over all samples at hand: past, fresh, glitches and all."""
        counts = self.raw.counts[:3]
        spread: Float64 = (counts.max(axis=1).astype(np.int64) - counts.min(axis=1)) * _COUNT_G
        return spread

    @property
    def imu_now_us(self) -> int | None:
        return int(self.imu.time_us[-1]) if len(self.imu) else None

    @property
    def fix_now_us(self) -> int | None:
        return int(self.fixes.time_us[-1]) if len(self.fixes) else None

    @cached_property
    def _tail(self) -> int:
        """Where the samples begin that a smoothed fresh value needs."""
        first_us = self.imu.time_us[self.imu_from] - _SMOOTH_US
        return int(np.searchsorted(self.imu.time_us, first_us, side="right"))

    @cached_property
    def _extremes_g(self) -> tuple[tuple[float, float], ...]:
        recent = self.imu.counts[:2, self._tail :]
        return tuple((float(row.min()) * _COUNT_G, float(row.max()) * _COUNT_G) for row in recent)

    def may_reach(self, row: int, sign: int, level_g: float) -> bool:
        """A cheap look: can the smoothed fresh signal reach a level at all?"""
        if not self.in_vehicle_frame or self.imu_from == len(self.imu):
            return False
        low, high = self._extremes_g[row]
        return (high if sign > 0 else -low) >= level_g

    @cached_property
    def recent_range_g(self) -> tuple[tuple[float, float], ...]:
        """Lowest and highest raw acceleration, forward and left, of the fresh samples and the 5 s before them.

        MISSING and glitches count as the lowest there is. At least one fresh sample.
        """
        first_us = int(self.imu.time_us[self.imu_from]) - _RECENT_US
        recent = self.imu.counts[:2, int(np.searchsorted(self.imu.time_us, first_us)) :]
        return tuple((float(row.min()) * _COUNT_G, float(row.max()) * _COUNT_G) for row in recent)

    def smoothed(self, row: int) -> Signal:
        """Acceleration in g of the fresh samples of 8 Hz and more, half a second's mean of medians of three.

        Exact: sums are integers. Unbelievable samples are left out. NaN where there are too few.
        """
        return self._forward if row == FORWARD else self._left

    @cached_property
    def _forward(self) -> Signal:
        return self._smooth(FORWARD)

    @cached_property
    def _left(self) -> Signal:
        return self._smooth(LEFT)

    def _smooth(self, row: int) -> Signal:
        counts = self.imu.counts[row, self._tail :].astype(np.int64)
        believed = np.abs(counts) <= _BELIEVED_COUNTS
        time_us = self.imu.time_us[self._tail :][believed]
        fresh = int(np.searchsorted(time_us, self.imu.time_us[self.imu_from]))
        value = _mean_of_medians(time_us, counts[believed])
        step_us = np.minimum(np.diff(time_us, prepend=time_us[:1]), _LONGEST_STEP_US)
        return Signal(time_us[fresh:] - _SMOOTH_US // 2, value[fresh:] * _COUNT_G, step_us[fresh:])

    @cached_property
    def gps_forward(self) -> Signal:
        """Acceleration in g over 2 s, from GPS speeds."""
        return self._of_fixes(self._spans.steady_rate(self._recent_speed) / G_MPS2)

    @cached_property
    def gps_left(self) -> Signal:
        """Lateral acceleration in g over 2 s, left positive: speed times turning of the GPS heading."""
        value = np.where(self._held(_HELD_TURNING_SHARE), np.nan, self.gps_turning_g)
        return self._of_fixes(value)

    @cached_property
    def gps_turning_g(self) -> Float64:
        """The same of each fresh fix, though its speed may hang."""
        leftward = -self.fixes.heading_deg[self._recent_from :].astype(np.float64)
        rate = np.radians(self._spans.steady_rate(leftward, turn=360.0))
        speed = self._recent_speed[self._recent_fresh :]
        return np.where(speed >= _TURNING_MPS, rate * speed / G_MPS2, np.nan)

    @cached_property
    def _spans(self) -> _Spans:
        return _spans(self.fixes.time_us[self._recent_from :], self._recent_fresh)

    @cached_property
    def _recent_from(self) -> int:
        first_us = self.fixes.time_us[self.fix_from] - _LONGEST_BASE_US
        return int(np.searchsorted(self.fixes.time_us, first_us))

    @property
    def _recent_fresh(self) -> int:
        return self.fix_from - self._recent_from

    @cached_property
    def _recent_speed(self) -> Float64:
        return self.fixes.speed_mps[self._recent_from :].astype(np.float64)

    def _of_fixes(self, value: Float64) -> Signal:
        return Signal(self.fixes.time_us[self.fix_from :] - SECOND_US, value, self.fix_step_us)

    @cached_property
    def fix_step_us(self) -> Int64:
        """Time from the fix before to each fresh one; 0 for the first of all."""
        first = max(self.fix_from - 1, 0)
        steps = np.diff(self.fixes.time_us[first:])
        return steps if self.fix_from else np.concatenate([np.zeros(min(1, len(self.fixes)), np.int64), steps])

    # --- around an episode: for judging one that is complete ---

    def speeds_mps(self, start_us: int, end_us: int) -> Float64:
        """Known GPS speeds between two times."""
        first, last = np.searchsorted(self.fixes.time_us, [start_us, end_us + 1])
        speed: Float64 = self.fixes.speed_mps[first:last].astype(np.float64)
        known: Float64 = speed[np.isfinite(speed)]
        return known

    def moved_mps(self, start_us: int, end_us: int) -> float | None:
        """Mean speed by the positions between two times, as the crow flies; None where they do not tell."""
        first, last = np.searchsorted(self.fixes.time_us, [start_us, end_us + 1])
        ends = self.fixes.time_us[[first, last - 1]] if last - first > 1 else np.zeros(2, np.int64)
        if ends[1] - ends[0] < SECOND_US:
            return None
        at, to = ([self.fixes.lat[i : i + 1], self.fixes.lon[i : i + 1]] for i in (first, last - 1))
        way_m = float(haversine_m(*at, *to)[0])
        return way_m / float(ends[1] - ends[0]) * SECOND_US if way_m > 0 else None

    @cached_property
    def position_mps(self) -> Float64:
        """Of each fresh fix: mean speed by the positions of the last 5 s, as the crow flies; NaN where unknown."""
        time_us, now = self.fixes.time_us, np.arange(self.fix_from, len(self.fixes))
        old = np.searchsorted(time_us, time_us[now] - _POSITION_US)
        lat, lon = self.fixes.lat, self.fixes.lon
        way_m = haversine_m(lat[old], lon[old], lat[now], lon[now])
        took_us = time_us[now] - time_us[old]
        known = (took_us >= _POSITION_US // 2) & (way_m > 0)
        return np.where(known, way_m / np.maximum(took_us, 1) * SECOND_US, np.nan)

    @cached_property
    def speed_hangs(self) -> npt.NDArray[np.bool_]:
        """Of each fresh fix: is its speed not to be believed, because the vehicle is slower than it says?"""
        speed = self.fixes.speed_mps[self.fix_from :]
        return (self.position_mps < DEAD_SHARE * speed) | self._held(HELD_SHARE)

    def _held(self, share: float) -> npt.NDArray[np.bool_]:
        """Of each fresh fix: is its speed the very same since 5 s and more, while the positions show less than this
        share of it? A receiver that hangs does so; who drives on evenly is where it says."""
        speed, moved = self.fixes.speed_mps, self.position_mps
        now = np.arange(self.fix_from, len(self.fixes))
        first = np.searchsorted(self.fixes.time_us, self.fixes.time_us[now] - _POSITION_US)
        changed = np.concatenate([[0], np.cumsum(np.diff(speed) != 0)])
        held: npt.NDArray[np.bool_] = (moved < share * speed[now]) & (changed[now] == changed[first])
        return held

    def felt(self, start_us: int, end_us: int) -> bool:
        """Are there samples between two times, in whatever axes?"""
        first, last = np.searchsorted(self.raw.time_us, [start_us, end_us + 1])
        return bool(last > first)

    def accelerations_g(self, row: int, start_us: int, end_us: int) -> Float64:
        """Raw believable accelerations between two times; empty where they may not be judged."""
        values: Float64 = self._between(row, start_us, end_us) * _COUNT_G
        return values

    def yaw_rates_radps(self, start_us: int, end_us: int) -> Float64:
        values: Float64 = self._between(_YAW, start_us, end_us) * GYRO_LSB_RADPS
        return values

    def _between(self, row: int, start_us: int, end_us: int) -> npt.NDArray[np.int64]:
        if not self.in_vehicle_frame:
            return np.empty(0, np.int64)
        first, last = np.searchsorted(self.imu.time_us, [start_us, end_us + 1])
        counts = self.imu.counts[row, first:last].astype(np.int64)
        limit = _BELIEVED_COUNTS if row != _YAW else -MISSING - 1
        believed: npt.NDArray[np.int64] = counts[np.abs(counts) <= limit]
        return believed

    def fix_at(self, time_us: int, until_us: int | None = None) -> int | None:
        """Index of the last fix at or before a time, within 10 s; else of the first after it up to another time."""
        at = int(np.searchsorted(self.fixes.time_us, time_us, side="right")) - 1
        if at >= 0 and time_us - int(self.fixes.time_us[at]) <= _PLACE_US:
            return at
        later = until_us is not None and at + 1 < len(self.fixes) and int(self.fixes.time_us[at + 1]) <= until_us
        return at + 1 if later else None


_COUNT_G = ACCEL_LSB_MPS2 / G_MPS2


def _mean_of_medians(time_us: Int64, counts: Int64) -> Float64:
    if len(counts) < _FEWEST:
        return np.full(len(counts), np.nan)
    a, b, c = counts[:-2], counts[1:-1], counts[2:]
    medians = np.maximum(np.minimum(a, b), np.minimum(np.maximum(a, b), c))
    sums = np.concatenate([[0, 0, 0], np.cumsum(medians)])  # sums[k]: medians that end before sample k
    after = np.arange(1, len(counts) + 1)
    first = np.searchsorted(time_us, time_us - _SMOOTH_US, side="right")
    enough = after - first >= _FEWEST
    value: Float64 = (sums[after] - sums[np.minimum(first + 2, after)]) / np.maximum(after - first - 2, 1)
    value[~enough] = np.nan
    return value


@dataclass(frozen=True, slots=True, eq=False)
class _Spans:
    """Of each fresh fix, the indices of the fixes about 2 s and 1 s before it, and the seconds between the three."""

    start: Index
    middle: Index
    now: Index
    first_s: Float64
    second_s: Float64
    known: npt.NDArray[np.bool_]

    def steady_rate(self, value: Float64, turn: float | None = None) -> Float64:
        """Change per second over the span; 0 unless both halves go the same way, NaN where it is not known.

        ``turn``: the value is an angle with this full turn, and changes by less than half of it per half span.
        """
        first, second = value[self.middle] - value[self.start], value[self.now] - value[self.middle]
        if turn is not None:
            first, second = ((change + turn / 2) % turn - turn / 2 for change in (first, second))
        whole = (first + second) / (self.first_s + self.second_s)
        weaker = np.minimum(first / self.first_s * np.sign(whole), second / self.second_s * np.sign(whole))
        return np.where(self.known, np.where(weaker >= _WEAKER_SHARE * np.abs(whole), whole, 0.0), np.nan)


def _spans(time_us: Int64, fresh: int) -> _Spans:
    now = np.arange(fresh, len(time_us))
    now_us = time_us[fresh:]
    start = np.searchsorted(time_us, now_us - _BASE_US, side="right") - 1
    middle = np.searchsorted(time_us, now_us - _HALF_US, side="right") - 1
    known = (start >= 0) & (middle > start)
    start, middle = np.where(known, start, now), np.where(known, middle, now)
    known &= now_us - time_us[start] <= _LONGEST_BASE_US
    first_s = np.maximum(time_us[middle] - time_us[start], 1) / SECOND_US
    second_s = np.maximum(now_us - time_us[middle], 1) / SECOND_US
    return _Spans(start, middle, now, first_s, second_s, known)
