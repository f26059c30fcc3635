"""Faces found for blurring."""

import cv2
import numpy as np
import pytest

from tests.unit.vision.stories import CLIP
from vision import bodies
from vision.bodies import NOSE, Bodies, Body
from vision.frames import Picture
from vision.models import MediapipeFaces
from vision.spots import FaceSpots, find_head
from vision.training.torso_packs import read_rgb


def person(*there, x=50.0, wide=60.0):
    """Somebody whose key points are numbered after COCO; those not there are not seen."""
    points = np.zeros((17, 3), np.float32)
    for place, (right, down) in there:
        points[place] = right, down, 0.9
    return Body(0.8, np.array([x - wide / 2, 0, x + wide / 2, 100], np.float32), points)


FRONT = ((0, (50, 30)), (1, (55, 25)), (2, (45, 25)), (3, (60, 27)), (4, (40, 27)), (5, (75, 60)), (6, (25, 60)))


@pytest.mark.parametrize("seen", [FRONT, FRONT[:2], FRONT[3:4] + FRONT[5:], FRONT[:1]])
def test_a_head_covers_what_is_seen_of_a_face(seen):
    spot = find_head(person(*seen), np.zeros((100, 200, 3), np.uint8))
    for place, (x, y) in seen:
        if place < 5:
            assert spot.box.left <= x / 200 <= spot.box.right
            assert spot.box.top <= y / 100 <= spot.box.bottom
    assert spot.box.right - spot.box.left < 0.3


def test_a_back_has_no_face():
    assert find_head(person((5, (75, 60)), (6, (25, 60))), np.zeros((100, 200, 3), np.uint8)) is None


def test_everybody_is_found_once_and_the_driver_among_them():
    found, rgb = Bodies(), read_rgb(CLIP / "000160.jpg")
    two = Picture(np.ascontiguousarray(np.hstack([rgb, rgb[:, ::-1]])))
    everybody = found.find_all(two)
    assert len(everybody) == 2
    assert sorted(np.mean(body.box[[0, 2]]) > rgb.shape[1] for body in everybody) == [False, True]
    driver = found.find_driver(two)
    assert any((body.box == driver.box).all() for body in everybody)
    nobody = Picture(np.full((240, 320, 3), 114, np.uint8))
    assert (found.find_all(nobody), found.find_driver(nobody)) == ([], None)
    found.close()


def test_a_driver_whom_the_first_look_misses_is_found_by_another(monkeypatch):
    found, rgb = Bodies(), read_rgb(CLIP / "000160.jpg")
    tiny = cv2.resize(rgb, None, fx=0.12, fy=0.12, interpolation=cv2.INTER_AREA)
    body = found.find_driver(Picture(tiny))
    assert abs(body.find(NOSE)[0] / 0.12 - found.find_driver(Picture(rgb)).find(NOSE)[0]).max() < 30
    monkeypatch.setattr(bodies, "MORE_SIDES_PX", ())
    assert found.find_driver(Picture(tiny)) is None
    found.close()


@pytest.mark.parametrize("turned", ["as it is", "in half as many pixels, dark"])
def test_a_face_that_the_mesh_finds_is_found_for_blurring(turned):
    rgb = read_rgb(CLIP / "000160.jpg")
    if turned != "as it is":
        rgb = np.ascontiguousarray(rgb[::2, ::2] // 4)
    faces, spots = MediapipeFaces(), FaceSpots()
    (face,) = faces.find_faces([Picture(read_rgb(CLIP / "000160.jpg"))])
    (found,) = spots.find([Picture(rgb)])
    x, y = (face.box.left + face.box.right) / 2, (face.box.top + face.box.bottom) / 2
    assert any(one.box.left < x < one.box.right and one.box.top < y < one.box.bottom for one in found)
    faces.close()
    spots.close()
