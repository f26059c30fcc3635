"""Opens the networks that ship in ``vision/weights``."""

from __future__ import annotations

from importlib.resources import files
from typing import Any


def open_network(weights: str) -> Any:
    """An ONNX Runtime session on one thread: a worker a core serves more than one worker on all of them."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    content = files("vision").joinpath("weights", weights).read_bytes()
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
