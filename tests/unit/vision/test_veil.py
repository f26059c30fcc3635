"""No passenger is ever seen, nor a driver by those who may not: what is blurred, picture by picture."""

import io
import uuid

import numpy as np
import pytest
from PIL import Image

from infra.contracts.frames import Camera
from tests.unit.vision.stories import MAX_PIXELS, frame
from vision.core.seat import Box
from vision.core.veil import EVERYTHING, HOLD_US, Sighting, Spot, plan_veils
from vision.evidence import Stills
from vision.spots import ScriptedSpots

DRIVER, PASSENGER = Box(0.2, 0.3, 0.4, 0.6), Box(0.7, 0.4, 0.8, 0.55)
HALF_S = 500_000


def sightings(*pictures):
    return [Sighting(i * HALF_S, tuple(Spot(box, score) for box, score in spots)) for i, spots in enumerate(pictures)]


def covers(boxes, inside):
    return any(b.left <= inside.left and b.top <= inside.top and b.right >= inside.right for b in boxes)


def test_a_driver_alone_is_seen_by_those_who_may_and_by_nobody_else():
    for veil in plan_veils(sightings(*[[(DRIVER, 0.9)]] * 5), with_driver=True):
        assert veil.passengers == ()
        assert covers(veil.driver, DRIVER)


def test_a_passenger_surely_seen_once_is_blurred_in_every_picture():
    pictures = [[(DRIVER, 0.9)]] * 20
    pictures[10] = [(DRIVER, 0.9), (PASSENGER, 0.7)]
    assert all(covers(veil.passengers, PASSENGER) for veil in plan_veils(sightings(*pictures), with_driver=True))


def test_a_faint_sighting_is_blurred_for_a_second_around_it():
    pictures = [[(DRIVER, 0.9)]] * 20
    pictures[10] = [(DRIVER, 0.9), (PASSENGER, 0.35)]
    veils = plan_veils(sightings(*pictures), with_driver=True)
    blurred = [i for i, veil in enumerate(veils) if covers(veil.passengers, PASSENGER)]
    assert blurred == [i for i in range(20) if abs(i - 10) * HALF_S <= HOLD_US]


def test_three_faint_sightings_of_one_seat_are_somebody():
    pictures = [[(DRIVER, 0.9)] + [(PASSENGER, 0.35)] * (i in (2, 9, 15)) for i in range(20)]
    assert all(covers(veil.passengers, PASSENGER) for veil in plan_veils(sightings(*pictures), with_driver=True))


def test_a_head_that_sinks_out_of_the_detectors_sight_stays_blurred():
    pictures = [[(DRIVER, 0.9)]] * 5 + [[]] * 15 + [[(DRIVER, 0.9)]]
    assert all(covers(veil.driver, DRIVER) for veil in plan_veils(sightings(*pictures), with_driver=True))


def test_where_no_face_was_found_everything_is_blurred_for_those_who_may_not_see_one():
    (veil,) = plan_veils(sightings([]), with_driver=True)
    assert veil.driver == (EVERYTHING,)
    assert veil.passengers == ()


def test_a_passenger_who_leans_over_and_is_larger_for_a_moment_does_not_become_the_driver():
    large = Box(0.6, 0.2, 0.9, 0.7)
    pictures = [[(DRIVER, 0.9), (PASSENGER, 0.9)]] * 9 + [[(DRIVER, 0.9), (large, 0.9)]]
    veils = plan_veils(sightings(*pictures), with_driver=True)
    assert covers(veils[9].passengers, large)
    assert not any(covers(veil.passengers, DRIVER) for veil in veils)


@pytest.mark.parametrize("camera", [Camera.ROAD, Camera.CABIN])
def test_on_other_cameras_every_face_is_anothers(camera):
    veils = plan_veils(sightings([(DRIVER, 0.9)]), with_driver=False)
    assert covers(veils[0].passengers, DRIVER)


def test_a_still_has_no_detail_where_a_face_was_and_keeps_the_rest_and_no_exif():
    noise = np.random.default_rng(1).integers(0, 255, (240, 320, 3), np.uint8)
    sink = io.BytesIO()
    exif = Image.Exif()
    exif[0x010E] = "secret place"
    Image.fromarray(noise).save(sink, "JPEG", quality=95, exif=exif)
    spots = ScriptedSpots(lambda _: (Spot(DRIVER, 0.9), Spot(PASSENGER, 0.9)))
    blurred, shown = Stills(spots, MAX_PIXELS).take(uuid.uuid4(), frame(0, sink.getvalue()))
    assert [blurred.shows_driver, shown.shows_driver] == [False, True]
    assert b"secret" not in blurred.content + shown.content
    assert detail(blurred, DRIVER) < 3
    assert detail(shown, DRIVER) > 30
    assert detail(shown, PASSENGER) < 3
    assert detail(blurred, Box(0.45, 0.8, 0.6, 0.95)) > 30


def detail(still, box: Box) -> float:
    """Mean difference of neighbouring pixels in a region, off its edges."""
    picture = np.asarray(Image.open(io.BytesIO(still.content)).convert("L"), float)
    height, width = picture.shape
    rows = slice(int(box.top * height) + 4, int(box.bottom * height) - 4)
    return float(np.abs(np.diff(picture[rows, int(box.left * width) + 4 : int(box.right * width) - 4])).mean())
