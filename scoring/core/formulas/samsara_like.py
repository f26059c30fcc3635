"""100 less harsh events per 1,000 miles and less percent of driving time over the limit, as Samsara published it.

The oldest public form (kb 115001947714), of which the later ones are told to be refinements (kb 360045237852):
5 events on 247 miles and 1 h 09 of 8 h 40 over the limit make 67. The weights are those of the scale of 0 to 10
(kb 360043160532); drowsiness has none there and is taken as distracted driving. Events that Samsara does not
score on its own weigh nothing. Its defaults of today are not public.
"""

from __future__ import annotations

from collections.abc import Mapping

from scoring.core.formulas.port import Result, Term, deducted
from scoring.core.formulas.tally import Tally
from scoring.core.score import BANDS

NAME = "samsara-like"
MILE_M = 1609.344
EVENT_WEIGHTS: Mapping[str, float] = {
    "crash": 1.0,
    "rollover": 1.0,
    "near_crash": 2.0,  # "collision risk"
    "harsh_brake": 1.0,
    "harsh_acceleration": 1.0,
    "harsh_turn": 1.0,
    "swerve": 1.0,
    "microsleep": 2.0,
    "sleep": 2.0,
    "unresponsive": 2.0,
    "drowsiness": 2.0,
    "head_nod": 2.0,
    "distraction": 2.0,
    "phone_use": 2.0,
    "smoking": 1.0,
    "drinking": 1.0,
    "no_seat_belt": 1.0,
}
BAND_WEIGHTS: Mapping[str, float] = dict.fromkeys(BANDS, 1.0)


def samsara_like(tally: Tally) -> Result:
    """Every event alike, whatever its size; without distance there is no score."""
    thousands, percents = tally.distance_m / MILE_M / 1000, tally.driving_s / 100
    terms = [
        Term(f"{kind}.{severity}", count, EVENT_WEIGHTS[kind], thousands, "1,000 miles")
        for (kind, severity), count in tally.events.items()
        if kind in EVENT_WEIGHTS
    ]
    spent = zip(BANDS, tally.over_s, strict=True)
    terms += [
        Term(f"over_limit.{band}", s, BAND_WEIGHTS[band], percents, "% of driving time in s") for band, s in spent
    ]
    return deducted(NAME, tally, terms)
