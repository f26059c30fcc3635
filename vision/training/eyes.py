"""Trains the eye-state network: data in; weights, figures and a model card out.

    python -m vision.training.eyes --data ../shared/data/cab

Needs the extra ``training``. About 20 minutes on one core: four folds to judge it on people and cabs that it never
saw, then once more on everything.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from vision.eye_state import WEIGHTS
from vision.training.cards import write_card
from vision.training.eye_augment import plain
from vision.training.eye_data import Example, read_examples
from vision.training.eye_network import export, predict, train
from vision.training.folds import measure_auc, measure_interval, spread_groups

logger = logging.getLogger(__name__)

OUT = Path(__file__).parents[1] / "weights"
FOLDS = 4
SHARES = {"colour": 1.0, "infrared": 1.0, "truck_box": 0.7, "truck_mesh": 1.3}
"""How often a source is drawn; its two classes are drawn equally often."""


@dataclass(frozen=True, eq=False)
class Crops:
    """The examples in columns."""

    examples: Sequence[Example]

    @cached_property
    def wide(self) -> npt.NDArray[np.uint8]:
        return np.stack([example.wide for example in self.examples])

    @cached_property
    def narrow(self) -> npt.NDArray[np.uint8]:
        return np.stack([plain(example.wide) for example in self.examples])

    @cached_property
    def states(self) -> npt.NDArray[np.int64]:
        return np.array([example.state for example in self.examples], np.int64)

    @cached_property
    def sources(self) -> npt.NDArray[np.str_]:
        return np.array([example.source for example in self.examples])

    @cached_property
    def groups(self) -> list[str]:
        """``truck_box`` and ``truck_mesh`` show the same cabs: they share their groups."""
        return [f"{example.source.partition('_')[0]}/{example.group}" for example in self.examples]

    @cached_property
    def weights(self) -> npt.NDArray[np.float32]:
        weights = np.zeros(len(self.examples), np.float32)
        for source, share in SHARES.items():
            for state in (0, 1):
                chosen = (self.sources == source) & (self.states == state)
                weights[chosen] = share / max(int(chosen.sum()), 1)
        return weights


def judge_folds(crops: Crops, epochs: int) -> npt.NDArray[np.float32]:
    """For every example, what a network says that never saw its person or cab."""
    fold_of = spread_groups(crops.groups, FOLDS)
    folds = np.array([fold_of[group] for group in crops.groups])
    shut = np.zeros(len(folds), np.float32)
    for fold in range(FOLDS):
        seen = folds != fold
        network = _train(crops, seen, epochs, f"fold {fold}")
        shut[~seen] = predict(network, crops.narrow[~seen])
    return shut


def figures(crops: Crops, shut: npt.NDArray[np.float32]) -> dict[str, Mapping[str, object]]:
    """Per source, and of it the eyes above a mask: examples, groups, AUC with its interval, accuracy at 0.5, and AUC
    within each group. Masks are one driver's: there the groups are clips."""
    found = {source: _figures_of(crops, shut, crops.sources == source, crops.groups) for source in SHARES}
    masked, clips = np.array([e.mask for e in crops.examples]), [e.clip for e in crops.examples]
    for source in np.unique(crops.sources[masked]).tolist():
        found[f"{source}, mask"] = _figures_of(crops, shut, masked & (crops.sources == source), clips)
    return found


def _figures_of(
    crops: Crops, shut: npt.NDArray[np.float32], chosen: npt.NDArray[np.bool_], grouped: Sequence[str]
) -> Mapping[str, object]:
    scores, states = shut[chosen], crops.states[chosen]
    groups = np.array(grouped)[chosen]
    within = {str(name): measure_auc(scores[groups == name], states[groups == name]) for name in np.unique(groups)}
    low, high = measure_interval(scores, states, groups.tolist())
    return {
        "eyes": int(chosen.sum()),
        "groups": len(within),
        "auc": _rounded(measure_auc(scores, states)),
        "auc_low": round(low, 4),
        "auc_high": round(high, 4),
        "accuracy": round(float(((scores > 0.5) == states).mean()), 4),
        "auc_within_groups": {name: round(auc, 4) for name, auc in within.items() if auc is not None},
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _train(crops: Crops, chosen: npt.NDArray[np.bool_], epochs: int, name: str) -> torch.nn.Module:
    def tell(epoch: int, loss: float) -> None:
        logger.info("%s: epoch %d of %d, loss %.3f", name, epoch + 1, epochs, loss)

    return train(crops.wide[chosen], crops.states[chosen], crops.weights[chosen], epochs, seed=1, tell=tell)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/cab"), help="folder of the packs")
    parser.add_argument("--out", type=Path, default=OUT, help="folder for weights, figures and card")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(arguments.threads)
    crops = Crops(read_examples(arguments.data))
    measured = figures(crops, judge_folds(crops, arguments.epochs))
    network = _train(crops, np.ones(len(crops.examples), bool), arguments.epochs, "all")
    arguments.out.mkdir(parents=True, exist_ok=True)
    export(network, arguments.out / WEIGHTS)
    (arguments.out / "eye_state.json").write_text(json.dumps(measured, indent=1) + "\n")
    write_card(arguments.out / "eye_state.md", measured, arguments.epochs)


if __name__ == "__main__":
    main()
