"""Head pose and gaze, against heads whose angles are known because they were made here."""

import numpy as np
import pytest

from vision.core.head import (
    EYE_CORNERS,
    EYE_LIDS,
    EYEBALL_CM,
    IRISES,
    SKULL,
    SKULL_CM,
    Pose,
    measure_angles_deg,
    measure_gaze_deg,
    measure_pose,
    turn,
)
from vision.frames import Picture
from vision.head_pose import HeadPoses
from vision.models import scripted_face

WIDTH, HEIGHT = 640, 360
TURNS = [
    (0.0, 0.0, 0.0),
    (30.0, 0.0, 0.0),
    (-30.0, 0.0, 0.0),
    (0.0, 25.0, 0.0),
    (0.0, -25.0, 0.0),
    (0.0, 0.0, 20.0),
    (50.0, -15.0, 10.0),
    (-40.0, 20.0, -25.0),
]
_EYE_Y_CM, _EYE_Z_CM = -2.6, -3.5


def place(angles, at_cm=(0.0, 0.0, 70.0), view_deg=65.0, gaze=(0.0, 0.0), open_cm=1.0):
    """(478, 2) pixels of the canonical skull, and of two eyes that look so within the head."""
    head = np.zeros((478, 3))
    head[SKULL] = SKULL_CM
    yaw, pitch = np.radians(gaze)
    half, up = np.array([1.3, 0.0, 0.0]), np.array([0.0, open_cm / 2, 0.0])
    for middle, corners, lids, iris in zip((-3.15, 3.15), EYE_CORNERS, EYE_LIDS, IRISES, strict=True):
        centre = np.array([middle, _EYE_Y_CM, _EYE_Z_CM])
        head[corners[0]], head[corners[1]] = centre - half, centre + half
        head[lids[0]], head[lids[1]] = centre - up, centre + up
        out = np.sqrt(1 - np.sin(yaw) ** 2 - np.sin(pitch) ** 2)
        head[iris] = centre + np.array([np.sin(yaw), -np.sin(pitch), 1 - out]) * EYEBALL_CM
    seen = head @ turn(*angles).T + at_cm
    focal = WIDTH / 2 / np.tan(np.radians(view_deg / 2))
    return seen[:, :2] / seen[:, 2:] * focal + (WIDTH / 2, HEIGHT / 2)


@pytest.mark.parametrize(
    ("angles", "nose"),
    [((20, 0, 0), (1, 0)), ((0, 20, 0), (0, -1)), ((-20, 0, 0), (-1, 0)), ((0, -20, 0), (0, 1))],
)
def test_nose_points_where_the_signs_say(angles, nose):
    """To the picture's right is positive yaw, up is positive pitch."""
    facing = turn(*angles) @ (0.0, 0.0, -1.0)
    assert facing[:2] @ nose > 0.3


def test_clockwise_in_the_picture_is_positive_roll():
    assert (turn(0, 0, 20) @ (1.0, 0.0, 0.0))[1] > 0.3  # the eye on the right is lower


@pytest.mark.parametrize("angles", TURNS)
def test_angles_come_back_from_the_rotation_and_from_its_picture(angles):
    assert measure_angles_deg(turn(*angles)) == pytest.approx(angles, abs=1e-6)
    pose = measure_pose(place(angles), WIDTH, HEIGHT)
    assert pose.angles_deg == pytest.approx(angles, abs=2.0)


@pytest.mark.parametrize("view_deg", [50.0, 80.0, 100.0])
@pytest.mark.parametrize("angles", TURNS)
def test_another_lens_moves_a_head_off_the_middle_by_less_than_a_glance(angles, view_deg):
    pose = measure_pose(place(angles, (-12.0, 6.0, 70.0), view_deg), WIDTH, HEIGHT)
    assert pose.angles_deg == pytest.approx(angles, abs=11.0)


def test_shaking_points_shake_the_pose_little():
    random = np.random.default_rng(0)
    points = place((20.0, -5.0, 3.0))
    shaken = [measure_pose(points + random.normal(0, 1, points.shape), WIDTH, HEIGHT) for _ in range(50)]
    assert np.std([pose.angles_deg for pose in shaken], axis=0).max() < 2.5


@pytest.mark.parametrize("angles", TURNS[:6])
@pytest.mark.parametrize("gaze", [(0.0, 0.0), (20.0, 0.0), (-20.0, 0.0), (0.0, 15.0), (0.0, -15.0), (15.0, -10.0)])
def test_gaze_within_the_head_is_told_apart_from_the_turn_of_the_head(angles, gaze):
    points = place(angles, gaze=gaze)
    assert measure_gaze_deg(points, measure_pose(points, WIDTH, HEIGHT)) == pytest.approx(gaze, abs=5.0)


def test_shut_eyes_and_irises_out_of_reach_have_no_gaze():
    shut = place((0, 0, 0), open_cm=0.2)
    assert measure_gaze_deg(shut, measure_pose(shut, WIDTH, HEIGHT)) is None
    slid = place((0, 0, 0))
    slid[list(IRISES)] += (60, 0)
    assert measure_gaze_deg(slid, Pose(np.eye(3), 7.0)) is None


def test_points_that_are_no_head_have_no_pose():
    assert measure_pose(np.full((478, 2), np.nan), WIDTH, HEIGHT) is None
    assert measure_pose(place((88.0, 0.0, 0.0)), WIDTH, HEIGHT) is None


def test_face_without_a_mesh_has_no_numbers():
    picture = Picture(np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    assert HeadPoses().measure([picture, picture], [None, scripted_face(0.3)]) == [{}, {}]
