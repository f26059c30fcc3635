"""One still and its metadata to a Frame, without decoding a pixel."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from PIL import Image

from infra.contracts.frames import Camera, Frame
from infra.store.registry import Identity
from ingest.core.validate import GPS_RANGES, MISSING_TIME, TimeWindow
from ingest.forms import Unusable, read_times, text, whole
from ingest.problems import Problem

_END_MARKER = b"\xff\xd9"
_SCAN_BEGINS = b"\xff\xda"
_PICTURE_BEGINS = frozenset(
    {_SCAN_BEGINS, *(bytes((0xFF, n)) for n in range(0xC0, 0xD0) if n not in (0xC4, 0xC8, 0xCC))}
)
_MOST_SEGMENTS = 400  # a colour profile may take 255
_MOST_SCANS = 100  # progressive pictures have about 10
_TAIL_BYTES = 1_024  # some cameras pad or append after the end marker
_OTHER_FORMATS = {
    b"\x89PNG": "PNG",
    b"GIF8": "GIF",
    b"RIFF": "WebP",
    b"BM": "BMP",
    b"II*\x00": "TIFF",
    b"MM\x00*": "TIFF",
}


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a still and of its time."""

    most_pixels: int
    window: TimeWindow
    received_us: int


def read_frame(meta: Mapping[str, Any], jpeg: bytes | Problem, identity: Identity, limits: Limits) -> Frame:
    """The frame. Raises Problem 403, 413, 415 or 422, naming the field."""
    place = _place(meta, identity, limits)
    if isinstance(jpeg, Problem):
        raise jpeg
    frame = replace(
        place,
        driver_id=text(meta["driver_id"], "driver_id") if meta.get("driver_id") else None,
        time_us=_time(meta, limits.window),
        speed_mps=_speed(meta.get("speed_mps")),
        belt_switch=_flag(meta.get("belt_buckled"), "belt_buckled"),
        jpeg=jpeg,
    )
    _check_image(jpeg, limits.most_pixels)
    return frame


def stand_in(meta: Mapping[str, Any], identity: Identity, limits: Limits, problem: Problem) -> Frame | None:
    """What travels instead of a frame that was refused, so that its sequence leaves no hole: its place and the
    reason, at the time it came. None where the place itself cannot be read."""
    try:
        return replace(_place(meta, identity, limits), rejected=problem.reason)
    except Problem:
        return None


def _place(meta: Mapping[str, Any], identity: Identity, limits: Limits) -> Frame:
    """A frame of which only its place in the camera's sequence is known."""
    for name in ("vehicle_id", "device_id"):
        if meta.get(name) not in (None, getattr(identity, name)):
            raise Problem(403, "not_yours", f"The token belongs to another {name}.", field=name)
    return Frame(
        vehicle_id=identity.vehicle_id,
        device_id=identity.device_id,
        boot_id=text(meta.get("boot_id"), "boot_id"),
        sequence=whole(_number(meta.get("sequence")), "sequence"),
        driver_id=None,
        camera=_camera(meta.get("camera")),
        time_us=limits.received_us,
        speed_mps=None,
        received_us=limits.received_us,
        jpeg=b"",
    )


def _check_image(jpeg: bytes, most_pixels: int) -> None:
    if not jpeg:
        raise Problem(422, "empty", "The still has no bytes.", field="files")
    if not jpeg.startswith(b"\xff\xd8"):
        name = next((n for magic, n in _OTHER_FORMATS.items() if jpeg.startswith(magic)), "not an image known here")
        raise Problem(415, "not_jpeg", f"The still is {name}: convert it to JPEG.", field="files")
    _check_segments(jpeg)
    width, height = _size(jpeg)
    if width * height > most_pixels:
        detail = f"{width} x {height} pixels; at most {most_pixels} are taken: scale it down."
        raise Problem(413, "too_many_pixels", detail, field="files")
    if _END_MARKER not in jpeg[-_TAIL_BYTES:]:
        raise Problem(422, "truncated", "The JPEG has no end: it was cut off.", field="files")


def _check_segments(jpeg: bytes) -> None:
    """Few segments before the picture, and few scans of it: each costs Pillow more time than its bytes suggest.

    Of 4 MB in the smallest segments it takes seconds to find the size, of as many scans minutes to decode.
    """
    at = 2
    for _ in range(_MOST_SEGMENTS):
        marker = jpeg[at : at + 2]
        if len(marker) < 2 or marker in _PICTURE_BEGINS:
            break
        segment = marker[0] == 0xFF and marker[1] not in (0x00, 0xFF)
        at += 2 + int.from_bytes(jpeg[at + 2 : at + 4]) if segment else 1
    else:
        raise Problem(422, "broken_image", "The JPEG has too many segments before its picture.", field="files")
    if jpeg.count(_SCAN_BEGINS) > _MOST_SCANS:
        raise Problem(422, "broken_image", f"The JPEG has over {_MOST_SCANS} scans.", field="files")


def _size(jpeg: bytes) -> tuple[int, int]:
    """From the header alone: Pillow decodes on demand."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit is lower
            with Image.open(io.BytesIO(jpeg), formats=("JPEG", "MPO")) as image:
                return image.size
    except Image.DecompressionBombError as error:
        raise Problem(413, "too_many_pixels", "The still is far too large: scale it down.", field="files") from error
    except Exception as error:  # Pillow's parsers raise many kinds on broken headers
        raise Problem(422, "broken_image", f"The JPEG's header cannot be read: {error}"[:200], field="files") from error


def _time(meta: Mapping[str, Any], window: TimeWindow) -> int:
    hint = "time_ms is milliseconds since 1970 UTC; time is ISO 8601 with an offset."
    try:
        time_us = int(read_times([_number(meta.get("time_ms", meta.get("time")))])[0])
    except Unusable as error:
        raise Problem(422, "wrong_type", hint, field="time_ms") from error
    if time_us == MISSING_TIME:
        raise Problem(422, "missing_value", hint, field="time_ms")
    if not window.oldest_us <= time_us <= window.newest_us:
        reason = "too_far_ahead" if time_us > window.newest_us else "too_far_behind"
        raise Problem(422, reason, "The still's time is too far from the gateway's.", field="time_ms")
    return time_us


def _camera(value: object) -> Camera:
    try:
        return Camera(str(value))
    except ValueError as error:
        raise Problem(422, "unknown_word", f"camera is one of {', '.join(Camera)}.", field="camera") from error


def _speed(value: object) -> float | None:
    if value in (None, ""):
        return None
    speed = _number(value)
    if isinstance(speed, bool) or not isinstance(speed, int | float) or not math.isfinite(speed):
        raise Problem(422, "wrong_type", "speed_mps is a number.", field="speed_mps")
    if speed < 0:
        return None  # phones say "not known" so
    if speed > GPS_RANGES["speed_mps"].high:
        raise Problem(422, "out_of_range", f"{speed} m/s is no speed of a vehicle.", field="speed_mps")
    return float(speed)


def _flag(value: object, field: str) -> bool | None:
    """True, false, 1, 0 or nothing; a query holds them as texts."""
    words = {"": None, "none": None, "null": None, "true": True, "1": True, "false": False, "0": False}
    word = str("" if value is None else value).lower()
    if word not in words:
        raise Problem(422, "wrong_type", f"{field} is true, false or left out.", field=field)
    return words[word]


def _number(value: object) -> object:
    """A query holds texts only; what reads as a number is one."""
    if not isinstance(value, str) or len(value) > 40:
        return value
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return value
