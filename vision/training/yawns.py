"""Learns the scale from a mouth's shape to the probability of a yawn: data in; weights, figures and a model card out.

    python -m vision.training.yawns --data ../shared/data/cab

About a minute on one core, nearly all of it the face mesh; needs no torch. Four folds judge it on ranges of file
numbers, people and cabs that it never saw, then it learns from everything.
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

from vision.core.mouth import YawnScale, measure_yawn
from vision.mouth import WEIGHTS
from vision.training.folds import measure_auc, measure_interval, spread_groups
from vision.training.yawn_card import write_card
from vision.training.yawn_data import OTHER, YAWNING, Mouth, read_mouths

logger = logging.getLogger(__name__)

Floats = npt.NDArray[np.float32]

OUT = Path(__file__).parents[1] / "weights"
FOLDS = 4
SHARES = {
    ("frames", YAWNING): 1.0,
    ("clips", YAWNING): 0.2,
    ("frames", OTHER): 0.8,
    ("clips", OTHER): 0.6,
    ("awake", OTHER): 0.2,
    ("stills", OTHER): 0.6,
    ("truck", OTHER): 0.2,
}
"""How much a source and class weigh. Twice as much without a yawn as with one: false alarms cost more."""

RIDGE = 3e-3
NOT_SEEN = 0.0
"""Where no face is found there is no number; for the AUC over all frames it counts as no yawn."""

ALARM = 0.5
UNSAID = ("drowsy", "truck")  # nobody labelled their yawns: all alarms are counted


@dataclass(frozen=True, eq=False)
class Mouths:
    """The mouths in columns: of the faces that were found."""

    all: Sequence[Mouth]

    @cached_property
    def found(self) -> list[Mouth]:
        return [mouth for mouth in self.all if mouth.shape is not None]

    @cached_property
    def shapes(self) -> npt.NDArray[np.float64]:
        return np.stack([mouth.shape for mouth in self.found if mouth.shape is not None])

    @cached_property
    def states(self) -> npt.NDArray[np.int64]:
        """-1 where nobody has said."""
        return np.array([-1 if mouth.state is None else mouth.state for mouth in self.found], np.int64)

    @cached_property
    def sources(self) -> npt.NDArray[np.str_]:
        return np.array([mouth.source for mouth in self.found])

    @cached_property
    def groups(self) -> list[str]:
        """Frames and clips show the same people, the two parts of the acted clip the same driver."""
        shared = {"clips": "frames", "drowsy": "awake"}
        return [f"{shared.get(mouth.source, mouth.source)}/{mouth.group}" for mouth in self.found]

    @cached_property
    def weights(self) -> npt.NDArray[np.float64]:
        weights = np.zeros(len(self.found))
        for (source, state), share in SHARES.items():
            chosen = (self.sources == source) & (self.states == state)
            weights[chosen] = share / max(int(chosen.sum()), 1)
        return weights


def learn_scale(mouths: Mouths, chosen: npt.NDArray[np.bool_], rounds: int = 40) -> YawnScale:
    """Weighted logistic regression with a small ridge, by Newton's method, over standardised shapes."""
    shapes, states, weights = mouths.shapes[chosen], mouths.states[chosen], mouths.weights[chosen]
    weights = weights / weights.sum()
    mean = weights @ shapes
    deviation = np.sqrt(weights @ (shapes - mean) ** 2)
    columns = np.column_stack([(shapes - mean) / deviation, np.ones(len(shapes))])
    ridge = np.diag([RIDGE] * shapes.shape[1] + [0.0])
    found = np.zeros(columns.shape[1])
    for _ in range(rounds):
        said = 1 / (1 + np.exp(-columns @ found))
        bend = columns.T @ (columns * (weights * said * (1 - said))[:, None]) + ridge
        found = found - np.linalg.solve(bend, columns.T @ (weights * (said - states)) + ridge @ found)
    slopes = found[:-1] / deviation
    first, second, third = (float(slope) for slope in slopes)
    return YawnScale((first, second, third), float(found[-1] - slopes @ mean))


