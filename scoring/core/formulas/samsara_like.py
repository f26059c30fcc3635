"""100 less harsh events per 1,000 miles and less percent of driving time over the limit, as Samsara published it.

The oldest public form (kb 115001947714), of which the later ones are told to be refinements (kb 360045237852):
5 events on 247 miles and 1 h 09 of 8 h 40 over the limit make 67. WEIGHTS has the thirty names of its settings
(`/fleet/settings/safety`), those of things that we do not see as well. The numbers are those of the scale of 0 to 10
(kb 360043160532): crash, harsh events and speeding 1, distraction and collision risk 2, signs and policy 0; drowsiness
has none there and is taken as distraction, what is told in finer words weighs as its kind. Its defaults of today
are not public. An event that was recognised as defensive driving is cancelled, and gives back what that weighs.
"""

from __future__ import annotations

from collections.abc import Mapping

from scoring.core.exposure import BANDS
from scoring.core.formulas.port import Result, Term, deducted
from scoring.core.formulas.tally import Tally

NAME = "samsara-like"
MILE_M = 1609.344
WEIGHTS: Mapping[str, float] = {
    "aiInattentiveDrivingDetection": 2.0,
    "crash": 1.0,
    "defensiveDriving": 0.0,  # given back; 0 cancels the event and no more
    "didNotYield": 0.0,
    "drowsy": 2.0,
    "eatingDrinking": 0.0,
    "followingDistance": 2.0,
    "followingDistanceModerate": 2.0,
    "followingDistanceSevere": 2.0,
    "forwardCollisionWarning": 2.0,
    "harshAccel": 1.0,
    "harshBrake": 1.0,
    "harshTurn": 1.0,
    "heavySpeeding": 1.0,
    "inattentiveDriving": 2.0,
    "laneDeparture": 2.0,
    "lateResponse": 2.0,
    "lightSpeeding": 1.0,
    "maxSpeed": 0.0,  # its time counts in the bands
    "mobileUsage": 2.0,
    "moderateSpeeding": 1.0,
    "nearCollision": 2.0,
    "noSeatbelt": 0.0,
    "obstructedCamera": 0.0,
    "ranRedLight": 0.0,
    "rollingStop": 0.0,
    "severeSpeeding": 1.0,
    "smoking": 0.0,
    "speeding": 0.0,  # by hand; what devices see counts in the bands
    "vulnerableRoadUser": 2.0,
}
NAMES: Mapping[str, str] = {  # of our kinds and bands
    "crash": "crash",
    "rollover": "crash",
    "near_crash": "nearCollision",
    "harsh_brake": "harshBrake",
    "harsh_acceleration": "harshAccel",
    "harsh_turn": "harshTurn",
    "swerve": "harshTurn",
    "microsleep": "drowsy",
    "sleep": "drowsy",
    "unresponsive": "drowsy",
    "drowsiness": "drowsy",
    "head_nod": "drowsy",
    "distraction": "inattentiveDriving",
    "phone_use": "mobileUsage",
    "smoking": "smoking",
    "drinking": "eatingDrinking",
    "no_seat_belt": "noSeatbelt",
    "camera_obstructed": "obstructedCamera",
    "max_speed": "maxSpeed",
    "defensive_driving": "defensiveDriving",
    **{band: f"{band}Speeding" for band in BANDS},
}
DEFENSIVE = "defensive_driving"


def samsara_like(tally: Tally, weights: Mapping[str, float] = WEIGHTS) -> Result:
    """Every event alike, whatever its size; without distance there is no score."""
    thousands, percents = tally.distance_m / MILE_M / 1000, tally.driving_s / 100
    counts: dict[str, float] = {f"{kind}.{severity}": count for (kind, severity), count in tally.events.items()}
    counts[DEFENSIVE] = -tally.recognised
    terms = [
        Term(what, count, weights[NAMES[kind]], thousands, "1,000 miles")
        for what, count in counts.items()
        if weights.get(NAMES.get(kind := what.partition(".")[0], ""))
    ]
    spent = zip(BANDS, tally.over_s, strict=True)
    terms += [
        Term(f"over_limit.{band}", s, weights[NAMES[band]], percents, "% of driving time in s") for band, s in spent
    ]
    return deducted(NAME, tally, terms)
