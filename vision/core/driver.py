"""What is remembered of the driver of one vehicle between frames, and how one more frame changes it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from infra.contracts.events import EventKind, JsonObject
from vision.core.cadence import keep_due
from vision.core.eyes import (
    REOPENED_OPENNESS,
    SHUT_OPENNESS,
    Baseline,
    fuse_openness,
    is_learned,
    learn,
    measure_openness,
)
from vision.core.packing import pack, unpack
from vision.core.perclos import Perclos, measure_perclos, see_eyes
from vision.core.pose import GATE_MPS as POSE_GATE_MPS
from vision.core.pose import Neutral, Turn, learn_pose, measure_turn
from vision.core.rules.closures import BREAK_US
from vision.core.rules.gates import GATES_MPS
from vision.core.rules.shape import Finding, Sample, Sign, is_faster
from vision.core.rules.table import RULES, Rules
from vision.core.signals import CAMERA_UNFIT, EYE_CLOSED

LONGEST_LESSON_US = 1_500_000
"""A frame teaches for the time since the one before, and not for a longer gap."""

CLOCK_BACK_US = 10_000_000
"""Frames from further back than this mean that the device's clock was set: begin afresh."""

HEAD_DOWN_DEG, HEAD_ASIDE_DEG = -20.0, 45.0
"""A head that hangs or is turned so far shows lids from above or one eye from the side: neither open nor shut."""

REMEMBERED_DRIVERS = 4
"""Of one vehicle, beside who drives it now."""


@dataclass(frozen=True, slots=True)
class Known:
    """What was learned of a driver who is not at the wheel now."""

    driver_id: str
    baseline: Baseline
    neutral: Neutral


@dataclass(frozen=True, slots=True)
class DriverState:
    """``learned_from`` is the driver whose baseline this is: a frame without a driver does not unlearn it.

    ``rules`` holds the state of every rule that remembers something, by its name.
    """

    driver_id: str | None = None
    learned_from: str | None = None
    baseline: Baseline = field(default_factory=Baseline)
    neutral: Neutral = field(default_factory=Neutral)
    others: tuple[Known, ...] = ()  # the latest last
    last_us: int | None = None
    shut_us: int | None = None  # when the eyes were last seen shut, and not open since
    perclos: Perclos = field(default_factory=Perclos)
    rules: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Glance:
    """What one frame says about the driver. ``aspect_ratio`` is None where no eyes were seen or they are too small.

    ``numbers`` are those of the heads, by the names in ``core.signals``; what was not measured is left out.
    """

    time_us: int
    speed_mps: float | None
    aspect_ratio: float | None
    numbers: Mapping[str, float] = field(default_factory=dict)
    face_found: bool = True
    belt_switch: bool | None = None  # of the vehicle: True buckled, None unknown
    picture_hash: int | None = None  # of the pixels: a camera that hangs sends the same ones again


@dataclass(frozen=True, slots=True)
class Judgement:
    """What one frame brought to light."""

    findings: tuple[Finding, ...] = ()
    signs: tuple[Sign, ...] = ()
    openness: float | None = None  # 0 shut, 1 this driver's usual: see ``core.eyes``
    perclos: float | None = None
    turn: Turn | None = None  # of the head against the driver's neutral pose
    drowsiness_level: int = 0  # 0 none; an event from ``rules.drowsiness.LEVEL`` on
    too_sparse: bool = False  # the last frame is too long ago for a microsleep to be seen
    unseen: tuple[EventKind, ...] = ()  # kinds that cannot be seen at this rate
    out_of_order: bool = False


def follow(state: DriverState, glance: Glance, rules: Rules = RULES) -> tuple[DriverState, Judgement]:
    """The state after a frame, and what it brought to light. A frame that is not later than all before is left out."""
    glance = _without_nonsense(glance)
    if state.last_us is not None and glance.time_us <= state.last_us:
        return _follow_backwards(state, glance, rules)
    glance = replace(glance, numbers=keep_due(glance.numbers, glance.time_us, state.last_us))
    sample, shut_us, window = _read(state, glance)
    states, findings, signs = _step(rules, state.rules, sample)
    baseline, neutral = _learn(state, glance)
    after = replace(
        state,
        baseline=baseline,
        neutral=neutral,
        last_us=glance.time_us,
        shut_us=shut_us,
        perclos=window,
        rules=states,
    )
    unseen = _find_unseen(state, sample, rules)
    drowsiness = states.get("drowsiness")
    return after, Judgement(
        findings,
        signs,
        sample.openness,
        sample.perclos,
        sample.turn,
        drowsiness.level if drowsiness is not None else 0,
        EventKind.MICROSLEEP in unseen,
        unseen,
    )


