"""Yawns, and that there are several within minutes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from infra.contracts.events import EventKind, Severity
from vision.core.rules.gates import GATES_MPS
from vision.core.rules.shape import (
    LEAST_FRAMES,
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
from vision.core.signals import YAWN

BEGINS_AT, GOES_ON_AT = 0.5, 0.35

YAWN_US = (1_500_000, 15_000_000)
"""A yawn takes 4 to 7 s, its wide-open part a second and more (field: mouth held open for 1 to 1.2 s and longer).
Words and laughter open the mouth for less at a time; what lasts longer than 15 s is no yawn."""

MAX_GAP_US = 1_200_000  # so that three frames show it
SAME_YAWN_US = 2 * SECOND_US

WINDOW_US = 600 * SECOND_US
SEVERAL, MANY = 3, 5
"""Within ten minutes. Awake people yawn a few times an hour; 77 % of drowsy events show in other signs (Samsara), so
yawning alone is of low severity."""

PLAN = Plan(EventKind.YAWNING, WINDOW_US, "yawns")


@dataclass(frozen=True, slots=True)
class Gape:
    """A mouth opened as for a yawn, and not closed yet."""

    start_us: int
    last_us: int
    frames: int


@dataclass(frozen=True, slots=True)
class YawnState:
    gape: Gape | None = None
    yawns_us: tuple[tuple[int, int], ...] = ()  # start and end of those in the window
    episode: Episode | None = None


@dataclass(frozen=True, slots=True)
class Yawning(OneEvent[YawnState]):
    gate_mps: float = GATES_MPS[EventKind.YAWNING]
    state: type[YawnState] = YawnState
    plan: Plan = PLAN
    name: str = "yawning"

    @property
    def slowest_us(self) -> Mapping[EventKind, int]:
        return {EventKind.YAWNING: MAX_GAP_US}

    def step(self, state: YawnState, sample: Sample) -> tuple[YawnState, Said]:
        probability = sample.numbers.get(YAWN) if is_faster(sample.speed_mps, self.gate_mps) else None
        gape, ended = _follow(state.gape, sample.time_us, probability)
        yawn = ended if ended is not None and _is_yawn(ended) else None
        if gape is state.gape and yawn is None and not state.yawns_us:
            return state, NOTHING
        yawns_us = tuple(span for span in state.yawns_us if span[1] >= sample.time_us - WINDOW_US)
        counted = len(yawns_us)
        if yawn is not None:
            yawns_us = _add(yawns_us, yawn)
        seen = _read(yawns_us) if yawn is not None and len(yawns_us) >= SEVERAL else None
        episode, told = hold(self.plan, state.episode, seen, sample)
        return YawnState(gape, yawns_us, episode), Said(told, (Sign.YAWN,) if len(yawns_us) > counted else ())


def _follow(gape: Gape | None, now_us: int, probability: float | None) -> tuple[Gape | None, Gape | None]:
    """The gape that goes on, and the one that ended."""
    if probability is None or math.isnan(probability):
        late = gape is not None and now_us - gape.last_us > MAX_GAP_US
        return (None, gape) if late else (gape, None)
    if gape is not None and now_us - gape.last_us > MAX_GAP_US:
        return (Gape(now_us, now_us, 1) if probability >= BEGINS_AT else None), gape
    if gape is None:
        return (Gape(now_us, now_us, 1) if probability >= BEGINS_AT else None), None
    if probability < GOES_ON_AT:
        return None, gape
    return replace(gape, last_us=now_us, frames=gape.frames + 1), None


def _is_yawn(gape: Gape) -> bool:
    shortest, longest = YAWN_US
    return gape.frames >= LEAST_FRAMES and shortest <= gape.last_us - gape.start_us <= longest


def _add(yawns_us: tuple[tuple[int, int], ...], gape: Gape) -> tuple[tuple[int, int], ...]:
    if yawns_us and gape.start_us - yawns_us[-1][1] <= SAME_YAWN_US:
        return (*yawns_us[:-1], (yawns_us[-1][0], gape.last_us))
    return (*yawns_us, (gape.start_us, gape.last_us))


def _read(yawns_us: tuple[tuple[int, int], ...]) -> Evidence:
    count = len(yawns_us)
    severity = Severity.MODERATE if count >= MANY else Severity.LOW
    longest_us = max(last - start for start, last in yawns_us)
    details = {"yawns": count, "window_s": WINDOW_US // SECOND_US, "longest_yawn_s": longest_us / SECOND_US}
    return Evidence(yawns_us[0][0], yawns_us[-1][1], float(count), severity, count / (count + 2), details)
