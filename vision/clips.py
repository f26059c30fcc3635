"""Clips of an event: H.264 in MP4 of the frames around it, each at its own time, faces blurred."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import islice, pairwise
from statistics import median

import av
import cv2
import numpy as np
from PIL import Image

from infra.contracts.frames import Camera, Frame
from vision.core.veil import Sighting, Veil, plan_veils
from vision.evidence import cover, shrink
from vision.frames import Picture, UnusableFrame, decode_picture
from vision.spots import Spots

MOST_FPS = 15.0
"""More frames a second are left out: eyes and hands are followed well at this rate."""

MOST_FRAMES = 300
MOST_BYTES = 1_500_000
_QUALITIES = ("28", "34", "40")
"""x264's rate factors, tried until a clip is small enough. 30 s at 15 frames a second and 640×480 of a cab are about
1 MB at 28."""

_CLOCK = Fraction(1, 90_000)
_LONGEST_LAST_US = 1_000_000
_CHUNK = 16  # pictures decoded at once
_US = 1_000_000

Covered = tuple[int, Image.Image]
"""A frame's time, and its picture as it may be seen."""


def choose_frames(times_us: Sequence[int]) -> list[int]:
    """The places of the frames that make a clip, of ascending times: not denser than ``MOST_FPS``, and at most
    ``MOST_FRAMES``, evenly."""
    chosen: list[int] = []
    for place, time_us in enumerate(times_us):
        if not chosen or time_us - times_us[chosen[-1]] >= 0.95 * _US / MOST_FPS:
            chosen.append(place)
    if len(chosen) <= MOST_FRAMES:
        return chosen
    return [chosen[i] for i in np.linspace(0, len(chosen) - 1, MOST_FRAMES).round().astype(int)]


class ClipMaker:
    """Makes clips of frames. Holds the JPEGs of one clip and 16 pictures at a time: about 30 MB."""

    def __init__(self, spots: Spots, max_pixels: int) -> None:
        self._spots = spots
        self._max_pixels = max_pixels

    def make(self, frames: Sequence[Frame]) -> dict[bool, bytes]:
        """MP4s by whether the driver's face is shown; of cameras that do not face the driver there is one only.

        Args:
            frames: of one camera, in order of time. What cannot be decoded is left out; nothing is made of fewer
                than two.
        """
        usable = [frame for frame in frames if self._decode(frame) is not None]
        if len(usable) < 2:
            return {}
        sightings = list(self._sight(usable))
        drivers = usable[0].camera is Camera.DRIVER
        veils = plan_veils(sightings, drivers)
        return {shows: self._encode(usable, veils, shows) for shows in ((False, True) if drivers else (False,))}

    def close(self) -> None:
        self._spots.close()

    def _encode(self, frames: Sequence[Frame], veils: Sequence[Veil], shows_driver: bool) -> bytes:
        clip = b""
        for quality in _QUALITIES:
            clip = encode(self._cover(frames, veils, shows_driver), quality)
            if len(clip) <= MOST_BYTES:
                break
        return clip

    def _cover(self, frames: Sequence[Frame], veils: Sequence[Veil], shows_driver: bool) -> Iterator[Covered]:
        for frame, veil in zip(frames, veils, strict=True):
            picture = self._decode(frame)
            if picture is not None:
                yield frame.time_us, cover(shrink(picture), veil, shows_driver)

    def _sight(self, frames: Sequence[Frame]) -> Iterator[Sighting]:
        rest = iter(frames)
        while part := list(islice(rest, _CHUNK)):
            pictures = [picture for frame in part if (picture := self._decode(frame)) is not None]
            for frame, spots in zip(part, self._spots.find(pictures), strict=True):
                yield Sighting(frame.time_us, spots)

    def _decode(self, frame: Frame) -> Picture | None:
        try:
            return decode_picture(frame.jpeg, self._max_pixels)
        except UnusableFrame:
            return None


def encode(pictures: Iterator[Covered], quality: str) -> bytes:
    """An MP4 of pictures at their times, the first at 0.

    The same pictures give the same clip, and not always the same bytes: at 640 pixels of width they were, at 416 and
    426 they differed between makings.
    """
    first_us, image = next(pictures)
    size = (image.width // 2 * 2, image.height // 2 * 2)  # H.264 with 4:2:0 takes even sides
    sink = io.BytesIO()
    with av.open(sink, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=30, options={"preset": "veryfast", "crf": quality})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.thread_count = 1  # several, and the bytes differ from run to run
        stream.codec_context.time_base = _CLOCK
        for time_us, each in _with_last_held(first_us, image, pictures):
            # OpenCV turns RGB into YUV the same each time; FFmpeg's own way reads what lies beside the picture
            yuv = cv2.cvtColor(np.asarray(each if each.size == size else each.resize(size)), cv2.COLOR_RGB2YUV_I420)
            picture = av.VideoFrame.from_ndarray(yuv, format="yuv420p")
            picture.pts, picture.time_base = round((time_us - first_us) / _US / _CLOCK), _CLOCK
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return sink.getvalue()


def _with_last_held(first_us: int, image: Image.Image, pictures: Iterator[Covered]) -> Iterator[Covered]:
    """The last picture stands as long as the others do, instead of a thirtieth of a second."""
    times, last = [first_us], image
    yield first_us, image
    for time_us, each in pictures:
        times.append(time_us)
        last = each
        yield time_us, each
    gaps = [later - earlier for earlier, later in pairwise(times)]
    if gaps:
        yield times[-1] + min(int(median(gaps)), _LONGEST_LAST_US), last
