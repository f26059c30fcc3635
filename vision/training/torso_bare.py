"""Belts taken off in infrared: every chest but one cab's wears a belt there, and a network would learn that infrared
means a belt. The half of the chest that the strap does not cross is laid over the other one, mirrored. Belted halves
are doubled as well, and belts painted on what was bared: a mirrored body alone means nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from vision.frames import Rgb
from vision.training.torso_data import WIDE_PX, Example
from vision.training.torso_packs import STRAP, There
from vision.training.torso_paint import Mask, find_content, measure_shoulders

BARED_SHARE, DOUBLED_SHARE = 0.4, 0.15
LEAST_LAID = 0.95
"""Of where the strap is: what the other half can cover."""

LEAST_HALF = 0.25
"""Of the shoulders: how much of a body must be left beside the strap."""


@dataclass(frozen=True)
class _Half:
    """What is mirrored, at the column ``edge``: all beyond the strap's own slant, from above its box down. ``side`` is
    -1 where the strap lies left."""

    strap: npt.NDArray[np.float32]
    edge: float
    side: float


def mirror_half(example: Example, random: np.random.Generator) -> Example:
    """The example, or the same person without the belt, or with a second one from the other shoulder."""
    drawn = random.random()
    half = _half(example) if drawn < BARED_SHARE + DOUBLED_SHARE else None
    if half is None:
        return example
    bare = drawn < BARED_SHARE
    crop = _lay_over(example.crop, half, bare, random)
    if crop is None:
        return example
    return _without_belt(example, crop) if bare else _doubled(example, crop, half)


def _without_belt(example: Example, crop: Rgb) -> Example:
    other = example.kinds != STRAP
    there = (There.NO, *example.there[1:])
    return replace(example, crop=crop, kinds=example.kinds[other], boxes=example.boxes[other], there=there)


def _doubled(example: Example, crop: Rgb, half: _Half) -> Example:
    boxes, kinds = np.vstack([example.boxes, _across(half).strap]), np.append(example.kinds, STRAP)
    return replace(example, crop=crop, boxes=boxes, kinds=kinds)


def _half(example: Example) -> _Half | None:
    """None where there is no strap, or more than one, or too little of a body beside it."""
    straps = example.boxes[example.kinds == STRAP]
    if example.source != "truck_cabs" or len(straps) != 1 or not example.has_mouth:
        return None
    left, _, right, _ = (float(v) for v in straps[0])
    wide = measure_shoulders(example.shoulders, WIDE_PX)
    side = -1.0 if (left + right) / 2 < example.shoulders[:, 0].mean() else 1.0
    edge = right + 0.03 * wide if side < 0 else left - 0.03 * wide
    beside = (example.shoulders[:, 0].max() - edge) if side < 0 else (edge - example.shoulders[:, 0].min())
    return _Half(straps[0], edge, side) if beside > LEAST_HALF * wide else None


def _lay_over(rgb: Rgb, half: _Half, bare: bool, random: np.random.Generator) -> Rgb | None:
    """A little larger or smaller, brighter or darker than its mirror image, with a soft seam; bars stay. None where
    there is no picture to lay over."""
    grown, tilt = np.exp(random.normal(0, 0.05)), random.normal(0, 0.03)
    matrix = np.array([[-grown, 0, half.edge * (1 + grown)], [tilt, 1, -tilt * half.edge]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    content = find_content(rgb)
    laid = cv2.warpAffine(rgb, matrix, (WIDE_PX, WIDE_PX), flags=flags)
    there = cv2.warpAffine(content, matrix, (WIDE_PX, WIDE_PX), flags=flags)
    target = half if bare else _across(half)
    wanted = _mask(target) * content
    mask = wanted * there
    left, top, right, bottom = np.clip(target.strap, 0, WIDE_PX).astype(int).tolist()
    if mask[top:bottom, left:right].sum() < LEAST_LAID * wanted[top:bottom, left:right].sum():
        return None
    share = mask[..., None]
    mixed = rgb * (1 - share) + laid * np.exp(random.normal(0, 0.12)) * share
    return np.asarray(np.clip(mixed, 0, 255), np.uint8)


def _across(half: _Half) -> _Half:
    left, top, right, bottom = half.strap
    mirrored = np.array([2 * half.edge - right, top, 2 * half.edge - left, bottom], np.float32)
    return _Half(mirrored, half.edge, -half.side)


def _mask(half: _Half) -> Mask:
    """Where the strap is and beyond: its slant goes from above the outer half of its box to the inner edge."""
    left, top, right, bottom = half.strap
    ys, xs = np.mgrid[:WIDE_PX, :WIDE_PX].astype(np.float32)
    outer, inner = (left, right) if half.side < 0 else (right, left)
    slant = outer + (inner - outer) * np.minimum(0.55 + 0.9 * (ys - top) / max(bottom - top, 1.0), 1.05)
    across = np.clip((xs - slant) * half.side / 10 + 0.5, 0, 1)
    down = np.clip((ys - top + 20) / 20, 0, 1)
    return np.asarray(down * across, np.float32)