def see_openness(state: DriverState, glance: Glance) -> float | None:
    """None where no eyes were seen, or nothing can be said of them."""
    return _fuse(state, glance, _measure_turn(state, glance))


def finish(state: DriverState, rules: Rules = RULES) -> tuple[DriverState, Judgement]:
    """Ends whatever is open, and forgets the last minutes; what was learned of the driver stays."""
    findings: tuple[Finding, ...] = ()
    signs: tuple[Sign, ...] = ()
    for rule in rules:
        if rule.name in state.rules:
            _, said = rule.finish(state.rules[rule.name])
            findings, signs = findings + said.findings, signs + said.signs
    return replace(state, shut_us=None, perclos=Perclos(), rules={}), Judgement(findings, signs)


def change_driver(state: DriverState, driver_id: str | None, rules: Rules = RULES) -> tuple[DriverState, Judgement]:
    """Ends what was open under the earlier driver. A new driver is learned from nothing, one who returns is known."""
    ended, judgement = finish(state, rules)
    if driver_id is None or state.learned_from in (None, driver_id):
        return replace(ended, driver_id=driver_id, learned_from=driver_id or state.learned_from), judgement
    left = Known(str(state.learned_from), state.baseline, state.neutral)
    others = [known for known in state.others if known.driver_id not in (driver_id, left.driver_id)]
    back = next((known for known in state.others if known.driver_id == driver_id), None)
    known = back or Known(driver_id, Baseline(), Neutral())
    return replace(
        ended,
        driver_id=driver_id,
        learned_from=driver_id,
        baseline=known.baseline,
        neutral=known.neutral,
        others=(*others, left)[-REMEMBERED_DRIVERS:],
    ), judgement


def has_open_event(state: DriverState, rules: Rules = RULES) -> bool:
    return any(rule.name in state.rules and rule.is_open(state.rules[rule.name]) for rule in rules)


def dump_state(state: DriverState) -> JsonObject:
    """Short: a state is written with every batch, so rules that remember nothing are left out."""
    return {
        "driver": [state.driver_id, state.learned_from],
        "known": [pack(state.baseline), pack(state.neutral), pack(state.others)],
        "eyes": [state.last_us, state.shut_us, pack(state.perclos)],
        "rules": {name: pack(each) for name, each in state.rules.items()},
    }


def load_state(data: JsonObject | None, rules: Rules = RULES) -> DriverState:
    if data is None:
        return DriverState()
    row: dict[str, Any] = dict(data)
    baseline, neutral, others = row["known"]
    last_us, shut_us, perclos = row["eyes"]
    driver_id, learned_from = row["driver"]
    return DriverState(
        driver_id,
        learned_from,
        baseline=unpack(Baseline, baseline),
        neutral=unpack(Neutral, neutral),
        others=unpack(tuple[Known, ...], others),
        last_us=last_us,
        shut_us=shut_us,
        perclos=unpack(Perclos, perclos),
        rules={rule.name: unpack(rule.state, row["rules"][rule.name]) for rule in rules if rule.name in row["rules"]},
    )


# --- one frame ----------------------------------------------------------------------------------------------


def _without_nonsense(glance: Glance) -> Glance:
    """What is not finite was not measured."""
    known = (glance.speed_mps or 0.0, glance.aspect_ratio or 0.0, *glance.numbers.values())
    if all(map(math.isfinite, known)):
        return glance
    return replace(
        glance,
        speed_mps=_finite(glance.speed_mps),
        aspect_ratio=_finite(glance.aspect_ratio),
        numbers={name: value for name, value in glance.numbers.items() if math.isfinite(value)},
    )


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _follow_backwards(state: DriverState, glance: Glance, rules: Rules) -> tuple[DriverState, Judgement]:
    openness = see_openness(state, glance)
    if state.last_us is not None and state.last_us - glance.time_us <= CLOCK_BACK_US:
        return state, Judgement(openness=openness, out_of_order=True)
    ended, judgement = finish(state, rules)
    return replace(ended, last_us=glance.time_us), replace(judgement, openness=openness, out_of_order=True)


