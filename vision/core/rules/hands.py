"""Phone, cigarette, cup: something in the hand for some seconds, by a vote over its probability."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

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
from vision.core.rules.votes import Run, Vote, cast, log_odds, read_mean
from vision.core.signals import DRINKING, PHONE, SMOKING

OPEN_AT = 0.75
"""Mean of the looks at which an event opens: three times as likely as not."""

VOTE = Vote(memory_us=SECOND_US, forget_us=3 * SECOND_US)
"""Looked at once or twice a second, one look that disagrees does not end it, two do."""


@dataclass(frozen=True, slots=True)
class HandState:
    run: Run | None = None
    episode: Episode | None = None


@dataclass(frozen=True, slots=True)
class InHand(OneEvent[HandState]):
    """``long_us`` and more is of higher severity. ``quiet_us``: a cigarette leaves the mouth and comes back."""

    signal: str
    kind: EventKind
    least_us: int
    long_us: int
    severities: tuple[Severity, Severity]
    quiet_us: int
    gate_mps: float
    state: type[HandState] = HandState

    @property
    def name(self) -> str:
        return self.signal

    @property
    def slowest_us(self) -> Mapping[EventKind, int]:
        return {self.kind: VOTE.forget_us}

    def step(self, state: HandState, sample: Sample) -> tuple[HandState, Said]:
        probability = sample.numbers.get(self.signal)
        if probability is None and state.run is None and state.episode is None:
            return state, NOTHING
        run = self._look(state.run, sample, probability)
        episode, told = hold(self.plan, state.episode, self._read(run, sample), sample)
        return HandState(run, episode), Said(told)

    @property
    def plan(self) -> Plan:
        return Plan(self.kind, self.quiet_us)

    def _look(self, run: Run | None, sample: Sample, probability: float | None) -> Run | None:
        if not is_faster(sample.speed_mps, self.gate_mps):
            return None
        if probability is not None:
            return cast(VOTE, run, sample.time_us, log_odds(probability))
        gone = run is not None and sample.time_us - run.looked_us > VOTE.forget_us
        return None if gone else run

    def _read(self, run: Run | None, sample: Sample) -> Evidence | None:
        if run is None or run.looked_us != sample.time_us:
            return None
        lasted_us = run.last_us - run.start_us
        sure = lasted_us >= self.least_us and run.looks >= LEAST_FRAMES and read_mean(run) >= OPEN_AT
        if not sure:
            return None
        return Evidence(
            run.start_us,
            run.last_us,
            lasted_us / SECOND_US,
            self.severities[lasted_us >= self.long_us],
            read_mean(run),
            {"mean_probability": round(read_mean(run), 3), "looks": run.looks, "seconds_at_least": self.least_us / 1e6},
        )


def make_hands(gates_mps: Mapping[EventKind, float] = GATES_MPS) -> tuple[InHand, ...]:
    """Phone 2 s (Samsara, and drinking as well); a cigarette, which lasts minutes, 3 s."""
    moderate, high, low = Severity.MODERATE, Severity.HIGH, Severity.LOW
    phone, smoking, drinking = EventKind.PHONE_USE, EventKind.SMOKING, EventKind.DRINKING
    second = SECOND_US
    return (
        InHand(PHONE, phone, 2 * second, 5 * second, (moderate, high), 10 * second, gates_mps[phone]),
        InHand(SMOKING, smoking, 3 * second, 600 * second, (low, moderate), 120 * second, gates_mps[smoking]),
        InHand(DRINKING, drinking, 2 * second, 10 * second, (low, moderate), 30 * second, gates_mps[drinking]),
    )
