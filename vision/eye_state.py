"""The learned eye state: for each eye the probability of being shut, from a small network over eye crops."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib.resources import files
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from vision.core.eyes import eye_width_px
from vision.eye_crops import cut_eye, normalise
from vision.frames import Picture
from vision.models import Face

WEIGHTS = "eye_state.onnx"

LEFT, RIGHT, BOTH = "eye_closed_left", "eye_closed_right", "eye_closed"
"""Probabilities. The eyes are named as seen in the picture."""


class EyeStates:
    """A head (see ``vision.models.Head``) on ONNX Runtime, one thread: 0.2 ms a face.

    OpenVINO takes the same time for this network (0.08 to 0.10 ms an eye) and three times the disk.
    """

    name = "eyes"

    def measure(self, pictures: Sequence[Picture], faces: Sequence[Face | None]) -> Sequence[Mapping[str, float]]:
        seen = [(picture, face) for picture, face in zip(pictures, faces, strict=True) if face]
        if not seen:
            return [{} for _ in faces]
        crops = np.stack([crop for picture, face in seen for crop in _cut_both(picture, face)])
        shut = self._run(crops).reshape(-1, 2)
        numbers = iter([_numbers(face, pair) for (_, face), pair in zip(seen, shut, strict=True)])
        return [next(numbers) if face else {} for face in faces]

    def close(self) -> None:
        self.__dict__.pop("_session", None)

    def _run(self, crops: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        (shut,) = self._session.run(None, {"crops": normalise(crops)})
        return np.asarray(shut, np.float32)

    @cached_property
    def _session(self) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        weights = files("vision").joinpath("weights", WEIGHTS).read_bytes()
        return onnxruntime.InferenceSession(weights, options, providers=["CPUExecutionProvider"])


def _cut_both(picture: Picture, face: Face) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    grey = cv2.cvtColor(picture.rgb, cv2.COLOR_RGB2GRAY)
    return cut_eye(grey, face.left_eye), cut_eye(grey, face.right_eye)


def _numbers(face: Face, shut: npt.NDArray[np.float32]) -> dict[str, float]:
    """Both eyes weighted by the square of their width, as the aspect ratios are: see ``core.eyes``."""
    weights = np.square([eye_width_px(face.left_eye), eye_width_px(face.right_eye)])
    both = float(np.average(shut, weights=weights)) if weights.any() else float(shut.mean())
    return {LEFT: float(shut[0]), RIGHT: float(shut[1]), BOTH: both}
