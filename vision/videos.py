"""Pictures of a video file, with the times of its container."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any

import av
import cv2
import numpy as np

from vision.frames import Picture, Rgb, shrink
from vision.sources import Shot, Source, SourceError, Unreadable

_EARLY = 0.98
"""Durations are a frame or two too long; a video that ends before this share of its own is cut short."""

_USUAL_HZ = 25.0
_TURNS = {90: cv2.ROTATE_90_COUNTERCLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_CLOCKWISE}


def open_video(path: str, fps: float | None) -> Source:
    """A video file or its URL, turned as it says; every picture of it, or at most ``fps`` a second.

    Raises:
        SourceError: not a video that this machine decodes.
    """
    with _opened(path) as container:
        stream = container.streams.video[0]
        rate_hz, whole_s = _rate(stream), _duration_s(container, stream)
        start_s = float((stream.start_time or 0) * stream.time_base)
        count = stream.frames or (round((whole_s - start_s) * rate_hz) if whole_s else None)
    kept_hz = rate_hz if fps is None else min(rate_hz, fps)
    kept = max(1, round(count * kept_hz / rate_hz)) if count else None
    return Source(path, "video", lambda: _read_video(path, fps), kept, kept_hz, "the video")


def is_finite(address: str) -> bool:
    """Whether a URL is that of a file, which has a length, and of no camera."""
    with suppress(SourceError), _opened(address) as container:
        return container.duration is not None
    return False


def _opened(path: str) -> Any:
    try:
        container = av.open(path)
    except (av.FFmpegError, OSError) as error:
        raise SourceError(
            f"{path}: no video that can be decoded ({error.strerror or type(error).__name__}): empty, of another kind, "
            "or an mp4 that lost its end; try mp4 (H.264) or avi (MJPEG)"
        ) from error
    if not container.streams.video:
        container.close()
        raise SourceError(f"{path}: no pictures in it, only sound or text")
    return container


def _read_video(path: str, fps: float | None) -> Iterator[Shot]:
    with _opened(path) as container:
        stream = container.streams.video[0]
        rate_hz, whole_s = _rate(stream), _duration_s(container, stream)
        number, kept, due_us, last_us = 0, 0, 0.0, -1
        for frame in _decode(container, stream):
            if frame is None:
                yield Shot(path, kept, max(last_us, 0), Unreadable("frame_broken", "damaged in the file"))
                kept += 1
                continue
            at_us = _time_us(frame, number, rate_hz, last_us)
            number, last_us = number + 1, at_us
            if fps and at_us + 5e5 / rate_hz < due_us:  # half a frame early is in time
                continue
            due_us = max(due_us + 1e6 / fps, at_us - 1e6 / fps) if fps else 0.0
            yield Shot(path, kept, at_us, _picture(frame))
            kept += 1
        seen_s = last_us / 1e6 + 1 / rate_hz
        if whole_s and seen_s < whole_s * _EARLY:
            early = Unreadable("video_ends_early", f"after {seen_s:.1f} of {whole_s:.1f} s: cut short or damaged")
            yield Shot(path, kept, max(last_us, 0), early)


def _decode(container: Any, stream: Any) -> Iterator[Any]:
    """Its frames; None for each that cannot be decoded. Ends where the container cannot be read on."""
    with suppress(av.FFmpegError):
        for packet in container.demux(stream):
            try:
                yield from packet.decode()
            except av.FFmpegError:
                yield None


def _rate(stream: Any) -> float:
    """Pictures a second, of uneven ones the mean."""
    rate = float(stream.average_rate or stream.guessed_rate or _USUAL_HZ)
    return rate if 0.1 <= rate <= 1000 else _USUAL_HZ


def _duration_s(container: Any, stream: Any) -> float | None:
    """When the last picture ends, by what the file says; None where it does not."""
    if stream.duration is not None:
        return float((stream.duration + (stream.start_time or 0)) * stream.time_base)
    with suppress(ValueError, KeyError):  # Matroska keeps a text: 00:00:14.300000000
        hours, minutes, seconds = stream.metadata["DURATION"].split(":")
        return timedelta(hours=int(hours), minutes=int(minutes), seconds=float(seconds)).total_seconds()
    return None if container.duration is None else container.duration / av.time_base


def _time_us(frame: Any, number: int, rate_hz: float, last_us: int) -> int:
    """The container's time; by its number where that is not there or does not move on."""
    told_us = -1 if frame.time is None else round(frame.time * 1e6)
    return told_us if told_us > last_us else max(round(number * 1e6 / rate_hz), last_us + 1)


def _picture(frame: Any) -> Picture:
    rgb: Rgb = frame.to_ndarray(format="rgb24")
    turn = _TURNS.get(round(frame.rotation) % 360)
    return shrink(rgb if turn is None else np.asarray(cv2.rotate(rgb, turn), np.uint8))
