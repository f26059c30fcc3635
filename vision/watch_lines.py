"""What `rumblestrip watch --format jsonl` prints: one object a line, absent numbers null.

Lines have a ``type``: ``frame``, ``event``, ``error`` (a picture that could not be looked at) and, last, ``summary``.
``time``, ``start`` and ``end`` are seconds after the source's first picture.
"""

from __future__ import annotations

from collections.abc import Mapping

from infra.clock import to_datetime
from infra.contracts.events import JsonObject
from vision.core import signals
from vision.core.seat import Box
from vision.frames import Picture
from vision.posting import Poster
from vision.sources import Source
from vision.watching import Happened, Missed, Seen, Told

NUMBERS = {
    "eye_closed_probability": signals.EYE_CLOSED,
    "eye_closed_probability_left": signals.EYE_CLOSED_LEFT,
    "eye_closed_probability_right": signals.EYE_CLOSED_RIGHT,
    "mouth_open": signals.MOUTH_OPEN,
    "yawn_probability": signals.YAWN,
    "head_yaw": signals.HEAD_YAW,
    "head_pitch": signals.HEAD_PITCH,
    "head_roll": signals.HEAD_ROLL,
    "gaze_yaw": signals.GAZE_YAW,
    "gaze_pitch": signals.GAZE_PITCH,
    "belt_worn_probability": signals.BELT_WORN,
    "phone_probability": signals.PHONE,
    "smoking_probability": signals.SMOKING,
    "drinking_probability": signals.DRINKING,
}
"""Keys of a frame's line, and the signals behind them."""

QUALITY = (signals.LIGHT, signals.CONTRAST, signals.SHARPNESS, signals.OCCLUSION, signals.GLARE)
_DIGITS = 4


class Lines:
    """Lines of one source. Its first picture's time is where seconds are counted from."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._start_us: int | None = None

    def line(self, told: Told) -> JsonObject:
        if isinstance(told, Happened):
            return self._event(told)
        if self._start_us is None:
            self._start_us = told.shot.time_us
        if isinstance(told, Missed):
            where: JsonObject = {"type": "error", "source": self._name(told), "index": told.shot.index}
            return where | {
                "time": self._after(told.shot.time_us),
                "reason": told.why.reason,
                "detail": told.why.detail,
            }
        return self._frame(told)

    def _frame(self, seen: Seen) -> JsonObject:
        look = seen.look
        line: JsonObject = {"type": "frame", "source": self._name(seen), "index": seen.shot.index}
        line |= {"time": self._after(seen.shot.time_us), "time_utc": self._utc(seen.shot.time_us)}
        line |= _places(seen)
        line["quality"] = {name: _round(look.signals.get(name)) for name in QUALITY}
        line["camera_state"] = camera_state(look.signals)
        line |= {key: _round(look.signals.get(name)) for key, name in NUMBERS.items()}
        line |= {"openness": _round(seen.openness), "perclos": _round(seen.perclos)}
        return line | {"baseline_learned": _round(seen.learned), "speed_mps": _round(seen.speed_mps)}

    def _event(self, happened: Happened) -> JsonObject:
        finding = happened.finding
        return {
            "type": "event",
            "source": self._source.name,
            "kind": str(finding.kind),
            "start": self._after(finding.start_us),
            "end": self._after(finding.end_us),
            "start_utc": self._utc(finding.start_us),
            "end_utc": self._utc(finding.end_us),
            "severity": str(finding.severity),
            "confidence": _round(finding.confidence),
            "peak": _round(finding.peak),
            "peak_unit": finding.peak_unit,
            "over": happened.over,
            "evidence": dict(finding.evidence),
        }

    def _name(self, told: Seen | Missed) -> str:
        return told.shot.source

    def _after(self, time_us: int | None) -> float | None:
        return None if time_us is None else round((time_us - (self._start_us or 0)) / 1e6, 6)

    def _utc(self, time_us: int | None) -> str | None:
        return to_datetime(time_us).isoformat() if self._source.since_1970 and time_us is not None else None


def posted_line(poster: Poster) -> JsonObject:
    """What `--post` adds to the last line."""
    tally = poster.tally
    return {
        "observations": tally.rows,
        "batches": tally.batches,
        "sent_before": tally.acknowledged_before,
        "refused": list(tally.refused),
        "rejected_observations": tally.rejected_rows,
        "waiting": poster.waiting,
        "dropped": poster.dropped,
    }


def camera_state(numbers: Mapping[str, float]) -> str | None:
    """ok, or unfit where nobody could be judged by such a picture; None where that was not measured."""
    unfit = numbers.get(signals.CAMERA_UNFIT)
    return None if unfit is None else "unfit" if unfit >= 0.5 else "ok"


def _places(seen: Seen) -> JsonObject:
    """``face_box``: left, top, right, bottom in pixels of the upright picture."""
    picture = seen.shot.picture
    width, height = picture.size if isinstance(picture, Picture) else (0, 0)
    return {
        "width": width,
        "height": height,
        "face_box": _pixels(seen.look.box, width, height) if seen.look.box else None,
        "eye_from": "face" if seen.look.face_found else "picture" if seen.close_up else None,
    }


def _pixels(box: Box, width: int, height: int) -> list[float]:
    sides = (box.left * width, box.top * height, box.right * width, box.bottom * height)
    return [round(side, 1) for side in sides]


def _round(value: float | None) -> float | None:
    return None if value is None else round(float(value), _DIGITS)
