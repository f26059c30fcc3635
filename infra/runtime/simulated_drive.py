"""One simulated drive: a seeded plan of manoeuvres, and the motion, GPS and IMU that follow from it.

A plan is a list of phases of constant acceleration and turn rate, in ticks of the IMU. Everything else is computed
over whole arrays: speed is the sum of acceleration, heading that of the turn rate, position that of both; so the
sensors agree with each other, and the truth is read off the noiseless motion.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from infra.contracts.telemetry import UNKNOWN, GpsSamples, ImuSamples

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
    SPEEDING = "speeding"


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


@dataclass(frozen=True, slots=True)
class TrueEvent:
    """An event as it was made. Harsh: from half the peak to half the peak. Speeding: while over the limit."""

    word: Word
    start_us: int
    end_us: int
    peak: float  # g, or m/s over the limit
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
    rng: np.random.Generator, start_us: int, seconds: float, events_per_hour: float, noise: Noise
) -> Simulated:
    """A drive of this length, from standstill to standstill or cut off.

    Args:
        events_per_hour: of each of the four kinds, on average.
    """
    ticks = int(seconds * IMU_HZ)
    phases = list(_plan(rng, ticks, events_per_hour))
    motion = _move(phases, ticks)
    time_us = start_us + (np.arange(ticks) * (1_000_000 // IMU_HZ)).astype(np.int64)
    gps = _gps(rng, motion, time_us, noise)
    return Simulated(gps, _imu(rng, motion, time_us, noise), _truth(phases, motion, time_us), float(gps.odometer_m[-1]))


# --- the plan -----------------------------------------------------------------------------------------------


def _plan(rng: np.random.Generator, ticks: int, events_per_hour: float) -> list[Phase]:
    """Stretches of road, each under one limit and ended by a stop, until the time is full. What the end of the
    drive would cut in two does not happen: the last stretch is a calm one."""
    road = _Road(rng)
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

    def __init__(self, rng: np.random.Generator) -> None:
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
        happens = {word for word in list(Word)[1:] if rng.random() < events_per_hour * (cruise_s + 40.0) / 3600.0}
        if Word.HARSH_ACCELERATION in happens:
            self.change(1.2 * rng.uniform(0.52, 0.65) * G_MPS2, 1.2, Word.HARSH_ACCELERATION)
        self.reach(cruise, rng.uniform(1.0, 1.8))
        self.hold(cruise_s / 2)
        if Word.SPEEDING in happens:
            self.speed(str(rng.choice(list(SPEED_SHARES))), cruise)
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


def _imu(rng: np.random.Generator, motion: _Motion, time_us: npt.NDArray[np.int64], noise: Noise) -> ImuSamples:
    ticks = len(time_us)
    jitter = rng.standard_normal((6, ticks), np.float32)
    accel, gyro = jitter[:3] * np.float32(noise.accel_mps2), jitter[3:] * np.float32(noise.gyro_radps)
    accel[0] += motion.accel_mps2
    accel[1] += motion.turn_radps * motion.speed_mps
    accel[2] += G_MPS2 if noise.gravity else 0.0
    gyro[2] += motion.turn_radps
    return ImuSamples(time_us, *accel, *gyro)


# --- the truth ----------------------------------------------------------------------------------------------


def _truth(phases: list[Phase], motion: _Motion, time_us: npt.NDArray[np.int64]) -> list[TrueEvent]:
    """The events of the plan. Phases of one speeding stretch are one event."""
    ends = np.cumsum([phase.ticks for phase in phases])
    events: list[TrueEvent] = []
    first = 0
    for index, phase in enumerate(phases):
        nxt = phases[index + 1] if index + 1 < len(phases) else None
        if nxt is not None and phase.word is Word.SPEEDING and nxt.word is Word.SPEEDING:
            continue
        if phase.word is not Word.CALM:
            begin = 0 if first == 0 else int(ends[first - 1])
            window = slice(max(0, begin - SMOOTH_TICKS), int(ends[index]) + SMOOTH_TICKS)
            events.append(_event(phase, motion, time_us, window))
        first = index + 1
    return events


def _event(phase: Phase, motion: _Motion, time_us: npt.NDArray[np.int64], window: slice) -> TrueEvent:
    signal = _signal(phase.word, motion, window)
    peak = float(signal.max())
    inside = np.flatnonzero(signal > (0.0 if phase.word is Word.SPEEDING else peak / 2))
    start, end = window.start + int(inside[0]), window.start + int(inside[-1])
    return TrueEvent(
        phase.word, int(time_us[start]), int(time_us[end]), peak, float(motion.speed_mps[start]), phase.band
    )


def _signal(word: Word, motion: _Motion, window: slice) -> Numbers:
    if word is Word.SPEEDING:
        return motion.speed_mps[window] - motion.limit_mps[window]
    if word is Word.HARSH_TURN:
        return np.abs(motion.turn_radps[window] * motion.speed_mps[window]) / G_MPS2
    sign = -1.0 if word is Word.HARSH_BRAKE else 1.0
    return sign * motion.accel_mps2[window] / G_MPS2
