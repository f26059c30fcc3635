"""Pictures of a video file or of a camera, with their times."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2

from infra.clock import Clock
from vision.frames import Rgb, shrink
from vision.sources import Shot, Source, SourceError, Unreadable

WAITING = 4
"""Pictures of a camera that wait at most; the oldest are dropped first, so that what is told is of now."""

_EARLY = 0.98
"""Containers count a frame or two too many; a video that ends before this share of its frames is cut short."""


def open_video(path: Path, fps: float | None) -> Source:
    """A video file, at most ``fps`` pictures a second of it, with the times of its container, turned as it says.

    Raises:
        SourceError: not a video that this machine decodes.
    """
    capture = _capture(str(path))
    count, rate_hz = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), float(capture.get(cv2.CAP_PROP_FPS))
    capture.release()
    rate_hz = rate_hz if 0.1 <= rate_hz <= 1000 else 25.0
    kept_hz = min(rate_hz, fps or rate_hz)
    kept = max(1, round(count * kept_hz / rate_hz)) if count > 0 else None
    return Source(path.name, "video", lambda: _read_video(path, count, rate_hz, kept_hz), kept, kept_hz, "the video")


def open_camera(address: str, clock: Clock, fps: float | None) -> Source:
    """A camera by its number or its URL (rtsp, http). Raises SourceError when it cannot be opened."""
    latest = _Latest(_capture(int(address) if address.isdigit() else address), clock, fps)
    return Source(
        address,
        "camera",
        lambda: _read_camera(address, latest),
        rate_hz=fps,
        clock="now",
        since_1970=True,
        live=True,
        dropped=lambda: latest.dropped,
    )


def _capture(address: str | int) -> Any:
    capture = cv2.VideoCapture(address)
    if not capture.isOpened():
        raise SourceError(
            f"{address}: cannot be opened or decoded; try mp4 (H.264) or avi (MJPEG), or the camera's URL"
        )
    return capture


def _read_video(path: Path, count: int, rate_hz: float, kept_hz: float) -> Iterator[Shot]:
    capture = _capture(str(path))
    number, kept, due_us, last_us = 0, 0, 0.0, -1
    try:
        while capture.grab():
            at_us = _time_us(capture, number, rate_hz, last_us)
            number, last_us = number + 1, at_us
            if at_us + 5e5 / rate_hz < due_us:  # half a frame early is in time
                continue
            due_us = max(due_us + 1e6 / kept_hz, at_us - 1e6 / kept_hz)
            yield _shot(path.name, kept, at_us, capture)
            kept += 1
        if number < int(count * _EARLY):
            early = Unreadable("video_ends_early", f"after {number} of {count} frames: cut short or damaged")
            yield Shot(path.name, kept, max(last_us, 0), early)
    finally:
        capture.release()


def _time_us(capture: Any, number: int, rate_hz: float, last_us: int) -> int:
    """The container's time of the frame just taken; by its number where that does not move on."""
    told_us = round(capture.get(cv2.CAP_PROP_POS_MSEC) * 1000)
    return told_us if told_us > last_us else max(round(number * 1e6 / rate_hz), last_us + 1)


def _shot(name: str, index: int, at_us: int, capture: Any) -> Shot:
    whole, bgr = capture.retrieve()
    if not whole or bgr is None:
        return Shot(name, index, at_us, Unreadable("frame_broken", "the decoder gave no picture"))
    return Shot(name, index, at_us, shrink(_rgb(bgr)))


def _rgb(bgr: Any) -> Rgb:
    rgb: Rgb = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
    return rgb


class _Latest:
    """A camera read on a thread of its own: whoever asks gets the oldest of the last few pictures."""

    def __init__(self, capture: Any, clock: Clock, fps: float | None) -> None:
        self._capture, self._clock, self._step_us = capture, clock, 1e6 / fps if fps else 0.0
        self._waiting: deque[tuple[int, Rgb]] = deque(maxlen=WAITING)
        self._news = threading.Condition()
        self._over = False
        self.dropped = 0
        self._thread = threading.Thread(target=self._read, name="camera", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def take(self) -> tuple[int, Rgb] | None:
        """The next picture with its time; None when the camera gives no more."""
        with self._news:
            self._news.wait_for(lambda: self._waiting or self._over)
            return self._waiting.popleft() if self._waiting else None

    def stop(self) -> None:
        self._over = True
        self._thread.join(timeout=5)
        self._capture.release()

    def _read(self) -> None:
        due_us = 0.0
        while not self._over and self._capture.grab():
            at_us = self._clock.now_us()
            if at_us < due_us:
                continue
            due_us = max(due_us + self._step_us, at_us)
            whole, bgr = self._capture.retrieve()
            if whole:
                self._put(at_us, _rgb(bgr))
        with self._news:
            self._over = True
            self._news.notify()

    def _put(self, at_us: int, rgb: Rgb) -> None:
        with self._news:
            self.dropped += len(self._waiting) == WAITING
            self._waiting.append((at_us, rgb))
            self._news.notify()


def _read_camera(address: str, latest: _Latest) -> Iterator[Shot]:
    index = 0
    latest.start()
    try:
        while (taken := latest.take()) is not None:
            yield Shot(address, index, taken[0], shrink(taken[1]))
            index += 1
    finally:
        latest.stop()
