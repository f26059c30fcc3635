"""Sentences about what the driver's camera saw: what happened, for how long, and against which rule."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

Numbers = Mapping[str, object]
Sentence = Callable[[float, Numbers], str]

SIGNS = {"yawns": "yawn", "nods": "nod", "microsleeps": "microsleep", "long_blinks": "long blink"}
REASONS = {
    "unfit": "The picture was covered, black or blinded",
    "nobody": "No driver was to be seen while driving",
    "frozen": "The camera sent the same picture again and again",
}
EVIDENCE = {
    "level": "Drowsiness level (event from 2)",
    "yawns": "Yawns",
    "nods": "Nods",
    "microsleeps": "Microsleeps",
    "long_blinks": "Long blinks",
    "longest_yawn_s": "Longest yawn",
    "head_down_s": "Head down",
    "lowest_pitch_deg": "Lowest, against the usual pose (degrees)",
    "eyes_closing": "Eyes closing when it began",
    "frames": "Frames",
    "way": "How",
    "eyes_off_road_s": "Eyes off the road",
    "farthest_yaw_deg": "Farthest aside, against the usual pose (degrees)",
    "mean_probability": "Mean probability",
    "looks": "Looks",
    "unbelted_s": "Driven without a belt",
    "grace_s": "Told after",
    "belt_switch": "The vehicle's belt switch",
    "seen_by": "Told by",
    "reason": "Why",
    "blind_s": "Nobody could be judged for",
}
SHARES = frozenset({"mean_probability"})


def describe(word: str, peak: float, evidence: Numbers) -> str | None:
    """One sentence; None for a kind that is not of the cab."""
    sentence = _SENTENCES.get(word)
    return sentence(peak, evidence) if sentence else None


def _drowsiness(peak: float, evidence: Numbers) -> str:
    level, at = _number(evidence, "level"), _number(evidence, "drowsy_at")
    if level is None:  # of the rules before there was one
        line = f"; drowsy from {100 * at:.0f} %" if at else ""
        return f"Eyes at least 80 % closed for {100 * peak:.0f} % of a minute (PERCLOS){line}."
    signs = [f"eyes at least 80 % closed for {100 * peak:.0f} % of a minute (PERCLOS)"] if peak else []
    counts = ((name, int(_number(evidence, key) or 0)) for key, name in SIGNS.items())
    signs += [f"{count} {name}{'' if count == 1 else 's'}" for name, count in counts if count]
    return f"Drowsiness level {level:.0f}: {', '.join(signs)}."


def _yawning(peak: float, evidence: Numbers) -> str:
    minutes = (_number(evidence, "window_s") or 600) / 60
    return f"Yawned {peak:.0f} times within {minutes:.0f} min."


def _nod(peak: float, evidence: Numbers) -> str:
    lowest = _number(evidence, "lowest_pitch_deg")
    down = f", {-lowest:.0f}° below the usual pose" if lowest is not None else ""
    eyes = "while the eyes were closing" if evidence.get("eyes_closing") else "for longer than 1.25 s"
    return f"Head down for {peak:.1f} s{down}, {eyes}."


def _distraction(peak: float, evidence: Numbers) -> str:
    way = evidence.get("way")
    if way == "repeated":
        return f"Looked away again and again: {peak:.1f} s within 30 s (Euro NCAP: from 10 s)."
    where = " down" if way == "down" else ""
    return f"Looked{where} away from the road for {peak:.1f} s (Euro NCAP: from 3 s)."


def _in_hand(what: str) -> Sentence:
    def sentence(peak: float, evidence: Numbers) -> str:
        looks, sure = _number(evidence, "looks"), _number(evidence, "mean_probability")
        seen = f", seen on {looks:.0f} looks" if looks else ""
        return f"{what} for {peak:.1f} s{seen}{f', {100 * sure:.0f} % sure' if sure else ''}."

    return sentence


def _belt(peak: float, evidence: Numbers) -> str:
    switch = {
        "buckled": "; the vehicle's switch says buckled: the belt may be behind the back",
        "unbuckled": "; the vehicle's switch says so too",
    }
    by_switch = evidence.get("seen_by") == "belt switch"
    said = "; told by the vehicle's switch alone" if by_switch else switch.get(str(evidence.get("belt_switch")), "")
    return f"Drove for {peak:.0f} s without a seat belt{said}."


def _camera(peak: float, evidence: Numbers) -> str:
    why = REASONS.get(str(evidence.get("reason")), "Nobody could be judged by the picture")
    return f"{why}, for {peak:.0f} s."


def _number(evidence: Numbers, name: str) -> float | None:
    value = evidence.get(name)
    return float(cast(float, value)) if isinstance(value, int | float) and not isinstance(value, bool) else None


_SENTENCES: Mapping[str, Sentence] = {
    "drowsiness": _drowsiness,
    "yawning": _yawning,
    "head_nod": _nod,
    "distraction": _distraction,
    "phone_use": _in_hand("A phone in the hand"),
    "smoking": _in_hand("A cigarette"),
    "drinking": _in_hand("Ate or drank"),
    "no_seat_belt": _belt,
    "camera_obstructed": _camera,
}
