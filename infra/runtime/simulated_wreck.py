"""How a simulated drive ends badly: an impact or a rollover in its last minutes, as motion and as the device feels it.

Physics: an impact is a half-sine of 80 to 160 ms that takes 4 to 12 m/s off (frontal, or up to 40 degrees to a side),
rings on for 0.3 s, and the vehicle slides to a stop at 0.3 to 0.5 g. A rollover is tripped by 0.75 g across, turns
about the long axis by 90 to 360 degrees with three ground strikes, and slides. A sensor averages between its samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]

G_MPS2 = 9.80665
FINE = 40  # steps within a sample of the IMU
FULL_SCALE_MPS2 = 16 * G_MPS2
LEAST_MPS = 12.0
WITHIN_S = (60.0, 170.0)  # before the end of the drive: a stand shorter than idling


@dataclass(frozen=True, slots=True)
class Wreck:
    """``tick``: when it begins; ``end`` when the pulse or the rolling does. ``speed_mps`` replaces the drive's from
    there on. ``felt_mps2`` (3, n) comes on top of it, ``up`` (3, n) is where gravity comes from, ``roll_radps`` (n)."""

    word: str
    tick: int
    end: int
    peak: float  # g over 150 ms, or degrees
    speed_mps: Numbers
    felt_mps2: Numbers
    up: Numbers
    roll_radps: Numbers


def find_wreck(
    rng: np.random.Generator, word: str, speed_mps: Numbers, calm: npt.NDArray[np.bool_], hz: int
) -> Wreck | None:
    """A crash or a rollover of a drive of this speed, where it is calm; None if it is too slow in its last minutes."""
    first, last = (max(len(speed_mps) - int(seconds * hz), 0) for seconds in reversed(WITHIN_S))
    fast = np.flatnonzero((speed_mps >= LEAST_MPS)[first:last] & calm[first:last]) + first
    if not len(fast):
        return None
    tick = int(rng.choice(fast))
    return (_crash if word == "crash" else _rollover)(rng, tick, speed_mps, hz)


def _crash(rng: np.random.Generator, tick: int, speed_mps: Numbers, hz: int) -> Wreck:
    rows = len(speed_mps)
    lost, seconds = float(min(rng.uniform(4.0, 12.0), speed_mps[tick])), float(rng.uniform(0.08, 0.16))
    angle = float(rng.uniform(-40, 40)) * np.pi / 180
    pulse = _half_sine(tick / hz + rng.uniform(0, 1 / hz), seconds, lost, rows, hz)
    felt = np.zeros((3, rows))
    felt[0], felt[1] = -pulse * np.cos(angle), pulse * np.sin(angle)
    speed = speed_mps.copy()
    speed[tick:] = np.maximum(speed_mps[tick] - np.cumsum(-felt[0, tick:]) / hz, 0.0)
    slide = rng.uniform(0.3, 0.5) * G_MPS2
    after = tick + int(np.ceil(seconds * hz)) + 1
    speed[after:] = np.maximum(speed[after] - slide * np.arange(rows - after) / hz, 0.0)
    felt += _ringing(rng, after, rows, hz)
    felt[0] += _sliding(speed, after, slide)
    mean_g = lost / max(seconds, 0.15) / G_MPS2
    return Wreck("crash", tick, after, mean_g, speed, _clipped(felt), _upright(rows), np.zeros(rows))


def _rollover(rng: np.random.Generator, tick: int, speed_mps: Numbers, hz: int) -> Wreck:
    rows = len(speed_mps)
    angle, seconds = float(rng.choice((90.0, 180.0, 270.0))), float(rng.uniform(1.2, 2.5))
    side = float(rng.choice((-1.0, 1.0)))
    trip = int(0.8 * hz)
    rolling = np.arange(int(seconds * hz))
    profile = np.sin(np.pi * (rolling + 0.5) / len(rolling)) ** 2
    roll = np.zeros(rows)
    roll[tick + trip : tick + trip + len(rolling)] = side * np.radians(angle) * hz * profile / profile.sum()
    turned = np.cumsum(roll) / hz
    felt = np.zeros((3, rows))
    felt[1, tick : tick + trip] = side * 0.75 * G_MPS2
    for strike in range(3):
        at_s = (tick + trip) / hz + seconds * (strike + rng.uniform(0.3, 0.9)) / 3
        pulse = _half_sine(at_s, rng.uniform(0.06, 0.12), rng.uniform(1.5, 4.0), rows, hz)
        felt[1:] += pulse * rng.choice((-1.0, 1.0), (2, 1)) * rng.uniform(0.3, 1.0, (2, 1))
    speed = speed_mps.copy()
    slide = rng.uniform(0.4, 0.6) * G_MPS2
    speed[tick:] = np.maximum(speed_mps[tick] - slide * np.arange(rows - tick) / hz, 0.0)
    felt[0] += _sliding(speed, tick, slide)
    up = np.stack([np.zeros(rows), np.sin(turned), np.cos(turned)])
    end = tick + trip + len(rolling)
    return Wreck("rollover", tick + trip, end, angle, speed, _clipped(felt), up, roll)


def _half_sine(start_s: float, seconds: float, change_mps: float, rows: int, hz: int) -> Numbers:
    """Mean acceleration of each sample's time, in m/s2, of a pulse with this change of speed."""
    first, count = int(start_s * hz), min(int(seconds * hz) + 2, rows - int(start_s * hz))
    fine_s = first / hz + (np.arange(count * FINE) + 0.5) / (hz * FINE) - start_s
    shape = np.where((fine_s >= 0) & (fine_s < seconds), np.sin(np.pi * fine_s / seconds), 0.0)
    value = np.zeros(rows)
    value[first : first + count] = shape.reshape(count, FINE).mean(axis=1) * change_mps * np.pi / 2 / seconds
    return value


def _ringing(rng: np.random.Generator, after: int, rows: int, hz: int) -> Numbers:
    since_s = np.maximum(np.arange(rows) - after, 0) / hz
    fades = np.where((np.arange(rows) >= after) & (since_s < 1.0), np.exp(-since_s / 0.15), 0.0)
    return np.asarray(rng.normal(0, 1.0, (3, rows)) * fades * rng.uniform(0.5, 2.0) * G_MPS2)


def _sliding(speed_mps: Numbers, since: int, slide_mps2: float) -> Numbers:
    felt = np.where(speed_mps > 0, -slide_mps2, 0.0)
    felt[:since] = 0.0
    return felt


def _upright(rows: int) -> Numbers:
    return np.stack([np.zeros(rows), np.zeros(rows), np.ones(rows)])


def _clipped(felt: Numbers) -> Numbers:
    return np.clip(felt, -FULL_SCALE_MPS2, FULL_SCALE_MPS2)
