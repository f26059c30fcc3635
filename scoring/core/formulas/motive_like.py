"""Weighted events per 1,000 miles taken off 100, not below 50, over four weeks and from 100 miles on: Motive's way.

Weights, window, minimum and range are published (helpcenter 16406895841565, 6162164321693). How the rate becomes
points is not: a point for ten is ours, which leaves the middle of a simulated fleet inside the range. Drowsiness has no
published weight and is taken as phone use, the gravest of its list; a near crash as tailgating, a swerve as hard
cornering, smoking and drinking as distraction.
"""

from __future__ import annotations

from collections.abc import Mapping

from scoring.core.formulas.port import Result, Term, deducted
from scoring.core.formulas.tally import Tally

NAME = "motive-like"
MILE_M = 1609.344
WINDOW_DAYS = 28
LEAST_MILES = 100
LOWEST = 50.0
POINTS_PER_RATE = 0.1
EVENT_WEIGHTS: Mapping[str, float] = {
    "harsh_acceleration": 1.0,
    "harsh_brake": 4.0,
    "harsh_turn": 2.0,
    "swerve": 2.0,
    "speeding": 6.0,
    "near_crash": 9.0,
    "crash": 10.0,
    "rollover": 10.0,
    "microsleep": 10.0,
    "sleep": 10.0,
    "unresponsive": 10.0,
    "drowsiness": 10.0,
    "head_nod": 10.0,
    "distraction": 5.0,
    "phone_use": 10.0,
    "smoking": 5.0,
    "drinking": 5.0,
    "no_seat_belt": 6.0,
}


def motive_like(tally: Tally) -> Result:
    """Speeding counts by the event."""
    miles = tally.distance_m / MILE_M
    terms = [
        Term(f"{kind}.{severity}", count, EVENT_WEIGHTS[kind] * POINTS_PER_RATE, miles / 1000, "1,000 miles")
        for (kind, severity), count in tally.events.items()
        if kind in EVENT_WEIGHTS
    ]
    return deducted(NAME, tally, terms, floor=LOWEST, enough=miles >= LEAST_MILES)
