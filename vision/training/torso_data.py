"""The pictures that the torso network learns from, cut out around each person."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vision.bodies import ELBOWS, SHOULDERS, WRISTS, Bodies, Body
from vision.frames import Picture, Rgb
from vision.torso_crops import (
    SIDE_IN_SHOULDERS,
    Boxes,
    Square,
    add_rim,
    cut_torso,
    find_mouth,
    move_boxes,
    place_square,
    widen,
)
from vision.training.torso_packs import PHONE, Labelled, There, Truth, read_boxes, read_pictures, read_rgb, read_rows

HAND_BEYOND_WRIST = 0.35
"""Of the forearm, how far beyond the wrist the middle of a hand is."""

WIDE_PX = 432
WIDE_SHARE = 1.227
"""Crops are kept this much wider than the network's, so that they can be shifted, turned and scaled."""


@dataclass(frozen=True, eq=False)
class Example:
    """One person.

    ``group`` never straddles a split. ``crop`` is (WIDE_PX, WIDE_PX, 3); ``boxes`` (n, 4) in its pixels; ``kinds``
    (n,). ``shoulders`` is (2, 2) in its pixels, where painted straps are hung up, ``mouth`` (2,) where cigarettes go,
    NaN where no face was found; ``hands`` (n, 2), those seen.
    """

    source: str
    group: str
    name: str
    crop: Rgb
    boxes: Boxes
    kinds: npt.NDArray[np.int64]
    known: tuple[bool, bool, bool, bool]
    there: Truth
    shoulders: npt.NDArray[np.float32]
    mouth: npt.NDArray[np.float32]
    hands: npt.NDArray[np.float32]
    grey: bool = False
    cab: str = ""
    clip: str = ""

    @property
    def has_mouth(self) -> bool:
        return not np.isnan(self.mouth).any()


def read_examples(data: Path) -> list[Example]:
    """All packs under this folder. Pictures without a person are left out."""
    bodies = Bodies()
    examples = [example for picture in read_pictures(data) for example in cut_examples(picture, bodies)]
    examples += list(_cut_persons(data / "belt_phone_yolo", bodies))
    return examples


def cut_examples(picture: Labelled, bodies: Bodies) -> Iterator[Example]:
    rgb = read_rgb(picture.path)
    body = bodies.find_driver(Picture(rgb))
    if body is not None:
        square = place_square(body, rgb.shape[1], rgb.shape[0])
        yield _example(picture, rgb, square, body)
    elif len(picture.boxes):
        yield _example(picture, rgb, _around(picture.boxes, rgb), None)


def _cut_persons(pack: Path, bodies: Bodies) -> Iterator[Example]:
    """Each labelled person of the stock photos, the driver by key points, passengers by their boxes alone.

    Of a person without a belt the strap of somebody beside may be in the crop: then it is not known.
    """
    for row in read_rows(pack):
        path = pack / "images" / f"{row['name']}.jpg"
        rgb = read_rgb(path)
        body = bodies.find_driver(Picture(rgb))
        kinds, boxes = read_boxes(pack, f"images/{path.name}", {0: PHONE, 1: PHONE, 2: 12, 3: 13})
        phones = boxes[kinds == PHONE]
        for worn, person in zip(kinds[kinds >= 12] == 12, boxes[kinds >= 12], strict=True):
            own = body if body is not None and _overlap(body.box, person) > 0.4 else None
            square = place_square(own, rgb.shape[1], rgb.shape[0]) if own else _around_person(person)
            others = (kinds >= 12).sum() > 1 and len(set(kinds[kinds >= 12].tolist())) > 1
            phone = There(bool(len(phones) and _reaches(phones, square)))
            picture = Labelled(
                "stock",
                f"stock/{row['near_dup_group']}",
                path,
                (not worn and not others, True, True, False),
                (There(bool(worn)), phone, There.NO, There.NO),
                phones,
                np.full(len(phones), PHONE),
                cab=row["clean_split"],
            )
            yield _example(picture, rgb, square, own)


