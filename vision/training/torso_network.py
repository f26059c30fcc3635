"""The torso network: YOLO11n's backbone and neck under two small heads. One says for every cell of the crop what is
there, one for the whole crop. Needs torch and ultralytics.

A detector of boxes was tried first: after 14,000 pictures it could not tell a belt on other people (AUC .53), since a
strap's box says little of the strap, and most packs have no boxes at all. Cells learn from painted straps exactly,
from boxes weakly, and the whole crop from a picture's own label; what a pack does not label teaches nothing.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional
from ultralytics.nn.tasks import load_checkpoint

from vision.frames import Rgb
from vision.torso import KINDS
from vision.training.torso_augment import Lesson, augment
from vision.training.torso_data import Example
from vision.training.torso_held import cut_patches
from vision.training.torso_packs import There

Floats = npt.NDArray[np.float32]

BATCH = 32
RATES = (1e-3, 4e-3)
"""Of what was learned before, and of the heads."""

WARM_UP = 0.08
SMOOTHING = 0.03
MEMORY = 0.99
"""Of the running mean of weights, which is what is kept."""

CELL_GAIN = 2.0
"""Of what cells teach, beside the whole crop."""

_FROZEN = 4  # layers that see edges and textures: as good on grey and infrared, and the costliest to train
_LAYERS = 17  # of YOLO11n: backbone and the way down the neck to one cell in 8 pixels
_DEEP, _FINE = 10, 16
_SURE_CELLS = 6  # of 784: the least that a thing covers


@dataclass(frozen=True)
class Course:
    """One training: examples, how often each is drawn, for how many steps."""

    examples: Sequence[Example]
    weights: Floats
    steps: int
    seed: int = 0
    rates: tuple[float, float] = RATES


class TorsoNetwork(nn.Module):  # type: ignore[misc]  # torch is not there where types are checked
    """(n, 3, CROP_PX, CROP_PX), 0 to 1, to logits of the crop (n, kinds) and of its cells (n, kinds, 28, 28)."""

    def __init__(self, layers: nn.ModuleList, deep: int = 256, fine: int = 64) -> None:
        super().__init__()
        kinds = len(KINDS)
        self.layers = layers
        self.cells = nn.Sequential(
            nn.Conv2d(fine, fine, 3, padding=1, bias=False), nn.BatchNorm2d(fine), nn.SiLU(), nn.Conv2d(fine, kinds, 1)
        )
        self.whole = nn.Sequential(nn.Dropout(0.2), nn.Linear(deep + fine * kinds + kinds, kinds))
        nn.init.constant_(self.cells[-1].bias, -3.0)

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        deep, fine = self._run(crops)
        cells = self.cells(fine)
        flat = cells.flatten(2)
        attention = torch.softmax(flat, dim=2)
        looked = torch.einsum("nkp,ncp->nkc", attention, fine.flatten(2)).flatten(1)
        surest = flat.topk(_SURE_CELLS, dim=2).values.mean(dim=2)
        return self.whole(torch.cat([deep.mean(dim=(2, 3)), looked, surest], dim=1)) + surest, cells

    def train(self, mode: bool = True) -> TorsoNetwork:
        """What is frozen keeps its statistics, too."""
        super().train(mode)
        self.layers[:_FROZEN].eval()
        return self

    def _run(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        kept: list[Tensor] = []
        value = crops
        for layer in self.layers:
            if isinstance(layer.f, list):
                value = layer([value if place == -1 else kept[place] for place in layer.f])
            else:
                value = layer(value if layer.f == -1 else kept[layer.f])
            kept.append(value)
        return kept[_DEEP], kept[_FINE]


def build_network(start: Path, learned: Path | None = None) -> TorsoNetwork:
    """From an Ultralytics checkpoint of a YOLO11n trained on COCO, and perhaps what one of ours has learned since."""
    pretrained, _ = load_checkpoint(str(start))
    layers = nn.ModuleList(list(pretrained.float().model)[:_LAYERS])
    for number, layer in enumerate(layers):
        layer.requires_grad_(number >= _FROZEN)
    network = TorsoNetwork(layers)
    if learned is not None:
        network.load_state_dict(torch.load(learned, weights_only=True))
    return network


def train(network: TorsoNetwork, course: Course, tell: Callable[[int, float], None]) -> TorsoNetwork:
    """The running mean of the weights that this network goes through.

    Args:
        tell: called now and then with the step and the mean loss since the last call.
    """
    torch.manual_seed(course.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network.to(device, memory_format=torch.channels_last).train()
    kept = copy.deepcopy(network)
    kept.eval()
    groups = _groups(network, *course.rates)
    optimiser = torch.optim.AdamW(groups, betas=(0.9, 0.99))
    rates = [group["lr"] for group in groups]
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=rates, total_steps=course.steps, pct_start=WARM_UP)
    losses: list[float] = []
    for step, lessons in enumerate(draw_lessons(course)):
        crops = _tensor([lesson.crop for lesson in lessons])
        with torch.autocast(device.type, torch.bfloat16, enabled=_is_half_faster(device)):
            whole, cells = network(crops.to(device, memory_format=torch.channels_last))
        loss = measure_loss(whole.float(), cells.float(), lessons)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimiser.step()
        schedule.step()
        _remember(kept, network, min(MEMORY, (1 + step) / (10 + step)))
        losses.append(float(loss.detach()))
        if step % 25 == 24:
            tell(step + 1, float(np.mean(losses[-25:])))
    kept.cpu().eval()
    return kept


def draw_lessons(course: Course) -> Iterator[list[Lesson]]:
    """``steps`` batches, made in a process of its own beside the training."""
    yield from torch.utils.data.DataLoader(
        _Lessons(course), batch_size=BATCH, num_workers=1, prefetch_factor=4, collate_fn=list
    )


class _Lessons(torch.utils.data.Dataset[Lesson]):  # type: ignore[misc]
    def __init__(self, course: Course) -> None:
        random = np.random.default_rng(course.seed)
        share = course.weights / course.weights.sum()
        self._course, self._patches = course, cut_patches(course.examples, random)
        self._chosen = random.choice(len(course.examples), course.steps * BATCH, p=share)

    def __len__(self) -> int:
        return len(self._chosen)

    def __getitem__(self, place: int) -> Lesson:
        random = np.random.default_rng((self._course.seed, place))
        return augment(self._course.examples[self._chosen[place]], random, self._patches)


def measure_loss(whole: Tensor, cells: Tensor, lessons: Sequence[Lesson]) -> Tensor:
    """Cross-entropy of crops and cells, over what is known."""
    there = torch.from_numpy(np.stack([lesson.there for lesson in lessons])).to(whole.device)
    places, sure = (
        torch.from_numpy(np.stack(maps)).to(whole.device)
        for maps in ([lesson.places for lesson in lessons], [lesson.weights for lesson in lessons])
    )
    told = (there != int(There.UNKNOWN)).float()
    target = (there == int(There.YES)).float() * (1 - 2 * SMOOTHING) + SMOOTHING
    by_crop = functional.binary_cross_entropy_with_logits(whole, target, reduction="none") * told
    by_cell = functional.binary_cross_entropy_with_logits(cells, places, reduction="none") * sure * (1 + 9 * places)
    return by_crop.sum() / told.sum().clamp(min=1) + CELL_GAIN * by_cell.sum() / (sure * (1 + 9 * places)).sum().clamp(
        min=1
    )


def _is_half_faster(device: torch.device) -> bool:
    """Half precision takes 60 % of the time where the processor multiplies it itself; elsewhere it only costs."""
    return device.type == "cuda" or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def predict(network: TorsoNetwork, crops: Sequence[Rgb]) -> Floats:
    """(n, kinds) logits."""
    with torch.no_grad():
        found = [network(_tensor(crops[start : start + 32]))[0] for start in range(0, len(crops), 32)]
    return torch.cat(found).numpy() if found else np.zeros((0, len(KINDS)), np.float32)


def _groups(network: TorsoNetwork, learned_rate: float, head_rate: float) -> list[dict[str, Any]]:
    """Fresh heads learn faster than what was trained before; biases and norms do not decay."""
    groups = []
    for part, rate in ((network.layers, learned_rate), (network.cells, head_rate), (network.whole, head_rate)):
        learning = [p for p in part.parameters() if p.requires_grad]
        groups.append({"params": [p for p in learning if p.ndim > 1], "lr": rate, "weight_decay": 0.02})
        groups.append({"params": [p for p in learning if p.ndim <= 1], "lr": rate, "weight_decay": 0.0})
    return groups


def _remember(kept: nn.Module, network: nn.Module, memory: float) -> None:
    with torch.no_grad():
        for old, new in zip(kept.state_dict().values(), network.state_dict().values(), strict=True):
            if old.dtype.is_floating_point:
                old.mul_(memory).add_(new.detach(), alpha=1 - memory)


def _tensor(crops: Sequence[Rgb]) -> Tensor:
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float().div_(255)
