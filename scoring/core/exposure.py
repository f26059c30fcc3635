"""What scores are made of: trips with their exposure, and the events that happened on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from infra.contracts.events import EventKind, ReviewState, SafetyEvent, Severity, Trip
from scoring.core.rules import SECOND_US

BANDS = ("light", "moderate", "heavy", "severe")
BAND_LABELS = {"light": "up to 10 %", "moderate": "10 to 20 %", "heavy": "20 to 30 %", "severe": "more than 30 %"}
NOT_OVER = (0.0,) * len(BANDS)
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
    over_s: tuple[float, ...] = NOT_OVER
    event_id: str = ""


def exposures_of(trips: Sequence[Trip]) -> list[Exposure]:
    """Trips as they were found."""
    return [
        Exposure(
            trip_id=str(trip.trip_id),
            vehicle_id=trip.vehicle_id,
            start_us=trip.start_us,
            end_us=trip.end_us,
            distance_m=trip.distance_m,
            driving_s=trip.driving_s,
            limit_known_s=trip.limit_known_s,
            over_s=(trip.over_light_s, trip.over_moderate_s, trip.over_heavy_s, trip.over_severe_s),
        )
        for trip in trips
    ]


def incidents_of(events: Sequence[SafetyEvent]) -> list[Incident]:
    """Events as they were found, before anyone reviewed them."""
    return [
        Incident(e.vehicle_id, e.start_us, e.kind, e.severity, ReviewState.NEEDS_REVIEW, event_id=str(e.event_id))
        for e in events
    ]
