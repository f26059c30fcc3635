"""Opens the networks that ship in ``vision/weights``, and lays out pixels as they take them."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from vision.frames import Rgb


def open_network(weights: str) -> Any:
    """An ONNX Runtime session on one thread: a worker a core serves more than one worker on all of them."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    content = files("vision").joinpath("weights", weights).read_bytes()
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def lay_planes(rgb: Rgb, out: npt.NDArray[np.float32] | None = None) -> npt.NDArray[np.float32]:
    """(height, width, 3) to (3, height, width), 0..1. Split as bytes: a quarter of what is moved."""
    return np.divide(np.array(cv2.split(rgb)), 255, out=out, dtype=np.float32)
