"""Where the driver's head and shoulders are: key points of the body, by a pose network that needs no face.

mediapipe's face mesh finds half of the truck drivers at hand (hats, masks, turned heads), its pose network 8 to 62 %
of them by cab; this one finds nearly all. yolo11n-pose of the Ultralytics family (AGPL-3.0), trained on COCO.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from vision.frames import Picture, Rgb
from vision.networks import lay_planes, open_network

WEIGHTS = "body_pose.onnx"

LONGER_SIDE_PX = 320
MORE_SIDES_PX = (224, 480)
"""For another look where nobody is found: smaller for who fills the picture, larger for who is blurred. Nobody was
found on 5 of 120 stock photos and on 31 of 120 pictures of 80×60 pixels; with these it is none and 13."""

STRIDE_PX = 32
LEAST_SCORE = 0.25
MOST_SHARED = 0.7
"""Of two candidates' areas, above which they are one person."""

LEAST_POINT = 0.5
"""A key point below is not there."""

NOSE, EYES, EARS = 0, (1, 2), (3, 4)  # COCO's order; left of the person first
SHOULDERS, ELBOWS, WRISTS = (5, 6), (7, 8), (9, 10)

_GREY = 114  # what the network was trained to see beside a picture


@dataclass(frozen=True, slots=True, eq=False)
class Body:
    """One person, in pixels of the picture.

    ``points`` is (17, 3): x, y and how surely it is there, in COCO's order. ``box`` is left, top, right, bottom.
    """

    score: float
    box: npt.NDArray[np.float32]
    points: npt.NDArray[np.float32]

    def find(self, *places: int) -> npt.NDArray[np.float32]:
        """(n, 2) of those key points that are there."""
        chosen = self.points[list(places)]
        return np.asarray(chosen[chosen[:, 2] >= LEAST_POINT, :2], np.float32)


class Bodies:
    """The network on ONNX Runtime, one thread: 11 ms for 16:9, 20 ms for a square, and two and a half times that for
    an empty seat. Loaded at the first picture."""

    def find_driver(self, picture: Picture) -> Body | None:
        """The person who is largest and surest; None for an empty seat."""
        for longer_side_px in (LONGER_SIDE_PX, *MORE_SIDES_PX):
            rows, scale = self._look(picture, longer_side_px)
            if len(rows):
                return _as_body(rows[np.argmax(rows[:, 4] * np.sqrt(rows[:, 2] * rows[:, 3]))], scale)
        return None

    def find_all(self, picture: Picture) -> list[Body]:
        """Everybody, the surest first."""
        rows, scale = self._look(picture, LONGER_SIDE_PX)
        corners = np.column_stack([rows[:, :2] - rows[:, 2:4] / 2, rows[:, 2:4]])
        kept = cv2.dnn.NMSBoxes(corners.tolist(), rows[:, 4].tolist(), LEAST_SCORE, MOST_SHARED)
        return [_as_body(rows[i], scale) for i in np.ravel(kept)]

    def _look(self, picture: Picture, longer_side_px: int) -> tuple[npt.NDArray[np.float32], float]:
        """One row a candidate: centre, size, score, 17 key points, in the network's pixels; and how many of these
        are one of the picture's."""
        pixels, scale = _fit(picture.rgb, longer_side_px)
        (found,) = self._network.run(None, {"images": lay_planes(pixels)[None]})
        rows = found[0].T
        return rows[rows[:, 4] >= LEAST_SCORE], scale

    def close(self) -> None:
        self.__dict__.pop("_network", None)

    @cached_property
    def _network(self) -> Any:
        return open_network(WEIGHTS)


def _fit(rgb: Rgb, longer_side_px: int) -> tuple[Rgb, float]:
    """Scaled to this longer side and filled up to a multiple of the stride, with network pixels per pixel."""
    height, width = rgb.shape[:2]
    scale = longer_side_px / max(height, width)
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    right, below = -size[0] % STRIDE_PX, -size[1] % STRIDE_PX
    filled = cv2.copyMakeBorder(small, 0, below, 0, right, cv2.BORDER_CONSTANT, value=(_GREY,) * 3)
    return np.asarray(filled, np.uint8), scale


def _as_body(row: npt.NDArray[np.float32], scale: float) -> Body:
    (x, y), (wide, high) = row[:2], row[2:4] / 2
    box = np.array([x - wide, y - high, x + wide, y + high], np.float32) / scale
    points = row[5:].reshape(17, 3) / np.array([scale, scale, 1], np.float32)
    return Body(float(row[4]), box, points.astype(np.float32))
