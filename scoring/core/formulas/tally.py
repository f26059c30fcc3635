"""Sums up what was driven and what happened in some trips: all that a formula sees."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from infra.contracts.events import RECOGNISED_STATES, SCORED_STATES, EventKind, Severity
from scoring.core.exposure import BANDS, NOT_OVER, TRIP_EDGE_US, Exposure, Incident


@dataclass(frozen=True, slots=True)
class Tally:
    """Exposure and events. ``over_s`` per band, in the order of BANDS, without what was dismissed.

    ``recognised``: events that turned out to be good driving; they count nowhere else.
    """

    distance_m: float = 0.0
    driving_s: float = 0.0
    limit_known_s: float = 0.0
    over_s: tuple[float, ...] = NOT_OVER
    events: Mapping[tuple[EventKind, Severity], int] = field(default_factory=dict)
    recognised: int = 0

    def count(self, kind: str) -> int:
        return sum(number for (word, _), number in self.events.items() if word == kind)


def tally(exposures: Sequence[Exposure], incidents: Iterable[Incident]) -> Tally:
    """The sums of some trips. Events outside them, or in a state that does not count, are passed over."""
    mine = inside_trips(exposures, incidents)
    gone = [one for one in mine if one.state not in SCORED_STATES]
    over_s = [sum(e.over_s[band] for e in exposures) - sum(i.over_s[band] for i in gone) for band in range(len(BANDS))]
    return Tally(
        distance_m=_sum(e.distance_m for e in exposures),
        driving_s=_sum(e.driving_s for e in exposures),
        limit_known_s=_sum(e.limit_known_s for e in exposures),
        over_s=tuple(max(0.0, round(seconds, 6)) for seconds in over_s),
        events=dict(sorted(Counter((i.kind, i.severity) for i in mine if i.state in SCORED_STATES).items())),
        recognised=sum(i.state in RECOGNISED_STATES for i in mine),
    )


def inside_trips(exposures: Sequence[Exposure], incidents: Iterable[Incident]) -> list[Incident]:
    """The events that happened on these trips, or within ten seconds of one."""
    spans: dict[str, list[tuple[int, int]]] = {}
    for exposure in sorted(exposures, key=lambda one: one.start_us):
        spans.setdefault(exposure.vehicle_id, []).append((exposure.start_us, exposure.end_us))
    return [one for one in incidents if _within(spans.get(one.vehicle_id, []), one.start_us)]


def _within(spans: Sequence[tuple[int, int]], at_us: int) -> bool:
    """Trips of a vehicle do not overlap, so the last two that begin before an instant are all that can hold it."""
    after = bisect_right(spans, at_us + TRIP_EDGE_US, key=lambda span: span[0])
    return any(at_us <= end_us + TRIP_EDGE_US for _, end_us in spans[max(0, after - 2) : after])


def _sum(values: Iterable[float]) -> float:
    """Rounded to the micrometre or microsecond, so that the order of addition does not show."""
    return round(sum(values), 6)
