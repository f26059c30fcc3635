"""The head drops: for a while, or for a moment while the eyes close."""

from __future__ import annotations

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

DOWN_DEG, DROP_DEG, UP_AGAIN_DEG = -20.0, -15.0, -10.0
"""Against neutral. openpilot calls 18 degrees distracted; the dashboard is 10 to 15 down, and read with the eyes.
With eyes that are closing 15 is enough."""

HEAD_DOWN_US = 1_250_000
"""TennaCAM: head down for 1.25 s."""

LONG_US = 3 * SECOND_US
"""Euro NCAP's long distraction. Down for so long with eyes that did not close before: the driver looks at something."""

UNRESPONSIVE_US = 6 * SECOND_US

CLOSING_US, CLOSED_AGO_US = 300_000, 500_000
"""Eyes shut for longer than most blinks, until at most so long before the head drops."""

QUICK_US = 250_000
MAX_GAP_US = 1_500_000
PLAN = Plan(EventKind.HEAD_NOD, 10 * SECOND_US)


@dataclass(frozen=True, slots=True)
class Drop:
    start_us: int
    last_us: int
    frames: int
    lowest_deg: float
    closing: bool  # eyes were shut when it began


@dataclass(frozen=True, slots=True)
class NodState:
    drop: Drop | None = None
    shut_since_us: int | None = None
    shut_last_us: int | None = None
    episode: Episode | None = None


@dataclass(frozen=True, slots=True)
class Nods(OneEvent[NodState]):
    gate_mps: float = GATES_MPS[EventKind.HEAD_NOD]
    state: type[NodState] = NodState
    plan: Plan = PLAN
    name: str = "nods"

    @property
    def slowest_us(self) -> Mapping[EventKind, int]:
        return {EventKind.HEAD_NOD: HEAD_DOWN_US * 3 // 5}

    def step(self, state: NodState, sample: Sample) -> tuple[NodState, Said]:
        fast = is_faster(sample.speed_mps, self.gate_mps)
        drop, ended = _follow(state, sample) if fast else (None, state.drop)
        quick = ended is not None and _is_quick_nod(ended)
        shown = ended if quick else drop
        if shown is None and state == NodState() and not sample.shut:
            return state, NOTHING
        seen = _read(shown) if shown is not None and (quick or _is_head_down(shown)) else None
        episode, told = hold(self.plan, state.episode, seen, sample)
        nod = ended is not None and ended.closing and (quick or _is_head_down(ended))
        return NodState(drop, *_follow_eyes(state, sample), episode), Said(told, (Sign.NOD,) if nod else ())


def _follow(state: NodState, sample: Sample) -> tuple[Drop | None, Drop | None]:
    """The drop that goes on, and the one that ended. A head that is not seen is neither up nor down for a while."""
    drop, now_us = state.drop, sample.time_us
    if drop is not None and now_us - drop.last_us > MAX_GAP_US:
        return None, drop
    if sample.turn is None:
        return drop, None
    pitch_deg = sample.turn.pitch_deg
    if drop is None:
        closing = _are_closing(state, now_us)
        begins = pitch_deg <= (DROP_DEG if closing else DOWN_DEG)
        return (Drop(now_us, now_us, 1, pitch_deg, closing) if begins else None), None
    if pitch_deg > UP_AGAIN_DEG:
        return None, drop
    lowest_deg = min(drop.lowest_deg, pitch_deg)
    return replace(drop, last_us=now_us, frames=drop.frames + 1, lowest_deg=lowest_deg), None


def _follow_eyes(state: NodState, sample: Sample) -> tuple[int | None, int | None]:
    """Since when and until when the eyes were last seen shut."""
    if sample.shut:
        fresh = state.shut_since_us is None or state.shut_last_us is None
        goes_on = not fresh and sample.time_us - (state.shut_last_us or 0) <= CLOSED_AGO_US
        return (state.shut_since_us if goes_on else sample.time_us), sample.time_us
    if state.shut_last_us is not None and sample.time_us - state.shut_last_us > CLOSED_AGO_US:
        return None, None
    return state.shut_since_us, state.shut_last_us


def _are_closing(state: NodState, now_us: int) -> bool:
    if state.shut_since_us is None or state.shut_last_us is None:
        return False
    return state.shut_last_us - state.shut_since_us >= CLOSING_US and now_us - state.shut_last_us <= CLOSED_AGO_US


def _is_head_down(drop: Drop) -> bool:
    return drop.last_us - drop.start_us >= HEAD_DOWN_US and drop.frames >= LEAST_FRAMES


def _is_quick_nod(drop: Drop) -> bool:
    return drop.closing and QUICK_US <= drop.last_us - drop.start_us < HEAD_DOWN_US


def _read(drop: Drop) -> Evidence:
    lasted_us = drop.last_us - drop.start_us
    looking = lasted_us >= LONG_US and not drop.closing
    severity = Severity.HIGH if lasted_us >= LONG_US else Severity.MODERATE
    if drop.closing and lasted_us >= UNRESPONSIVE_US:
        severity = Severity.CRITICAL
    return Evidence(
        drop.start_us,
        drop.last_us,
        lasted_us / SECOND_US,
        severity,
        drop.frames / (drop.frames + 2),
        {
            "head_down_s": round(lasted_us / SECOND_US, 3),
            "lowest_pitch_deg": round(drop.lowest_deg, 1),
            "eyes_closing": drop.closing,
            "frames": drop.frames,
            **({"way": "down"} if looking else {}),
        },
        EventKind.DISTRACTION if looking else EventKind.HEAD_NOD,
    )
