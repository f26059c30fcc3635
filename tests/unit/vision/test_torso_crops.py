"""The square around a driver: set by the shoulders, inside the picture, and honest about how much chest there is."""

import numpy as np
import pytest

from vision.bodies import EARS, EYES, NOSE, SHOULDERS, Body
from vision.torso import SIGNALS, Calibration
from vision.torso_crops import (
    ABOVE_SHARE,
    CLOSE_SIDE,
    CROP_PX,
    FILL,
    RIM_SHARE,
    SIDE_IN_SHOULDERS,
    Square,
    cut_torso,
    move_boxes,
    place_close,
    place_square,
    torso_share,
    widen,
)

WIDTH, HEIGHT = 640, 480


def body(at=(320.0, 160.0), shoulders_px=150.0, *, shoulders=True, head=True, box=None):
    """Somebody who faces the camera: eyes and ears around the nose, shoulders below."""
    x, y = at
    points = np.zeros((17, 3), np.float32)
    if head:
        spread = shoulders_px / 2.4
        for place, dx in (
            (NOSE, 0),
            (EYES[0], spread / 4),
            (EYES[1], -spread / 4),
            (EARS[0], spread / 2),
            (EARS[1], -spread / 2),
        ):
            points[place] = (x + dx, y, 0.9)
    if shoulders:
        for place, dx in zip(SHOULDERS, (shoulders_px / 2, -shoulders_px / 2), strict=True):
            points[place] = (x + dx, y + 0.7 * shoulders_px, 0.9)
    wide = shoulders_px * 1.2
    edges = box or (x - wide / 2, y - 0.5 * shoulders_px, x + wide / 2, y + 1.6 * shoulders_px)
    return Body(0.9, np.array(edges, np.float32), points)


def test_a_closer_look_is_around_the_mouth_and_needs_a_face():
    whole = place_square(body(), WIDTH, HEIGHT)
    close = place_close(body(), whole)
    assert close.side == pytest.approx(whole.side * CLOSE_SIDE)
    assert close.left + close.side / 2 == pytest.approx(320.0)
    assert 160.0 <= close.top + close.side / 2 < 200.0
    assert place_close(body(head=False), whole) is None


def inner(body):
    """The square without its rim."""
    return widen(place_square(body, WIDTH, HEIGHT), 1 / (1 + 2 * RIM_SHARE))


def test_square_is_set_by_the_shoulders_and_has_a_rim():
    square, within = place_square(body(), WIDTH, HEIGHT), inner(body())
    assert within.side == pytest.approx(SIDE_IN_SHOULDERS * 150)
    assert within.left + within.side / 2 == pytest.approx(320)
    assert within.left - square.left == pytest.approx(within.top - square.top) == pytest.approx(RIM_SHARE * within.side)


@pytest.mark.parametrize("shoulders_px", [60.0, 150.0])
def test_near_and_far_drivers_look_alike(shoulders_px):
    """The face is at the same place of the crop, and as large."""
    square = inner(body(shoulders_px=shoulders_px))
    nose = move_boxes(np.array([[320, 160, 320, 160]], np.float32), square)[0, :2]
    assert nose == pytest.approx((CROP_PX / 2, ABOVE_SHARE * CROP_PX), abs=2)


@pytest.mark.parametrize("at", [(20.0, 20.0), (630.0, 160.0), (320.0, 470.0)])
def test_square_stays_inside_the_picture_but_for_its_rim(at):
    square = inner(body(at))
    assert -1e-6 <= square.left <= WIDTH - square.side + 1e-6
    assert -1e-6 <= square.top <= HEIGHT - square.side + 1e-6


def test_driver_who_fills_the_picture_is_not_made_small():
    assert inner(body(shoulders_px=500.0)).side == pytest.approx(1.1 * HEIGHT)


def test_without_shoulders_the_head_says_how_wide_they_are():
    seen, unseen = (place_square(body(shoulders=known), WIDTH, HEIGHT) for known in (True, False))
    assert unseen.side == pytest.approx(seen.side, rel=0.05)


@pytest.mark.parametrize(
    ("nose_y", "share"), [(100.0, 1.0), (HEIGHT - 150 * 0.7 - 75, 0.5), (HEIGHT - 150 * 0.7, 0.0), (HEIGHT - 20.0, 0.0)]
)
def test_how_much_of_the_chest_is_in_the_picture(nose_y, share):
    whole = body((320.0, nose_y))
    shoulders_px = place_square(whole, WIDTH, HEIGHT).shoulders_px
    assert torso_share(whole, shoulders_px, HEIGHT) == pytest.approx(share, abs=0.01)


def test_nobody_says_there_is_a_chest_where_no_shoulder_is_seen():
    assert torso_share(body(shoulders=False), 100.0, HEIGHT) == 0.0


def test_what_lies_outside_of_the_picture_is_grey():
    crop = cut_torso(np.full((100, 100, 3), 250, np.uint8), Square(-50.0, 0.0, 100.0, 45.0))
    assert crop.shape == (CROP_PX, CROP_PX, 3)
    assert (crop[:, : CROP_PX // 2 - 2] == FILL).all()
    assert (crop[5:-5, CROP_PX // 2 + 2 : -5] == 250).all()


def test_thin_straps_survive_a_large_picture():
    """A dark line of 16 pixels on 3000 is still dark at a thirteenth of the size."""
    rgb = np.full((3000, 3000, 3), 200, np.uint8)
    rgb[:, 1500:1516] = 0
    crop = cut_torso(rgb, Square(0.0, 0.0, 3000.0, 1300.0))
    assert crop[CROP_PX // 2].min() < 140


@pytest.mark.parametrize("side", [220.0, 500.0, 903.0])
def test_things_are_where_they_were_however_much_is_thinned_out(side):
    """At 220 pixels nothing is, at 500 and 903 by two and three, with the corner of the square between pixels."""
    rgb = np.zeros((1100, 1301, 3), np.uint8)
    rgb[600:640, 480:520] = 255
    crop = cut_torso(rgb, Square(371.0, 523.0, side, 100.0))
    seen = np.argwhere(crop[:, :, 0] > 127)
    scale = CROP_PX / side
    assert seen.mean(axis=0) == pytest.approx(((620 - 523) * scale, (500 - 371) * scale), abs=0.8)


def test_calibrated_probabilities_keep_their_order():
    calibration = Calibration(np.full(4, 0.7, np.float32), np.full(4, -0.2, np.float32), 0.1)
    low, high = (calibration.apply(np.full(len(SIGNALS), logit, np.float32)) for logit in (-3.0, 2.0))
    assert (low < high).all()
    assert ((low > 0) & (high < 1)).all()
