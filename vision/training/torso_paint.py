"""Seat belts painted over people who wear none, and things that are no seat belt: ties, lanyards, bars, hung straps."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from vision.frames import Rgb
from vision.torso_crops import CROP_PX, FILL

Points = npt.NDArray[np.float32]
Mask = npt.NDArray[np.float32]
"""(height, width), 0 to 1"""

DARKEST = 3  # of 255: blackened, not only dark


@dataclass(frozen=True)
class Cloth:
    """What a strap is made of."""

    tone: npt.NDArray[np.float32]  # (3,) 0..255
    shade: float  # how much of the light on the body it takes over
    stitch: float  # how much darker or brighter its edges are
    alpha: float


def measure_shoulders(shoulders: Points, px: int = CROP_PX) -> float:
    """In pixels of a crop of ``px``. Of a person seen from the side it is the chest that counts."""
    return max(float(np.linalg.norm(shoulders[0] - shoulders[1])), px / 6)


def find_content(rgb: Rgb) -> Mask:
    """Not the bars beside a picture, nor what lies outside of it. A belt painted there would give itself away, and
    the boxes of the truck cabs reach into bars that were blackened after they had been drawn."""
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    dark = cv2.morphologyEx((grey <= DARKEST).astype(np.uint8), cv2.MORPH_OPEN, np.ones((13, 13), np.uint8))
    outside = cv2.morphologyEx((grey == FILL).astype(np.uint8), cv2.MORPH_OPEN, np.ones((13, 13), np.uint8))
    return np.asarray(1 - np.maximum(dark, outside), np.float32)


def paint_belt(rgb: Rgb, shoulders: Points, random: np.random.Generator, grey: bool, content: Mask) -> tuple[Rgb, Mask]:
    """A belt from above one shoulder across the chest, and where it can be seen.

    Args:
        shoulders: (2, 2), the left one first, as seen in the picture.
        content: where there is a picture, and no bar beside it.
    """
    wide = measure_shoulders(shoulders)
    mask = _ribbon(rgb, _belt_line(shoulders, wide, random), wide * random.uniform(0.08, 0.16))
    mask *= _gaps(rgb, shoulders, wide, random) * content
    return _lay(rgb, mask, _cloth(rgb, mask, random, grey), random), mask


def paint_other(rgb: Rgb, shoulders: Points, random: np.random.Generator, grey: bool, content: Mask) -> Rgb:
    """Something long and thin that is no belt on a body."""
    wide = measure_shoulders(shoulders)
    lines, width = _other_lines(shoulders, wide, random)
    mask = np.maximum.reduce([_ribbon(rgb, line, width) for line in lines]) * content
    return _lay(rgb, mask, _cloth(rgb, mask, random, grey), random)


def _belt_line(shoulders: Points, wide: float, random: np.random.Generator) -> Points:
    """From the pillar over the shoulder to the other hip, a little bent by the chest."""
    side = int(random.integers(2))
    out = -1.0 if side == 0 else 1.0
    near, far = shoulders[side], shoulders[1 - side]
    on_shoulder = near + (far - near) * random.uniform(0.05, 0.42) + _by(0, wide * random.uniform(-0.14, 0.02))
    pillar = on_shoulder + _by(out * wide * random.uniform(0.05, 0.6), -wide * random.uniform(0.05, 0.5))
    hip = far + _by(-out * wide * random.uniform(-0.25, 0.35), wide * random.uniform(0.9, 1.7))
    bend = (on_shoulder + hip) / 2 + np.array([out, 0.6]) * wide * random.normal(0.03, 0.05)
    start = on_shoulder if random.random() < 0.4 else pillar
    return _curve(start, on_shoulder, bend, hip)


def _other_lines(shoulders: Points, wide: float, random: np.random.Generator) -> tuple[list[Points], float]:
    middle = shoulders.mean(axis=0)
    kind = random.integers(4)
    if kind == 0:  # a tie
        top = middle + _by(wide * random.normal(0, 0.03), -0.12 * wide)
        return [_curve(top, top + _by(0, 0.3 * wide), top + _by(0, 0.6 * wide), top + _by(0, wide))], wide * 0.1
    if kind == 1:  # a strap that hangs unused, or a bar of the door, beside the body
        out = random.choice([-1.0, 1.0])
        x = middle[0] + out * wide * random.uniform(0.62, 1.0)
        ys = middle[1] + wide * np.array([-0.8, -0.2, 0.5, 1.2])
        xs = x + out * wide * np.linspace(0, random.normal(0, 0.2), 4)
        return [np.column_stack([xs, ys]).astype(np.float32)], wide * random.uniform(0.05, 0.14)
    if kind == 2:  # a lanyard, an open collar, the strings of a hood: both sides of it, or one
        apart, low = 0.14 * wide, middle + _by(0, wide * random.uniform(0.3, 0.6))
        sides = [-1.0, 1.0] if random.random() < 0.6 else [random.choice([-1.0, 1.0])]
        meet = random.choice([0.0, random.uniform(0.3, 1.0)])  # hoods' strings hang down, lanyards meet
        ends = [(middle + _by(out * apart, -0.15 * wide), low + _by(out * apart * meet, 0)) for out in sides]
        return [_curve(a, (a + b) / 2, (a + b) / 2, b) for a, b in ends], wide * random.uniform(0.015, 0.06)
    y = middle[1] + wide * random.uniform(0.1, 0.8)  # the edge of a window, a stripe, a wheel
    ends = middle[0] + wide * np.array([-1.2, -0.4, 0.4, 1.2])
    tilt = wide * random.normal(0, 0.08) * np.linspace(-1, 1, 4)
    return [np.column_stack([ends, y + tilt]).astype(np.float32)], wide * random.uniform(0.03, 0.12)


def _by(right: float, down: float) -> Points:
    return np.array((right, down), np.float32)


def _curve(*points: Points) -> Points:
    """A smooth line through the points' neighbourhood (Chaikin, three times)."""
    line = np.stack(points).astype(np.float32)
    for _ in range(3):
        quarter, three = 0.75 * line[:-1] + 0.25 * line[1:], 0.25 * line[:-1] + 0.75 * line[1:]
        inner = np.stack([quarter, three], axis=1).reshape(-1, 2)
        line = np.concatenate([line[:1], inner[1:-1], line[-1:]])
    return line


