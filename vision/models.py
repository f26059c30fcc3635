"""What looks at pictures: one small port, mediapipe's face mesh behind it, and a scripted stand-in.

A model is stateless: the same picture gives the same answer, whatever came before. What a model's library
returns is converted here at once and travels no further.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from vision.chatter import without_chatter
from vision.core.eyes import EyeContour
from vision.core.head import Pose
from vision.core.seat import Box, choose_driver
from vision.frames import Picture, Rgb
from vision.second_look import SecondLook

if TYPE_CHECKING:
    from vision.face_mesh import QuickFaceMesh

_LEFT_EYE = [33, 160, 158, 133, 153, 144]  # of the 478 points: outer corner, two above, inner corner, two below
_RIGHT_EYE = [362, 385, 387, 263, 373, 380]
_MOST_FACES = 2  # the driver and one passenger

Mesh = npt.NDArray[np.float32]
"""(478, 3) pixels: x right, y down, z away from the camera on about the scale of x, 0 at the head's middle. The points'
numbers are mediapipe's (468 of the skin, then 5 an iris)."""


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """The driver's face in one picture. Eyes are named as seen in the picture, not as the driver would.

    ``mesh`` is None where the model has none (the scripted stand-in). ``others`` are the faces of passengers.
    ``eyes_judged`` is whether the eyes can be (see ``vision.eye_state``); None until that is asked. The head's pose is
    measured for it, and kept.
    """

    box: Box
    left_eye: EyeContour  # (6, 2) pixels
    right_eye: EyeContour
    mesh: Mesh | None = None
    others: tuple[Box, ...] = ()
    eyes_judged: bool | None = None
    pose: Pose | None = None


class FaceModel(Protocol):
    def find_faces(self, pictures: Sequence[Picture]) -> Sequence[Face | None]:
        """The driver's face in each picture; None where there is none."""

    def close(self) -> None:
        """Free what the model holds. It may be used again, and is then loaded again."""


class Head(Protocol):
    """A further look at the same pictures: belt, phone, mouth, head pose. Its numbers join the frame's.

    One that is ``seldom`` is too slow for every picture of a stream (see ``vision.core.cadence``, which has the names
    of its numbers).
    """

    name: str
    seldom: bool

    def measure(self, pictures: Sequence[Picture], faces: Sequence[Face | None]) -> Sequence[Mapping[str, float]]:
        """Numbers by name, one mapping a picture; empty where nothing can be said."""

    def close(self) -> None: ...


class MediapipeFaces:
    """Face mesh of mediapipe 0.10.21 with refined eyes, each picture on its own (static mode).

    Loaded at the first picture (1.4 s of imports). About 4.4 ms a picture on one core, and as much again for a
    second look where no face was found.
    """

    def __init__(self) -> None:
        self._second = SecondLook()

    def find_faces(self, pictures: Sequence[Picture]) -> Sequence[Face | None]:
        with without_chatter(loading="_mesh" not in self.__dict__):
            return [self._find(picture) for picture in pictures]

    def close(self) -> None:
        mesh = self.__dict__.pop("_mesh", None)
        if mesh is not None:
            mesh.close()
        self._second.close()

    def _find(self, picture: Picture) -> Face | None:
        return _driver(self._meshes(picture.rgb) or self._look_closer(picture.rgb), picture)

    def _look_closer(self, rgb: Rgb) -> list[Mesh]:
        for crop, place in self._second.find_crops(rgb):
            if found := self._meshes(crop):
                return [np.add(mesh, (*place, 0), dtype=np.float32) for mesh in found]
        return []

    def _meshes(self, rgb: Rgb) -> list[Mesh]:
        height, width = rgb.shape[:2]
        side = np.array((width, height, width), np.float32)
        return [landmarks * side for landmarks in self._mesh.find(np.ascontiguousarray(rgb))]

    @cached_property
    def _mesh(self) -> QuickFaceMesh:
        from vision.face_mesh import QuickFaceMesh

        return QuickFaceMesh(static_image_mode=True, refine_landmarks=True, max_num_faces=_MOST_FACES)


class ScriptedFaces:
    """Answers by a rule instead of a network: for tests, simulations and machines without mediapipe.

    Args:
        script: what is in a picture; by default ``draw_face``'s faces are read back.
    """

    def __init__(self, script: Callable[[Picture], Face | None] | None = None) -> None:
        self._script = script or read_drawn_face

    def find_faces(self, pictures: Sequence[Picture]) -> Sequence[Face | None]:
        return [self._script(picture) for picture in pictures]

    def close(self) -> None:
        """Holds nothing."""


def scripted_face(aspect_ratio: float, width_px: float = 24.0) -> Face:
    """A face whose two eyes have this aspect ratio (see ``vision.core.eyes``)."""
    half = width_px * aspect_ratio / 2
    xs = np.array([0, 1 / 3, 2 / 3, 1, 2 / 3, 1 / 3]) * width_px
    eye = np.column_stack([xs, [0, -half, -half, 0, half, half]])
    return Face(Box(0.3, 0.2, 0.6, 0.6), np.add(eye, (200.0, 150.0)), np.add(eye, (260.0, 150.0)))


def read_drawn_face(picture: Picture) -> Face | None:
    """The stand-in for a network: a picture's mean brightness is the eyes' openness, and black is an empty seat."""
    level = float(picture.rgb.mean()) / 255
    return None if level < 0.02 else scripted_face(0.3 * level)


def _driver(meshes: Sequence[Mesh], picture: Picture) -> Face | None:
    boxes = [_box(mesh, picture) for mesh in meshes]
    place = choose_driver(boxes)
    if place is None:
        return None
    others = tuple(box for i, box in enumerate(boxes) if i != place)
    left, right = (meshes[place][eye, :2].astype(np.float64) for eye in (_LEFT_EYE, _RIGHT_EYE))
    return Face(boxes[place], left, right, meshes[place], others)


def _box(mesh: Mesh, picture: Picture) -> Box:
    height, width = picture.rgb.shape[:2]
    (left, top, _), (right, bottom, _) = mesh.min(axis=0), mesh.max(axis=0)
    return Box(float(left / width), float(top / height), float(right / width), float(bottom / height))