def judge_folds(mouths: Mouths) -> Floats:
    """For every face found, what a scale says that never saw its range of numbers, person or cab."""
    fold_of = spread_groups(mouths.groups, FOLDS)
    folds = np.array([fold_of[group] for group in mouths.groups])
    said = np.zeros(len(folds), np.float32)
    for fold in range(FOLDS):
        scale = learn_scale(mouths, (folds != fold) & (mouths.states >= 0))
        said[folds == fold] = [measure_yawn(shape, scale) for shape in mouths.shapes[folds == fold]]
    return said


def measure(mouths: Mouths, said: Floats) -> dict[str, Mapping[str, object]]:
    """Figures by source: AUC on faces found and on all frames; alarms where nobody yawns, or nobody has said."""
    figures: dict[str, Mapping[str, object]] = {}
    for source in ("frames", "clips"):
        chosen = (mouths.sources == source) & (mouths.states >= 0)
        figures[source] = {
            **_figures(said[chosen], mouths.states[chosen], np.array(mouths.groups)[chosen]),
            "auc_lips_alone": _auc(mouths.shapes[chosen, 0].astype(np.float32), mouths.states[chosen]),
            **_with_unseen(mouths, said, source),
        }
    for source in ("awake", "drowsy", "stills", "truck"):
        chosen = (mouths.sources == source) & ((mouths.states >= 0) | (source in UNSAID))
        figures[source] = {"faces": int(chosen.sum()), "alarms": int((said[chosen] > ALARM).sum())}
    talking = np.array(["/talking" in mouth.name for mouth in mouths.found])
    figures["talking"] = {"faces": int(talking.sum()), "alarms": int((said[talking] > ALARM).sum())}
    return figures


def _figures(scores: Floats, states: npt.NDArray[np.int64], groups: npt.NDArray[np.str_]) -> dict[str, object]:
    low, high = measure_interval(scores, states, groups.tolist())
    alarms = scores > ALARM
    return {
        "faces": len(scores),
        "yawns": int(states.sum()),
        "groups": len(set(groups.tolist())),
        "auc": _auc(scores, states),
        "auc_low": round(low, 4),
        "auc_high": round(high, 4),
        "recall": round(float(alarms[states == YAWNING].mean()), 4),
        "precision": round(float((states[alarms] == YAWNING).mean()), 4) if alarms.any() else None,
        "brier": round(float(np.square(scores - states).mean()), 4),
    }


def _with_unseen(mouths: Mouths, said: Floats, source: str) -> dict[str, object]:
    given = iter(said.tolist())
    rows = [(mouth, NOT_SEEN if mouth.shape is None else next(given)) for mouth in mouths.all]
    kept = [(score, mouth.state) for mouth, score in rows if mouth.source == source and mouth.state is not None]
    scores, states = np.array([row[0] for row in kept], np.float32), np.array([row[1] for row in kept], np.int64)
    return {"all_frames": len(kept), "auc_all_frames": _auc(scores, states)}


def _auc(scores: Floats, states: npt.NDArray[np.int64]) -> float | None:
    auc = measure_auc(scores, states)
    return None if auc is None else round(auc, 4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/cab"), help="folder of the packs")
    parser.add_argument("--out", type=Path, default=OUT, help="folder for weights, figures and card")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    mouths = Mouths(read_mouths(arguments.data))
    measured = measure(mouths, judge_folds(mouths))
    scale = learn_scale(mouths, mouths.states >= 0)
    arguments.out.mkdir(parents=True, exist_ok=True)
    learned = {"weights": [round(weight, 4) for weight in scale.weights], "bias": round(scale.bias, 4)}
    (arguments.out / WEIGHTS).write_text(json.dumps({**learned, "measured": measured}, indent=1) + "\n")
    write_card(arguments.out / "yawn.md", measured)


if __name__ == "__main__":
    main()
