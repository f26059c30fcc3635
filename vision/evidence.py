"""Stills and clips of an event: made small, faces blurred, with nothing in them but the picture.

Both come in two renditions: one in which every face is blurred, and one for those who may see the driver's.
"""

from __future__ import annotations

import io
import uuid

from PIL import Image

from infra.contracts.events import Media, MediaKind
from infra.contracts.frames import Camera, Frame
from vision.core.seat import Box
from vision.core.veil import Sighting, Veil, plan_veils
from vision.frames import Picture, decode_picture
from vision.spots import Spots

LONGER_SIDE_PX = 640
STILL_QUALITY = 80
"""About 40 kB for a cab picture: enough to see eyes, small enough to keep for months."""

_GRAINS = 4
"""A blurred face keeps so many by so many mean colours."""
_GRAINS_OF_ALL = 12


class Stills:
    """Takes stills of frames. ``close`` frees its detector."""

    def __init__(self, spots: Spots, max_pixels: int) -> None:
        self._spots = spots
        self._max_pixels = max_pixels

    def take(self, event_id: uuid.UUID, frame: Frame) -> tuple[Media, ...]:
        """The frame as the still of an event, in both renditions. It is encoded anew, upright: no EXIF (a camera may
        write position and owner into it), no thumbnail, no comment survives.

        Raises:
            UnusableFrame: see ``vision.frames``.
        """
        picture = decode_picture(frame.jpeg, self._max_pixels)
        (spots,) = self._spots.find([picture])
        (veil,) = plan_veils([Sighting(frame.time_us, spots)], frame.camera is Camera.DRIVER)
        image = shrink(picture)
        return tuple(
            Media(MediaKind.STILL, path, frame.time_us, _jpeg(cover(image, veil, shows_driver)), shows_driver)
            for shows_driver, path in ((False, media_path(event_id, "still.jpg")), (True, driver_path(event_id)))
        )

    def close(self) -> None:
        self._spots.close()


def media_path(event_id: uuid.UUID, name: str) -> str:
    """Inside the media store. Spread over 256 folders; the same event always has the same paths."""
    return f"events/{event_id.hex[:2]}/{event_id}/{name}"


def driver_path(event_id: uuid.UUID) -> str:
    return media_path(event_id, "still-driver.jpg")


def shrink(picture: Picture) -> Image.Image:
    """At most ``LONGER_SIDE_PX`` long."""
    image = Image.fromarray(picture.rgb)
    image.thumbnail((LONGER_SIDE_PX, LONGER_SIDE_PX))
    return image


def cover(image: Image.Image, veil: Veil, shows_driver: bool) -> Image.Image:
    """A copy with what the veil says blurred past recognition."""
    covered = image.copy()
    for box in veil.passengers if shows_driver else (*veil.passengers, *veil.driver):
        _blur(covered, box)
    return covered


def _blur(image: Image.Image, box: Box) -> None:
    """Mean colours of a coarse grid, drawn smooth: what was between them is gone."""
    left, top = int(box.left * image.width), int(box.top * image.height)
    right, bottom = -int(-box.right * image.width // 1), -int(-box.bottom * image.height // 1)
    edges = (max(0, left), max(0, top), min(image.width, right), min(image.height, bottom))
    size = (edges[2] - edges[0], edges[3] - edges[1])
    if min(size) < 1:
        return
    grains = _GRAINS_OF_ALL if size == image.size else _GRAINS
    coarse = image.crop(edges).resize((grains, grains), Image.Resampling.BOX)
    image.paste(coarse.resize(size, Image.Resampling.BILINEAR), edges)


def _jpeg(image: Image.Image) -> bytes:
    sink = io.BytesIO()
    image.save(sink, "JPEG", quality=STILL_QUALITY, optimize=True)
    return sink.getvalue()
