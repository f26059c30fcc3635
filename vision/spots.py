"""Where faces are, for blurring: rather one too many than one too few. Finds what the face mesh passes over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from vision.chatter import without_chatter
from vision.core.seat import Box
from vision.core.veil import Spot
from vision.frames import Picture, Rgb

LEAST_SCORE = 0.3
"""mediapipe's own default is 0.5. Lower, more headrests are blurred and fewer faces missed."""

FAR_EVERY = 5
"""The detector for small faces, far away, takes six times as long: every fifth picture, and those between are covered
by the hold (see ``vision.core.veil``)."""

_NEAR_MODEL, _FAR_MODEL = 0, 1  # BlazeFace within 2 m, and within 5 m


class Spots(Protocol):
    def find(self, pictures: Sequence[Picture]) -> Sequence[tuple[Spot, ...]]:
        """All faces of each picture, the same one perhaps several times."""

    def close(self) -> None:
        """Free what it holds. It may be used again."""


class MediapipeSpots:
    """BlazeFace of mediapipe 0.10.21 on the whole picture and on its two halves, where a small face is larger."""

    def find(self, pictures: Sequence[Picture]) -> Sequence[tuple[Spot, ...]]:
        with without_chatter(loading="_near" not in self.__dict__):
            return [self._find(picture.rgb, far=i % FAR_EVERY == 0) for i, picture in enumerate(pictures)]

    def close(self) -> None:
        for name in ("_near", "_far"):
            model = self.__dict__.pop(name, None)
            if model is not None:
                model.close()

    def _find(self, rgb: Rgb, far: bool) -> tuple[Spot, ...]:
        width = rgb.shape[1]
        part = max(1, int(width * 0.6))  # the halves overlap, so that none cuts a face in two
        spots = [spot for begin in (0, width - part) for spot in self._look(self._near, rgb, begin, begin + part)]
        spots += self._look(self._near, rgb, 0, width)
        return (*spots, *(self._look(self._far, rgb, 0, width) if far else ()))

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
