"""Faces that the mesh's own search misses: a detector over two overlapping parts of the picture, then closer crops.

The mesh's search shrinks the whole picture to 128 pixels. In infrared truck cabs (640×360, hats, masks) it missed 395
of 1,254 drivers, most of them plain to see; four in five of the missed are found this way, and no face in pictures of
roads and textures. In the shipped clip it finds turned and dropped heads.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import cv2
import numpy as np

from vision.chatter import without_chatter
from vision.frames import Rgb

PART = 0.62
"""Width of a part. Two overlap by a quarter of the picture, more than a driver's face is wide."""

WIDE = 1.2
"""Pictures narrower than so many heights are looked at whole."""

GROW = 2.0
"""Side of a crop over the found face: room for the mesh's own search."""

_MOST = 2


class SecondLook:
    """Mediapipe's short-range detector (230 kB), about 2 ms a part; loaded at the first picture."""

    def find_crops(self, rgb: Rgb) -> list[tuple[Rgb, tuple[int, int]]]:
        """Squares around faces, surest first, each with the place of its upper left corner in the picture (pixels)."""
        with without_chatter(loading="_detector" not in self.__dict__):
            squares = sorted((square for part in _parts(rgb) for square in self._find(rgb, *part)), reverse=True)
        return [_cut(rgb, x, y, side) for _, x, y, side in squares[:_MOST]]

    def close(self) -> None:
        detector = self.__dict__.pop("_detector", None)
        if detector is not None:
            detector.close()

    def _find(self, rgb: Rgb, start: int, width: int) -> list[tuple[float, int, int, int]]:
        """(score, left, top, side) of squares."""
        part = np.ascontiguousarray(rgb[:, start : start + width])
        found = []
        for face in self._detector.process(part).detections or ():
            box = face.location_data.relative_bounding_box
            side = max(box.width * width, box.height * rgb.shape[0]) * GROW
            x = start + (box.xmin + box.width / 2) * width - side / 2
            y = (box.ymin + box.height / 2) * rgb.shape[0] - side / 2
            found.append((float(face.score[0]), int(x), int(y), max(int(side), 1)))
        return found

    @cached_property
    def _detector(self) -> Any:
        from mediapipe.python.solutions.face_detection import FaceDetection

        return FaceDetection(min_detection_confidence=0.5, model_selection=0)


def _parts(rgb: Rgb) -> list[tuple[int, int]]:
    """(first column, columns)."""
    height, width = rgb.shape[:2]
    if width <= WIDE * height:
        return [(0, width)]
    part = int(width * PART)
    return [(0, part), (width - part, part)]


def _cut(rgb: Rgb, x: int, y: int, side: int) -> tuple[Rgb, tuple[int, int]]:
    shift = np.array([[1.0, 0.0, -x], [0.0, 1.0, -y]])
    return np.asarray(cv2.warpAffine(rgb, shift, (side, side)), np.uint8), (x, y)
