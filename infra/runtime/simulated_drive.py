"""One simulated drive: a seeded plan of manoeuvres, and the motion, GPS and IMU that follow from it.

A plan is a list of phases of constant acceleration and turn rate, in ticks of the IMU. Everything else is computed
over whole arrays: speed is the sum of acceleration, heading that of the turn rate, position that of both; so the
sensors agree with each other, and the truth is read off the noiseless motion.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from infra.contracts.telemetry import UNKNOWN, GpsSamples, ImuSamples
from infra.runtime.simulated_wreck import Wreck, find_wreck

Numbers = npt.NDArray[np.float64]

IMU_HZ, GPS_HZ = 25, 1
G_MPS2 = 9.80665
EARTH_RADIUS_M = 6_371_008.8
KMH = 1 / 3.6
LIMITS_MPS = tuple(kmh * KMH for kmh in (30, 50, 70, 100, 120))
SMOOTH_TICKS = 9  # a driver's foot takes some 0.3 s to build up a force
SPEED_SHARES = {"light": 1.06, "moderate": 1.15, "heavy": 1.25, "severe": 1.45}
"""Speed over the limit, in the middle of each band of the score (up to 10 %, 20 %, 30 %, more)."""


class Word(StrEnum):
    """What a phase is, in the words of ``infra.contracts.events`` where it is an event."""

    CALM = "calm"
    HARSH_BRAKE = "harsh_brake"
    HARSH_ACCELERATION = "harsh_acceleration"
    HARSH_TURN = "harsh_turn"
    SWERVE = "swerve"
    SPEEDING = "speeding"
    MAX_SPEED = "max_speed"
    CRASH = "crash"
    ROLLOVER = "rollover"


WRECKS = (Word.CRASH, Word.ROLLOVER)  # end a drive, where they are asked for
EVERYDAY = (Word.HARSH_BRAKE, Word.HARSH_ACCELERATION, Word.HARSH_TURN, Word.SPEEDING)
BY_CHANCE = (*EVERYDAY, Word.SWERVE, Word.MAX_SPEED)  # and lane changes, which are none
TOP_MPS = 140 * KMH  # what the simulated fleet allows anywhere
_TOP_LIMIT_MPS = 100 * KMH  # roads on which it can be passed
_TOP_SHARE = 4.0  # of other kinds: such roads are rare


@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch of constant acceleration along the road and across it."""

    ticks: int
    speed_change_mps: float
    turn_mps2: float  # to the left, at the speed the phase begins with
    limit_mps: float
    word: Word = Word.CALM
    band: str = ""


@dataclass(frozen=True, slots=True)
class Noise:
    """Standard deviations of the sensors. The defaults are those of a phone in a holder on a smooth road."""

    accel_mps2: float = 0.15
    gyro_radps: float = 0.005
    position_m: float = 1.5
    speed_mps: float = 0.1
    gravity: bool = True  # whether z reads +9.8 at rest
    bumps_per_hour: float = 0.0  # potholes and joints: one or two samples of 1 to 4 g upwards, and a jolt along


@dataclass(frozen=True, slots=True)
class TrueEvent:
    """An event as it was made. Harsh: from half the peak to half the peak. Speeding: while over the limit.
    Crash: the pulse. Rollover: while it rolls."""

    word: Word
    start_us: int
    end_us: int
    peak: float  # g, m/s over the limit or the top speed, or degrees of a rollover
    speed_mps: float
    band: str


@dataclass(frozen=True, slots=True)
class Simulated:
    gps: GpsSamples
    imu: ImuSamples
    events: list[TrueEvent]
    distance_m: float


@dataclass(slots=True)
class _Motion:
    """Noiseless, at the IMU's rate."""

    accel_mps2: Numbers
    speed_mps: Numbers
    turn_radps: Numbers
    limit_mps: Numbers


