"""Says when a driver has earned praise: a stretch without events that is too long to be luck."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from infra.contracts.events import SCORED_STATES, EventKind, ReviewState
from scoring.core.exposure import Exposure, Incident
from scoring.core.formulas.expected_risk import RiskFormula
from scoring.core.formulas.tally import inside_trips

SURE = 3.0  # events that peers would have had: exp(-3), one stretch of twenty, has none by chance


@dataclass(frozen=True, slots=True)
class Recognition:
    """``peers_events``: how many a mean peer has on the distance since the last event."""

    clean_m: float
    peers_events: float
    earned: bool


def recognise(exposures: Sequence[Exposure], incidents: Sequence[Incident], formula: RiskFormula) -> Recognition:
    """Of the newest trips in a row that have no event which counts; idling, say, tells nothing of risk."""
    mine = inside_trips(exposures, incidents)
    last_us = max((one.start_us for one in mine if is_held(one.kind, one.state, formula)), default=-(2**62))
    return recognition(sum(one.distance_m for one in exposures if one.start_us > last_us), formula)


def is_held(kind: str, state: ReviewState, formula: RiskFormula) -> bool:
    """Whether an event ends a stretch without events."""
    return state in SCORED_STATES and (kind in formula.events or kind == EventKind.SPEEDING)


def recognition(clean_m: float, formula: RiskFormula) -> Recognition:
    """Of a distance without events."""
    rate = sum(cause.peers_count / cause.peers_exposure for cause in formula.events.values())
    expected = rate * clean_m / formula.distance_unit_m
    return Recognition(clean_m, expected, expected >= SURE)
