"""What a camera may send, and what is said of it."""

import io
import struct
import uuid

import numpy as np
import pytest
from PIL import Image

from infra.contracts.frames import Camera, Frame
from vision.evidence import LONGER_SIDE_PX, Stills, media_path
from vision.frames import Reason, UnusableFrame, decode_any_picture, decode_picture
from vision.spots import ScriptedSpots

MAX_PIXELS = 4_200_000
ORIENTATION = 0x0112
GPS_IFD = 0x8825


def picture(width: int = 640, height: int = 480, mode: str = "RGB") -> Image.Image:
    """Red above, blue below, in any mode."""
    image = Image.new("RGB", (width, height), (220, 10, 10))
    image.paste((10, 10, 220), (0, height // 2, width, height))
    return image.convert(mode)


def encoded(image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    sink = io.BytesIO()
    image.save(sink, kind, **options)
    return sink.getvalue()


def with_size(jpeg: bytes, width: int, height: int) -> bytes:
    """The same JPEG claiming another size in its header."""
    at = jpeg.index(b"\xff\xc0")
    return jpeg[: at + 5] + struct.pack(">HH", height, width) + jpeg[at + 9 :]


WHOLE = encoded(picture())


@pytest.mark.parametrize(
    ("name", "jpeg", "reason"),
    [
        ("zero bytes", b"", Reason.EMPTY),
        ("a PNG", encoded(picture(), "PNG"), Reason.NOT_JPEG),
        ("a PNG with transparency", encoded(picture(mode="RGBA"), "PNG"), Reason.NOT_JPEG),
        ("a GIF", encoded(picture(), "GIF"), Reason.NOT_JPEG),
        ("text", b"camera offline", Reason.NOT_JPEG),
        ("cut in the picture", WHOLE[: len(WHOLE) * 2 // 3], Reason.BROKEN),
        ("cut in the header", WHOLE[:200], Reason.BROKEN),
        ("only the first bytes", WHOLE[:4], Reason.BROKEN),
        ("a bomb of 30,000 by 30,000", with_size(WHOLE, 30_000, 30_000), Reason.TOO_LARGE),
        ("the largest size there is", with_size(WHOLE, 65_500, 65_500), Reason.TOO_LARGE),
        ("a little too large", encoded(picture(2100, 2001)), Reason.TOO_LARGE),
        ("one pixel", encoded(picture(1, 1)), Reason.TOO_SMALL),
    ],
    ids=lambda value: value if isinstance(value, str) and " " in value else "",
)
def test_unusable_frame_is_refused_with_a_reason(name, jpeg, reason):
    with pytest.raises(UnusableFrame) as refused:
        decode_picture(jpeg, MAX_PIXELS)
    assert refused.value.reason is reason, name
    assert refused.value.detail


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_every_colour_becomes_rgb(mode):
    rgb = decode_picture(encoded(picture(mode=mode)), MAX_PIXELS).rgb
    assert rgb.shape == (480, 640, 3)
    assert rgb.dtype == np.uint8


@pytest.mark.parametrize("orientation", range(1, 9))
def test_picture_is_turned_upright(orientation):
    upside = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}[orientation]  # the turn that undoes it
    exif = Image.Exif()
    exif[ORIENTATION] = upside
    from PIL import ImageOps

    tilted = picture()
    tilted.getexif()[ORIENTATION] = orientation
    stored = ImageOps.exif_transpose(tilted)
    rgb = decode_picture(encoded(stored, exif=exif), MAX_PIXELS).rgb
    assert rgb.shape == (480, 640, 3)
    assert rgb[10, 10, 0] > 200
    assert rgb[-10, -10, 2] > 200


@pytest.mark.parametrize(
    ("size", "decoded"),
    [
        ((640, 480), (640, 480)),
        ((1279, 719), (1279, 719)),
        ((1280, 720), (640, 360)),
        ((1920, 1080), (960, 540)),
    ],
)
def test_large_picture_is_halved_while_decoding(size, decoded):
    taken = decode_picture(encoded(picture(*size)), MAX_PIXELS)
    assert taken.rgb.shape[1::-1] == decoded
    assert taken.scale == size[0] // decoded[0]


def frame(jpeg: bytes) -> Frame:
    return Frame("van", "cam", "boot", 7, "anna", Camera.DRIVER, 1_700_000_000_000_000, 20.0, 0, jpeg)


def test_stills_are_small_and_hold_nothing_but_the_picture():
    exif = Image.Exif()
    exif[0x010E] = "owner: Anna"
    exif.get_ifd(GPS_IFD)[1] = "N"
    noisy = Image.fromarray(np.random.default_rng(1).integers(0, 255, (1080, 1920, 3), np.uint8))
    jpeg = encoded(noisy.resize((1920, 1080)), exif=exif, comment=b"secret")
    stills = Stills(ScriptedSpots(), MAX_PIXELS).take(uuid.UUID(int=5), frame(jpeg))
    assert [still.shows_driver for still in stills] == [False, True]
    assert stills[0].path == media_path(uuid.UUID(int=5), "still.jpg")
    for still in stills:
        image = Image.open(io.BytesIO(still.content))
        assert max(image.size) == LONGER_SIDE_PX
        assert not image.getexif()
        assert "comment" not in image.info
        assert b"Anna" not in still.content
        assert b"secret" not in still.content
        assert len(still.content) < len(jpeg) / 3


@pytest.mark.parametrize("size", [(33, 31), (640, 480), (2048, 2048), (2049, 2049)])
def test_pixels_are_those_of_the_file_whatever_blocks_pillow_keeps_them_in(size):
    noise = np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), np.uint8)
    picture = decode_any_picture(encoded(Image.fromarray(noise), "PNG", compress_level=1))
    expected = Image.fromarray(noise).reduce(picture.scale) if picture.scale > 1 else noise
    np.testing.assert_array_equal(picture.rgb, np.asarray(expected))
