"""Pictures that nobody could be judged by, made from a real one, and what is left of it."""

import cv2
import numpy as np
import pytest

from tests.unit.vision.stories import CLIP, MAX_PIXELS
from vision.core.quality import COLUMNS, measure_quality
from vision.core.signals import CAMERA_UNFIT, CONTRAST, GLARE, LIGHT, OCCLUSION, SHARPNESS
from vision.frames import Picture, decode_picture
from vision.picture_quality import PictureQuality

CAB = decode_picture((CLIP / "000178.jpg").read_bytes(), MAX_PIXELS).rgb


def grain(values, amount=2.0):
    return np.clip(values + np.random.default_rng(0).normal(0, amount, values.shape), 0, 255).astype(np.uint8)


def flat(level, amount):
    return lambda rgb: grain(np.full(rgb.shape, float(level)), amount)


def blurred(share):
    return lambda rgb: grain(cv2.GaussianBlur(rgb, (0, 0), rgb.shape[1] * share))


def hand(rgb):
    """Skin over the lens: red, uneven, out of focus; light comes in at one corner."""
    glow = cv2.resize(np.random.default_rng(1).random((4, 4, 1)), rgb.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    skin = glow[:, :, None] * (110.0, 60.0, 50.0) + 40
    skin[:60, -90:] += 120
    return grain(cv2.GaussianBlur(skin, (0, 0), 18))


def taped(share):
    def cover(rgb):
        covered = rgb.copy()
        covered[:, : int(rgb.shape[1] * share)] = grain(np.full((rgb.shape[0], int(rgb.shape[1] * share), 3), 35.0))
        return covered

    return cover


def glared(rgb):
    ys, xs = np.mgrid[: rgb.shape[0], : rgb.shape[1]]
    sun = 500 * np.exp(-((xs - 260) ** 2 + (ys - 190) ** 2) / (2 * 200**2))
    return grain(rgb + sun[:, :, None])


def with_clock(made):
    """A recorder prints time and name into whatever its camera sees."""

    def print_on(rgb):
        picture = made(rgb)
        cv2.putText(picture, "2026-11-21 10:42:17", (8, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1)
        return picture

    return print_on


UNFIT = [
    ("black", flat(2, 2)),
    ("black with a clock", with_clock(flat(2, 2))),
    ("noise of a sensor at its highest gain", flat(30, 9)),
    ("grey tape", flat(120, 3)),
    ("white", flat(254, 1)),
    ("hand", hand),
    ("hand with a clock", with_clock(hand)),
    ("tape over four fifths", taped(0.8)),
    ("sun in the lens", glared),
    ("out of focus", blurred(0.025)),
    ("far out of focus with a clock", with_clock(blurred(0.04))),
]
FIT = [
    ("as it is", lambda rgb: rgb),
    ("dark", lambda rgb: grain(rgb * 0.25)),
    ("bright", lambda rgb: np.minimum(rgb * 1.6, 255).astype(np.uint8)),
    ("grey and noisy", lambda rgb: grain(np.repeat(rgb.mean(axis=2, keepdims=True), 3, axis=2), 8)),
    ("a little soft", blurred(0.004)),
    ("a third covered", taped(0.33)),
    ("small", lambda rgb: cv2.resize(rgb, (160, 120), interpolation=cv2.INTER_AREA)),
    ("upright", lambda rgb: np.ascontiguousarray(rgb.transpose(1, 0, 2))),
]


def measured(change):
    return PictureQuality().measure([Picture(change(CAB))], [None])[0]


@pytest.mark.parametrize(("name", "change"), UNFIT, ids=[name for name, _ in UNFIT])
def test_camera_is_unfit(name, change):
    assert measured(change)[CAMERA_UNFIT] == 1.0, name


@pytest.mark.parametrize(("name", "change"), FIT, ids=[name for name, _ in FIT])
def test_camera_is_fit(name, change):
    assert measured(change)[CAMERA_UNFIT] == 0.0, name


def test_numbers_are_of_the_picture_and_its_size_does_not_matter():
    large, small = (
        PictureQuality().measure([Picture(cv2.resize(CAB, (px, px), interpolation=cv2.INTER_AREA))], [None])[0]
        for px in (416, 320)
    )
    assert large[LIGHT] == pytest.approx(CAB.mean() / 255, abs=0.03)
    for name in (LIGHT, CONTRAST):
        assert large[name] == pytest.approx(small[name], abs=0.01)
    assert large[SHARPNESS] == pytest.approx(small[SHARPNESS], rel=0.05)


def test_occlusion_is_the_part_in_which_nothing_shows():
    before = measured(lambda rgb: rgb)[OCCLUSION]
    assert before <= 0.5
    for share in (0.25, 0.5, 0.75):  # the tape's own edge shows in one column of parts
        assert share - 1 / COLUMNS <= measured(taped(share))[OCCLUSION] <= share + before, share
    assert measured(flat(120, 3))[OCCLUSION] == 1.0


def test_glare_is_what_is_white():
    assert measured(lambda rgb: rgb // 2)[GLARE] == 0.0
    assert measured(glared)[GLARE] > 0.6
    assert measured(flat(254, 1))[GLARE] > 0.95


def test_narrow_strip_has_a_quality_too():
    assert measure_quality(np.zeros((32, 3000), np.uint8)).is_unfit