def simulate_drive(
    rng: np.random.Generator,
    start_us: int,
    seconds: float,
    events_per_hour: float,
    noise: Noise,
    wreck: Word | None = None,
    kinds: tuple[Word, ...] = EVERYDAY,
) -> Simulated:
    """A drive of this length, from standstill to standstill or cut off.

    Args:
        events_per_hour: of each of the kinds that happen by chance, on average.
        wreck: how it ends, if it is fast enough for that in its last minutes.
        kinds: that happen by chance.
    """
    ticks = int(seconds * IMU_HZ)
    phases = list(_plan(rng, ticks, events_per_hour, kinds))
    motion = _move(phases, ticks)
    time_us = start_us + (np.arange(ticks) * (1_000_000 // IMU_HZ)).astype(np.int64)
    events = _truth(phases, motion, time_us)
    end = find_wreck(rng, wreck, motion.speed_mps, _calm(events, time_us), IMU_HZ) if wreck else None
    if end is not None:
        events = [*(e for e in events if e.end_us < time_us[end.tick]), _wreck_event(end, motion, time_us)]
        motion = _wrecked(motion, end)
    gps = _gps(rng, motion, time_us, noise)
    return Simulated(gps, _imu(rng, motion, time_us, noise, end), events, float(gps.odometer_m[-1]))


def _calm(events: list[TrueEvent], time_us: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Where nothing happens, nor has for 8 s, nor will for 1."""
    calm = np.ones(len(time_us), bool)
    for event in events:
        calm[
            np.searchsorted(time_us, event.start_us - 1_000_000) : np.searchsorted(time_us, event.end_us + 8_000_000)
        ] = 0
    return calm


def _wrecked(motion: _Motion, wreck: Wreck) -> _Motion:
    """What the road and the wheels do is over."""
    accel, turn = motion.accel_mps2.copy(), motion.turn_radps.copy()
    accel[wreck.tick :], turn[wreck.tick :] = 0.0, 0.0
    return _Motion(accel, wreck.speed_mps, turn, motion.limit_mps)


def _wreck_event(wreck: Wreck, motion: _Motion, time_us: npt.NDArray[np.int64]) -> TrueEvent:
    speed = float(motion.speed_mps[wreck.tick])
    return TrueEvent(Word(wreck.word), int(time_us[wreck.tick]), int(time_us[wreck.end]), wreck.peak, speed, "")


# --- the plan -----------------------------------------------------------------------------------------------


def _plan(rng: np.random.Generator, ticks: int, events_per_hour: float, kinds: tuple[Word, ...]) -> list[Phase]:
    """Stretches of road, each under one limit and ended by a stop, until the time is full. What the end of the
    drive would cut in two does not happen: the last stretch is a calm one."""
    road = _Road(rng, kinds)
    road.hold(5.0)
    while road.ticks < ticks:
        limit = float(rng.choice(LIMITS_MPS, p=(0.15, 0.4, 0.2, 0.15, 0.1)))
        whole = len(road.phases)
        road.stretch(limit, events_per_hour)
        if road.ticks > ticks - SMOOTH_TICKS:
            road.take_back(whole)
            road.stretch(limit, 0.0)
    return road.phases


class _Road:
    """Appends phases, and knows the speed after the last."""

    def __init__(self, rng: np.random.Generator, kinds: tuple[Word, ...]) -> None:
        self._kinds = kinds
        self.phases: list[Phase] = []
        self.ticks = 0
        self._rng = rng
        self._speed = 0.0
        self._limit = LIMITS_MPS[1]

    def take_back(self, whole: int) -> None:
        """All but the first ``whole`` phases, which end at a standstill."""
        del self.phases[whole:]
        self.ticks = sum(phase.ticks for phase in self.phases)
        self._speed = 0.0

    def stretch(self, limit: float, events_per_hour: float) -> None:
        """From standstill to standstill: speed up, cruise, let happen what happens, slow down, turn, wait."""
        rng, self._limit = self._rng, limit
        cruise, cruise_s = limit * rng.uniform(0.85, 0.95), rng.uniform(20.0, 70.0)
        chance = events_per_hour * (cruise_s + 40.0) / 3600.0
        happens = {
            word for word in self._kinds if rng.random() < chance * (_TOP_SHARE if word is Word.MAX_SPEED else 1)
        }
        if Word.HARSH_ACCELERATION in happens:
            self.change(1.2 * rng.uniform(0.52, 0.65) * G_MPS2, 1.2, Word.HARSH_ACCELERATION)
        self.reach(cruise, rng.uniform(1.0, 1.8))
        self.hold(cruise_s / 2)
        if Word.SPEEDING in happens:
            self.speed(str(rng.choice(list(SPEED_SHARES))), cruise)
        if Word.MAX_SPEED in happens and limit >= _TOP_LIMIT_MPS:
            self.race(cruise)
        if Word.SWERVE in happens and self._speed > 12.0:
            self.swerve()
        elif Word.SWERVE in self._kinds and self._speed > 12.0:
            self.change_lanes()
        if Word.HARSH_BRAKE in happens and self._speed > 12.0:
            self.change(-1.2 * rng.uniform(0.65, 0.8) * G_MPS2, 1.2, Word.HARSH_BRAKE)
            self.hold(4.0)
        self.hold(cruise_s / 2)
        self.corner(Word.HARSH_TURN in happens)
        self.reach(0.0, rng.uniform(1.0, 1.9))
        self.hold(rng.uniform(5.0, 40.0))

    def speed(self, band: str, cruise: float) -> None:
        self.reach(self._limit * SPEED_SHARES[band], 1.2, Word.SPEEDING, band)
        self.hold(self._rng.uniform(15.0, 40.0), Word.SPEEDING, band)
        self.reach(cruise, 1.2, Word.SPEEDING, band)
        self.hold(5.0)

    def race(self, cruise: float) -> None:
        """Over the fleet's top speed, for half a minute and more; which is over every limit too."""
        self.reach(TOP_MPS * self._rng.uniform(1.05, 1.2), 1.2, Word.MAX_SPEED)
        self.hold(self._rng.uniform(25.0, 45.0), Word.MAX_SPEED)
        self.reach(cruise, 1.2, Word.MAX_SPEED)
        self.hold(5.0)

    def swerve(self) -> None:
        """Around something and back into the lane: 1.5 to 3 m aside within a second and a half, there and back."""
        across, seconds = self._rng.uniform(0.42, 0.6) * G_MPS2, self._rng.uniform(0.6, 0.8)
        side = self._rng.choice((-1.0, 1.0))
        for sign, share in ((1, 1.0), (-1, 2.0), (1, 1.0)):
            self._add(share * seconds, 0.0, side * sign * across, Word.SWERVE)
        self.hold(4.0)

    def change_lanes(self) -> None:
        """As people do it: 3.5 m aside within 4 to 6 s, at 0.09 to 0.2 g."""
        seconds = self._rng.uniform(2.0, 3.0)
        across = 3.5 / seconds**2 * self._rng.choice((-1.0, 1.0))
        self._add(seconds, 0.0, across)
        self._add(seconds, 0.0, -across)
        self.hold(2.0)

    def corner(self, harsh: bool) -> None:
        """A calm corner is taken at 0.15 g, a harsh one at 0.52 to 0.65 g, for as long as it takes to turn 90°."""
        side = self._rng.choice((-1.0, 1.0))
        speed = 11.0 if harsh else 5.5
        across = (self._rng.uniform(0.52, 0.65) if harsh else 0.15) * G_MPS2
        self.reach(min(speed, self._limit), 1.4)
        seconds = np.pi / 2 * self._speed / across
        self._add(max(seconds, 1.2), 0.0, side * across, Word.HARSH_TURN if harsh else Word.CALM)
        self.hold(3.0)

    def reach(self, speed: float, accel: float, word: Word = Word.CALM, band: str = "") -> None:
        self.change(speed - self._speed, abs(speed - self._speed) / accel, word, band)

    def hold(self, seconds: float, word: Word = Word.CALM, band: str = "") -> None:
        self._add(seconds, 0.0, 0.0, word, band)

    def change(self, by_mps: float, seconds: float, word: Word = Word.CALM, band: str = "") -> None:
        self._add(seconds, by_mps, 0.0, word, band)

    def _add(self, seconds: float, by_mps: float, turn: float, word: Word = Word.CALM, band: str = "") -> None:
        ticks = max(1, round(seconds * IMU_HZ))
        self.phases.append(Phase(ticks, by_mps, turn, self._limit, word, band))
        self.ticks += ticks
        self._speed += by_mps


# --- the motion ---------------------------------------------------------------------------------------------


def _move(phases: list[Phase], ticks: int) -> _Motion:
    count = [phase.ticks for phase in phases]
    accel = np.repeat([phase.speed_change_mps * IMU_HZ / phase.ticks for phase in phases], count)
    across = np.repeat([phase.turn_mps2 for phase in phases], count)
    limit = np.repeat([phase.limit_mps for phase in phases], count)
    kernel = np.hanning(SMOOTH_TICKS + 2)[1:-1]
    kernel /= kernel.sum()
    accel, across = np.convolve(accel, kernel, "same"), np.convolve(across, kernel, "same")
    speed = np.maximum(np.cumsum(accel) / IMU_HZ, 0.0)
    speed[speed < 1e-6] = 0.0
    turn = np.divide(across, speed, out=np.zeros_like(across), where=speed > 1.0)
    return _Motion(accel[:ticks], speed[:ticks], turn[:ticks], limit[:ticks])


def _gps(rng: np.random.Generator, motion: _Motion, time_us: npt.NDArray[np.int64], noise: Noise) -> GpsSamples:
    heading = rng.uniform(0, 2 * np.pi) + np.cumsum(motion.turn_radps) / IMU_HZ  # counter-clockwise from east
    step_m = motion.speed_mps / IMU_HZ
    east, north, along = (np.cumsum(step_m * part) for part in (np.cos(heading), np.sin(heading), 1.0))
    at = slice(0, None, IMU_HZ // GPS_HZ)
    rows = len(time_us[at])
    lat_0, lon_0 = rng.uniform(41.0, 42.0), rng.uniform(-96.0, -95.0)
    north_m, east_m = (path[at] + rng.normal(0, noise.position_m, rows) for path in (north, east))
    lat = lat_0 + np.degrees(north_m / EARTH_RADIUS_M)
    speed = np.abs(motion.speed_mps[at] + rng.normal(0, noise.speed_mps, rows) * (motion.speed_mps[at] > 0))
    return GpsSamples(
        time_us=time_us[at],
        lat=lat,
        lon=lon_0 + np.degrees(east_m / EARTH_RADIUS_M / np.cos(np.radians(lat_0))),
        speed_mps=speed.astype(np.float32),
        heading_deg=((90.0 - np.degrees(heading[at])) % 360.0).astype(np.float32),
        accuracy_m=rng.uniform(2.0, 5.0, rows).astype(np.float32),
        speed_limit_mps=motion.limit_mps[at].astype(np.float32),
        odometer_m=along[at],
        ignition=np.ones(rows, np.int8),
        belt_buckled=np.full(rows, UNKNOWN, np.int8),
    )


def _imu(
    rng: np.random.Generator, motion: _Motion, time_us: npt.NDArray[np.int64], noise: Noise, wreck: Wreck | None
) -> ImuSamples:
    ticks = len(time_us)
    jitter = rng.standard_normal((6, ticks), np.float32)
    accel, gyro = jitter[:3] * np.float32(noise.accel_mps2), jitter[3:] * np.float32(noise.gyro_radps)
    accel[0] += motion.accel_mps2
    accel[1] += motion.turn_radps * motion.speed_mps
    accel[2] += G_MPS2 if noise.gravity and wreck is None else 0.0
    gyro[2] += motion.turn_radps
    if wreck is not None:
        accel += (wreck.felt_mps2 + (G_MPS2 * wreck.up if noise.gravity else 0.0)).astype(np.float32)
        gyro[0] += wreck.roll_radps.astype(np.float32)
    if noise.bumps_per_hour:
        accel += _bumps(rng, motion.speed_mps, noise.bumps_per_hour).astype(np.float32)
    return ImuSamples(time_us, *accel, *gyro)


def _bumps(rng: np.random.Generator, speed_mps: Numbers, per_hour: float) -> Numbers:
    """Single jolts of a rolling vehicle, (3, n) in m/s2: up and then down, and half as much against the way."""
    felt = np.zeros((3, len(speed_mps)))
    at = np.flatnonzero((rng.random(len(speed_mps)) < per_hour / 3600 / IMU_HZ) & (speed_mps > 4.0))
    at = at[at < len(speed_mps) - 1]
    size = rng.uniform(1.0, 4.0, len(at)) * G_MPS2
    felt[2, at] += size
    felt[2, at + 1] -= 0.7 * size
    felt[0, at] -= 0.5 * size
    return felt


# --- the truth ----------------------------------------------------------------------------------------------


def _truth(phases: list[Phase], motion: _Motion, time_us: npt.NDArray[np.int64]) -> list[TrueEvent]:
    """The events of the plan. Phases of one speeding stretch are one event."""
    ends = np.cumsum([phase.ticks for phase in phases])
    events: list[TrueEvent] = []
    first = 0
    for index, phase in enumerate(phases):
        nxt = phases[index + 1] if index + 1 < len(phases) else None
        if nxt is not None and phase.word in _OF_SEVERAL and nxt.word is phase.word:
            continue
        if phase.word is not Word.CALM:
            begin = 0 if first == 0 else int(ends[first - 1])
            window = slice(max(0, begin - SMOOTH_TICKS), int(ends[index]) + SMOOTH_TICKS)
            words = _both(motion, window) if phase.word in _FAST else [phase.word]
            events += [_event(replace(phase, word=word), motion, time_us, window) for word in words]
        first = index + 1
    return events


_OF_SEVERAL = {Word.SPEEDING, Word.MAX_SPEED, Word.SWERVE}
_FAST = {Word.SPEEDING, Word.MAX_SPEED}


def _both(motion: _Motion, window: slice) -> list[Word]:
    """Whoever drives over the limit may be over the fleet's top speed too, and the other way round."""
    return [word for word in (Word.SPEEDING, Word.MAX_SPEED) if _signal(word, motion, window).max() > 0]


def _event(phase: Phase, motion: _Motion, time_us: npt.NDArray[np.int64], window: slice) -> TrueEvent:
    signal = _signal(phase.word, motion, window)
    peak = float(signal.max())
    inside = np.flatnonzero(signal > (0.0 if phase.word in (Word.SPEEDING, Word.MAX_SPEED) else peak / 2))
    start, end = window.start + int(inside[0]), window.start + int(inside[-1])
    return TrueEvent(
        phase.word, int(time_us[start]), int(time_us[end]), peak, float(motion.speed_mps[start]), phase.band
    )


def _signal(word: Word, motion: _Motion, window: slice) -> Numbers:
    if word is Word.SPEEDING:
        return motion.speed_mps[window] - motion.limit_mps[window]
    if word is Word.MAX_SPEED:
        return motion.speed_mps[window] - TOP_MPS
    if word in (Word.HARSH_TURN, Word.SWERVE):
        return np.abs(motion.turn_radps[window] * motion.speed_mps[window]) / G_MPS2
    sign = -1.0 if word is Word.HARSH_BRAKE else 1.0
    return sign * motion.accel_mps2[window] / G_MPS2
