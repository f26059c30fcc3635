"""Pictures looked at by every model, batch by batch: what the worker and `rumblestrip watch` share."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress

import numpy as np

from vision.core.driver import Glance
from vision.core.eyes import measure_aspect_ratio
from vision.core.seat import Box
from vision.eye_state import judge_eyes
from vision.frames import Picture
from vision.models import Face, FaceModel, Head

CHUNK = 16
"""Pictures decoded and looked at together where somebody waits for what is said of them."""

MOST_AT_ONCE = 64
MOST_PIXELS_AT_ONCE = MOST_AT_ONCE * 640 * 480
"""Where nobody does: 80 MB, with their grey. Each model finds the caches full of the one before: beside the bare models
16 of 640×480 at once take 1.24 times as long, 32 take 1.20 times and 64 take 1.17 times."""


@dataclass(frozen=True, slots=True)
class Look:
    """What the models saw on one frame."""

    face_found: bool
    aspect_ratio: float | None
    signals: Mapping[str, float] = field(default_factory=dict)  # of the further heads
    box: Box | None = None  # of the driver's face
    picture_hash: int | None = None


class Eyes:
    """The face model and the further heads. Stateless apart from what they have loaded."""

    def __init__(self, faces: FaceModel, heads: Sequence[Head] = ()) -> None:
        self._faces = faces
        self._heads = tuple(heads)

    def find_faces(self, pictures: Sequence[Picture]) -> Sequence[Face | None]:
        return self._faces.find_faces(pictures)

    def look(
        self,
        pictures: Sequence[Picture],
        faces: Sequence[Face | None] | None = None,
        due: Sequence[bool] | None = None,
    ) -> list[Look]:
        """One look a picture.

        Args:
            faces: where they were found already.
            due: which pictures the seldom heads look at as well (see ``vision.core.cadence``); without it all.
        """
        found = self.find_faces(pictures) if faces is None else faces
        known = [judge_eyes(picture, face) for picture, face in zip(pictures, found, strict=True)]
        numbers = [self._measure(head, pictures, known, due) for head in self._heads]
        return [
            Look(
                face is not None,
                measure_aspect_ratio(face.left_eye, face.right_eye) if face is not None and face.eyes_judged else None,
                {name: value for head in numbers for name, value in head[i].items()},
                face.box if face else None,
                hash_picture(picture),
            )
            for i, (picture, face) in enumerate(zip(pictures, known, strict=True))
        ]

    def _measure(
        self, head: Head, pictures: Sequence[Picture], faces: Sequence[Face | None], due: Sequence[bool] | None
    ) -> Sequence[Mapping[str, float]]:
        if due is None or not head.seldom:
            return head.measure(pictures, faces)
        numbers = iter(head.measure(list(compress(pictures, due)), list(compress(faces, due))))
        return [next(numbers) if is_due else {} for is_due in due]

    def close(self) -> None:
        self._faces.close()
        for head in self._heads:
            head.close()


def make_glance(time_us: int, speed_mps: float | None, look: Look, belt_switch: bool | None = None) -> Glance:
    """The numbers of a look that the rules are asked about."""
    return Glance(time_us, speed_mps, look.aspect_ratio, look.signals, look.face_found, belt_switch, look.picture_hash)


def hash_picture(picture: Picture) -> int | None:
    """Of every eighth pixel's grey: a live camera's noise changes it with every frame, a camera that hangs does not.
    None where all are alike, as they are each time in a picture of one colour."""
    pixels = np.ascontiguousarray(picture.grey[::8, ::8])
    return None if pixels.min() == pixels.max() else zlib.crc32(pixels.data)
