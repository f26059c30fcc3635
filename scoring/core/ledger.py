"""The list of what was taken off a score and why: a person can add it up and get the score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from infra.contracts.events import EventKind, JsonObject, Severity
from scoring.core.weights import Formula

FULL = 100.0


@dataclass(frozen=True, slots=True)
class Line:
    """Something that took points off. ``count`` is a number of events, or seconds."""

    what: str
    count: float
    points: float  # negative, to the hundredth
    why: str

    def dump(self) -> JsonObject:
        return {"what": self.what, "count": self.count, "points": self.points, "why": self.why}


def value_of(lines: Sequence[Line]) -> float:
    """100 plus all points, not below 0, to the hundredth."""
    return max(0.0, round(FULL + sum(line.points for line in lines), 2))


def event_line(kind: EventKind, severity: Severity, count: int, distance_m: float, formula: Formula) -> Line:
    counted_m = max(distance_m, formula.least_distance_m)
    weight, share = formula.event_points[kind], formula.severity_share[severity]
    points = -round(count * weight * share * formula.per_distance_m / counted_m, 2)
    words = str(kind).replace("_", " ")
    floor = (
        "" if distance_m >= formula.least_distance_m else f" (driven {_km(distance_m)}, counted as {_km(counted_m)})"
    )
    why = (
        f"{count} x {words} ({severity}): {count} x {weight:g} points x {share:g} for severity, "
        f"per {_km(formula.per_distance_m)}, over {_km(counted_m)}{floor}"
    )
    return Line(f"{kind}.{severity}", count, points + 0.0, why)


def speeding_line(band: str, over_s: float, driving_s: float, formula: Formula, labels: Mapping[str, str]) -> Line:
    counted_s = max(driving_s, formula.least_driving_s)
    weight = formula.speeding_points[band]
    points = -round(100 * over_s / counted_s * weight, 2)
    floor = (
        "" if driving_s >= formula.least_driving_s else f" (driven {_span(driving_s)}, counted as {_span(counted_s)})"
    )
    why = (
        f"{_span(over_s)} at {labels[band]} over the limit is {100 * over_s / counted_s:.2f} % of "
        f"{_span(counted_s)} of driving{floor}, at {weight:g} points per percent"
    )
    return Line(f"speeding.{band}", round(over_s, 3), points + 0.0, why)


def _km(distance_m: float) -> str:
    return f"{distance_m / 1000:.1f} km"


def _span(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
