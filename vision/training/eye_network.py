"""The eye-state network: a few thousand weights, trained here, exported to ONNX. The only part that needs torch."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from vision.eye_crops import CROP_PX, Crop, normalise
from vision.training.eye_augment import augment

Floats = npt.NDArray[np.float32]

BATCH = 128
OPSET = 17
SMOOTHING = 0.05  # labels of the truck cabs are about 85 % right: certainty is not rewarded


def build_network() -> nn.Module:
    """(n, 1, 32, 32) normalised grey to (n,) logits of being shut."""
    widths = (1, 24, 32, 48, 64)
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        layers += [nn.MaxPool2d(2)]
    layers += [nn.Flatten(), nn.Dropout(0.3), nn.Linear(64 * 4, 32), nn.ReLU(), nn.Linear(32, 1), nn.Flatten(0)]
    return nn.Sequential(*layers)


def train(
    wide: Crop,
    states: npt.NDArray[np.int64],
    weights: Floats,
    epochs: int,
    seed: int,
    tell: Callable[[int, float], None],
) -> nn.Module:
    """Fit a new network.

    Args:
        wide: (n, 64, 64) crops.
        weights: how often each is drawn, relative to the others.
        tell: called with the epoch and its mean loss.
    """
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    network = build_network()
    steps = epochs * (len(wide) // BATCH)
    optimiser = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=4e-3, total_steps=steps)
    share = weights / weights.sum()
    for epoch in range(epochs):
        losses = []
        for _ in range(len(wide) // BATCH):
            chosen = random.choice(len(wide), BATCH, p=share)
            crops = np.stack([augment(wide[i], random) for i in chosen])
            losses.append(_step(network, crops, states[chosen], optimiser))
            schedule.step()
        tell(epoch, float(np.mean(losses)))
    return network.eval()


def predict(network: nn.Module, crops: Crop) -> Floats:
    """(n, 32, 32) crops to (n,) probabilities of being shut."""
    with torch.no_grad():
        parts = [torch.sigmoid(network(_tensor(crops[i : i + 512]))) for i in range(0, len(crops), 512)]
    return np.concatenate([part.numpy() for part in parts]) if parts else np.zeros(0, np.float32)


def export(network: nn.Module, path: Path) -> None:
    """As ONNX with a free batch size: ``crops`` in, ``shut`` (a probability) out."""
    model = nn.Sequential(network, nn.Sigmoid()).eval()
    example = torch.zeros(1, 1, CROP_PX, CROP_PX)
    axes = {"crops": {0: "n"}, "shut": {0: "n"}}
    torch.onnx.export(
        model,
        (example,),
        str(path),
        input_names=["crops"],
        output_names=["shut"],
        dynamic_axes=axes,
        opset_version=OPSET,
        dynamo=False,
    )


def _step(network: nn.Module, crops: Crop, states: npt.NDArray[np.int64], optimiser: torch.optim.Optimizer) -> float:
    target = torch.from_numpy(states.astype(np.float32)) * (1 - 2 * SMOOTHING) + SMOOTHING
    network.train()
    loss = nn.functional.binary_cross_entropy_with_logits(network(_tensor(crops)), target)
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    return float(loss.detach())


def _tensor(crops: Crop) -> Tensor:
    return torch.from_numpy(normalise(crops))
