"""A score from events and exposure alone: 0 to 100 with its ledger, for a trip, a driver's day, a vehicle's day."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from infra.contracts.events import SCORED_STATES, EventKind, ReviewState, Severity
from scoring.core.ledger import Line, event_line, speeding_line, value_of
from scoring.core.rules import SECOND_US
from scoring.core.weights import FIRST_CUT, Formula

BANDS = ("light", "moderate", "heavy", "severe")
BAND_LABELS = {"light": "up to 10 %", "moderate": "10 to 20 %", "heavy": "20 to 30 %", "severe": "more than 30 %"}
TRIP_EDGE_US = 10 * SECOND_US  # a hard start begins before its trip does, which begins at 5 mph


@dataclass(frozen=True, slots=True)
class Exposure:
    """A trip, as far as a score cares. ``over_s`` per band, in the order of BANDS."""

    trip_id: str
    vehicle_id: str
    start_us: int
    end_us: int
    distance_m: float
    driving_s: float
    limit_known_s: float
    over_s: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Incident:
    """An event, as far as a score cares. ``over_s``: speeding's time per band, which leaves when it is dismissed."""

    vehicle_id: str
    start_us: int
    kind: EventKind
    severity: Severity
    state: ReviewState
    over_s: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0)
    event_id: str = ""


@dataclass(frozen=True, slots=True)
class Score:
    """``value`` is None when nothing was driven."""

    formula: str
    value: float | None
    distance_m: float
    driving_s: float
    over_limit_s: float
    limit_known_s: float
    events: int
    lines: Sequence[Line] = field(default=())


def inside(exposure: Exposure, incident: Incident) -> bool:
    """Whether an event belongs to a trip: outside trips none counts."""
    same = exposure.vehicle_id == incident.vehicle_id
    return same and exposure.start_us - TRIP_EDGE_US <= incident.start_us <= exposure.end_us + TRIP_EDGE_US


def score(exposures: Sequence[Exposure], incidents: Sequence[Incident], formula: Formula = FIRST_CUT) -> Score:
    """The score of some trips together.

    Args:
        exposures: the trips.
        incidents: events of their vehicles, in any state; those outside the trips or not counted are passed over.
    """
    mine = [i for i in incidents if any(inside(e, i) for e in exposures)]
    counted = [i for i in mine if i.state in SCORED_STATES]
    dismissed = [i for i in mine if i.state not in SCORED_STATES]
    distance_m, driving_s = _total(e.distance_m for e in exposures), _total(e.driving_s for e in exposures)
    over_s = [
        max(0.0, _total(e.over_s[band] for e in exposures) - _total(i.over_s[band] for i in dismissed))
        for band in range(len(BANDS))
    ]
    lines = _lines(counted, distance_m, driving_s, over_s, formula)
    return Score(
        formula=formula.name,
        value=value_of(lines) if driving_s > 0 else None,
        distance_m=distance_m,
        driving_s=driving_s,
        over_limit_s=_total(over_s),
        limit_known_s=_total(e.limit_known_s for e in exposures),
        events=len(counted),
        lines=lines,
    )


def _lines(
    counted: Sequence[Incident], distance_m: float, driving_s: float, over_s: Sequence[float], formula: Formula
) -> list[Line]:
    kinds = sorted(Counter((i.kind, i.severity) for i in counted).items())
    lines = [
        event_line(kind, severity, count, distance_m, formula)
        for (kind, severity), count in kinds
        if formula.event_points[kind]
    ]
    spent = zip(BANDS, over_s, strict=True)
    return lines + [speeding_line(band, s, driving_s, formula, BAND_LABELS) for band, s in spent if s > 0]


def _total(values: Iterable[float]) -> float:
    """Rounded to the microsecond or micrometre, so that the order of addition does not show."""
    return round(sum(values), 6)
