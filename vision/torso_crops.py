"""The driver's head, chest and hands, cut out of a picture: what the torso network looks at, here and in training.

A square set by the shoulders makes every camera alike: near or far, wide or narrow. It stays inside the picture where
it can; what lies outside is grey.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from vision.bodies import EARS, EYES, NOSE, SHOULDERS, Body
from vision.frames import Rgb

CROP_PX = 224
"""A strap is then about 10 pixels wide and a cigarette 20 long."""

SIDE_IN_SHOULDERS = 2.2
"""Room for a hand at the ear and for one that holds a cigarette beside the head."""

MOST_OF_PICTURE = 1.1
"""Of the picture's shorter side: a driver who fills it is not made smaller."""

ABOVE_SHARE = 0.3
"""Of the side, how far the middle of the face is from the upper edge."""

RIM_SHARE = 0.05
"""Of the side, what is looked at beyond it all around, be it outside of the picture. Networks tell belts, phones and
cigarettes in cabs that they never saw better so (AUC of belts .91 to .95), and better than in a larger square."""

CLOSE_SIDE = 0.55
"""Side of the closer look at head and hands, over that of the square: a cigarette is twice as long there."""

MOUTH_BELOW_NOSE = 0.9
"""Of the way from the eyes to the tip of the nose."""

HEADS_A_SHOULDER_WIDTH = 2.4
"""Distance of the ears to that of the shoulders, where the shoulders are not seen."""

LEAST_WARP = 0.6
"""A warp reads single pixels: thin straps would break up if it made a picture smaller than this."""

FILL = 114


@dataclass(frozen=True, slots=True)
class Square:
    """In pixels of the picture. ``shoulders_px`` is how wide the driver is taken to be."""

    left: float
    top: float
    side: float
    shoulders_px: float


@dataclass(frozen=True, slots=True)
class View:
    """A look at a square: its side so much longer, moved by so many of its sides, and perhaps mirrored, as if the
    driver sat on the other side."""

    share: float = 1.0
    right: float = 0.0
    down: float = 0.0
    mirrored: bool = False


@dataclass(frozen=True, slots=True)
class Views:
    """How one picture is looked at: the mean of the looks at the square, and of the closer ones."""

    wide: tuple[View, ...]
    close: tuple[View, ...]


GLANCE = Views((View(), View(mirrored=True)), (View(),))
"""For pictures of a stream, of which more come."""

STUDY = Views(
    (View(), View(right=-0.06, mirrored=True), View(right=0.06), View(down=-0.06, mirrored=True), View(down=0.06)),
    (View(), View(0.8, mirrored=True), View(1.25)),
)
"""For a picture that is all there is: on people and cabs never trained on belts, phones and cigarettes are told better
(AUCs rise by up to .01), in twice the time. Twice as many views gained nothing more."""


def place_square(body: Body, width: int, height: int) -> Square:
    """Around the face and chest of this person, in a picture of this size."""
    shoulders = _shoulders_px(body)
    side = min(SIDE_IN_SHOULDERS * shoulders, MOST_OF_PICTURE * min(width, height))
    x, y = _face_centre(body, shoulders)
    left, top = _inside(x - side / 2, side, width), _inside(y - side * ABOVE_SHARE, side, height)
    return add_rim(Square(left, top, side, shoulders))


def add_rim(square: Square) -> Square:
    """What is looked at, of a square that shows what must be seen."""
    return widen(square, 1 + 2 * RIM_SHARE)


def widen(square: Square, share: float) -> Square:
    """The square with its sides this much longer, around the same middle."""
    extra = square.side * (share - 1) / 2
    return Square(square.left - extra, square.top - extra, square.side * share, square.shoulders_px)


def place_close(body: Body, square: Square) -> Square | None:
    """A closer look at the head and the hands near it; None where no face is seen."""
    mouth = find_mouth(body)
    if mouth is None:
        return None
    side = square.side * CLOSE_SIDE
    return Square(float(mouth[0]) - side / 2, float(mouth[1]) - side / 2, side, square.shoulders_px)


def find_mouth(body: Body) -> npt.NDArray[np.float32] | None:
    """Below the nose: halfway between straight down and on from the eyes over the nose, as heads turn and nod."""
    nose, eyes = body.find(NOSE), body.find(*EYES)
    if not len(nose) or len(eyes) < 2:
        return None
    onwards = nose[0] - eyes.mean(axis=0)
    down = np.array([0, np.linalg.norm(onwards)])
    return np.asarray(nose[0] + MOUTH_BELOW_NOSE * (onwards + down) / 2, np.float32)


