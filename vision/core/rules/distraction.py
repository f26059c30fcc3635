"""Eyes off the road: for long at a time, or again and again. A look into a mirror is neither.

Euro NCAP: long distraction from 3 s; short ones (VATS) from 10 s together within 30 s, begun anew by 2 s on the road.
Looking down for long is told by ``nods``, which knows whether the eyes were closing; here it counts towards the 10 s.
"""

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
    hold,
    is_faster,
)

LONG_US, VERY_LONG_US = 3 * SECOND_US, 5 * SECOND_US  # Euro NCAP; openpilot's second alert
SUM_US, WINDOW_US, RESET_US = 10 * SECOND_US, 30 * SECOND_US, 2 * SECOND_US

YAW_DEG, UP_DEG, DOWN_DEG = 25.0, 20.0, -20.0
"""Of the head against neutral. openpilot: yaw 23 degrees (29 with slack), pitch 18."""

BACK_SHARE = 0.7
"""Of these limits, within which the head is back: one noisy frame at the limit does not cut a glance in two."""

EYES_LEAD_SHARE, SIGHT_DEG = 0.6, 35.0
"""Where the eyes' direction is known, a turned head with eyes that stay on the road is no glance, and eyes far aside
in a straight head are one."""

MIRROR_US, MIRROR_DEG = 2 * SECOND_US, 12.0
"""A look aside of at most so long is a mirror check, unless the one before went the same way (within so many degrees)
and was hardly over: mirrors are looked at in turn, a passenger or a screen again and again."""

OUT_OF_SIGHT_DEG, OUT_OF_SIGHT_US = 30.0, 4 * SECOND_US
"""A face that is lost while turned so far has turned further, and is believed to be there for so long."""

MAX_GAP_US = 1_500_000  # half of 3 s: three frames show it
PLAN = Plan(EventKind.DISTRACTION, 5 * SECOND_US)


@dataclass(frozen=True, slots=True)
class Glance:
    start_us: int
    last_us: int
    seen_us: int  # when the face was last seen
    frames: int
    yaw_deg: float  # the farthest
    down: bool


@dataclass(frozen=True, slots=True)
class Counted:
    """A glance that counts towards the sum."""

    start_us: int
    last_us: int


@dataclass(frozen=True, slots=True)
class DistractionState:
    glance: Glance | None = None
    road_since_us: int | None = None
    mirror_deg: float = 0.0  # where the last mirror check went
    mirror_us: int | None = None
    counted: tuple[Counted, ...] = ()
    episode: Episode | None = None


@dataclass(frozen=True, slots=True)
class Distraction(OneEvent[DistractionState]):
    gate_mps: float = GATES_MPS[EventKind.DISTRACTION]
    state: type[DistractionState] = DistractionState
    plan: Plan = PLAN
    name: str = "distraction"

    @property
    def slowest_us(self) -> Mapping[EventKind, int]:
        return {EventKind.DISTRACTION: MAX_GAP_US}

    def step(self, state: DistractionState, sample: Sample) -> tuple[DistractionState, Said]:
        if not is_faster(sample.speed_mps, self.gate_mps):
            rested, told = hold(self.plan, state.episode, None, sample)
            return DistractionState(episode=rested), Said(told) if told else NOTHING
        after = _follow(state, sample)
        episode, told = hold(self.plan, state.episode, _read(after, sample.time_us), sample)
        return (after if episode is after.episode else replace(after, episode=episode)), Said(told) if told else NOTHING


def is_away(sample: Sample, was_away: bool) -> bool | None:
    """Whether the driver looks away from the road; None where it cannot be said."""
    turn = sample.turn
    if turn is None:
        return None
    share = BACK_SHARE if was_away else 1.0
    aside, up, down = abs(turn.yaw_deg) / YAW_DEG, turn.pitch_deg / UP_DEG, turn.pitch_deg / DOWN_DEG
    head = max(aside, up, down) >= share
    if turn.sight_yaw_deg is None or sample.shut:
        return head
    sight_deg = abs(turn.sight_yaw_deg)
    if aside >= max(up, down):
        head = head and sight_deg >= YAW_DEG * EYES_LEAD_SHARE * share
    return head or sight_deg >= SIGHT_DEG * share