def _example(picture: Labelled, rgb: Rgb, square: Square, body: Body | None) -> Example:
    wide = widen(square, WIDE_SHARE)
    crop = cut_torso(rgb, wide, WIDE_PX)
    boxes = move_boxes(picture.boxes, wide, WIDE_PX)
    return Example(
        picture.source,
        picture.group,
        picture.path.stem,
        crop,
        boxes,
        np.array(picture.kinds, np.int64),
        picture.known,
        picture.there,
        _shoulders(wide, body),
        _mouth(wide, body),
        _hands(wide, body),
        bool(np.abs(crop.astype(np.int16) - crop.mean(axis=2, keepdims=True)).mean() < 3),
        picture.cab,
        picture.clip,
    )


def _shoulders(square: Square, body: Body | None) -> npt.NDArray[np.float32]:
    """Left and right as seen in the picture, in pixels of the wide crop."""
    scale = WIDE_PX / square.side
    found = body.find(*SHOULDERS) if body is not None else np.zeros((0, 2), np.float32)
    if len(found) == 2:
        points = (found - (square.left, square.top)) * scale
        return np.asarray(points[np.argsort(points[:, 0])], np.float32)
    half = square.shoulders_px * scale / 2
    return np.array([[WIDE_PX / 2 - half, WIDE_PX * 0.62], [WIDE_PX / 2 + half, WIDE_PX * 0.62]], np.float32)


def _mouth(square: Square, body: Body | None) -> npt.NDArray[np.float32]:
    mouth = find_mouth(body) if body is not None else None
    if mouth is None:
        return np.full(2, np.nan, np.float32)
    return np.asarray((mouth - (square.left, square.top)) * WIDE_PX / square.side, np.float32)


def _hands(square: Square, body: Body | None) -> npt.NDArray[np.float32]:
    """Beyond the wrist, where the elbow is seen as well."""
    found = np.zeros((0, 2), np.float32)
    if body is None:
        return found
    for elbow, wrist in zip(ELBOWS, WRISTS, strict=True):
        arm, hand = body.find(elbow), body.find(wrist)
        found = np.vstack([found, hand + (hand - arm) * HAND_BEYOND_WRIST if len(arm) else hand])
    return np.asarray((found - (square.left, square.top)) * WIDE_PX / square.side, np.float32)


def _around(boxes: Boxes, rgb: Rgb) -> Square:
    """Where a strap is labelled and nobody found."""
    side = float(min(rgb.shape[:2]))
    x, y = (boxes[:, :2].min(axis=0) + boxes[:, 2:].max(axis=0)) / 2
    return add_rim(Square(float(x) - side / 2, float(y) - side / 2, side, side / SIDE_IN_SHOULDERS))


def _around_person(box: npt.NDArray[np.float32]) -> Square:
    """Boxes reach from the head to the waist."""
    side = float(max(box[2] - box[0], 0.8 * (box[3] - box[1])))
    middle = float(box[0] + box[2]) / 2
    return add_rim(Square(middle - side / 2, float(box[1]) - 0.08 * side, side, side / SIDE_IN_SHOULDERS))


def _reaches(boxes: Boxes, square: Square) -> bool:
    x, y = (boxes[:, 0] + boxes[:, 2]) / 2 - square.left, (boxes[:, 1] + boxes[:, 3]) / 2 - square.top
    return bool(((x > 0) & (x < square.side) & (y > 0) & (y < square.side)).any())


def _overlap(one: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> float:
    """Shared area over the smaller one: labels end at the waist, key points' boxes do not."""
    wide, high = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    areas = [float(np.prod(box[2:] - box[:2])) for box in (one, other)]
    return max(float(wide), 0.0) * max(float(high), 0.0) / max(min(areas), 1.0)
