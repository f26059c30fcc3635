"""One eye cut out of a picture, turned level, in grey: what the eye-state network looks at, here and in training."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from vision.core.eyes import EyeContour

Crop = npt.NDArray[np.uint8]
"""(height, width) grey"""

CROP_PX = 32
"""Eyes in cab pictures are 10 to 40 pixels wide."""

CONTEXT = 1.76
"""Side of the crop over the distance of the eye's corners: the median of the hand-drawn boxes of the infrared
truck cabs that the network learns from."""


def cut_eye(grey: Crop, eye: EyeContour, context: float = CONTEXT, px: int = CROP_PX) -> Crop:
    """The eye in the middle of a level square; black outside of the picture.

    Args:
        grey: (height, width).
        eye: in its pixels.
    """
    (left, high), (right, low) = sorted((eye[0].tolist(), eye[3].tolist()), key=lambda corner: corner[0])
    side = max(math.hypot(right - left, low - high) * context, 1.0)
    return cut_square(grey, eye.mean(axis=0), side, math.atan2(low - high, right - left), px)


def cut_square(
    grey: Crop, centre: npt.NDArray[np.float64], side: float, angle_rad: float = 0.0, px: int = CROP_PX
) -> Crop:
    """A turned square of the picture, scaled to ``px``."""
    scale = px / side
    cos, sin = math.cos(angle_rad) * scale, math.sin(angle_rad) * scale
    x, y = centre.tolist()
    matrix = np.array([[cos, sin, px / 2 - cos * x - sin * y], [-sin, cos, px / 2 + sin * x - cos * y]])
    crop: Crop = cv2.warpAffine(grey, matrix, (px, px), flags=cv2.INTER_LINEAR)
    return crop


def normalise(crops: Crop) -> npt.NDArray[np.float32]:
    """(n, CROP_PX, CROP_PX) to (n, 1, CROP_PX, CROP_PX), each crop with mean 0 and deviation about 1: light and
    exposure say nothing about an eye. A crop without any contrast stays flat."""
    values = crops.astype(np.float32)
    mean = values.mean(axis=(1, 2), keepdims=True)
    deviation = values.std(axis=(1, 2), keepdims=True)
    return np.asarray((values - mean) / (deviation + 4.0), np.float32)[:, None]
