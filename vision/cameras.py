"""Pictures of a camera, with the times at which they came."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from typing import Any

import cv2

from infra.clock import Clock
from vision.frames import Rgb, shrink
from vision.sources import Shot, Source, SourceError

WAITING = 4
"""Pictures of a camera that wait at most; the oldest are dropped first, so that what is told is of now."""


def open_camera(address: str, clock: Clock, fps: float | None) -> Source:
    """A camera by its number or its URL (rtsp, http). Raises SourceError when it cannot be opened."""
    latest = _Latest(_capture(address), clock, fps)
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


def _capture(address: str) -> Any:
    capture = cv2.VideoCapture(int(address) if address.isdigit() else address)
    if not capture.isOpened():
        where = f"no camera with the number {address}" if address.isdigit() else f"{address}: no answer, or no video"
        raise SourceError(f"{where}; is it connected, used by nobody else, and the address right?")
    return capture


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
