"""Eye crops, and the network that looks at them."""

import numpy as np
import pytest

from tests.unit.vision.stories import CLIP, MAX_PIXELS
from vision.core.eyes import fuse_openness
from vision.core.signals import EYE_CLOSED, EYE_CLOSED_LEFT, EYE_CLOSED_RIGHT
from vision.eye_crops import CROP_PX, cut_eye, normalise
from vision.eye_state import EyeStates
from vision.frames import Picture, decode_picture
from vision.models import MediapipeFaces, scripted_face

WIDE_OPEN = ["000114.jpg", "000178.jpg", "000150.jpg"]
SHUT = ["000195.jpg", "000196.jpg", "000225.jpg", "000226.jpg", "000227.jpg", "000228.jpg"]


@pytest.fixture(scope="module")
def head():
    made = EyeStates()
    yield made
    made.close()


@pytest.fixture(scope="module")
def seen():
    """Pictures of the clip by name, with their faces."""
    model = MediapipeFaces()
    pictures = [decode_picture((CLIP / name).read_bytes(), MAX_PIXELS) for name in WIDE_OPEN + SHUT]
    faces = model.find_faces(pictures)
    model.close()
    return pictures, faces


def test_crop_has_the_eye_in_the_middle_whatever_its_tilt():
    grey = np.full((200, 300), 100, np.uint8)
    for x, y in ((120, 80), (150, 90), (180, 100)):  # a line falling to the right through (150, 90)
        grey[y - 3 : y + 4, x - 3 : x + 4] = 255
    outline = np.array([(120, 80), (140, 80), (160, 86), (180, 100), (160, 98), (140, 92)], np.float64)
    eye = outline - outline.mean(axis=0) + np.array([150.0, 90.0])
    crop = cut_eye(grey, eye)
    bright = np.argwhere(crop > 180)
    assert crop.shape == (CROP_PX, CROP_PX)
    assert np.abs(bright[:, 0] - CROP_PX / 2).max() < 5, "the line lies level"


def test_crop_at_the_edge_and_outside_of_the_picture_is_black():
    grey = np.full((100, 100), 200, np.uint8)
    eye = scripted_face(0.3).left_eye
    assert cut_eye(grey, eye - (200, 150) + (500, 500)).max() == 0
    assert cut_eye(grey, eye - (200, 150) + (-12, 50)).min() == 0


def test_light_and_contrast_do_not_matter():
    crop = np.random.default_rng(1).integers(60, 160, (1, 32, 32)).astype(np.uint8)
    np.testing.assert_allclose(normalise(crop), normalise(crop + 40), atol=1e-5)
    assert np.isfinite(normalise(np.zeros((1, 32, 32), np.uint8))).all()


def test_shut_eyes_of_the_clip_are_told_from_open_ones(head, seen):
    """Six frames of shut eyes; the network learned from other people."""
    both = [numbers[EYE_CLOSED] for numbers in head.measure(*seen)]
    assert max(both[: len(WIDE_OPEN)]) < 0.5 < min(both[len(WIDE_OPEN) :])


def test_numbers_are_probabilities_and_empty_without_a_face(head, seen):
    pictures, faces = seen
    numbers = head.measure([*pictures[:2], pictures[2]], [faces[0], None, faces[2]])
    assert numbers[1] == {}
    assert set(numbers[0]) == {EYE_CLOSED_LEFT, EYE_CLOSED_RIGHT, EYE_CLOSED}
    assert all(0 <= value <= 1 for row in numbers for value in row.values())
    assert head.measure([], []) == []


def test_answer_does_not_depend_on_the_company(head, seen):
    pictures, faces = seen
    together = head.measure(pictures, faces)
    for i, (picture, face) in enumerate(zip(pictures, faces, strict=True)):
        assert head.measure([picture], [face])[0][EYE_CLOSED] == pytest.approx(together[i][EYE_CLOSED], abs=1e-5)


def test_flat_picture_gives_an_answer_not_an_error(head):
    face = scripted_face(0.3)
    (numbers,) = head.measure([Picture(np.zeros((300, 400, 3), np.uint8))], [face])
    assert np.isfinite(list(numbers.values())).all()


@pytest.mark.parametrize(
    ("name", "relative", "probability", "shut"),
    [
        ("both say shut", 0.05, 0.9, True),
        ("the ratio alone: a glance down", 0.0, 0.2, False),
        ("the network alone: dark glasses", 0.9, 0.95, False),
        ("no network", 0.1, None, True),
    ],
)
def test_eyes_are_shut_where_neither_witness_contradicts(name, relative, probability, shut):
    assert (fuse_openness(relative, probability) <= 0.2) is shut, name


def test_nothing_is_known_from_nothing():
    assert fuse_openness(None, None) is None


@pytest.mark.parametrize(("probability", "shut"), [(0.85, False), (0.95, True)], ids=["reflections", "certain"])
def test_network_alone_has_to_be_certain_before_the_baseline_is_learned(probability, shut):
    assert (fuse_openness(None, probability) <= 0.2) is shut
