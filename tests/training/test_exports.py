"""What torch trains and what ONNX Runtime serves give the same answers."""

import numpy as np
import onnxruntime
import pytest
import torch

from vision.eye_crops import CROP_PX as EYE_PX
from vision.eye_crops import normalise
from vision.torso import KINDS
from vision.torso_crops import CROP_PX
from vision.training.eye_network import build_network as build_eyes
from vision.training.eye_network import export as export_eyes
from vision.training.eye_network import predict as predict_eyes
from vision.training.start import fetch_start
from vision.training.torso_export import export
from vision.training.torso_network import build_network


@pytest.fixture(scope="session")
def start():
    return fetch_start()


def run(path, crops):
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, {"crops": crops})


def settle(network, draw):
    """Norms that have seen something, as after training: fresh ones hide mistakes of an export."""
    network.train()
    with torch.no_grad():
        for _ in range(3):
            network(draw())
    return network.eval()


def test_torso_answers_alike_in_torch_and_onnx_runtime_with_weights_in_half_precision(start, tmp_path):
    torch.manual_seed(4)
    network = settle(build_network(start), lambda: torch.rand(2, 3, CROP_PX, CROP_PX))
    export(network, tmp_path / "torso.onnx")
    crops = np.random.default_rng(4).random((3, 3, CROP_PX, CROP_PX), np.float32)
    logits, cells = run(tmp_path / "torso.onnx", crops)
    with torch.no_grad():
        expected = [part.numpy() for part in network(torch.from_numpy(crops))]
    assert logits.shape == (3, len(KINDS))
    assert np.ptp(expected[0]) > 0.1, "a network that says the same of all shows nothing"
    np.testing.assert_allclose(logits, expected[0], atol=1e-2)
    np.testing.assert_allclose(cells, expected[1], atol=3e-2)


def test_torso_answers_do_not_depend_on_who_else_is_in_the_batch(start, tmp_path):
    network = settle(build_network(start), lambda: torch.rand(2, 3, CROP_PX, CROP_PX))
    export(network, tmp_path / "torso.onnx")
    crops = np.random.default_rng(5).random((2, 3, CROP_PX, CROP_PX), np.float32)
    together, _ = run(tmp_path / "torso.onnx", crops)
    alone = np.concatenate([run(tmp_path / "torso.onnx", crop[None])[0] for crop in crops])
    np.testing.assert_allclose(together, alone, atol=1e-4)


def test_eye_state_answers_alike_in_torch_and_onnx_runtime(tmp_path):
    torch.manual_seed(4)
    random = np.random.default_rng(4)
    draw = lambda n: random.integers(0, 255, (n, EYE_PX, EYE_PX), dtype=np.uint8)  # noqa: E731
    network = settle(build_eyes(), lambda: torch.from_numpy(normalise(draw(16))))
    export_eyes(network, tmp_path / "eyes.onnx")
    crops = draw(20)
    (shut,) = run(tmp_path / "eyes.onnx", normalise(crops))
    np.testing.assert_allclose(shut, predict_eyes(network, crops), atol=1e-4)
