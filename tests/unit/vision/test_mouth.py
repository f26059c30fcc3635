"""Mouths: their shape, and what is and is not said to be a yawn."""

import numpy as np
import pytest

from tests.unit.vision.stories import CLIP, MAX_PIXELS
from vision.core.mouth import measure_shape
from vision.core.signals import MOUTH_OPEN, YAWN
from vision.frames import Picture, decode_picture
from vision.models import Box, Face, MediapipeFaces, scripted_face
from vision.mouth import Mouths
from vision.training.yawn_data import OTHER, YAWNING, Mouth
from vision.training.yawns import Mouths as Examples
from vision.training.yawns import judge_folds

PICTURE = Picture(np.zeros((480, 640, 3), np.uint8))
EYE = np.zeros((6, 2))


def mesh(height, width, yaw_deg=0.0):
    """A face whose eyes are 9 apart and whose nose is 6 long, with such inner lips; turned about the upright axis."""
    points = np.zeros((478, 3))
    points[[33, 263]] = (-4.5, -3, 0), (4.5, -3, 0)
    points[[168, 2]] = (0, -4, 0), (0, 2, 0)
    points[[78, 308]] = (-width / 2, 4, 0), (width / 2, 4, 0)
    points[[13, 14]] = (0, 4 - height / 2, 0), (0, 4 + height / 2, 0)
    cos, sin = np.cos(np.radians(yaw_deg)), np.sin(np.radians(yaw_deg))
    return (points @ np.array([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]]) * 20).astype(np.float32)


def said(points):
    face = Face(Box(0, 0, 1, 1), EYE, EYE, points)
    return Mouths().measure([PICTURE], [face])[0]


def test_shape_is_the_same_for_a_turned_head():
    assert measure_shape(mesh(3, 5, yaw_deg=40)) == pytest.approx(measure_shape(mesh(3, 5)), rel=1e-5)


@pytest.mark.parametrize(
    ("name", "height", "width", "low", "high"),
    [
        ("shut", 0.0, 4.5, 0.0, 0.05),
        ("talking", 0.9, 4.2, 0.0, 0.3),
        ("smile that shows teeth", 0.8, 5.5, 0.0, 0.05),
        ("yawn", 3.5, 4.0, 0.9, 1.0),
        ("yawn, rounder", 3.0, 3.2, 0.9, 1.0),
    ],
)
def test_probability_of_a_yawn(name, height, width, low, high):
    numbers = said(mesh(height, width))
    assert numbers[MOUTH_OPEN] == pytest.approx(height / width)
    assert low <= numbers[YAWN] <= high, name


def test_the_wider_of_two_mouths_as_high_is_less_of_a_yawn():
    assert said(mesh(2, 5.2))[YAWN] < said(mesh(2, 4.0))[YAWN]


def test_no_face_no_mesh_and_no_size_say_nothing():
    flat = Face(Box(0, 0, 1, 1), EYE, EYE, np.zeros((478, 3), np.float32))
    assert Mouths().measure([PICTURE] * 3, [None, scripted_face(0.3), flat]) == [{}, {}, {}]


def test_real_faces_have_mouths():
    model = MediapipeFaces()
    pictures = [decode_picture((CLIP / "000178.jpg").read_bytes(), MAX_PIXELS)]
    (numbers,) = Mouths().measure(pictures, model.find_faces(pictures))
    model.close()
    assert 0.3 < numbers[MOUTH_OPEN] < 0.5  # he laughs
    assert numbers[YAWN] < 0.9


def test_scale_is_judged_on_groups_that_it_never_saw():
    """High mouths are yawns in every group but one, where it is the other way round: that one is judged all wrong."""
    random = np.random.default_rng(0)
    examples = [
        Mouth(
            "frames", f"{group}", f"{i}", state, np.array([random.normal(0.7 * (state ^ (group == 3)), 0.1), 0.3, 0.5])
        )
        for group in range(4)
        for i, state in enumerate([OTHER, YAWNING] * 10)
    ]
    mouths = Examples([*examples, Mouth("frames", "0", "unseen", YAWNING)])
    given = judge_folds(mouths)
    wrong = np.array([group == "frames/3" for group in mouths.groups])
    right = (given > 0.5) == (mouths.states == YAWNING)
    assert right[~wrong].mean() > 0.95
    assert right[wrong].mean() < 0.05
