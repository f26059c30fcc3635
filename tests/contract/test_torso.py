"""The shipped torso networks on real frames: somebody is found, numbers are probabilities, no chest means no belt."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from vision.bodies import Bodies
from vision.core.signals import BELT_WORN
from vision.frames import Picture, decode_picture
from vision.torso import COLOUR, INFRARED, SIGNALS, Torsos, join_looks, let_compete
from vision.torso_crops import STUDY

ALL = sorted(Path("infra/demo/omaha-31/frames").glob("*.jpg"))
FRAMES = ALL[:40:8]


@pytest.fixture(scope="module")
def torsos() -> Iterator[Torsos]:
    made = Torsos()
    yield made
    made.close()


@pytest.fixture(scope="module")
def pictures() -> list[Picture]:
    return [decode_picture(path.read_bytes(), 10**7) for path in FRAMES]


def test_driver_is_found_and_every_number_is_a_probability(torsos, pictures):
    looks = torsos.measure(pictures, [None] * len(pictures))
    assert len(looks) == len(FRAMES) == 5
    for numbers in looks:
        assert set(numbers) == set(SIGNALS)
        assert all(0 <= value <= 1 for value in numbers.values())


def test_driver_who_neither_phones_nor_smokes(torsos):
    """Nods, yawns and hands before the lens: single looks may err, a driver is not taken for a smoker."""
    pictures = [decode_picture(path.read_bytes(), 10**7) for path in ALL[::4]]
    looks = torsos.measure(pictures, [None] * len(pictures))
    for signal in set(SIGNALS) - {BELT_WORN}:
        said = np.array([numbers[signal] for numbers in looks])
        assert (said > 0.5).mean() < 0.1, signal
        assert np.median(said) < 0.2, signal


def test_driver_who_puts_the_belt_on(torsos):
    """It hangs at the pillar first, and lies over the shoulder from the middle of the clip on."""
    without, worn = ([decode_picture(path.read_bytes(), 10**7) for path in part[::6]] for part in (ALL[:90], ALL[120:]))
    before, after = (np.median([n[BELT_WORN] for n in torsos.measure(p, [None] * len(p))]) for p in (without, worn))
    assert before < 0.3
    assert after > 0.7


def test_cameras_in_colour_and_in_infrared_have_a_network_each(pictures):
    grey = np.repeat(pictures[0].grey[..., None], 3, axis=2)
    barred = grey.copy()
    barred[:12, :200] = (250, 200, 30)  # what a recorder prints into it
    for rgb, name in ((pictures[0].rgb, COLOUR), (grey, INFRARED), (barred, INFRARED)):
        torsos = Torsos()
        assert torsos.measure([Picture(rgb)], [None]) != [{}]
        assert list(torsos._opened) == [name]
        torsos.close()


def test_seat_without_anybody_has_no_numbers(torsos):
    assert torsos.measure([Picture(np.full((240, 320, 3), 40, np.uint8))], [None]) == [{}]


def test_chest_out_of_the_picture_says_nothing_of_the_belt(torsos, pictures):
    body = Bodies().find_driver(pictures[0])
    assert body is not None
    chin_y = int(body.points[0, 1] + 0.15 * body.points[[5, 6], 1].max())
    head = Picture(np.ascontiguousarray(pictures[0].rgb[:chin_y]))
    whole, cut = torsos.measure([pictures[0], head], [None, None])
    assert BELT_WORN in whole
    assert set(SIGNALS) - {BELT_WORN} == set(cut)


def test_phones_and_cigarettes_are_told_from_closer_too():
    wide, close = np.array([[1.0, 2.0, 3.0, 4.0]]), np.array([[9.0, 0.0, 5.0, 9.0]])
    assert join_looks(wide, close).tolist() == [[1.0, 1.5, 4.0, 4.0]]


@pytest.mark.parametrize(
    ("logits", "competing"),
    [
        ((2.0, 3.0, -9.0, -9.0), (2.0, 3.0, -12.0, -12.0)),  # a belt and a phone: the phone takes the hand
        ((-2.0, 3.0, 3.0, -9.0), (-2.0, -0.05, -0.05, -12.7)),
        ((0.0, 1.0, 4.0, -9.0), (0.0, -3.02, 2.69, -13.1)),
        ((0.0, -5.0, -5.0, -5.0), (0.0, -5.01, -5.01, -5.01)),
    ],
)
def test_phone_cigarette_and_cup_compete_for_the_hand(logits, competing):
    given = np.array([logits], np.float32)
    assert let_compete(given)[0].tolist() == pytest.approx(list(competing), abs=0.06)
    assert given[0].tolist() == list(logits)


def test_one_after_the_other_or_together_is_the_same(torsos, pictures):
    together = torsos.measure(pictures, [None] * len(pictures))
    alone = [torsos.measure([picture], [None])[0] for picture in pictures]
    assert together == alone


def test_a_studied_picture_says_the_same_more_steadily(torsos):
    """Of pictures a second apart, in which nothing changes but the driver's pose."""
    pictures = [decode_picture(path.read_bytes(), 10**7) for path in ALL[130::3]]
    studied = Torsos(STUDY)
    glanced, said = (
        [n[BELT_WORN] for n in head.measure(pictures, [None] * len(pictures))] for head in (torsos, studied)
    )
    studied.close()
    glanced, said = (np.log(np.divide(one, np.subtract(1, one))) for one in (glanced, said))
    assert np.abs(glanced - said).mean() < 1.0
    assert np.abs(np.diff(said)).mean() < np.abs(np.diff(glanced)).mean()
