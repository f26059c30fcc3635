"""The torso network as ONNX, its weights stored in half precision."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from vision.torso_crops import CROP_PX
from vision.training.torso_network import TorsoNetwork

OPSET = 17
_LARGE = 256  # numbers in a table of weights that is worth halving


def export(network: TorsoNetwork, path: Path) -> None:
    """``crops`` (n, 3, CROP_PX, CROP_PX), 0 to 1, in; ``logits`` (n, kinds) and ``cells`` (n, kinds, 28, 28) out."""
    names = ["crops", "logits", "cells"]
    torch.onnx.export(
        network.eval(),
        (torch.zeros(1, 3, CROP_PX, CROP_PX),),
        str(path),
        input_names=names[:1],
        output_names=names[1:],
        dynamic_axes={name: {0: "n"} for name in names},
        opset_version=OPSET,
        dynamo=False,
    )
    halve(path, path)


def halve(path: Path, out: Path) -> None:
    """Stores large tables of weights as float16, cast back when the file is opened: half the size, the same speed."""
    model = onnx.load(str(path))
    graph, casts = model.graph, []
    for table in list(graph.initializer):
        if table.data_type == TensorProto.FLOAT and np.prod(table.dims) > _LARGE:
            small = numpy_helper.from_array(numpy_helper.to_array(table).astype(np.float16), f"{table.name}_half")
            graph.initializer.remove(table)
            graph.initializer.append(small)
            casts.append(helper.make_node("Cast", [small.name], [table.name], to=TensorProto.FLOAT))
    for cast in reversed(casts):
        graph.node.insert(0, cast)
    onnx.checker.check_model(model)
    onnx.save(model, str(out))
