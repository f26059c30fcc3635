"""The learned eye state: for each eye the probability of being shut, from a small network over eye crops."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt

from vision.core.eyes import eye_width_px
from vision.core.head import Pose, measure_pose
from vision.core.signals import EYE_CLOSED, EYE_CLOSED_LEFT, EYE_CLOSED_RIGHT
from vision.eye_crops import cut_eye, normalise
from vision.frames import Picture
from vision.models import Face, Mesh
from vision.networks import open_network

WEIGHTS = "eye_state.onnx"

FARTHEST_YAW_DEG = 45.0
"""Beyond this the far eye is behind the nose and the near one is seen from the side."""

DARK = 0.5
"""An eye's surroundings darker than this share of cheeks and brow: dark glasses. Of 143 in-car frames this takes 15 of
18 with sunglasses and 7 others, eyes in hard shadow; of 193 in infrared truck cabs none."""

_SKIN = [50, 280, 151, 9]  # both cheeks, forehead, between the brows


class EyeStates:
    """A head (see ``vision.models.Head``) on ONNX Runtime, one thread: 0.2 ms a face.

    OpenVINO takes the same time for this network (0.08 to 0.10 ms an eye) and three times the disk.
    """

    name = "eyes"
    seldom = False

    def measure(self, pictures: Sequence[Picture], faces: Sequence[Face | None]) -> Sequence[Mapping[str, float]]:
        known = [judge_eyes(picture, face) for picture, face in zip(pictures, faces, strict=True)]
        judged = [bool(face and face.eyes_judged) for face in known]
        pairs = zip(pictures, faces, judged, strict=True)
        seen = [(picture, face) for picture, face, can in pairs if can and face is not None]
        if not seen:
            return [{} for _ in faces]
        crops = np.stack([crop for picture, face in seen for crop in _cut_both(picture, face)])
        shut = self._run(crops).reshape(-1, 2)
        numbers = iter([_numbers(face, pair) for (_, face), pair in zip(seen, shut, strict=True)])
        return [next(numbers) if can else {} for can in judged]

    def close(self) -> None:
        self.__dict__.pop("_session", None)

    def _run(self, crops: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        (shut,) = self._session.run(None, {"crops": normalise(crops)})
        return np.asarray(shut, np.float32)

    @cached_property
    def _session(self) -> Any:
        return open_network(WEIGHTS)


def judge_eyes(picture: Picture, face: Face | None) -> Face | None:
    """The face, with its pose and the answer of ``can_be_judged`` if it had none."""
    if face is None or face.eyes_judged is not None:
        return face
    height, width = picture.rgb.shape[:2]
    pose = None if face.mesh is None else measure_pose(face.mesh, width, height)
    return replace(face, eyes_judged=can_be_judged(picture, face, pose), pose=pose)


def can_be_judged(picture: Picture, face: Face, pose: Pose | None) -> bool:
    """False where the eyes' numbers would be a guess: the head is turned far away, or dark glasses hide them."""
    if face.mesh is None:
        return True
    if pose is None or abs(pose.angles_deg[0]) > FARTHEST_YAW_DEG:
        return False
    near = max(face.left_eye, face.right_eye, key=eye_width_px)
    skin = _skin_brightness(picture.grey, face.mesh, max(int(eye_width_px(near) / 6), 1))
    return _median(cut_eye(picture.grey, near)) >= DARK * skin


def _skin_brightness(grey: npt.NDArray[np.uint8], mesh: Mesh, reach: int) -> float:
    """Median of the medians of small squares, each moved into the picture where it reaches out of it."""
    height, width = grey.shape
    squares = (
        grey[_around(y, reach, height), _around(x, reach, width)] for x, y in mesh[_SKIN, :2].astype(np.int64).tolist()
    )
    return median(map(_median, squares))


def _around(middle: int, reach: int, end: int) -> slice:
    start = max(min(middle, end - reach - 1) - reach, 0)
    return slice(start, min(start + 2 * reach + 1, end))


def _median(pixels: npt.NDArray[np.uint8]) -> float:
    """As ``np.median``, in a third of its time: there are five for every face."""
    low, high = (pixels.size - 1) // 2, pixels.size // 2
    ordered = np.partition(pixels, (low, high), axis=None)
    return (int(ordered[low]) + int(ordered[high])) / 2


def _cut_both(picture: Picture, face: Face) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    return cut_eye(picture.grey, face.left_eye), cut_eye(picture.grey, face.right_eye)


def _numbers(face: Face, shut: npt.NDArray[np.float32]) -> dict[str, float]:
    """Both eyes weighted by the square of their width, as the aspect ratios are: see ``core.eyes``."""
    left, right = (eye_width_px(eye) ** 2 for eye in (face.left_eye, face.right_eye))
    share = left / (left + right) if left + right > 0 else 0.5
    both = float(shut[0]) * share + float(shut[1]) * (1 - share)
    return {EYE_CLOSED_LEFT: float(shut[0]), EYE_CLOSED_RIGHT: float(shut[1]), EYE_CLOSED: both}
