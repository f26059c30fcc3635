"""Cigarettes painted at mouths and phones pasted into pictures of people who hold neither, so that a few cabs' smokers
and callers are not all that the network knows of them. Other people's patches are pasted, too: a pasted edge means
nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

import cv2
import numpy as np
import numpy.typing as npt

from vision.frames import Rgb
from vision.training.torso_data import WIDE_PX, Example
from vision.training.torso_packs import PHONE, There
from vision.training.torso_paint import measure_shoulders

Point = npt.NDArray[np.float32]
Box = npt.NDArray[np.float32]
Mask = npt.NDArray[np.float32]
"""(height, width), 0 to 1"""

BAR = 12
"""Of 255: what a blackened bar shows at most, next to something bright."""

LEAST_PATCH_PX = 40
MOST_PATCHES = 400

KEPT_SHARE = 0.5
"""Of what is pasted, at the same place of the body as in the picture that it comes from: a hand at an ear stays."""

THIN_SHARE = 0.25
"""Of what is pasted, seen from its edge: the phone at an ear of which the dashboard sees no more than a dark line."""

END_ON_SHARE = 0.25
"""Of cigarettes, pointing at the camera: no more than a bright stub at the lips."""


@dataclass(frozen=True, eq=False)
class Patch:
    """A piece of another picture, and how wide it is in shoulders of the person in it. ``offset`` is (2,), where its
    middle was, from the mouth, in the same; None where no mouth was seen."""

    rgb: Rgb
    shoulders: float
    grey: bool
    phone: bool
    offset: Point | None = None


def cut_patches(examples: Sequence[Example], random: np.random.Generator) -> list[Patch]:
    """Phones with the hands that hold them, and as many pieces without a phone, half of these other hands."""
    held = [_cut(e, box, True) for e in examples for kind, box in zip(e.kinds, e.boxes, strict=True) if kind == PHONE]
    phones = [patch for patch in held if patch is not None]
    phones = [phones[i] for i in random.permutation(len(phones))[:MOST_PATCHES]]
    free = [e for e in examples if e.there[PHONE] is There.NO]
    if not phones or not free:
        return []
    hands = [(e, hand) for e in free for hand in e.hands]
    tries = 3 * len(phones)
    pieces = [_cut(free[i], _somewhere(random), False) for i in random.integers(len(free), size=tries)]
    chosen = random.integers(len(hands), size=tries) if hands else ()
    empty = [_cut(e, _around_hand(e, hand, random), False) for e, hand in (hands[i] for i in chosen)]
    mixed = [patch for pair in zip_longest(empty, pieces) for patch in pair if patch is not None]
    return phones + mixed[: len(phones)]


def paste(
    rgb: Rgb, patch: Patch, mouth: Point, wide: float, random: np.random.Generator, content: Mask
) -> tuple[Rgb, Box]:
    """The patch, softly edged, perhaps mirrored, turned and lit like what it covers, and the box that it takes.

    Args:
        mouth: (2,) of the person here: from there the patch's place is counted.
        wide: shoulders of the person here, in pixels.
        content: where there is a picture, and no bar beside it.
    """
    side = random.choice([-1.0, 1.0])
    place = _place_patch(patch, mouth, wide, side, random)
    size = wide * patch.shoulders * np.exp(random.normal(0, 0.15))
    scale = size / patch.rgb.shape[1]
    middle = np.array(patch.rgb.shape[1::-1]) / 2
    turn = cv2.getRotationMatrix2D(middle.tolist(), float(random.normal(0, 15)), float(scale))
    thin = random.uniform(0.5, 0.85) if random.random() < THIN_SHARE else 1.0
    turn[:, :2] = turn[:, :2] @ np.diag([thin * side, 1.0])
    turn[:, 2] = place - turn[:, :2] @ middle
    height, width = rgb.shape[:2]
    laid = cv2.warpAffine(patch.rgb, turn, (width, height), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REFLECT)
    mask = (cv2.warpAffine(_soft(patch.rgb), turn, (width, height), flags=cv2.INTER_LINEAR) * content)[..., None]
    mixed = rgb * (1 - mask) + _light(laid, rgb, mask, random) * mask
    half = np.array(patch.rgb.shape[1::-1]) * (thin, 1) * scale / 2
    return np.asarray(np.clip(mixed, 0, 255), np.uint8), np.concatenate([place - half, place + half]).astype(np.float32)


def choose_place(mouth: Point, wide: float, random: np.random.Generator) -> Point:
    """Where phones are held: at an ear, before the chest, in the lap."""
    aside = random.choice([-1.0, 1.0]) * wide * random.uniform(0.05, 0.6)
    below = wide * random.uniform(-0.35, 1.0)
    return np.asarray(mouth + np.array([aside, below]), np.float32)


def _place_patch(patch: Patch, mouth: Point, wide: float, side: float, random: np.random.Generator) -> Point:
    """Where it was on the other person, or anywhere that a hand holds something."""
    if patch.offset is None or random.random() >= KEPT_SHARE:
        return choose_place(mouth, wide, random)
    kept = patch.offset * (side, 1) + random.normal(0, 0.05, 2)
    return np.asarray(mouth + kept * wide, np.float32)


def paint_cigarette(
    rgb: Rgb, mouth: Point, wide: float, random: np.random.Generator, grey: bool, content: Mask
) -> tuple[Rgb, Box]:
    """A stick that leaves the mouth, white with perhaps a filter and a glowing end; brightest in infrared."""
    start = mouth + random.normal(0, 0.04, 2) * wide
    angle = np.radians(random.uniform(-35, 60))
    way = np.array([np.cos(angle) * random.choice([-1.0, 1.0]), np.sin(angle)])
    seen = random.uniform(0.25, 0.6) if random.random() < END_ON_SHARE else 1.0
    end = start + way * wide * random.uniform(0.12, 0.3) * seen
    thick = max(round(wide * random.uniform(0.015, 0.04)), 1)
    light = float(np.clip(_around(rgb, start, wide) * random.uniform(1.3, 2.2) + 30, 70, 255))
    white = np.full(3, light) if grey else light * (1 + random.normal(0, 0.04, 3))
    picture = rgb.copy()
    _line(picture, start, end, white, thick)
    filtered, glowing = (white * 0.8, white * 1.2) if grey else (white * (0.85, 0.6, 0.35), np.array([230.0, 110, 40]))
    if random.random() < 0.4:
        _line(picture, start, start + (end - start) * 0.3, filtered, thick)
    if random.random() < 0.4:
        _line(picture, end - (end - start) * 0.08, end, glowing, thick)
    picture[content < 0.5] = rgb[content < 0.5]
    corners = np.stack([start, end])
    return picture, np.concatenate([corners.min(axis=0) - thick, corners.max(axis=0) + thick]).astype(np.float32)


def _line(rgb: Rgb, start: Point, end: Point, tone: npt.NDArray[np.float64], thick: int) -> None:
    ends = [tuple(np.round(point * 8).astype(int).tolist()) for point in (start, end)]
    cv2.line(rgb, ends[0], ends[1], np.clip(tone, 0, 255).tolist(), thick, cv2.LINE_AA, 3)


def _around(rgb: Rgb, place: Point, wide: float) -> float:
    x, y, reach = int(place[0]), int(place[1]), max(int(wide * 0.15), 2)
    near = rgb[max(y - reach, 0) : max(y + reach, 1), max(x - reach, 0) : max(x + reach, 1)]
    return float(near.mean()) if near.size else 90.0


def _cut(example: Example, box: Box, phone: bool) -> Patch | None:
    """Without the bars that a box reaches into."""
    left, top, right, bottom = (int(v) for v in np.clip(box, 0, WIDE_PX))
    if right - left < LEAST_PATCH_PX or bottom - top < LEAST_PATCH_PX:
        return None
    rows = top + _longest_run((example.crop[top:bottom, left:right] > BAR).mean(axis=(1, 2)) > 0.1)
    if len(rows) < LEAST_PATCH_PX:
        return None
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    wide = measure_shoulders(example.shoulders, WIDE_PX)
    offset = (np.array([left + right, top + bottom], np.float32) / 2 - example.mouth) / wide
    share = min((right - left) / wide, 1.0)
    return Patch(
        example.crop[top:bottom, left:right].copy(), share, example.grey, phone, offset if example.has_mouth else None
    )


def _longest_run(yes: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """The indices of it."""
    places = np.flatnonzero(yes)
    return max(np.split(places, np.flatnonzero(np.diff(places) > 1) + 1), key=len)


def _around_hand(example: Example, hand: Point, random: np.random.Generator) -> Box:
    half = measure_shoulders(example.shoulders, WIDE_PX) * random.uniform(0.12, 0.3, 2)
    return np.asarray(np.concatenate([hand - half, hand + half]), np.float32)


def _somewhere(random: np.random.Generator) -> Box:
    size = random.uniform(LEAST_PATCH_PX, WIDE_PX / 4, 2)
    corner = random.uniform(0.15, 0.6, 2) * WIDE_PX
    return np.asarray(np.concatenate([corner, corner + size]), np.float32)


def _soft(rgb: Rgb) -> Mask:
    """(height, width): 1 within, falling to 0 before the edge."""
    height, width = rgb.shape[:2]
    rim = max(min(height, width) // 8, 2)
    mask = np.zeros((height, width), np.float32)
    mask[rim:-rim, rim:-rim] = 1
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), rim / 2.5), np.float32)


def _light(laid: Rgb, under: Rgb, mask: Mask, random: np.random.Generator) -> npt.NDArray[np.float32]:
    """Partly as bright as where it comes to lie; at night a lamp's hand is bright, and the phone in it black."""
    inside = mask[..., 0] > 0.5
    if not inside.any():
        return laid.astype(np.float32)
    wanted, given = float(under[inside].mean()) + 5, float(laid[inside].mean()) + 5
    share = np.clip((wanted / given) ** random.uniform(0.2, 1.0), 0.3, 2.5)
    contrast = random.uniform(0.9, 1.4)
    return np.asarray((given + (laid - given) * contrast) * share, np.float32)
