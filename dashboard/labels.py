"""What people read: words for kinds and states, numbers with units, times in the fleet's zone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal, cast
from zoneinfo import ZoneInfo

from dashboard import cab_words, road_words
from dashboard.core.review import CONTESTED, Action, DismissalReason, Role
from infra.contracts.events import EventKind, ReviewState, Severity

KMH, MPH = 3.6, 1 / 0.44704
MILE_M = 1609.344
Numbers = Mapping[str, object]

KINDS = {
    EventKind.HARSH_BRAKE: "Harsh braking",
    EventKind.HARSH_ACCELERATION: "Harsh acceleration",
    EventKind.HARSH_TURN: "Harsh turn",
    EventKind.NEAR_CRASH: "Near crash",
    EventKind.SWERVE: "Swerve",
    EventKind.CRASH: "Crash",
    EventKind.ROLLOVER: "Rollover",
    EventKind.SPEEDING: "Speeding",
    EventKind.MAX_SPEED: "Over the fleet's top speed",
    EventKind.IDLING: "Idling",
    EventKind.LONG_DRIVING: "Long driving without a break",
    EventKind.NIGHT_DRIVING: "Night driving",
    EventKind.MICROSLEEP: "Microsleep",
    EventKind.SLEEP: "Eyes closed, asleep",
    EventKind.UNRESPONSIVE: "Driver unresponsive",
    EventKind.DROWSINESS: "Drowsiness",
    EventKind.YAWNING: "Yawning",
    EventKind.HEAD_NOD: "Head nod",
    EventKind.DISTRACTION: "Distraction",
    EventKind.PHONE_USE: "Phone in hand",
    EventKind.SMOKING: "Smoking",
    EventKind.DRINKING: "Eating or drinking",
    EventKind.NO_SEAT_BELT: "No seat belt",
    EventKind.CAMERA_OBSTRUCTED: "Camera obstructed",
}
KIND_ICONS = {  # names of Material symbols, which Streamlit brings along
    EventKind.HARSH_BRAKE: "front_hand",
    EventKind.HARSH_ACCELERATION: "bolt",
    EventKind.HARSH_TURN: "turn_sharp_right",
    EventKind.NEAR_CRASH: "car_crash",
    EventKind.SWERVE: "alt_route",
    EventKind.CRASH: "minor_crash",
    EventKind.ROLLOVER: "screen_rotation",
    EventKind.SPEEDING: "speed",
    EventKind.MAX_SPEED: "shutter_speed",
    EventKind.IDLING: "hourglass_top",
    EventKind.LONG_DRIVING: "schedule",
    EventKind.NIGHT_DRIVING: "dark_mode",
    EventKind.MICROSLEEP: "visibility_off",
    EventKind.SLEEP: "bedtime",
    EventKind.UNRESPONSIVE: "emergency_home",
    EventKind.DROWSINESS: "airline_seat_recline_extra",
    EventKind.YAWNING: "sentiment_stressed",
    EventKind.HEAD_NOD: "keyboard_double_arrow_down",
    EventKind.DISTRACTION: "directions_off",
    EventKind.PHONE_USE: "smartphone",
    EventKind.SMOKING: "smoking_rooms",
    EventKind.DRINKING: "local_cafe",
    EventKind.NO_SEAT_BELT: "airline_seat_recline_normal",
    EventKind.CAMERA_OBSTRUCTED: "no_photography",
}
SEVERITIES = {
    Severity.CRITICAL: "Critical",
    Severity.HIGH: "High",
    Severity.MODERATE: "Moderate",
    Severity.LOW: "Low",
}
STATES = {
    ReviewState.NEEDS_REVIEW: "To review",
    ReviewState.REVIEWED: "Reviewed",
    ReviewState.NEEDS_COACHING: "Needs coaching",
    ReviewState.COACHED: "Coached",
    ReviewState.DISMISSED: "Dismissed",
    ReviewState.NEEDS_RECOGNITION: "To recognise",
    ReviewState.RECOGNIZED: "Recognised",
}
ACTIONS = {
    Action.MARK_REVIEWED: "Mark reviewed",
    Action.NEEDS_COACHING: "Needs coaching",
    Action.COACHED: "Mark coached",
    Action.DISMISS: "Dismiss",
    Action.RECOGNISE: "Recognise",
    Action.RECOGNISED: "Mark recognised",
    Action.REOPEN: "Reopen",
    Action.COMMENT: "Comment",
    Action.CONTEST: "Contest",
}
REASONS = {
    DismissalReason.INCORRECT: "Incorrect: it did not happen like this",
    DismissalReason.MINOR_EVENT: "Minor: it happened and does not matter",
    DismissalReason.OTHER: "Other: say why",
}
ROLES = {Role.MANAGER: "Manager", Role.COACH: "Coach", Role.DRIVER: "Driver"}
AXES = {EventKind.HARSH_TURN: "y"}  # of the vehicle, ISO 8855; x for every other kind

UNKNOWN = "unknown"
NOBODY = "Unknown driver"


@dataclass(frozen=True, slots=True)
class Words:
    """Formats for one fleet: its units and its time zone."""

    units: Literal["metric", "imperial"]
    zone: ZoneInfo

    # --- numbers ---

    @property
    def speed_unit(self) -> str:
        return "km/h" if self.units == "metric" else "mph"

    @property
    def distance_unit(self) -> str:
        return "km" if self.units == "metric" else "mi"

    @property
    def speed_factor(self) -> float:
        """From m/s."""
        return KMH if self.units == "metric" else MPH

    @property
    def distance_factor(self) -> float:
        """From m."""
        return 1 / 1000 if self.units == "metric" else 1 / MILE_M

    def speed(self, speed_mps: float | None) -> str:
        return UNKNOWN if speed_mps is None else f"{speed_mps * self.speed_factor:.0f} {self.speed_unit}"

    def distance(self, distance_m: float | None) -> str:
        if distance_m is None:
            return UNKNOWN
        value = distance_m * self.distance_factor
        return f"{value:,.0f} {self.distance_unit}" if value >= 100 else f"{value:.1f} {self.distance_unit}"

    def per_distance(self, count: float, distance_m: float) -> float | None:
        """Per 100 km, or per 100 miles; None where nothing was driven."""
        return count / (distance_m * self.distance_factor) * 100 if distance_m > 0 else None

    def peak(self, peak: float, unit: str) -> str:
        """The figure that an event stands out by."""
        match unit:
            case "m/s":
                return f"{peak * self.speed_factor:.0f} {self.speed_unit} over"
            case "share":
                return f"{100 * peak:.0f} % of a minute"
            case "s":
                return f"{peak:.1f} s"
            case "yawns":
                return f"{peak:.0f} yawns"
            case _:
                return f"{peak:.2f} {unit}"

    # --- times ---

    def local(self, when: datetime) -> datetime:
        return when.astimezone(self.zone)

    def time(self, when: datetime) -> str:
        """`Mon 27 May 2019, 15:04:09 CDT`"""
        return self.local(when).strftime("%a %-d %b %Y, %H:%M:%S %Z")

    def short_time(self, when: datetime, now: datetime) -> str:
        """`today 15:04 CDT`, `yesterday 15:04 CDT`, `Mon 27 May, 15:04 CDT`, with the year where it is another."""
        local, today = self.local(when), self.local(now).date()
        clock = local.strftime("%H:%M %Z")
        if local.date() == today:
            return f"today {clock}"
        if local.date() == today - timedelta(days=1):
            return f"yesterday {clock}"
        year = "" if local.year == today.year else f" {local.year}"
        return f"{local.strftime('%a %-d %b')}{year}, {clock}"

    def ago(self, when: datetime | None, now: datetime) -> str:
        if when is None:
            return "never"
        minutes = (now - when).total_seconds() / 60
        for limit, size, word in ((60, 1, "min"), (48 * 60, 60, "h"), (60 * 24 * 60, 24 * 60, "days")):
            if minutes < limit:
                return f"{max(minutes, 0) / size:.0f} {word} ago"
        return self.local(when).strftime("%-d %b %Y")


def day(value: date) -> str:
    return value.strftime("%a %-d %b %Y")


def length(seconds: float) -> str:
    """`45 s`, `12 min`, `3 h 05 min`"""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def percent(share: float | None) -> str:
    if share is None:
        return UNKNOWN
    return f"{100 * share:.1f} %" if 0 < share < 0.1 else f"{100 * share:.0f} %"


def kind(word: str) -> str:
    """The label of a kind; of one that this version does not know, its own word."""
    return KINDS[EventKind(word)] if word in set(EventKind) else word.replace("_", " ").capitalize()


def icon(word: str) -> str:
    return KIND_ICONS[EventKind(word)] if word in set(EventKind) else "warning"


def severity(word: str) -> str:
    return SEVERITIES[Severity(word)] if word in set(Severity) else word.capitalize()


def reason(word: str | None) -> str:
    if word is None:
        return ""
    if word == CONTESTED:
        return "contested"
    return word.replace("_", " ")


# --- what fired an event, in a sentence -------------------------------------------------------------------


def summary(word: str, peak: float, unit: str, evidence: Numbers, words: Words) -> str:
    """One sentence: what happened and by how much, and against which threshold."""
    match word:
        case "harsh_brake" | "harsh_acceleration" | "harsh_turn" | "near_crash":
            return _near_crash(peak, evidence) if word == "near_crash" else _harsh(word, peak, evidence)
        case "speeding":
            band = evidence.get("band", UNKNOWN)
            at_least = _number(evidence, "seconds_in_band_or_higher")
            which = "posted limit from OpenStreetMap, matched" if "limit_confidence" in evidence else "posted limit"
            over = f"Up to {words.peak(peak, unit)} the {which}"
            return f"{over}; {length(at_least)} in the band “{band}” or above it." if at_least else f"{over}."
        case "crash" | "rollover" | "swerve" | "max_speed" | "long_driving" | "night_driving":
            told = road_words.describe(word, peak, evidence, words.speed, length)
            return told or f"{kind(word)}."
        case "idling":
            return f"Stood for {length(peak)} with the ignition on."
        case "microsleep" | "sleep" | "unresponsive":
            frames = _number(evidence, "frames_shut")
            seen = f", seen on {frames:.0f} frames" if frames else ""
            return f"Eyes closed for {peak:.1f} s{seen}."
        case _:
            return cab_words.describe(word, peak, evidence) or f"{kind(word)}: {words.peak(peak, unit)}."


def _harsh(word: str, peak: float, evidence: Numbers) -> str:
    direction = f" to the {evidence['direction']}" if "direction" in evidence else ""
    verb = {
        "harsh_brake": "Braked at",
        "harsh_acceleration": "Accelerated at",
        "harsh_turn": f"Turned{direction} at",
    }[word]
    seconds = _number(evidence, "seconds_over_threshold") or _number(evidence, "seconds")
    threshold = _number(evidence, "threshold_g")
    lasted = f" for {seconds:.1f} s" if seconds else ""
    over = f"; threshold of this vehicle class {threshold:.2f} g (Geotab)" if threshold else ""
    if threshold and evidence.get("source") == "gps":
        over = f"; threshold {threshold:.2f} g (Geotab's, scaled to what GPS shows)"
    return f"{verb} {peak:.2f} g{lasted}{over}."


def _near_crash(peak: float, evidence: Numbers) -> str:
    brake, swing = _number(evidence, "brake_g") or 0.0, _number(evidence, "swing_g") or 0.0
    said = f"Braked at up to {max(brake, 0):.2f} g"
    if swing > 0.05:
        said += f" and swerved there and back by {swing:.2f} g"
    threshold = _number(evidence, "threshold_g")
    over = f"; threshold {threshold:.2f} g" if threshold else ""
    return f"{said}: evidence of {peak:.2f} g{over}."


EVIDENCE_WORDS = {
    "source": "Measured by",
    "threshold_g": "Threshold",
    "seconds_over_threshold": "Time over the threshold",
    "seconds": "Whole event",
    "seconds_at_least": "Counted from",
    "direction": "Direction",
    "speed_change_mps": "Change of GPS speed",
    "gps_support": "Support by GPS",
    "yaw_g": "Expected from speed and turning rate",
    "accelerometer_point_g": "Largest accelerometer sample",
    "labels": "Seen in it",
    "context": "Around it",
    "near_crash_evidence_g": "Evidence of a near crash",
    "evidence_g": "Evidence of a near crash",
    "brake_g": "Highest braking",
    "onset_g": "Rise of braking within 2 s",
    "swing_g": "Swing to one side and back",
    "slowed_mps": "Speed lost, by the accelerometer",
    "band": "Band",
    "seconds_in_band_or_higher": "Time in this band or above",
    "peak_over_limit_percent": "Most over the limit",
    "over_light_s": "0 to 10 % over",
    "over_moderate_s": "10 to 20 % over",
    "over_heavy_s": "20 to 30 % over",
    "over_severe_s": "More than 30 % over",
    "eyes_shut_s": "Eyes closed",
    "frames_shut": "Frames with eyes closed",
    "mean_openness": "Mean openness of the eyes (1: this driver's usual)",
    "perclos_peak": "PERCLOS, highest",
    "window_s": "Measured over",
    "caution_at": "Caution from",
    "drowsy_at": "Drowsy from",
    "perclos": "PERCLOS",
    **road_words.EVIDENCE_WORDS,
    **cab_words.EVIDENCE,
}
_LISTS = {"labels", "context"}
_SHARES = {"perclos_peak", "caution_at", "drowsy_at", "perclos"} | cab_words.SHARES


def evidence_rows(evidence: Numbers, words: Words) -> list[tuple[str, str]]:
    """Every number of the evidence, named in words and with its unit."""
    order = list(EVIDENCE_WORDS)
    names = sorted(evidence, key=lambda name: order.index(name) if name in order else len(order))
    return [
        (EVIDENCE_WORDS.get(name, name.replace("_", " ").capitalize()), _with_unit(name, evidence[name], words))
        for name in names
    ]


def _with_unit(name: str, value: object, words: Words) -> str:
    if name in _LISTS and isinstance(value, list):
        return ", ".join(kind(str(word)) for word in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, int | float):
        return str(value)
    formats = (
        (name in _SHARES, percent(value)),
        (name in ("top_speed_mps", "fastest_mps"), words.speed(value)),
        (name.endswith("_mps"), f"{value * words.speed_factor:+.0f} {words.speed_unit}"),
        (name.endswith("_percent"), f"{value:.0f} %"),
        (name.endswith("_g"), f"{value:.2f} g"),
        (name.endswith("_deg"), f"{value:.0f}°"),
        (name.endswith("_s") and value >= 600, length(value)),
        (name.endswith("_s") or name.startswith("seconds"), f"{value:.1f} s"),
        (True, f"{value:g}"),
    )
    return next(written for fits, written in formats if fits)


def _number(evidence: Numbers, name: str) -> float | None:
    value = evidence.get(name)
    return float(cast(float, value)) if isinstance(value, int | float) and not isinstance(value, bool) else None
