"""Events per ten hours of driving, GreenRoad's figure: green up to 20, yellow up to 50, red above.

Source: greenroadhelpcenter.com. It shows the rate itself; to stand beside the others it is taken off 100 here.
"""

from __future__ import annotations

from dataclasses import replace

from scoring.core.formulas.port import Result, Term, deducted
from scoring.core.formulas.tally import Tally

NAME = "greenroad-like"
TEN_HOURS_S = 36_000.0
GREEN, YELLOW = 20.0, 50.0
NOT_COUNTED = frozenset(  # no unsafe manoeuvre
    ("idling", "max_speed", "long_driving", "night_driving", "yawning", "camera_obstructed")
)


def greenroad_like(tally: Tally) -> Result:
    """All events alike."""
    terms = [
        Term(f"{kind}.{severity}", count, 1.0, tally.driving_s / TEN_HOURS_S, "10 h of driving")
        for (kind, severity), count in tally.events.items()
        if kind not in NOT_COUNTED
    ]
    result = deducted(NAME, tally, terms)
    return replace(result, note="green" if result.risk <= GREEN else "yellow" if result.risk <= YELLOW else "red")
