"""No seat belt while driving: a vote over what the camera sees, together with the vehicle's own belt switch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from infra.contracts.events import EventKind, Severity
from vision.core.rules.gates import GATES_MPS
from vision.core.rules.shape import (
    NOTHING,
    SECOND_US,
    Episode,
    Evidence,
    Finding,
    OneEvent,
    Plan,
    Said,
    Sample,
    end,
    hold,
)
from vision.core.rules.votes import Run, Vote, cast, log_odds, read_mean
from vision.core.signals import BELT_WORN

GRACE_US = 20 * SECOND_US
"""Driving time above the gate before it is told: Geotab advises 20 s, Surfsight waits 50 to 60. As much again after a
belt was seen: a few looks at one that is hidden draw no event out."""

GATE_SLACK = 0.8
"""Once above the gate, driving counts until the speed is below this share of it: Geotab's rule flaps around its."""

OPEN_AT = 0.75
LEAST_LOOKS = 5
VOTE = Vote(memory_us=10 * SECOND_US, forget_us=60 * SECOND_US)

SWITCH_ODDS = 2.2
"""The switch is right nine times in ten: a tongue without a belt, a belt behind the back and broken wires exist."""

LONGEST_STEP_US = 5 * SECOND_US
"""A look speaks for the driving until the next, and not for longer."""

LONG_S = 120.0
PLAN = Plan(EventKind.NO_SEAT_BELT, 300 * SECOND_US)
"""Red lights and queues do not end it: an unbelted hour is one event."""

CLOSE_AFTER_US = 30 * SECOND_US
"""A belt that is seen on for so long ends it; less is a flap of the vote."""


@dataclass(frozen=True, slots=True)
class BeltState:
    run: Run | None = None
    driven_us: int = 0  # unbelted and above the gate, within the run
    last_driven_us: int | None = None
    fast: bool = False
    worn_since_us: int | None = None
    episode: Episode | None = None


@dataclass(frozen=True, slots=True)
class Belt(OneEvent[BeltState]):
    gate_mps: float = GATES_MPS[EventKind.NO_SEAT_BELT]
    state: type[BeltState] = BeltState
    plan: Plan = PLAN
    name: str = "belt"

    @property
    def slowest_us(self) -> Mapping[EventKind, int]:
        return {EventKind.NO_SEAT_BELT: LONGEST_STEP_US}

    def step(self, state: BeltState, sample: Sample) -> tuple[BeltState, Said]:
        odds = _weigh(sample)
        if odds is None and state.run is None and state.episode is None:
            return state, NOTHING
        after = self._look(state, sample, odds)
        seen = _read(after, sample)
        episode, told = _settle(after, seen, sample)
        return replace(after, episode=episode), Said(told) if told else NOTHING

    def _look(self, state: BeltState, sample: Sample, odds: float | None) -> BeltState:
        if odds is None:
            return state
        fast = _is_driving(sample.speed_mps, self.gate_mps * (GATE_SLACK if state.fast else 1.0))
        run = cast(VOTE, state.run, sample.time_us, odds)
        if run is None:
            worn_since_us = state.worn_since_us or sample.time_us
            return BeltState(None, 0, None, fast, worn_since_us, state.episode)
        goes_on = state.run is not None and run.start_us == state.run.start_us
        step_us = min(sample.time_us - state.run.looked_us, LONGEST_STEP_US) if goes_on and state.run else 0
        counted = fast and state.fast and state.run is not None and state.run.last_us == state.run.looked_us
        driven_us = (state.driven_us if goes_on else 0) + step_us * counted
        last_us = sample.time_us if counted else state.last_driven_us
        return BeltState(run, driven_us, last_us, fast, None, state.episode)


def _weigh(sample: Sample) -> float | None:
    """Log-odds that no belt is worn, by both witnesses; None where neither spoke."""
    worn, switch = sample.numbers.get(BELT_WORN), sample.belt_switch
    if worn is None and switch is None:
        return None
    camera = 0.0 if worn is None else -log_odds(worn)
    return camera if switch is None else camera + (-SWITCH_ODDS if switch else SWITCH_ODDS)


def _is_driving(speed_mps: float | None, gate_mps: float) -> bool:
    return speed_mps is None or speed_mps > gate_mps


def _settle(state: BeltState, seen: Evidence | None, sample: Sample) -> tuple[Episode | None, tuple[Finding, ...]]:
    worn_us = 0 if state.worn_since_us is None else sample.time_us - state.worn_since_us
    if state.episode is not None and worn_us >= CLOSE_AFTER_US:
        return None, end(PLAN, state.episode)
    return hold(PLAN, state.episode, seen, sample)


def _read(state: BeltState, sample: Sample) -> Evidence | None:
    run = state.run
    if run is None or state.last_driven_us != sample.time_us:
        return None
    sure = run.looks >= LEAST_LOOKS and read_mean(run) >= OPEN_AT
    if not sure or state.driven_us < GRACE_US:
        return None
    driven_s = state.driven_us / SECOND_US
    return Evidence(
        run.start_us,
        sample.time_us,
        driven_s,
        Severity.HIGH if driven_s >= LONG_S else Severity.MODERATE,
        read_mean(run),
        {
            "unbelted_s": round(driven_s, 1),
            "mean_probability": round(read_mean(run), 3),
            "looks": run.looks,
            "grace_s": GRACE_US // SECOND_US,
            "belt_switch": {None: "unknown", True: "buckled", False: "unbuckled"}[sample.belt_switch],
            "seen_by": "camera" if BELT_WORN in sample.numbers else "belt switch",
        },
    )
