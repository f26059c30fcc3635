"""Where faces are, for blurring: rather one too many than one too few. Finds what the face mesh passes over.

BlazeFace of mediapipe 0.10.21 misses faces from the side; heads are also found by the key points of bodies.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from vision.bodies import EARS, EYES, NOSE, SHOULDERS, Bodies, Body
from vision.chatter import without_chatter
from vision.core.seat import Box
from vision.core.veil import Spot
from vision.frames import Picture, Rgb

LEAST_SCORE = 0.3
"""mediapipe's own default is 0.5. Lower, more headrests are blurred and fewer faces missed."""

FAR_EVERY = 5
"""The detector for small faces, far away, takes six times as long, and bodies longer still: every fifth picture, and
those between are covered by the hold (see ``vision.core.veil``)."""

HEAD_IN_SHOULDERS, HEAD_IN_EARS, HEAD_IN_BODY = 0.5, 1.2, 0.25
"""A face's width in other widths of a body; the widest is taken, since from the side some of them are nothing."""

FACE_HEIGHT = 1.3
"""In widths."""

_NEAR_MODEL, _FAR_MODEL = 0, 1  # BlazeFace within 2 m, and within 5 m


class Spots(Protocol):
    def find(self, pictures: Sequence[Picture]) -> Sequence[tuple[Spot, ...]]:
        """All faces of each picture, the same one perhaps several times."""

    def close(self) -> None:
        """Free what it holds. It may be used again."""


class FaceSpots:
    """Faces on the whole picture and on its two halves, where a small one is larger, and the heads of bodies."""

    def __init__(self) -> None:
        self._bodies = Bodies()

    def find(self, pictures: Sequence[Picture]) -> Sequence[tuple[Spot, ...]]:
        with without_chatter(loading="_near" not in self.__dict__):
            return [self._find(picture, far=i % FAR_EVERY == 0) for i, picture in enumerate(pictures)]

    def close(self) -> None:
        self._bodies.close()
        for name in ("_near", "_far"):
            model = self.__dict__.pop(name, None)
            if model is not None:
                model.close()

    def _find(self, picture: Picture, far: bool) -> tuple[Spot, ...]:
        rgb, width = picture.rgb, picture.rgb.shape[1]
        part = max(1, int(width * 0.6))  # the halves overlap, so that none cuts a face in two
        spots = [spot for begin in (0, width - part) for spot in self._look(self._near, rgb, begin, begin + part)]
        spots += self._look(self._near, rgb, 0, width)
        if far:
            spots += self._look(self._far, rgb, 0, width)
            spots += filter(None, (find_head(body, rgb) for body in self._bodies.find_all(picture)))
        return tuple(spots)

    def _look(self, model: Any, rgb: Rgb, begin: int, end: int) -> list[Spot]:
        found = model.process(np.ascontiguousarray(rgb[:, begin:end])).detections or ()
        share, offset = (end - begin) / rgb.shape[1], begin / rgb.shape[1]
        spots = []
        for detection in found:
            box = detection.location_data.relative_bounding_box
            left, top = offset + box.xmin * share, box.ymin
            where = Box(left, top, left + box.width * share, top + box.height)
            spots.append(Spot(where, float(detection.score[0])))
        return spots

    @cached_property
    def _near(self) -> Any:
        return _detector(_NEAR_MODEL)

    @cached_property
    def _far(self) -> Any:
        return _detector(_FAR_MODEL)


def find_head(body: Body, rgb: Rgb) -> Spot | None:
    """Around nose, eyes and ears; None of somebody who turns the back to the camera."""
    face = body.find(NOSE, *EYES, *EARS)
    if not len(face):
        return None
    ears, shoulders = body.find(*EARS), body.find(*SHOULDERS)
    half = 0.5 * max(HEAD_IN_EARS * _apart(ears), HEAD_IN_SHOULDERS * _apart(shoulders), HEAD_IN_BODY * _width(body))
    (x, y), (height, width) = face.mean(axis=0), rgb.shape[:2]
    low, high = y - half * FACE_HEIGHT, y + half * FACE_HEIGHT
    return Spot(Box((x - half) / width, low / height, (x + half) / width, high / height), body.score)


def _apart(points: npt.NDArray[np.float32]) -> float:
    return float(np.linalg.norm(points[0] - points[1])) if len(points) == 2 else 0.0


def _width(body: Body) -> float:
    return float(body.box[2] - body.box[0])


class ScriptedSpots:
    """Answers by a rule instead of a network; by default there is no face anywhere, so that all is blurred."""

    def __init__(self, script: Callable[[Picture], tuple[Spot, ...]] = lambda _: ()) -> None:
        self._script = script

    def find(self, pictures: Sequence[Picture]) -> Sequence[tuple[Spot, ...]]:
        return [self._script(picture) for picture in pictures]

    def close(self) -> None:
        """Holds nothing."""


def _detector(model: int) -> Any:
    from mediapipe.python.solutions.face_detection import FaceDetection

    return FaceDetection(model_selection=model, min_detection_confidence=LEAST_SCORE)
