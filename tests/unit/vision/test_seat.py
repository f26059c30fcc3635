"""Whose face is the driver's."""

import pytest

from vision.core.seat import Box, choose_driver

DRIVER = Box(0.3, 0.2, 0.5, 0.6)
PASSENGER = Box(0.7, 0.2, 0.85, 0.5)


@pytest.mark.parametrize(
    ("name", "faces", "chosen"),
    [
        ("nobody", [], None),
        ("alone", [PASSENGER], 0),
        ("the largest", [PASSENGER, DRIVER], 1),
        ("the first of equals", [DRIVER, DRIVER], 0),
    ],
)
def test_driver_is(name, faces, chosen):
    assert choose_driver(faces) == chosen, name
