"""Small pictures that were cut out of larger ones: is that a face, or one eye from edge to edge?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from vision.core.cadence import SELDOM
from vision.core.eyes import EyeContour
from vision.core.seat import Box
from vision.core.signals import BELT_WORN, CAMERA_UNFIT
from vision.eye_crops import CONTEXT
from vision.frames import Picture
from vision.looking import Eyes
from vision.models import Face, Head

SMALL_PX = 256
"""A picture on its own that is at most so large may be a close-up."""

SAME_PLACE = 0.6
"""A face is believed where it is found again, overlapping by so much, in the picture with a margin around it. Of 759
eyes and mouths the mesh took 38 for faces, and 13 were found again; so were 1,002 of 1,004 found in crops of faces
(64 to 224 px)."""

_EYE_HEAD = "eyes"


def is_small(picture: Picture) -> bool:
    return max(picture.rgb.shape[:2]) <= SMALL_PX


def may_be_eye(picture: Picture, numbers: Mapping[str, float]) -> bool:
    """Of a picture without a face. One that shows a chest, of which something is said of the belt, is a cab's."""
    return is_small(picture) and BELT_WORN not in numbers


def leave_out_cab(numbers: Mapping[str, float]) -> dict[str, float]:
    """Without what is meant of a driver in a cab: an eye holds no phone, and needs no edges all over the picture."""
    return {name: value for name, value in numbers.items() if name not in SELDOM and name != CAMERA_UNFIT}


def doubt_faces(pictures: Sequence[Picture], faces: Sequence[Face | None], eyes: Eyes) -> list[Face | None]:
    """The faces, without those of small pictures that are not found again."""
    doubted = [i for i, face in enumerate(faces) if face and is_small(pictures[i])]
    again = eyes.find_faces([_with_margin(pictures[i]) for i in doubted])
    believed = list(faces)
    for i, second in zip(doubted, again, strict=True):
        first = faces[i]
        if first is None or second is None or _overlap(first.box, _without_margin(second.box)) < SAME_PLACE:
            believed[i] = None
    return believed


def look_as_eye(picture: Picture, heads: Sequence[Head]) -> Mapping[str, float]:
    """The eye heads' numbers of a picture that is one eye from edge to edge: both eyes are the same one."""
    height, width = picture.rgb.shape[:2]
    face = Face(Box(0.0, 0.0, 1.0, 1.0), _eye_across(width, height), _eye_across(width, height))
    looks = (head.measure([picture], [face])[0] for head in heads if head.name == _EYE_HEAD)
    return {name: value for numbers in looks for name, value in numbers.items()}


def _eye_across(width: int, height: int) -> EyeContour:
    """The contour whose crop (see ``eye_crops.cut_eye``) is the largest square in the middle of the picture."""
    half = min(width, height) / CONTEXT / 2
    xs = np.array([-1.0, -1 / 3, 1 / 3, 1.0, 1 / 3, -1 / 3]) * half
    ys = np.array([0.0, -1.0, -1.0, 0.0, 1.0, 1.0]) * half * 0.3
    return np.column_stack([xs + width / 2, ys + height / 2])


def _with_margin(picture: Picture) -> Picture:
    """Twice as wide and high, the picture in the middle, its mean around it."""
    height, width = picture.rgb.shape[:2]
    wide = np.full((height * 2, width * 2, 3), round(float(picture.rgb.mean())), np.uint8)
    wide[height // 2 : height // 2 + height, width // 2 : width // 2 + width] = picture.rgb
    return Picture(wide)


def _without_margin(box: Box) -> Box:
    return Box(*(2 * side - 0.5 for side in (box.left, box.top, box.right, box.bottom)))


def _overlap(one: Box, other: Box) -> float:
    """Shared area over the area of both."""
    left, top = max(one.left, other.left), max(one.top, other.top)
    right, bottom = min(one.right, other.right), min(one.bottom, other.bottom)
    shared = Box(left, top, max(left, right), max(top, bottom)).area
    return shared / max(one.area + other.area - shared, 1e-9)