def _ribbon(rgb: Rgb, line: Points, width: float) -> Mask:
    mask = np.zeros(rgb.shape[:2], np.uint8)
    cv2.polylines(mask, [np.round(line * 8).astype(np.int32)], False, 255, max(round(width), 2), cv2.LINE_AA, 3)
    return np.asarray(mask, np.float32) / 255


def _gaps(rgb: Rgb, shoulders: Points, wide: float, random: np.random.Generator) -> Mask:
    """Hair, an arm, a scarf or the lower edge hides a part."""
    shown = np.ones(rgb.shape[:2], np.float32)
    if random.random() < 0.25:
        centre = shoulders.mean(axis=0) + wide * random.normal(0, 0.35, 2) + _by(0, 0.4 * wide)
        axes = (np.maximum(wide * random.uniform(0.1, 0.35, 2), 2)).astype(int).tolist()
        angle = float(random.uniform(0, 180))
        cv2.ellipse(shown, centre.astype(int).tolist(), axes, angle, 0, 360, 0.0, -1, cv2.LINE_AA)
    return shown


def _cloth(rgb: Rgb, mask: Mask, random: np.random.Generator, grey: bool) -> Cloth:
    """Grey to beige, sometimes near the colour of what is beneath: dark on dark must be seen, too."""
    under = rgb[mask > 0.5].mean(axis=0) if (mask > 0.5).any() else np.full(3, 90.0)
    if random.random() < 0.4:
        tone = under * random.choice([random.uniform(0.3, 0.7), random.uniform(1.35, 2.4)])
    else:
        tone = np.full(3, random.uniform(12, 225)) * (1 if grey else random.normal(1, 0.06, 3))
    tone = np.full(3, tone.mean()) if grey else tone
    return Cloth(
        np.clip(tone, 4, 250).astype(np.float32),
        float(random.uniform(0.2, 0.9)),
        float(random.normal(0, 0.12)),
        float(random.uniform(0.8, 1.0)),
    )


def _lay(rgb: Rgb, mask: Mask, cloth: Cloth, random: np.random.Generator) -> Rgb:
    """Shaded like the body beneath, with edges, weave and a shadow beside it."""
    picture = rgb.astype(np.float32)
    light = cv2.GaussianBlur(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), 4)
    inside = light[mask > 0.5]
    if not len(inside):
        return rgb
    shading = np.clip((light / max(float(inside.mean()), 1.0)) ** cloth.shade, 0.25, 2.5)[..., None]
    core = cv2.erode(mask, np.ones((3, 3), np.uint8))
    edges = 1 + cloth.stitch * (mask - core)[..., None] * 2
    weave = 1 + random.standard_normal((*mask.shape, 1), np.float32) * 0.04
    shadow = cv2.GaussianBlur(mask, (0, 0), 2)[..., None] * random.uniform(0, 0.35)
    below = picture * (1 - shadow)
    share = (mask * cloth.alpha)[..., None]
    laid = below * (1 - share) + cloth.tone * shading * edges * weave * share
    return np.asarray(np.clip(laid, 0, 255), np.uint8)
