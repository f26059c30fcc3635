"""Eyes shut: one event that opens as a microsleep and is promoted while they stay shut.

It is told when it reaches a level and once more when it ends, each time under the same start, so that a driver who
does not wake is on the desk at once. Everything is in time, nothing in counts of frames.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from infra.contracts.events import EventKind, Severity
from vision.core.rules.gates import GATES_MPS
from vision.core.rules.shape import SECOND_US, Finding, Said, Sample, Sign, is_faster

LONG_BLINK_US = (500_000, 1_000_000)
"""Longer than a blink, shorter than a microsleep. A sign, not an event: blink duration grows with sleepiness
(Caffier 2003, pubmed 12736840)."""


@dataclass(frozen=True, slots=True)
class Level:
    """How long, seen how closely. ``max_gap_us`` is half the duration, with a fifth for jitter: a closure is
    believed where it was seen at least three times. So a microsleep needs 2 frames a second, and 1 a second
    show a sleep."""

    kind: EventKind
    severity: Severity
    min_us: int
    max_gap_us: int


LEVELS = (  # Euro NCAP: microsleep below 3 s, sleep above, unresponsive from 6 s
    Level(EventKind.MICROSLEEP, Severity.MODERATE, 1_000_000, 600_000),
    Level(EventKind.SLEEP, Severity.HIGH, 3_000_000, 1_500_000),
    Level(EventKind.UNRESPONSIVE, Severity.CRITICAL, 6_000_000, 1_500_000),
)
BREAK_US = max(level.max_gap_us for level in LEVELS)


@dataclass(frozen=True, slots=True)
class Closure:
    """Eyes shut, and still so at the last sample."""

    start_us: int
    starts_us: tuple[int, ...]  # per level: since when they were seen shut without a gap too wide for it
    last_us: int
    frames: int
    openness_sum: float
    speed_mps: float | None
    told: int = 0  # levels told
    shut_us: int = 0  # the longest that was seen closely enough for the level told


@dataclass(frozen=True, slots=True)
class ClosureState:
    closure: Closure | None = None


@dataclass(frozen=True, slots=True)
class Closures:
    gate_mps: float = GATES_MPS[EventKind.MICROSLEEP]
    state: type[ClosureState] = ClosureState
    name: str = "closures"

    @property
    def slowest_us(self) -> Mapping[EventKind, int]:
        return {level.kind: level.max_gap_us for level in LEVELS}

    def step(self, state: ClosureState, sample: Sample) -> tuple[ClosureState, Said]:
        if not is_faster(sample.speed_mps, self.gate_mps):
            return self.finish(state)
        closure, said = state.closure, Said()
        if closure and (sample.shut is False or sample.time_us - closure.last_us > BREAK_US):
            said, closure = _end(closure), None
        if not sample.shut or sample.openness is None:
            return ClosureState(closure), said
        closure, more = _promote(_extend(closure, sample) if closure else _open(sample))
        return ClosureState(closure), Said(said.findings + more.findings, said.signs + more.signs)

    def finish(self, state: ClosureState) -> tuple[ClosureState, Said]:
        return ClosureState(), _end(state.closure) if state.closure else Said()

    def is_open(self, state: ClosureState) -> bool:
        return state.closure is not None and state.closure.told > 0


def _open(sample: Sample) -> Closure:
    starts = (sample.time_us,) * len(LEVELS)
    return Closure(sample.time_us, starts, sample.time_us, 1, sample.openness or 0.0, sample.speed_mps)


def _extend(closure: Closure, sample: Sample) -> Closure:
    gap_us = sample.time_us - closure.last_us
    starts = zip(closure.starts_us, LEVELS, strict=True)
    return replace(
        closure,
        starts_us=tuple(start if gap_us <= level.max_gap_us else sample.time_us for start, level in starts),
        last_us=sample.time_us,
        frames=closure.frames + 1,
        openness_sum=closure.openness_sum + (sample.openness or 0.0),
    )


def _promote(closure: Closure) -> tuple[Closure, Said]:
    """Levels may be skipped: at one frame a second a closure is first told as a sleep."""
    lasted_us = [closure.last_us - start for start in closure.starts_us]
    reached = max((i for i, level in enumerate(LEVELS, 1) if lasted_us[i - 1] >= level.min_us), default=0)
    told = max(reached, closure.told)
    if not told:
        return closure, Said()
    after = replace(closure, told=told, shut_us=max(closure.shut_us, lasted_us[told - 1]))
    if told == closure.told:
        return after, Said()
    opens = not closure.told
    return after, Said((_tell(after, opens),), (Sign.MICROSLEEP,) if opens else ())


def _end(closure: Closure) -> Said:
    if closure.told:
        return Said((_tell(closure, ends=True),))
    low, high = LONG_BLINK_US
    long_blink = low <= closure.last_us - closure.starts_us[0] < high
    return Said(signs=(Sign.LONG_BLINK,) if long_blink else ())


def _tell(closure: Closure, opens: bool = False, ends: bool = False) -> Finding:
    level = LEVELS[closure.told - 1]
    shut_s = closure.shut_us / SECOND_US
    return Finding(
        family=LEVELS[0].kind,
        kind=level.kind,
        severity=level.severity,
        start_us=closure.start_us,
        end_us=closure.last_us,
        peak=shut_s,
        peak_unit="s",
        confidence=closure.frames / (closure.frames + 2),  # grows with the frames that agree: 3 give 0.6, 18 give 0.9
        speed_mps=closure.speed_mps,
        evidence={
            "eyes_shut_s": round(shut_s, 3),
            "frames_shut": closure.frames,
            "mean_openness": round(closure.openness_sum / closure.frames, 3),
        },
        opens=opens,
        ends=ends,
    )
