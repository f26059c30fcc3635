"""The pictures that the torso network learns from: crops around a person, boxes, and what is known of each picture.

Packs differ in what they label. ``known`` says for which kinds the boxes of a picture are complete; ``there`` what is
known of the picture as a whole. What is unknown teaches nothing. That nobody drinks in the truck cabs and on the stock
photos is taken for granted (none does on the 150 or so looked at): otherwise the network would never learn that
drinking is rare outside of the one study that shows it.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from vision.bodies import SHOULDERS, Bodies, Body
from vision.frames import Picture, Rgb
from vision.torso import KINDS
from vision.torso_crops import SIDE_IN_SHOULDERS, Boxes, Square, cut_torso, move_boxes, place_square

STRAP, PHONE, CIGARETTE, CUP = range(len(KINDS))

WIDE_PX = 432
WIDE_SHARE = 1.35
"""Crops are kept this much wider than the network's, so that they can be shifted, turned and scaled."""


class There(IntEnum):
    """What is known of a whole picture."""

    UNKNOWN = -1
    NO = 0
    YES = 1


Truth = tuple[There, There, There, There]


@dataclass(frozen=True, eq=False)
class Example:
    """One person.

    ``group`` never straddles a split. ``crop`` is (WIDE_PX, WIDE_PX, 3); ``boxes`` (n, 4) in its pixels; ``kinds``
    (n,). ``shoulders`` is (2, 2) in its pixels, where painted straps are hung up.
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
    test: bool = False
    grey: bool = False
    cab: str = ""
    clip: str = ""


@dataclass(frozen=True)
class Labelled:
    """A picture with boxes in its pixels and what is known of it, before a person is cut out."""

    source: str
    group: str
    path: Path
    known: tuple[bool, bool, bool, bool]
    there: Truth
    boxes: Boxes = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    kinds: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    test: bool = False
    cab: str = ""
    clip: str = ""


def read_examples(data: Path) -> list[Example]:
    """All packs under this folder. Pictures without a person are left out."""
    bodies = Bodies()
    examples = [example for picture in _pictures(data) for example in _cut(picture, bodies)]
    examples += list(_cut_persons(data / "belt_phone_yolo", bodies))
    return examples


def _pictures(data: Path) -> Iterator[Labelled]:
    yield from _truck_cabs(data / "ir_truck_cabs")
    yield from _straps(data / "belt_strap_web")
    yield from _side_straps(data / "statefarm_belt_boxes")
    yield from _side_phones(data / "statefarm_phone_480")


def _truck_cabs(pack: Path) -> Iterator[Labelled]:
    """Where nobody said whether a belt is worn, no chest is in the picture either: there is no strap to be seen."""
    for row in _rows(pack):
        kinds, boxes = _boxes(pack, row["file"], {2: CIGARETTE, 3: PHONE, 4: STRAP})
        there = (
            There(row["belt_status"] == "worn"),
            There(int(row["n_phone"]) > 0),
            There(int(row["n_cigarette"]) > 0),
            There.NO,
        )
        yield Labelled(
            "truck_cabs",
            f"truck_cabs/{row['cab']}",
            pack / row["file"],
            (True, True, True, False),
            there,
            boxes,
            kinds,
            cab=row["cab"],
            clip=f"{row['cab']}/{row['clip']}",
        )


def _straps(pack: Path) -> Iterator[Labelled]:
    for row in _rows(pack):
        if int(row["tiny"]) or row["hcl_near_dup"]:
            continue
        kinds, boxes = _boxes(pack, row["file"], {0: STRAP})
        there = (There.UNKNOWN, There.UNKNOWN, There.UNKNOWN, There.UNKNOWN)
        yield Labelled(
            "strap_web",
            f"strap_web/{row['near_dup_group']}",
            pack / row["file"],
            (True, False, False, False),
            there,
            boxes,
            kinds,
        )


def _side_straps(pack: Path) -> Iterator[Labelled]:
    for row in _rows(pack):
        kinds, boxes = _boxes(pack, row["file"], {0: STRAP, 1: CUP})
        there = (There.UNKNOWN, There.UNKNOWN, There.NO, There(CUP in kinds))
        yield Labelled(
            "side_straps",
            f"side/{row['near_dup_group']}",
            pack / row["file"],
            (True, False, True, True),
            there,
            boxes,
            kinds,
        )


def _side_phones(pack: Path) -> Iterator[Labelled]:
    for row in _rows(pack):
        kind = row["class"]
        phone = There(kind.startswith(("text", "call")))
        there = (There.UNKNOWN, phone, There.NO, There(kind.startswith("drink")))
        known = (False, phone is There.NO, True, False)
        yield Labelled("side_phones", f"side/{row['near_dup_group']}", pack / row["file"], known, there)


def _cut(picture: Labelled, bodies: Bodies) -> Iterator[Example]:
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
    for row in _rows(pack):
        path = pack / "images" / f"{row['name']}.jpg"
        rgb = read_rgb(path)
        body = bodies.find_driver(Picture(rgb))
        kinds, boxes = _boxes(pack, f"images/{path.name}", {0: PHONE, 1: PHONE, 2: 12, 3: 13})
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
                test=row["clean_split"] != "train",
                cab=row["clean_split"],
            )
            yield _example(picture, rgb, square, own)


def _example(picture: Labelled, rgb: Rgb, square: Square, body: Body | None) -> Example:
    wide = _widen(square)
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
        picture.test,
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
    half = WIDE_PX / SIDE_IN_SHOULDERS / WIDE_SHARE / 2
    return np.array([[WIDE_PX / 2 - half, WIDE_PX * 0.62], [WIDE_PX / 2 + half, WIDE_PX * 0.62]], np.float32)


def _widen(square: Square) -> Square:
    extra = square.side * (WIDE_SHARE - 1) / 2
    return Square(square.left - extra, square.top - extra, square.side * WIDE_SHARE, square.shoulders_px)


def _around(boxes: Boxes, rgb: Rgb) -> Square:
    """Where a strap is labelled and nobody found."""
    side = float(min(rgb.shape[:2]))
    x, y = (boxes[:, :2].min(axis=0) + boxes[:, 2:].max(axis=0)) / 2
    return Square(float(x) - side / 2, float(y) - side / 2, side, side / SIDE_IN_SHOULDERS)


def _around_person(box: npt.NDArray[np.float32]) -> Square:
    """Boxes reach from the head to the waist."""
    side = float(max(box[2] - box[0], 0.8 * (box[3] - box[1])))
    middle = float(box[0] + box[2]) / 2
    return Square(middle - side / 2, float(box[1]) - 0.08 * side, side, side / SIDE_IN_SHOULDERS)


def _reaches(boxes: Boxes, square: Square) -> bool:
    x, y = (boxes[:, 0] + boxes[:, 2]) / 2 - square.left, (boxes[:, 1] + boxes[:, 3]) / 2 - square.top
    return bool(((x > 0) & (x < square.side) & (y > 0) & (y < square.side)).any())


def _overlap(one: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> float:
    """Shared area over the smaller one: labels end at the waist, key points' boxes do not."""
    wide, high = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    areas = [float(np.prod(box[2:] - box[:2])) for box in (one, other)]
    return max(float(wide), 0.0) * max(float(high), 0.0) / max(min(areas), 1.0)


def _boxes(pack: Path, file: str, kind_of: dict[int, int]) -> tuple[npt.NDArray[np.int64], Boxes]:
    """The pack's YOLO lines of the kinds asked for, in pixels."""
    labels = pack / "labels" / f"{Path(file).stem}.txt"
    lines = [line.split() for line in labels.read_text().splitlines()] if labels.exists() else []
    rows = [(kind_of[int(line[0])], *map(float, line[1:5])) for line in lines if int(line[0]) in kind_of]
    if not rows:
        return np.zeros(0, np.int64), np.zeros((0, 4), np.float32)
    table = np.array(rows, np.float32)
    height, width = read_rgb(pack / file).shape[:2]
    middle, half = table[:, 1:3], table[:, 3:5] / 2
    boxes = np.concatenate([middle - half, middle + half], axis=1) * (width, height, width, height)
    return table[:, 0].astype(np.int64), boxes.astype(np.float32)


def _rows(pack: Path) -> list[dict[str, str]]:
    with (pack / "index.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def read_rgb(path: Path) -> Rgb:
    pixels = cv2.imread(str(path))
    if pixels is None:
        raise FileNotFoundError(f"no picture at {path}")
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)
