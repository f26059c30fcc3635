"""What fired a crash, a rollover, a swerve, the top speed, long or night driving, in a sentence each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

Numbers = Mapping[str, object]
Written = Callable[[float], str]

EVIDENCE_WORDS = {
    "impact_peak_g": "Highest single sample",
    "speed_lost_in_pulse_mps": "Speed lost within 150 ms",
    "stopped": "Stood still after it",
    "gravity_turned_deg": "Gravity turned by",
    "threshold_deg": "Threshold",
    "heading_turned_deg": "Heading turned at most",
    "heading_net_deg": "Heading turned in the end",
    "top_speed_mps": "The fleet's top speed",
    "fastest_mps": "Fastest",
    "driving_s": "Driven",
    "allowed_s": "Allowed",
    "break_s": "A break lasts at least",
    "short_break_taken": "Short break taken",
    "sun_below_deg": "The sun is lower than",
}


def describe(word: str, peak: float, evidence: Numbers, speed: Written, length: Written) -> str | None:
    """None for a word that is not of these. ``speed`` writes m/s, ``length`` seconds."""
    match word:
        case "crash":
            said = _crash(peak, evidence, speed)
        case "rollover":
            at = _number(evidence, "threshold_deg")
            line = f"; threshold {at:.0f}°" if at else ""
            said = f"Gravity turned by {peak:.0f}° and stayed there{_stop(evidence)}{line}."
        case "swerve":
            at = _number(evidence, "threshold_g")
            line = f"; threshold of this vehicle class {at:.2f} g" if at else ""
            said = f"Swung to one side and back by {peak:.2f} g within 3 s{line}."
        case "max_speed":
            top, seconds = _number(evidence, "top_speed_mps"), _number(evidence, "seconds_over_threshold")
            what = f"the fleet's top speed of {speed(top)}" if top else "the fleet's top speed"
            said = f"Up to {speed(peak)} over {what}{f' for {length(seconds)}' if seconds else ''}."
        case "long_driving":
            allowed, rest = _number(evidence, "allowed_s"), _number(evidence, "break_s")
            line = f"; allowed are {length(allowed)} without {length(rest)} of break" if allowed and rest else ""
            said = f"Drove for {length(peak)} without a full break{line}."
        case "night_driving":
            said = f"Drove for {length(peak)} while it was dark."
        case _:
            return None
    return said


def _crash(peak: float, evidence: Numbers, speed: Written) -> str:
    highest, at = _number(evidence, "impact_peak_g"), _number(evidence, "threshold_g")
    single = f", up to {highest:.1f} g" if highest else ""
    change = _number(evidence, "speed_change_mps")
    lost = f", {speed(-change)} slower after it" if change is not None and change < 0 else ""
    line = f"; threshold {at:.2f} g" if at else ""
    return f"An impact of {peak:.2f} g over 150 ms{single}{lost}{_stop(evidence)}{line}."


def _stop(evidence: Numbers) -> str:
    return ", and the vehicle stood still" if evidence.get("stopped") is True else ""


def _number(evidence: Numbers, name: str) -> float | None:
    value = evidence.get(name)
    return float(cast(float, value)) if isinstance(value, int | float) and not isinstance(value, bool) else None
