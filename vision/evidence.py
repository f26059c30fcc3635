"""Footage of an event: the frame that fired it, made small, with nothing in it but the picture."""

from __future__ import annotations

import io
import uuid

from PIL import Image

from infra.contracts.events import Media, MediaKind
from infra.contracts.frames import Frame
from vision.frames import decode_picture

STILL_LONGER_SIDE_PX = 640
STILL_QUALITY = 80
"""About 40 kB for a cab picture: enough to see eyes, small enough to keep for months."""


def take_still(event_id: uuid.UUID, frame: Frame, max_pixels: int) -> Media:
    """The frame as a still of the event. It is encoded anew, upright: no EXIF (a camera may write position and
    owner into it), no thumbnail, no comment survives.

    Raises:
        UnusableFrame: see ``vision.frames``.
    """
    image = Image.fromarray(decode_picture(frame.jpeg, max_pixels).rgb)
    image.thumbnail((STILL_LONGER_SIDE_PX, STILL_LONGER_SIDE_PX))
    sink = io.BytesIO()
    image.save(sink, "JPEG", quality=STILL_QUALITY, optimize=True)
    return Media(MediaKind.STILL, still_path(event_id), frame.time_us, sink.getvalue())


def still_path(event_id: uuid.UUID) -> str:
    """Inside the media store. Spread over 256 folders; the same event always has the same path."""
    return f"events/{event_id.hex[:2]}/{event_id}/still.jpg"
