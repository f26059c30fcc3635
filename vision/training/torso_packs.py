"""The packs of pictures that the torso network learns from, and what each says of them.

Packs differ in what they label. ``known`` says for which kinds the boxes of a picture are complete; ``there`` what is
known of the picture as a whole. What is unknown teaches nothing. That nobody drinks in the truck cabs, on the stock
photos and in the parked cars is taken for granted (none does on the 150 or so looked at): otherwise the network would
never learn that drinking is rare outside of the one study that shows it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from vision.frames import Rgb
from vision.torso import KINDS
from vision.torso_crops import Boxes
from vision.training.tables import read_table

STRAP, PHONE, CIGARETTE, CUP = range(len(KINDS))

PARKED_PEOPLE = Path(__file__).parent / "parked_people.csv"
"""Who wears a belt and glasses in ``yawn_frames``, labelled by eye: one line for every stretch of a person's frames."""


class There(IntEnum):
    """What is known of a whole picture."""

    UNKNOWN = -1
    NO = 0
    YES = 1


Truth = tuple[There, There, There, There]


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
    cab: str = ""
    clip: str = ""


def read_pictures(data: Path) -> Iterator[Labelled]:
    yield from _truck_cabs(data / "ir_truck_cabs")
    yield from _straps(data / "belt_strap_web")
    yield from _side_straps(data / "statefarm_belt_boxes")
    yield from _side_phones(data / "statefarm_phone_480")
    yield from _parked(data / "yawn_frames")


def _truck_cabs(pack: Path) -> Iterator[Labelled]:
    """Where nobody said whether a belt is worn, no chest is in the picture either: there is no strap to be seen."""
    for row in read_rows(pack):
        kinds, boxes = read_boxes(pack, row["file"], {2: CIGARETTE, 3: PHONE, 4: STRAP})
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
    for row in read_rows(pack):
        if int(row["tiny"]) or row["hcl_near_dup"]:
            continue
        kinds, boxes = read_boxes(pack, row["file"], {0: STRAP})
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
    for row in read_rows(pack):
        kinds, boxes = read_boxes(pack, row["file"], {0: STRAP, 1: CUP})
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
    for row in read_rows(pack):
        kind = row["class"]
        phone = There(kind.startswith(("text", "call")))
        there = (There.UNKNOWN, phone, There.NO, There(kind.startswith("drink")))
        known = (False, phone is There.NO, True, False)
        yield Labelled("side_phones", f"side/{row['near_dup_group']}", pack / row["file"], known, there)


def _parked(pack: Path) -> Iterator[Labelled]:
    """Nobody phones, smokes or drinks."""
    for row, path in read_parked(pack):
        there = (There(row["belt"] == "worn"), There.NO, There.NO, There.NO)
        known = (there[STRAP] is There.NO, True, True, True)
        yield Labelled("parked", f"parked/{row['person']}", path, known, there, cab=row["person"])


def read_parked(pack: Path) -> Iterator[tuple[dict[str, str], Path]]:
    """Each picture of a known person in ``yawn_frames``, with that person's row of ``PARKED_PEOPLE``."""
    for row in read_table(PARKED_PEOPLE):
        for path in sorted((pack / row["folder"]).glob("*.jpg")):
            if int(row["first"]) <= int(path.stem) <= int(row["last"]):
                yield row, path


def is_kept_person(person: str) -> bool:
    """Every other person of the parked cars is never trained on by the network that ships."""
    return ord(person[-1]) % 2 == 0


def read_boxes(pack: Path, file: str, kind_of: dict[int, int]) -> tuple[npt.NDArray[np.int64], Boxes]:
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


def read_rows(pack: Path) -> list[dict[str, str]]:
    return read_table(pack / "index.csv")


def read_rgb(path: Path) -> Rgb:
    pixels = cv2.imread(str(path))
    if pixels is None:
        raise FileNotFoundError(f"no picture at {path}")
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)
