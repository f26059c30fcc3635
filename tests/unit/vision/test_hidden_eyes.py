"""Eyes that cannot be judged have no numbers: no guess is better than a wrong one."""

import cv2
import numpy as np
import pytest

from tests.unit.vision.stories import CLIP, MAX_PIXELS
from vision.core.head import SKULL, SKULL_CM, turn
from vision.eye_state import EyeStates, judge_eyes
from vision.frames import Picture, decode_picture
from vision.looking import Eyes
from vision.models import Face, MediapipeFaces


@pytest.fixture(scope="module")
def seen():
    model = MediapipeFaces()
    picture = decode_picture((CLIP / "000178.jpg").read_bytes(), MAX_PIXELS)
    (face,) = model.find_faces([picture])
    model.close()
    return picture, face


def wear_dark_glasses(picture, face):
    rgb = picture.rgb.copy()
    for eye in (face.left_eye, face.right_eye):
        size = int(np.linalg.norm(eye[0] - eye[3]) * 1.2)
        cv2.circle(rgb, tuple(int(value) for value in eye.mean(axis=0)), size, (12, 12, 14), -1)
    return Picture(rgb)


def turned(face, yaw_deg):
    """The same face, its skull where a head turned so far has it."""
    mesh = face.mesh.copy()
    points = SKULL_CM @ turn(yaw_deg, 0, 0).T + (0, 0, 70)
    mesh[SKULL, :2] = points[:, :2] / points[:, 2:] * 330 + 208
    return Face(face.box, face.left_eye, face.right_eye, mesh)


def test_open_eyes_are_judged(seen):
    picture, face = seen
    (numbers,) = EyeStates().measure([picture], [face])
    assert set(numbers) == {"eye_closed_left", "eye_closed_right", "eye_closed"}


def test_dark_glasses_leave_out_the_network_and_the_aspect_ratio(seen):
    picture, face = seen
    behind_glass = wear_dark_glasses(picture, face)
    between, plain = EyeStates().measure([behind_glass, picture], [face, face])
    assert between == {}
    assert plain != {}
    (look,) = Eyes(MediapipeFaces(), [EyeStates()]).look([behind_glass], [face])
    assert look.face_found
    assert look.aspect_ratio is None


@pytest.mark.parametrize(("yaw_deg", "judged"), [(0, True), (35, True), (-35, True), (55, False), (-55, False)])
def test_head_turned_far_away_is_not_judged(seen, yaw_deg, judged):
    picture, face = seen
    bright = Picture(np.full_like(picture.rgb, 128))
    assert judge_eyes(bright, turned(face, yaw_deg)).eyes_judged is judged
