"""Whose face is the driver's."""

import pytest

from vision.core.seat import Box, choose_driver, learn_place

DRIVER = Box(0.3, 0.2, 0.5, 0.6)
PASSENGER_NEAR_THE_CAMERA = Box(0.7, 0.1, 1.0, 0.8)
LEANING = Box(0.42, 0.25, 0.6, 0.6)


@pytest.mark.parametrize(
    ("name", "faces", "usual", "chosen"),
    [
        ("nobody", [], DRIVER, None),
        ("alone", [DRIVER], None, 0),
        ("alone and elsewhere than usual", [PASSENGER_NEAR_THE_CAMERA], DRIVER, 0),
        ("largest, where nothing is known", [DRIVER, PASSENGER_NEAR_THE_CAMERA], None, 1),
        ("in the usual place, though smaller", [PASSENGER_NEAR_THE_CAMERA, LEANING], DRIVER, 1),
        ("largest, where none is near the usual place", [DRIVER, PASSENGER_NEAR_THE_CAMERA], Box(0, 0, 0.1, 0.1), 1),
        ("usual place without any width", [DRIVER, PASSENGER_NEAR_THE_CAMERA], Box(0.4, 0.4, 0.4, 0.4), 1),
    ],
)
def test_driver_is(name, faces, usual, chosen):
    assert choose_driver(faces, usual) == chosen, name


def test_usual_place_follows_a_seat_that_was_moved_in_a_few_minutes():
    place = learn_place(None, DRIVER)
    assert place == DRIVER
    for _ in range(200):
        place = learn_place(place, LEANING)
    assert place.left == pytest.approx(LEANING.left, abs=0.01)
