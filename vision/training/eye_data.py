"""Eye crops to learn from: where they come from, whose they are, and what state they show."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from vision.core.eyes import EyeContour
from vision.eye_crops import CONTEXT, Crop, cut_eye, cut_square
from vision.frames import Picture
from vision.models import FaceModel, MediapipeFaces
from vision.training.tables import read_table

logger = logging.getLogger(__name__)

ROOM = 1.5
WIDE_PX = 64
"""Crops are kept wider and finer than the network sees, so that augmentation can turn, shift and scale them."""

OPEN, SHUT = 0, 1

MASKED = Path(__file__).with_name("masked_clips.csv")
"""Clips of the truck cabs in which a mask covers the mouth on every picture. Labelled by eye."""


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """One eye. ``group`` is the person or cab: groups are never split between training and judging. ``mask`` is of a
    clip of ``MASKED``: of close-ups nobody knows."""

    source: str
    group: str
    state: int
    wide: Crop  # (WIDE_PX, WIDE_PX), ROOM times as wide as what the network sees
    clip: str = ""
    mask: bool = False


def read_examples(data: Path) -> list[Example]:
    """All crops of the packs that are there.

    Raises:
        FileNotFoundError: none is.
    """
    examples = [
        *_colour_crops(data / "eye_crops"),
        *_infrared_crops(data / "ir_eye_crops"),
        *_truck_cabs(data / "ir_truck_cabs"),
    ]
    if not examples:
        raise FileNotFoundError(f"no eye_crops, ir_eye_crops or ir_truck_cabs in {data}")
    return examples


def _colour_crops(pack: Path) -> Iterator[Example]:
    """No subjects are known; neighbouring numbers may be one person, so groups are ranges of numbers."""
    for state, name in ((OPEN, "open"), (SHUT, "closed")):
        paths = sorted((pack / name).glob("*.jpg"))
        for i, path in enumerate(paths):
            yield Example("colour", f"colour-{i * 20 // len(paths):02d}", state, _whole(_grey(path)))


def _infrared_crops(pack: Path) -> Iterator[Example]:
    for row in _index(pack):
        state = SHUT if row["class"] == "closed" else OPEN
        yield Example("infrared", row["subject"], state, _whole(_grey(pack / row["file"])))


def _truck_cabs(pack: Path) -> Iterator[Example]:
    """Twice: as the boxes were drawn, and as the face mesh finds the same eyes, which is what it is about."""
    faces, masked = MediapipeFaces(), {(row["cab"], row["clip"]) for row in read_table(MASKED)}
    for row in _index(pack):
        clip, mask = row["clip"], (row["cab"], row["clip"]) in masked
        image = cv2.imread(str(pack / row["file"]))
        grey, boxes = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), _eye_boxes(pack, row["file"], image.shape)
        for state, centre, size in boxes:
            wide = cut_square(grey, centre, float(size.max()) * ROOM, px=WIDE_PX)
            yield Example("truck_box", row["cab"], state, wide, clip, mask)
        for eye in _mesh_eyes(faces, image):
            states = {state for state, centre, size in boxes if (np.abs(eye.mean(axis=0) - centre) < size * 0.5).all()}
            if len(states) == 1:
                wide = cut_eye(grey, eye, CONTEXT * ROOM, WIDE_PX)
                yield Example("truck_mesh", row["cab"], states.pop(), wide, clip, mask)
    faces.close()


def _mesh_eyes(faces: FaceModel, image: npt.NDArray[np.uint8]) -> Sequence[EyeContour]:
    (face,) = faces.find_faces([Picture(np.ascontiguousarray(image[:, :, ::-1]))])
    return (face.left_eye, face.right_eye) if face else ()


def _eye_boxes(
    pack: Path, file: str, shape: tuple[int, ...]
) -> list[tuple[int, npt.NDArray[np.float64], npt.NDArray[np.float64]]]:
    """(state, centre, size) in pixels."""
    text = (pack / "labels" / Path(file).with_suffix(".txt").name).read_text()
    found = []
    for line in text.splitlines():
        kind, *numbers = line.split()
        if kind in ("0", "1"):
            box = np.array(numbers, np.float64) * (shape[1], shape[0], shape[1], shape[0])
            found.append((OPEN if kind == "0" else SHUT, box[:2], box[2:]))
    return found


def _index(pack: Path) -> list[dict[str, str]]:
    path = pack / "index.csv"
    if not path.exists():
        logger.warning("%s is not there: going on without it", pack)
        return []
    return read_table(path)


def _grey(path: Path) -> Crop:
    grey: Crop = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    return grey


def _whole(grey: Crop) -> Crop:
    """A close-up as the middle of a wider crop, its edges mirrored outwards."""
    side = max(grey.shape)
    small = cv2.resize(grey, None, fx=min(1, 96 / side), fy=min(1, 96 / side), interpolation=cv2.INTER_AREA)
    side = max(small.shape)
    padded = cv2.copyMakeBorder(small, side, side, side, side, cv2.BORDER_REFLECT_101)
    return cut_square(padded, np.array(padded.shape[::-1]) / 2, side * ROOM, px=WIDE_PX)
