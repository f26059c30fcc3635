"""Bytes to pixels: bounded, turned upright, in RGB, with a plain reason for whatever cannot be used.

Pillow and OpenCV were measured on one core: 1.44 and 1.31 ms for 640×480, 4.5 and 3.7 ms for 1920×1080 at half
size. Pillow is taken: it reads a header without decoding, and says that a file is cut short where OpenCV
returns half a picture and no error.
"""

from __future__ import annotations

import io
import struct
import warnings
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

import cv2
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

Rgb = npt.NDArray[np.uint8]
"""(height, width, 3)"""

ENOUGH_PX = 640
"""A longer side is halved while decoding as long as it stays at least this: the face mesh looks at 192 pixels of
face and a driver's face fills a sixth to a third of a cab picture."""

SMALLEST_PX = 32
SMALLEST_CROP_PX = 8
"""Pictures on disk may be cut to an eye or a mouth; below this nothing is left to see."""

MOST_PIXELS_ON_DISK = 50_000_000
"""Larger than any camera's picture here; in RGB 150 MB. The gateway's bound (a setting) is far lower."""

_ONE_BLOCK = 1 << 24
"""Bytes: Pillow's arenas have 16 MiB."""

_JPEG_START = b"\xff\xd8\xff"
_ON_DISK = ("JPEG", "PNG", "WEBP", "BMP")
_ASIDE = range(5, 9)  # orientations of EXIF in which width and height are swapped
_OTHER_KINDS = ((b"GIF8", "a GIF"), (b"II*", "a TIFF"), (b"MM", "a TIFF"), (b"<", "HTML or XML"), (b"%PDF", "a PDF"))
_DEEP = {"I;16": 1 / 256, "I;16B": 1 / 256, "I": 1 / 256, "F": 1.0}  # grey beyond 8 bits, to 0..255
_BROKEN = (OSError, SyntaxError, ValueError, TypeError, KeyError, ZeroDivisionError, struct.error)


class Reason(StrEnum):
    """Why a frame cannot be used. Goes into dead letters and metrics."""

    EMPTY = "frame_empty"
    NOT_JPEG = "frame_not_jpeg"
    UNKNOWN_FORMAT = "frame_unknown_format"
    TOO_LARGE = "frame_too_large"
    TOO_SMALL = "frame_too_small"
    BROKEN = "frame_broken"


class UnusableFrame(ValueError):
    """The bytes hold no picture that can be judged."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, eq=False)
class Picture:
    """Upright pixels. ``scale`` is stored pixels per decoded pixel: 1, 2, 4 or 8, of which the last may be in part;
    ``stored`` the upright width and height before, where that is not 1."""

    rgb: Rgb
    scale: int = 1
    stored: tuple[int, int] | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height as stored, upright."""
        height, width = self.rgb.shape[:2]
        return self.stored or (width, height)

    @cached_property
    def grey(self) -> npt.NDArray[np.uint8]:
        """(height, width), made once for all that look at it."""
        return np.asarray(cv2.cvtColor(self.rgb, cv2.COLOR_RGB2GRAY), np.uint8)


def decode_picture(jpeg: bytes, max_pixels: int) -> Picture:
    """The pixels of a JPEG, at most twice ``ENOUGH_PX`` long, turned as its EXIF says; grey and CMYK become RGB.

    Raises:
        UnusableFrame: empty, not a JPEG, larger than ``max_pixels`` (read from the header, before any decoding),
            too small to hold a face, or cut short or damaged.
    """
    if jpeg and not jpeg.startswith(_JPEG_START):
        raise UnusableFrame(Reason.NOT_JPEG, f"begins with {jpeg[:8].hex(' ')}")
    with _opened(jpeg, ("JPEG",)) as image:
        _check_size(image, max_pixels, SMALLEST_PX)
        return _decoded(image)


def decode_any_picture(content: bytes, max_pixels: int = MOST_PIXELS_ON_DISK) -> Picture:
    """The pixels of a JPEG, PNG, WebP or BMP, down to ``SMALLEST_CROP_PX``: pictures on disk, not those that devices
    send. Transparency is dropped; of an animation the first picture is taken.

    Raises:
        UnusableFrame: as ``decode_picture``; ``UNKNOWN_FORMAT`` for another kind of file.
    """
    with _opened(content, _ON_DISK) as image:
        _check_size(image, max_pixels, SMALLEST_CROP_PX)
        return _decoded(image)


