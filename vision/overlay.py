"""The overlay video of `rumblestrip watch`: pictures with what was seen on them. H.264 in MP4, at their own times."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import cv2
import numpy as np

from vision.core import signals
from vision.frames import Picture, Rgb
from vision.sources import Shot
from vision.watch_lines import camera_state
from vision.watch_page import clock_after
from vision.watch_summary import eyes_in_words
from vision.watching import Happened, Missed, Seen, Told

STILL_US = 1_000_000
"""How long a picture without a time is shown."""

BANNER_US = 4_000_000
"""How long an event is named, from the picture that fired it."""

_CLOCK = Fraction(1, 90_000)
_QUALITY = {"preset": "veryfast", "crf": "23"}
_MOST_PX, _LEAST_PX = 1280, 480  # of the longer side: smaller pictures are enlarged, so that the words can be read
_WHITE, _GREEN, _AMBER, _RED, _DARK = (240, 240, 240), (60, 200, 90), (250, 180, 40), (235, 60, 50), (20, 20, 20)
_BARS = {
    "eyes shut": (signals.EYE_CLOSED, _RED),
    "yawn": (signals.YAWN, _AMBER),
    "belt": (signals.BELT_WORN, _GREEN),
    "phone": (signals.PHONE, _RED),
    "smoking": (signals.SMOKING, _AMBER),
    "drinking": (signals.DRINKING, _AMBER),
}


class Overlay:
    """Writes the video while pictures come. Use as a context: it is whole only after its end, also after Ctrl-C."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path, self._part = path, path.with_name(f".{path.name}.part")
        self._container = av.open(str(self._part), "w", format="mp4")
        self._stream: av.VideoStream | None = None
        self._size = (0, 0)
        self._first_us: int | None = None
        self._last_us = -1
        self._banner: tuple[int, str] | None = None

    def __enter__(self) -> Overlay:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self._stream is not None:
            self._container.mux(self._stream.encode())
        self._container.close()
        if self._stream is None:  # nothing was drawn
            self._part.unlink(missing_ok=True)
        else:
            self._part.replace(self._path)

    def add(self, told: Told) -> None:
        if isinstance(told, Happened):
            if not told.over:
                words = f"{told.finding.kind}, {told.finding.severity}".replace("_", " ")
                self._banner = (self._last_us + BANNER_US, words)
        elif isinstance(told, Seen) and isinstance(told.shot.picture, Picture):
            self._write(told, told.shot.picture.rgb)
        elif isinstance(told, Missed):
            self._banner = None

    def _write(self, seen: Seen, rgb: Rgb) -> None:
        stream = self._stream or self._begin(rgb)
        at_us = self._time_us(seen.shot)
        canvas = _fit(rgb, self._size)
        draw(canvas, seen, clock_after(at_us, 0), self._words(at_us))
        frame = av.VideoFrame.from_ndarray(cv2.cvtColor(canvas, cv2.COLOR_RGB2YUV_I420), format="yuv420p")
        frame.pts, frame.time_base = round(at_us / 1e6 / _CLOCK), _CLOCK
        self._container.mux(stream.encode(frame))

    def _begin(self, rgb: Rgb) -> av.VideoStream:
        height, width = rgb.shape[:2]
        scale = min(_MOST_PX / max(width, height), max(1.0, _LEAST_PX / max(width, height)))
        self._size = (int(width * scale) // 2 * 2, int(height * scale) // 2 * 2)  # 4:2:0 takes even sides
        stream = self._container.add_stream("libx264", rate=30, options=_QUALITY)
        stream.width, stream.height, stream.pix_fmt = *self._size, "yuv420p"
        stream.codec_context.time_base = _CLOCK
        stream.codec_context.thread_count = 1
        self._stream = stream
        return stream

    def _time_us(self, shot: Shot) -> int:
        """After the first picture, and always after the one before."""
        told_us = shot.index * STILL_US if shot.time_us is None else shot.time_us
        self._first_us = told_us if self._first_us is None else self._first_us
        self._last_us = max(told_us - self._first_us, self._last_us + 1000)
        return self._last_us

    def _words(self, at_us: int) -> str | None:
        return self._banner[1] if self._banner and at_us < self._banner[0] else None


def draw(canvas: Rgb, seen: Seen, clock: str, banner: str | None) -> None:
    """Draws into the picture: the face, what is said of the eyes, bars of the probabilities, an event."""
    height, width = canvas.shape[:2]
    if (box := seen.look.box) is not None:
        shut = eyes_in_words(seen) == "eyes shut"
        corners = (int(box.left * width), int(box.top * height)), (int(box.right * width), int(box.bottom * height))
        cv2.rectangle(canvas, *corners, _RED if shut else _GREEN, 2)
    for row, line in enumerate(_words(seen, clock)):
        _write(canvas, line, (8, 20 + 18 * row))
    shown = [(n, seen.look.signals[s], colour) for n, (s, colour) in _BARS.items() if s in seen.look.signals]
    for row, (name, value, colour) in enumerate(shown):
        _bar(canvas, name, value, colour, height - 12 - 18 * (len(shown) - 1 - row))
    if banner:
        cv2.rectangle(canvas, (0, 0), (width - 1, height - 1), _RED, 6)
        _write(canvas, banner, (8, 40 + 18 * len(list(_words(seen, clock)))), 0.8, _RED)


def _words(seen: Seen, clock: str) -> Iterator[str]:
    unfit = camera_state(seen.look.signals) == "unfit"
    yield f"{clock}  {'camera unfit' if unfit else eyes_in_words(seen)}"
    if seen.openness is not None:
        share = "" if seen.perclos is None else f"  PERCLOS {seen.perclos:.0%}"
        yield f"openness {seen.openness:.2f}{share}"
    elif seen.learned is not None and seen.learned < 1:
        yield f"learning this driver's eyes: {seen.learned:.0%}"
    if signals.HEAD_YAW in seen.look.signals:
        angles = (
            seen.look.signals.get(name, 0.0) for name in (signals.HEAD_YAW, signals.HEAD_PITCH, signals.HEAD_ROLL)
        )
        yield "head {:+.0f} {:+.0f} {:+.0f}".format(*angles)


def _bar(canvas: Rgb, name: str, value: float, colour: tuple[int, int, int], y: int) -> None:
    cv2.rectangle(canvas, (8, y - 9), (88, y + 1), _DARK, -1)
    cv2.rectangle(canvas, (8, y - 9), (8 + round(80 * min(max(value, 0.0), 1.0)), y + 1), colour, -1)
    _write(canvas, f"{name} {value:.0%}", (94, y))


def _write(
    canvas: Rgb, words: str, at: tuple[int, int], size: float = 0.45, colour: tuple[int, int, int] = _WHITE
) -> None:
    for thickness, ink in ((3, _DARK), (1, colour)):
        cv2.putText(canvas, words, at, cv2.FONT_HERSHEY_SIMPLEX, size, ink, thickness, cv2.LINE_AA)


def _fit(rgb: Rgb, size: tuple[int, int]) -> Rgb:
    """A copy of this size, its shape kept, black beside it."""
    width, height = size
    scale = min(width / rgb.shape[1], height / rgb.shape[0])
    inner = cv2.resize(rgb, (max(1, round(rgb.shape[1] * scale)), max(1, round(rgb.shape[0] * scale))))
    canvas = np.zeros((height, width, 3), np.uint8)
    inner = inner[:height, :width]
    canvas[: inner.shape[0], : inner.shape[1]] = inner
    return canvas