def torso_share(body: Body, shoulders_px: float, height: int) -> float:
    """How much of the chest is in the picture, 0 to 1: from the shoulders down one shoulder width.

    A belt cannot be judged where there is none of it.
    """
    seen = body.find(*SHOULDERS)
    if not len(seen):
        return 0.0
    below = height - float(seen[:, 1].mean())
    return min(max(below / shoulders_px, 0.0), 1.0)


def cut_torso(rgb: Rgb, square: Square, px: int = CROP_PX) -> Rgb:
    """(px, px, 3)."""
    scale = px / square.side
    source, left, top, step = _thin_out(rgb, square, math.ceil(LEAST_WARP / scale))
    matrix = np.array([[scale * step, 0, (left - square.left) * scale], [0, scale * step, (top - square.top) * scale]])
    crop = cv2.warpAffine(source, matrix, (px, px), flags=cv2.INTER_LINEAR, borderValue=(FILL,) * 3)
    return np.asarray(crop, np.uint8)


def place_view(square: Square, view: View) -> Square:
    """What this view shows, mirrored or not."""
    left, top = square.left + view.right * square.side, square.top + view.down * square.side
    return widen(replace(square, left=left, top=top), view.share)


def _thin_out(rgb: Rgb, square: Square, step: int) -> tuple[Rgb, int, int, int]:
    """The part under the square, of each ``step`` × ``step`` pixels their mean; its corner in the picture, the step.

    Whole pixels are averaged: OpenCV takes a sixth of the time of any other share.
    """
    if step <= 1:
        return rgb, 0, 0, 1
    left, top = (max(int(start) // step - 1, 0) * step for start in (square.left, square.top))
    right, bottom = (int(start + square.side) + 2 * step for start in (square.left, square.top))
    part = rgb[top:bottom, left:right]
    high, wide = (max(side // step, 1) for side in part.shape[:2])
    thin = cv2.resize(part[: high * step, : wide * step], (wide, high), interpolation=cv2.INTER_AREA)
    return np.asarray(thin, np.uint8), left, top, step


def _shoulders_px(body: Body) -> float:
    """The shoulders' distance, or what the head says where they are narrowed by a turn or not seen."""
    shoulders, ears, eyes = body.find(*SHOULDERS), body.find(*EARS), body.find(*EYES)
    by_shoulders = float(np.linalg.norm(shoulders[0] - shoulders[1])) if len(shoulders) == 2 else 0.0
    by_ears = float(np.linalg.norm(ears[0] - ears[1])) * HEADS_A_SHOULDER_WIDTH if len(ears) == 2 else 0.0
    by_eyes = float(np.linalg.norm(eyes[0] - eyes[1])) * HEADS_A_SHOULDER_WIDTH * 2 if len(eyes) == 2 else 0.0
    wide, high = float(body.box[2] - body.box[0]), float(body.box[3] - body.box[1])
    by_head = min(max(by_ears, by_eyes), 0.8 * wide)
    return max(by_shoulders, by_head, 0.5 * min(wide, high), 8.0)  # the last for people seen from the side


def _face_centre(body: Body, shoulders_px: float) -> tuple[float, float]:
    face = body.find(NOSE, *EYES, *EARS)
    shoulders = body.find(*SHOULDERS)
    if len(face):
        x, y = face.mean(axis=0)
        return (float((x + shoulders[:, 0].mean()) / 2) if len(shoulders) == 2 else float(x)), float(y)
    if len(shoulders):
        x, y = shoulders.mean(axis=0)
        return float(x), float(y) - 0.7 * shoulders_px
    return float(body.box[[0, 2]].mean()), float(body.box[1]) + 0.4 * shoulders_px


def _inside(start: float, side: float, length: int) -> float:
    """Shifted into the picture; in the middle of it where the square is larger."""
    if side >= length:
        return (length - side) / 2
    return min(max(start, 0.0), length - side)


Boxes = npt.NDArray[np.float32]
"""(n, 4) left, top, right, bottom"""


def move_boxes(boxes: Boxes, square: Square, px: int = CROP_PX) -> Boxes:
    """From pixels of the picture to pixels of the crop."""
    corner = np.array([square.left, square.top] * 2, np.float32)
    return np.asarray((boxes - corner) * (px / square.side), np.float32)