def _follow(state: DistractionState, sample: Sample) -> DistractionState:
    state, now_us = _drop_lost(state, sample.time_us), sample.time_us
    away = is_away(sample, state.glance is not None)
    if away is None:
        return replace(state, glance=_guess(state.glance, sample)) if state.glance else state
    if away:
        return replace(state, glance=_extend(state.glance, sample), road_since_us=None)
    since_us = now_us if state.road_since_us is None else state.road_since_us
    if state.glance is not None:
        return replace(_count(state, state.glance), glance=None, road_since_us=now_us)
    if state.counted and now_us - since_us >= RESET_US:
        return replace(state, counted=(), road_since_us=since_us)
    return state if since_us == state.road_since_us else replace(state, road_since_us=since_us)


def _drop_lost(state: DistractionState, now_us: int) -> DistractionState:
    """What was not seen for long is not known to go on."""
    if state.glance is None or now_us - state.glance.last_us <= MAX_GAP_US:
        return state
    return replace(_count(state, state.glance), glance=None)


def _extend(glance: Glance | None, sample: Sample) -> Glance:
    now_us, turn = sample.time_us, sample.turn
    yaw_deg, pitch_deg = (turn.yaw_deg, turn.pitch_deg) if turn else (0.0, 0.0)
    down = pitch_deg / DOWN_DEG > abs(yaw_deg) / YAW_DEG
    if glance is None:
        return Glance(now_us, now_us, now_us, 1, yaw_deg, down)
    return Glance(
        glance.start_us, now_us, now_us, glance.frames + 1, max(glance.yaw_deg, yaw_deg, key=abs), glance.down and down
    )


def _guess(glance: Glance, sample: Sample) -> Glance:
    """A head that turned out of the mesh's reach looks away still."""
    hidden = not sample.face_found and abs(glance.yaw_deg) >= OUT_OF_SIGHT_DEG
    if hidden and sample.time_us - glance.seen_us <= OUT_OF_SIGHT_US:
        return replace(glance, last_us=sample.time_us, frames=glance.frames + 1)
    return glance


def _count(state: DistractionState, glance: Glance) -> DistractionState:
    """The state after a glance has ended: it counts, or was a mirror check."""
    if _is_mirror_check(state, glance):
        return replace(state, mirror_deg=glance.yaw_deg, mirror_us=glance.last_us)
    kept = tuple(old for old in state.counted if old.last_us >= glance.last_us - WINDOW_US)
    return replace(
        state,
        counted=(*kept, Counted(glance.start_us, glance.last_us)),
        mirror_deg=glance.yaw_deg,
        mirror_us=glance.last_us,
    )


def _is_mirror_check(state: DistractionState, glance: Glance) -> bool:
    if glance.down or glance.last_us - glance.start_us > MIRROR_US:
        return False
    again = state.mirror_us is not None and glance.start_us - state.mirror_us < 2 * RESET_US
    return not (again and abs(glance.yaw_deg - state.mirror_deg) <= MIRROR_DEG)


def _read(state: DistractionState, now_us: int) -> Evidence | None:
    glance = state.glance
    if glance is None:
        return None
    lasted_us = glance.last_us - glance.start_us
    if lasted_us >= LONG_US and glance.frames >= LEAST_FRAMES and not glance.down:
        severity = Severity.HIGH if lasted_us >= VERY_LONG_US else Severity.MODERATE
        return _evidence("long", glance.start_us, glance, lasted_us, severity)
    if _is_mirror_check(state, glance):
        return None
    spans = [old for old in state.counted if old.last_us > now_us - WINDOW_US]
    spans.append(Counted(glance.start_us, glance.last_us))
    sum_us = sum(span.last_us - max(span.start_us, now_us - WINDOW_US) for span in spans)
    if sum_us < SUM_US:
        return None
    return _evidence("repeated", spans[0].start_us, glance, sum_us, Severity.MODERATE)


def _evidence(way: str, start_us: int, glance: Glance, away_us: int, severity: Severity) -> Evidence:
    away_s = away_us / SECOND_US
    details = {"way": way, "eyes_off_road_s": round(away_s, 3), "farthest_yaw_deg": round(glance.yaw_deg, 1)}
    return Evidence(start_us, glance.last_us, away_s, severity, glance.frames / (glance.frames + 2), details)
