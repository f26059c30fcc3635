"""Eye crops as other cameras would have taken them: nearer, tilted, blurred, coarse, dark, with a glint."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from vision.eye_crops import CROP_PX, Crop
from vision.training.eye_data import ROOM, WIDE_PX

Floats = npt.NDArray[np.float64]

_PLAIN = CROP_PX / WIDE_PX * ROOM


def plain(wide: Crop) -> Crop:
    """What the network sees of a wide crop, unchanged."""
    return _cut(wide, _PLAIN, 0.0, np.zeros(2), 1.0)


def augment(wide: Crop, random: np.random.Generator) -> Crop:
    """One of many ways the same eye may look."""
    zoom = _PLAIN * np.exp(random.normal(0, 0.16))
    squeeze = np.exp(random.normal(0, 0.08))
    crop = _cut(wide, zoom, random.normal(0, 8), random.normal(0, 1.7, 2), squeeze, mirrored=random.random() < 0.5)
    if random.random() < 0.6:
        crop = _coarsen(crop, int(random.integers(9, 28)))
    if random.random() < 0.25:
        crop = _smear(crop, random)
    lit = _relight(crop.astype(np.float32), random)
    return np.clip(lit + random.normal(0, random.uniform(0, 7), lit.shape), 0, 255).astype(np.uint8)


def _cut(wide: Crop, zoom: float, angle_deg: float, shift_px: Floats, squeeze: float, mirrored: bool = False) -> Crop:
    matrix = cv2.getRotationMatrix2D((WIDE_PX / 2, WIDE_PX / 2), angle_deg, zoom)
    matrix[1] = (matrix[1] - (0, 0, WIDE_PX / 2)) * squeeze + (0, 0, WIDE_PX / 2)
    matrix[:, 2] += shift_px + (CROP_PX - WIDE_PX) / 2
    crop: Crop = cv2.warpAffine(wide, matrix, (CROP_PX, CROP_PX), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return crop[:, ::-1] if mirrored else crop


def _coarsen(crop: Crop, px: int) -> Crop:
    small = cv2.resize(crop, (px, px), interpolation=cv2.INTER_AREA)
    coarse: Crop = cv2.resize(small, (CROP_PX, CROP_PX), interpolation=cv2.INTER_LINEAR)
    return coarse


def _smear(crop: Crop, random: np.random.Generator) -> Crop:
    """Motion blur, level or upright."""
    length = int(random.integers(2, 6))
    kernel = (length, 1) if random.random() < 0.5 else (1, length)
    smeared: Crop = cv2.blur(crop, kernel)
    return smeared


def _relight(crop: npt.NDArray[np.float32], random: np.random.Generator) -> Floats:
    """Gamma, a gradient of light, a glint of infrared lamps or glasses, the rim of glasses."""
    lit: Floats = 255 * (crop.astype(np.float64) / 255) ** np.exp(random.normal(0, 0.35))
    ys, xs = np.mgrid[-1 : 1 : CROP_PX * 1j, -1 : 1 : CROP_PX * 1j]
    lit = lit * (1 + random.normal(0, 0.15) * xs + random.normal(0, 0.15) * ys)
    if random.random() < 0.2:
        x, y = random.uniform(-0.8, 0.8, 2)
        lit += random.uniform(80, 255) * np.exp(-((xs - x) ** 2 + (ys - y) ** 2) / random.uniform(0.004, 0.03))
    if random.random() < 0.15:
        row, thick = random.integers(0, CROP_PX), random.integers(1, 4)
        lit[row : row + thick] = lit[row : row + thick] * 0.3 + random.uniform(0, 255) * 0.7
    return lit