def _read(state: DriverState, glance: Glance) -> tuple[Sample, int | None, Perclos]:
    """What the rules see of a frame, until when the eyes were shut, and the last minute of them."""
    turn = _measure_turn(state, glance)
    openness = _fuse(state, glance, turn)
    moving = _is_moving(glance.speed_mps)
    shut_us = state.shut_us
    if shut_us is not None and (not moving or glance.time_us - shut_us > BREAK_US):
        shut_us = None
    shut = None if openness is None else openness <= (SHUT_OPENNESS if shut_us is None else REOPENED_OPENNESS)
    if shut is not None:
        shut_us = glance.time_us if shut and moving else None
    window = see_eyes(state.perclos, glance.time_us, shut) if moving else Perclos()
    sample = Sample(
        glance.time_us,
        glance.speed_mps,
        openness,
        shut,
        measure_perclos(window, glance.time_us) if moving else None,
        turn,
        glance.face_found,
        glance.numbers if _is_fit(glance) else {CAMERA_UNFIT: glance.numbers[CAMERA_UNFIT]},
        glance.belt_switch,
        glance.picture_hash,
    )
    return sample, shut_us, window


def _measure_turn(state: DriverState, glance: Glance) -> Turn | None:
    return measure_turn(state.neutral, glance.numbers) if _is_fit(glance) else None


def _fuse(state: DriverState, glance: Glance, turn: Turn | None) -> float | None:
    if glance.aspect_ratio is None or not _is_fit(glance):
        return None
    if turn is not None and (turn.pitch_deg <= HEAD_DOWN_DEG or abs(turn.yaw_deg) >= HEAD_ASIDE_DEG):
        return None
    relative = measure_openness(state.baseline, glance.aspect_ratio) if is_learned(state.baseline) else None
    return fuse_openness(relative, glance.numbers.get(EYE_CLOSED))


def _step(
    rules: Rules, states: Mapping[str, Any], sample: Sample
) -> tuple[Mapping[str, Any], tuple[Finding, ...], tuple[Sign, ...]]:
    """Every rule in its order. A state that equals the one before the first frame is not kept."""
    after: dict[str, Any] = {}
    findings: tuple[Finding, ...] = ()
    for rule in rules:
        start = _STARTS[rule.state]
        state, said = rule.step(states.get(rule.name, start), sample)
        if state is not start and state != start:
            after[rule.name] = state
        findings += said.findings
        if said.signs:
            sample = replace(sample, signs=sample.signs + said.signs)
    return after, findings, sample.signs


_STARTS = {rule.state: rule.state() for rule in RULES}


def _find_unseen(state: DriverState, sample: Sample, rules: Rules) -> tuple[EventKind, ...]:
    gap_us = 0 if state.last_us is None else sample.time_us - state.last_us
    if gap_us <= _FASTEST_NEED_US or not _is_moving(sample.speed_mps):
        return ()
    return tuple(kind for rule in rules for kind, slowest_us in rule.slowest_us.items() if gap_us > slowest_us)


_FASTEST_NEED_US = min(slowest_us for rule in RULES for slowest_us in rule.slowest_us.values())


def _is_moving(speed_mps: float | None) -> bool:
    return is_faster(speed_mps, GATES_MPS[EventKind.MICROSLEEP])


def _is_fit(glance: Glance) -> bool:
    return glance.numbers.get(CAMERA_UNFIT, 0.0) < 0.5


def _learn(state: DriverState, glance: Glance) -> tuple[Baseline, Neutral]:
    if state.last_us is None or not _is_moving(glance.speed_mps) or not _is_fit(glance):
        return state.baseline, state.neutral
    lasted_us = min(glance.time_us - state.last_us, LONGEST_LESSON_US)
    baseline, neutral = state.baseline, state.neutral
    if glance.aspect_ratio is not None:
        baseline = learn(baseline, glance.aspect_ratio, lasted_us)
    if is_faster(glance.speed_mps, POSE_GATE_MPS):
        neutral = learn_pose(neutral, glance.numbers, lasted_us)
    return baseline, neutral
