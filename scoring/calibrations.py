"""What was made of a recording device, in words and as objects: its axes, its delay, what it filtered away."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from infra.clock import to_datetime
from infra.contracts.events import JsonObject
from infra.contracts.telemetry import ImuFrame
from scoring.core.believed import Believed, How
from scoring.core.health import PULSE_HZ
from scoring.core.survey import Span
from scoring.hindsight import Judged

_LEVEL = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
_UNKNOWN: JsonObject = {"rotation": None, "quality": 0.0, "error_deg": None}
_QUALITY_DEG = 5.0  # an error of this halves the quality
_LATE_S = 0.25
_CONTRADICTED_DEG = 30.0


def calibrations(judged: Judged) -> Iterator[JsonObject]:
    """One for each mounting of the device.

    ``rotation``: rows are the vehicle's forward, left and up in the device's axes; null where it is not known, or
    where the device's axes turn under it.
    """
    believed = judged.believed
    common: JsonObject = {
        "gps_lag_s": believed.lag_s,
        "gravity": believed.gravity,
        "high_pass_s": believed.high_pass_s,
        "remarks": remarks(judged),
    }
    start = judged.drive.manifest.start.isoformat()
    if believed.how is How.DECLARED and judged.health.imu_hz is not None:
        own: JsonObject = {"rotation": _LEVEL, "quality": 1.0, "error_deg": 0.0, "source": "declared"}
        yield own | {"since": start, "until": None} | common
    elif believed.how is How.COURSE:
        yield _unturned(believed.error_deg, "gps course", start) | common
    elif believed.how is How.LEARNED and believed.survey:
        spans = believed.survey.spans
        untils = [_iso(span.start_us) for span in spans[1:]]
        for span, since, until in zip(spans, [start, *untils], [*untils, None], strict=True):
            yield _spanned(span) | {"since": since, "until": until} | common
    else:
        why = "no accelerometer" if judged.health.imu_hz is None else "the drive does not tell"
        yield {
            "rotation": None,
            "quality": 0.0,
            "error_deg": None,
            "source": why,
            "since": None,
            "until": None,
        } | common


def _unturned(error_deg: float | None, source: str, start: str) -> JsonObject:
    known = {"quality": _quality(error_deg), "error_deg": None if error_deg is None else round(error_deg, 2)}
    return {"rotation": None, **known, "source": source, "since": start, "until": None}


def _spanned(span: Span) -> JsonObject:
    if span.fitted is None:
        return {**_UNKNOWN, "source": "the drive does not tell"}
    error_deg = span.fitted.error_deg
    rotation: JsonObject = {"rotation": span.fitted.matrix.tolist(), "quality": _quality(error_deg)}
    return rotation | {"error_deg": round(error_deg, 2), "source": "learned"}


def _quality(error_deg: float | None) -> float:
    return 0.3 if error_deg is None else round(1 / (1 + error_deg / _QUALITY_DEG), 3)


# --- in words ---------------------------------------------------------------------------------------------


def mounting_words(judged: Judged) -> str:
    """How the device sits, in half a sentence."""
    believed, spans = judged.believed, judged.believed.survey.spans if judged.believed.survey else ()
    if judged.health.imu_hz is None:
        return ""
    if believed.how is How.DECLARED:
        return "mounting as declared"
    if believed.how is How.COURSE:
        sure = "within " + f"{believed.error_deg:.1f} degrees" if believed.error_deg else "GPS could not confirm it"
        return f"compass axes, turned by the GPS course, {sure}"
    if believed.how is How.LEARNED:
        known = [span.fitted for span in spans if span.fitted]
        times = "" if len(spans) == 1 else f" {len(known)} times"
        return f"mounting learned{times}, within {max(one.error_deg for one in known):.1f} degrees"
    return "mounting not known: judged by GPS"


def remarks(judged: Judged) -> list[str]:
    """What a reader should know before believing the events, each a sentence."""
    believed = judged.believed
    said = [*_about_frame(judged), *_about_signal(believed), *_about_moves(believed)]
    if judged.health.gps_nowhere:
        said.append(f"{judged.health.gps_nowhere:,} GPS rows have no position; left out.")
    if judged.health.gps_without_speed > judged.health.gps_nowhere:
        said.append("GPS gives no speed in some rows; it was computed from the positions.")
    if judged.health.imu_hz is not None and judged.health.not_judged:
        said.append(
            f"The accelerometer gives {judged.health.imu_hz:g} samples a second: with fewer than {PULSE_HZ:g}, "
            "crashes, near crashes and swerves cannot be judged."
        )
    if judged.gps_held:
        said.append(f"{judged.gps_held:,} GPS rows only repeat the one before; left out.")
    return said


def _about_frame(judged: Judged) -> list[str]:
    believed, frame = judged.believed, judged.drive.manifest.imu_frame
    if judged.health.imu_hz is None:
        if judged.health.gps_hz is None:
            return ["There are too few samples to judge anything."]
        return ["There is no accelerometer: harsh driving was judged by GPS alone, which sees less."]
    if believed.how is How.UNKNOWN:
        why = "GPS and the accelerometer tell too little" if judged.health.gps_hz else "there is no GPS"
        return [f"How the device is mounted could not be learned, as {why}: its accelerations were not judged."]
    if believed.how is How.COURSE and frame is ImuFrame.UNKNOWN:
        return ["The axes are those of the compass, not of the device: recognised by the GPS course."]
    if believed.turned_deg is not None and believed.turned_deg > _CONTRADICTED_DEG:
        return [
            f"The axes are declared to be the vehicle's, but the drive says that forward is {believed.turned_deg:.0f} "
            "degrees off. If the device may sit at any angle, set imu_frame to device."
        ]
    return []


def _about_signal(believed: Believed) -> list[str]:
    said = []
    if believed.lag_s is not None and abs(believed.lag_s) >= _LATE_S:
        word = "late" if believed.lag_s > 0 else "early"
        said.append(f"GPS came {abs(believed.lag_s):.1f} s {word}; put right.")
    if believed.high_pass_s is not None:
        said.append(
            f"The device filters away what lasts longer than {believed.high_pass_s:g} s, such as a long brake; "
            "put back from GPS speed."
        )
    elif believed.gravity is False and believed.how is not How.DECLARED:
        said.append("The device takes gravity out of its signal; what is up was learned from the bends.")
    return said


def _about_moves(believed: Believed) -> list[str]:
    said = []
    spans = believed.survey.spans if believed.survey and believed.how is How.LEARNED else ()
    for before, after in pairwise(spans):
        known = "learned anew" if after.fitted else "not known after that: judged by GPS"
        said.append(f"The device was moved at about {_clock((before.end_us + after.start_us) // 2)}; {known}.")
    seconds = sum(end - start for start, end in believed.handled) / 1e6
    if seconds:
        said.append(f"For {seconds:.0f} s the device was in a hand or being moved: judged by GPS.")
    return said


def _clock(time_us: int) -> str:
    return f"{to_datetime(time_us):%H:%M:%S} UTC"


def _iso(time_us: int) -> str:
    return to_datetime(time_us).isoformat()