def shrink(rgb: Rgb) -> Picture:
    """Pixels that came decoded (video), halved as ``decode_picture`` halves a JPEG."""
    scale = _reduction(max(rgb.shape[:2]))
    if scale == 1:
        return Picture(rgb)
    return Picture(np.ascontiguousarray(_halved(rgb, scale)), scale, (rgb.shape[1], rgb.shape[0]))


def _decoded(image: Image.Image) -> Picture:
    """Raises UnusableFrame where the picture is cut short or damaged."""
    scale, (width, height) = _reduction(max(image.size)), image.size
    image.draft("RGB", (image.width // scale, image.height // scale))  # does nothing but for JPEG
    try:
        aside = scale > 1 and image.getexif().get(ExifTags.Base.Orientation, 1) in _ASIDE
        rgb = _pixels(_upright(_shallow(image)))
    except _BROKEN as error:
        raise UnusableFrame(Reason.BROKEN, str(error)[:200]) from error
    if max(rgb.shape[:2]) // scale >= ENOUGH_PX:  # was not drafted
        rgb = _halved(rgb, scale)
    return Picture(rgb, scale, ((height, width) if aside else (width, height)) if scale > 1 else None)


def _upright(image: Image.Image) -> Image.Image:
    """In RGB. Nothing is copied where it is so already."""
    image.load()
    ImageOps.exif_transpose(image, in_place=True)
    return image if image.mode == "RGB" else image.convert("RGB")


def _pixels(image: Image.Image) -> Rgb:
    """Of an image in RGB. Pillow keeps four bytes a pixel: they are read where they lie, in a third of the time that
    NumPy takes, for which Pillow copies them twice. Larger images lie in several blocks."""
    if image.width * image.height * 4 > _ONE_BLOCK:
        return np.asarray(image)
    packed = np.frombuffer(pa.array(image).values.buffers()[1], np.uint8, image.width * image.height * 4)
    return np.asarray(cv2.cvtColor(packed.reshape(image.height, image.width, 4), cv2.COLOR_RGBA2RGB), np.uint8)


def _shallow(image: Image.Image) -> Image.Image:
    """Grey of 16 bits and more in 8; Pillow itself would cut all above 255 to white."""
    if image.mode not in _DEEP:
        return image
    return Image.fromarray(np.clip(np.asarray(image, np.float64) * _DEEP[image.mode], 0, 255).astype(np.uint8))


def _halved(rgb: Rgb, scale: int) -> Rgb:
    return np.asarray(Image.fromarray(rgb).reduce(scale)) if scale > 1 else rgb


def _opened(content: bytes, formats: tuple[str, ...]) -> Image.Image:
    if not content:
        raise UnusableFrame(Reason.EMPTY, "no bytes")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own bound follows
            return Image.open(io.BytesIO(content), formats=formats)
    except Image.DecompressionBombError as error:
        raise UnusableFrame(Reason.TOO_LARGE, str(error)) from error
    except UnidentifiedImageError as error:
        known = content.startswith(_JPEG_START) or len(formats) == 1
        reason = Reason.BROKEN if known else Reason.UNKNOWN_FORMAT
        detail = f"{_kind(content)}, and none of {', '.join(formats)}: convert it"
        raise UnusableFrame(reason, detail) from error
    except _BROKEN as error:
        raise UnusableFrame(Reason.BROKEN, str(error)[:200]) from error


def _kind(content: bytes) -> str:
    if content[4:8] == b"ftyp":
        return "a HEIC, AVIF or video"
    named = (kind for start, kind in _OTHER_KINDS if content.startswith(start))
    return next(named, f"begins with {content[:8].hex(' ')}")


def _check_size(image: Image.Image, max_pixels: int, smallest_px: int) -> None:
    size = f"{image.width}×{image.height}"
    if image.width * image.height > max_pixels:
        raise UnusableFrame(Reason.TOO_LARGE, f"{size}, and at most {max_pixels} pixels are taken")
    if min(image.size) < smallest_px:
        raise UnusableFrame(Reason.TOO_SMALL, f"{size}, and at least {smallest_px} pixels are needed to see anything")


def _reduction(longer_side_px: int) -> int:
    scale = 1
    while scale < 8 and longer_side_px // (scale * 2) >= ENOUGH_PX:
        scale *= 2
    return scale
