"""Says when a driver has earned praise: a stretch without events that is too long to be luck."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from infra.contracts.events import SCORED_STATES
from scoring.core.formulas.expected_risk import RiskFormula
from scoring.core.formulas.tally import inside_trips
from scoring.core.score import Exposure, Incident

SURE = 3.0  # events that peers would have had: exp(-3), one stretch of twenty, has none by chance


@dataclass(frozen=True, slots=True)
class Recognition:
    """``peers_events``: how many a mean peer has on the distance since the last event."""

    clean_m: float
    peers_events: float
    earned: bool


def recognise(exposures: Sequence[Exposure], incidents: Sequence[Incident], formula: RiskFormula) -> Recognition:
    """Of the newest trips in a row that have no event which counts."""
    counted = [one for one in inside_trips(exposures, incidents) if one.state in SCORED_STATES]
    last_us = max((one.start_us for one in counted), default=-(2**62))
    clean_m = sum(one.distance_m for one in exposures if one.start_us > last_us)
    rate = sum(cause.peers_count / cause.peers_exposure for cause in formula.events.values())
    expected = rate * clean_m / formula.distance_unit_m
    return Recognition(clean_m, expected, expected >= SURE)
