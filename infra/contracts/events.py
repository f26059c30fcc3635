"""Safety events and trips: what the worker rooms find, the store keeps and people review."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

JsonObject = dict[str, object]

_EVENT_IDS = uuid.UUID("5f1c8f1e-6b1a-5c0e-9a53-0d6f52a1c5b7")
_TRIP_IDS = uuid.UUID("0b0e3a54-1c3f-5f0a-8a39-7a6a3a2f2f11")


class EventKind(StrEnum):
    """The field's words. A kind added here needs its label in dashboard.labels and a weight in scoring."""

    HARSH_BRAKE = "harsh_brake"
    HARSH_ACCELERATION = "harsh_acceleration"
    HARSH_TURN = "harsh_turn"
    NEAR_CRASH = "near_crash"  # a hard onset of braking, an evasive swing, or both
    SWERVE = "swerve"  # out of the lane or around something, and back
    CRASH = "crash"
    ROLLOVER = "rollover"
    SPEEDING = "speeding"
    MAX_SPEED = "max_speed"  # faster than the fleet allows anywhere
    IDLING = "idling"  # standing with the ignition on
    LONG_DRIVING = "long_driving"  # without a break
    NIGHT_DRIVING = "night_driving"  # exposure, no manoeuvre
    MICROSLEEP = "microsleep"  # eyes closed 1 to 3 s
    SLEEP = "sleep"  # 3 to 6 s
    UNRESPONSIVE = "unresponsive"  # 6 s and more
    DROWSINESS = "drowsiness"  # PERCLOS over its threshold, or several signs at once
    YAWNING = "yawning"  # several within minutes
    HEAD_NOD = "head_nod"
    DISTRACTION = "distraction"  # eyes off the road
    PHONE_USE = "phone_use"
    SMOKING = "smoking"
    DRINKING = "drinking"
    NO_SEAT_BELT = "no_seat_belt"
    CAMERA_OBSTRUCTED = "camera_obstructed"  # covered, turned away or unfit to judge by


STILL_KINDS = frozenset({EventKind.NO_SEAT_BELT, EventKind.CAMERA_OBSTRUCTED})
"""What lasts and does not move: a still says it all."""

CLIP_KINDS = frozenset(EventKind) - STILL_KINDS - {
    EventKind.SPEEDING,
    EventKind.MAX_SPEED,
    EventKind.IDLING,
    EventKind.LONG_DRIVING,
    EventKind.NIGHT_DRIVING,
}  # fmt: skip
"""What is seen in motion: a clip is kept where a camera saw it, whichever room found it."""


class Severity(StrEnum):
    LOW = "low"
    MODERATE = "moderate"
    HIGH = "high"
    CRITICAL = "critical"


class ReviewState(StrEnum):
    """Where an event stands on the desk. Samsara's words, which our users' integrations speak."""

    NEEDS_REVIEW = "needs_review"
    REVIEWED = "reviewed"
    NEEDS_COACHING = "needs_coaching"
    COACHED = "coached"
    DISMISSED = "dismissed"
    NEEDS_RECOGNITION = "needs_recognition"
    RECOGNIZED = "recognized"


SCORED_STATES = frozenset(
    {ReviewState.NEEDS_REVIEW, ReviewState.REVIEWED, ReviewState.NEEDS_COACHING, ReviewState.COACHED}
)
"""An event in another state does not count against the driver (as at Samsara)."""

RECOGNISED_STATES = frozenset({ReviewState.NEEDS_RECOGNITION, ReviewState.RECOGNIZED})
"""What was flagged was good driving."""


class MediaKind(StrEnum):
    STILL = "still"
    CLIP = "clip"


@dataclass(frozen=True, slots=True)
class Media:
    """A still or a clip: named by a path inside the media store.

    ``shows_driver``: the driver's face can be seen in it; in all others every face is blurred, as passengers' are
    in both.
    """

    kind: MediaKind
    path: str
    time_us: int
    content: bytes = field(repr=False)
    shows_driver: bool = False


@dataclass(frozen=True, slots=True)
class SafetyEvent:
    """One thing that happened. ``evidence`` says what fired it, in numbers with units in their names."""

    event_id: uuid.UUID
    vehicle_id: str
    driver_id: str | None
    kind: EventKind
    severity: Severity
    start_us: int
    end_us: int
    lat: float | None
    lon: float | None
    speed_mps: float | None  # at the start
    peak: float  # g for harsh and near crash, m/s over the limit for speeding, s of closed eyes, share for PERCLOS
    peak_unit: str
    confidence: float  # 0..1
    rules_version: str
    evidence: Mapping[str, object] = field(default_factory=dict)
    media: Sequence[Media] = field(default=())


@dataclass(frozen=True, slots=True)
class Trace:
    """Raw IMU around an event: Arrow IPC bytes of the columns of ImuSamples, from start - 10 s to end + 10 s."""

    event_id: uuid.UUID
    samples: bytes = field(repr=False)


class TripStatus(StrEnum):
    OPEN = "open"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Trip:
    """A drive between two rests, with its exposure. Written again with the same id while it is open."""

    trip_id: uuid.UUID
    vehicle_id: str
    driver_id: str | None
    status: TripStatus
    start_us: int
    end_us: int
    distance_m: float
    driving_s: float  # time at 5 mph and more
    limit_known_s: float  # of driving_s, the part with a posted limit
    over_light_s: float  # over the limit by up to 10 %
    over_moderate_s: float  # 10 to 20 %
    over_heavy_s: float  # 20 to 30 %
    over_severe_s: float  # more
    max_speed_mps: float
    start_lat: float | None
    start_lon: float | None
    end_lat: float | None
    end_lon: float | None
    rules_version: str


def event_id(rules_version: str, vehicle_id: str, kind: EventKind, start_us: int) -> uuid.UUID:
    """Derived, never random: the same drive judged twice by the same rules gives the same events."""
    return uuid.uuid5(_EVENT_IDS, f"{rules_version}|{vehicle_id}|{kind}|{start_us}")


def trip_id(rules_version: str, vehicle_id: str, start_us: int) -> uuid.UUID:
    return uuid.uuid5(_TRIP_IDS, f"{rules_version}|{vehicle_id}|{start_us}")
