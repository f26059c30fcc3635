"""How drowsy, from several independent signs: slow eyes, yawns, nods, microsleeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from infra.contracts.events import EventKind, Severity
from vision.core.perclos import LONGEST_STEP_US
from vision.core.rules.gates import GATES_MPS
from vision.core.rules.shape import (
    NOTHING,
    SECOND_US,
    Episode,
    Evidence,
    OneEvent,
    Plan,
    Said,
    Sample,
    Sign,
    hold,
    is_faster,
)

CAUTION, DROWSY, LEAVE = 0.10, 0.15, 0.08
"""PERCLOS: alert drivers had 6.1 %, 10.5 % at the first microsleep, 12.2 % leaving the lane (jov 2141193).
Drowsy alone makes an event, caution together with another sign: at 2 frames a second an alert driver's minute reads
as caution once in 20, as drowsy once in 4,000 (binomial)."""

LEVEL = 2
"""From here on it is an event. A sign of one kind, however often, is level 1: PERCLOS is the best validated single
index, and yet not enough alone (PMC10108649)."""

HIGH_LEVEL, DROWSY_LEVEL = 3, 3


@dataclass(frozen=True, slots=True)
class Weight:
    """So many within so long are a sign."""

    least: int
    window_us: int


WEIGHTS = {
    Sign.LONG_BLINK: Weight(5, 180 * SECOND_US),  # awake drivers show hardly any; PERCLOS counts the same lids
    Sign.YAWN: Weight(3, 600 * SECOND_US),
    Sign.NOD: Weight(1, 300 * SECOND_US),
    Sign.MICROSLEEP: Weight(1, 300 * SECOND_US),
}
_LONGEST_US = max(weight.window_us for weight in WEIGHTS.values())
MOST_SIGNS = 48

PLAN = Plan(EventKind.DROWSINESS, 120 * SECOND_US, "share")


@dataclass(frozen=True, slots=True)
class DrowsinessState:
    signs: tuple[tuple[int, Sign], ...] = ()
    perclos_since_us: int | None = None  # since when it is at caution, and not yet back under ``LEAVE``
    perclos_peak: float = 0.0
    level: int = 0
    episode: Episode | None = None


@dataclass(frozen=True, slots=True)
class Drowsiness(OneEvent[DrowsinessState]):
    gate_mps: float = GATES_MPS[EventKind.DROWSINESS]
    state: type[DrowsinessState] = DrowsinessState
    plan: Plan = PLAN
    name: str = "drowsiness"

    @property
    def slowest_us(self) -> Mapping[EventKind, int]:
        return {EventKind.DROWSINESS: LONGEST_STEP_US}

    def step(self, state: DrowsinessState, sample: Sample) -> tuple[DrowsinessState, Said]:
        now_us, fast = sample.time_us, is_faster(sample.speed_mps, self.gate_mps)
        since_us, peak = _follow_perclos(state, sample) if fast else (None, 0.0)
        signs = _remember(state.signs, sample)
        points = _count(signs, now_us, peak) if signs or peak else {}
        level = sum(points.values())
        if not level and state.episode is None:
            return DrowsinessState(signs, since_us, peak), NOTHING
        fresh = bool(sample.signs) or since_us is not None
        share = max(peak, sample.perclos or 0.0)
        seen = _read(points, signs, since_us, share, now_us) if level >= LEVEL and fresh else None
        episode, told = hold(self.plan, state.episode, seen, sample)
        return DrowsinessState(signs, since_us, peak, level, episode), Said(told) if told else NOTHING


def _follow_perclos(state: DrowsinessState, sample: Sample) -> tuple[int | None, float]:
    share, since_us = sample.perclos, state.perclos_since_us
    if share is None or share < (CAUTION if since_us is None else LEAVE):
        return None, 0.0
    return since_us or sample.time_us, max(state.perclos_peak, share)


def _remember(signs: tuple[tuple[int, Sign], ...], sample: Sample) -> tuple[tuple[int, Sign], ...]:
    if sample.signs:
        signs = (*signs, *((sample.time_us, sign) for sign in sample.signs))[-MOST_SIGNS:]
    if signs and signs[0][0] < sample.time_us - _LONGEST_US:
        signs = tuple(entry for entry in signs if entry[0] >= sample.time_us - _LONGEST_US)
    return signs


def _count(signs: tuple[tuple[int, Sign], ...], now_us: int, peak: float) -> dict[str, int]:
    """Points by kind of sign. Lids count once, as PERCLOS or as long blinks: both are the same lids."""
    points = {}
    for sign, weight in WEIGHTS.items():
        seen = sum(1 for time_us, each in signs if each is sign and time_us >= now_us - weight.window_us)
        if seen >= weight.least:
            points[str(sign)] = 1
    if peak > 0:
        points.pop(str(Sign.LONG_BLINK), None)
        points["perclos"] = DROWSY_LEVEL if peak >= DROWSY else 1
    return points


def _read(
    points: Mapping[str, int], signs: tuple[tuple[int, Sign], ...], since_us: int | None, share: float, now_us: int
) -> Evidence:
    level = sum(points.values())
    starts = [time_us for time_us, sign in signs if str(sign) in points and time_us >= now_us - WEIGHTS[sign].window_us]
    counts = {f"{sign}s": sum(1 for _, each in signs if each is sign) for sign in WEIGHTS}
    return Evidence(
        min(starts + ([] if since_us is None else [since_us])),
        now_us,
        share,
        Severity.HIGH if level >= HIGH_LEVEL else Severity.MODERATE,
        min(0.6 + 0.1 * len(points), 0.95),
        {
            "level": level,
            "perclos_peak": round(share, 4),
            "window_s": 60,
            "caution_at": CAUTION,
            "drowsy_at": DROWSY,
            **{name: count for name, count in counts.items() if count},
        },
    )
