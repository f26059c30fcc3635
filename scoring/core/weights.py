"""The formula of the score as data: what each kind of event and each share of speeding takes off."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from infra.contracts.events import EventKind, Severity


@dataclass(frozen=True, slots=True)
class Formula:
    """Points off per event and 100 km, and per percent of driving time in each speeding band.

    An event takes ``event_points[kind] x severity_share[severity] x 100 km / distance``. Distances under
    ``least_distance_m`` count as that, so that one event on a short trip does not take everything.
    """

    name: str
    event_points: Mapping[EventKind, float]
    severity_share: Mapping[Severity, float]
    speeding_points: Mapping[str, float]  # band to points per percent of driving time
    least_distance_m: float = 100_000.0
    least_driving_s: float = 3_600.0
    per_distance_m: float = 100_000.0


# Harsh driving: Motive's published default weights (helpcenter 16406895841565), read as points per 100 km.
# Near crash: Samsara's older scale gave collision risk twice what it gave harsh events (kb 360043160532).
# In-cab: ours, above Motive's 10 for phone use, the gravest of its list, by how long the road went unseen.
# Speeding events take nothing by themselves: their time does, through the bands.
EVENT_POINTS: Mapping[EventKind, float] = {
    EventKind.HARSH_BRAKE: 4.0,
    EventKind.HARSH_ACCELERATION: 1.0,
    EventKind.HARSH_TURN: 2.0,
    EventKind.NEAR_CRASH: 8.0,
    EventKind.SWERVE: 4.0,
    EventKind.CRASH: 40.0,
    EventKind.ROLLOVER: 60.0,
    EventKind.SPEEDING: 0.0,
    EventKind.MAX_SPEED: 0.0,
    EventKind.IDLING: 0.0,  # costs fuel, not safety: no vendor's safety score takes it
    EventKind.LONG_DRIVING: 0.0,
    EventKind.NIGHT_DRIVING: 0.0,
    EventKind.MICROSLEEP: 12.0,
    EventKind.SLEEP: 20.0,
    EventKind.UNRESPONSIVE: 30.0,
    EventKind.DROWSINESS: 12.0,
    EventKind.YAWNING: 0.0,  # a sign of tiredness, no fault
    EventKind.HEAD_NOD: 12.0,
    EventKind.DISTRACTION: 8.0,
    EventKind.PHONE_USE: 10.0,
    EventKind.SMOKING: 2.0,
    EventKind.DRINKING: 2.0,
    EventKind.NO_SEAT_BELT: 8.0,
    EventKind.CAMERA_OBSTRUCTED: 0.0,  # for the operator
}

SEVERITY_SHARE: Mapping[Severity, float] = {  # ours: Motive and Samsara count events alike whatever their size
    Severity.LOW: 1.0,
    Severity.MODERATE: 1.5,
    Severity.HIGH: 2.0,
    Severity.CRITICAL: 3.0,
}

# Samsara took one point per percent of driving time over the limit, whatever the band (kb 115001947714); its later
# weights differ by band and are not public. Ours rise as fatal crashes do with speed, by its fourth power (Nilsson
# 2004): 1.05, 1.15, 1.25 and 1.35 to the fourth, less one.
SPEEDING_POINTS: Mapping[str, float] = {"light": 0.2, "moderate": 0.75, "heavy": 1.45, "severe": 2.3}

FIRST_CUT = Formula("deductions-1", EVENT_POINTS, SEVERITY_SHARE, SPEEDING_POINTS)
