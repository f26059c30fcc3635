"""What is blurred in the pictures of one camera, so that no passenger and, for most eyes, no driver is recognised.

A face that a detector misses on one frame is a leak. So a place where a face was seen stays blurred for a while
before and after, and a seat in which somebody was surely seen, for as long as the pictures last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from vision.core.seat import NEAR, Box, is_near

HOLD_US = 1_000_000
"""A face is blurred where it was seen so long before and after."""

SURE_SCORE, SURE_SIGHTINGS = 0.6, 3
"""One confident sighting, or so many faint ones, and somebody sits there. A single faint one may be a headrest: it is
blurred for ``HOLD_US`` only."""

MARGIN = 0.35
"""Of its width and height added on each side of a face: detectors find eyes to chin; hair, ears and chin are to go."""

EVERYTHING = Box(0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True)
class Spot:
    """A face, as a detector saw it."""

    box: Box
    score: float


@dataclass(frozen=True, slots=True)
class Sighting:
    """The faces of one picture."""

    time_us: int
    spots: tuple[Spot, ...]


@dataclass(frozen=True, slots=True)
class Veil:
    """What is blurred in one picture: in all, and in addition for those who may not see the driver's face."""

    passengers: tuple[Box, ...]
    driver: tuple[Box, ...]


def plan_veils(sightings: Sequence[Sighting], with_driver: bool) -> list[Veil]:
    """A veil for each picture.

    Args:
        sightings: in order of time.
        with_driver: the camera faces the driver. Otherwise every face counts as a passenger's.
    """
    place = usual_driver(sightings) if with_driver else None
    driver, others = _part(sightings, place)
    seats = _seats([spot for _, spot in others])
    held_driver = [_held(driver, sighting.time_us) for sighting in sightings]
    seen_at = {time_us for time_us, _ in driver}
    reach = _union([spot.box for _, spot in driver])
    veils = []
    for sighting, held in zip(sightings, held_driver, strict=True):
        passengers = (*_held(others, sighting.time_us), *seats)
        lost = () if sighting.time_us in seen_at else (widen(reach) if reach else EVERYTHING,)
        veils.append(Veil(passengers, (*held, *lost) if with_driver else ()))
    return veils


def usual_driver(sightings: Sequence[Sighting]) -> Box | None:
    """Where the driver's face is: the middle one of each picture's largest. None where no face was seen at all."""
    largest = [max((spot.box for spot in s.spots), key=lambda box: box.area) for s in sightings if s.spots]
    if not largest:
        return None
    sides = ("left", "top", "right", "bottom")
    return Box(*(median(getattr(box, side) for box in largest) for side in sides))


def widen(box: Box, margin: float = MARGIN) -> Box:
    """The box with a margin, cut off at the picture's edges."""
    across, down = (box.right - box.left) * margin, (box.bottom - box.top) * margin
    return Box(
        max(0.0, box.left - across),
        max(0.0, box.top - down),
        min(1.0, box.right + across),
        min(1.0, box.bottom + down),
    )


Timed = tuple[int, Spot]


def _part(sightings: Sequence[Sighting], place: Box | None) -> tuple[list[Timed], list[Timed]]:
    """The driver's face on each picture and all others. Of several near the place, what does not overlap the nearest
    is somebody else's."""
    driver: list[Timed] = []
    others: list[Timed] = []
    for sighting in sightings:
        near = [spot for spot in sighting.spots if place is not None and is_near(spot.box, place, NEAR)]
        own = max(near, key=lambda spot: (_overlap(spot.box, place), spot.score), default=None) if place else None
        for spot in sighting.spots:
            mine = own is not None and _overlap(spot.box, own.box) > 0.2
            (driver if mine else others).append((sighting.time_us, spot))
    return driver, others


def _held(spots: Sequence[Timed], time_us: int) -> tuple[Box, ...]:
    return tuple(widen(spot.box) for at_us, spot in spots if abs(at_us - time_us) <= HOLD_US)


def _seats(spots: Sequence[Spot]) -> tuple[Box, ...]:
    """Places in which somebody was surely seen: faces that lie near each other are one place."""
    groups: list[list[Spot]] = []
    for spot in spots:
        group = next((g for g in groups if is_near(spot.box, g[0].box, 1.0)), None)
        if group is None:
            groups.append([spot])
        else:
            group.append(spot)
    sure = [g for g in groups if len(g) >= SURE_SIGHTINGS or max(s.score for s in g) >= SURE_SCORE]
    return tuple(widen(box) for g in sure if (box := _union([s.box for s in g])))


def _union(boxes: Sequence[Box]) -> Box | None:
    if not boxes:
        return None
    lefts, tops = min(b.left for b in boxes), min(b.top for b in boxes)
    return Box(lefts, tops, max(b.right for b in boxes), max(b.bottom for b in boxes))


def _overlap(one: Box, other: Box) -> float:
    """Shared area over the smaller one's."""
    width = min(one.right, other.right) - max(one.left, other.left)
    height = min(one.bottom, other.bottom) - max(one.top, other.top)
    smaller = max(min(one.area, other.area), 1e-9)
    return max(0.0, width) * max(0.0, height) / smaller
