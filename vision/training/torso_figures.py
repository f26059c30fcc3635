"""What the answers of the folds are worth: figures by kind and place, and the calibration of probabilities."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vision.torso import KINDS, SIGNALS
from vision.training.folds import measure_auc, measure_interval
from vision.training.torso_data import Example
from vision.training.torso_packs import There

Floats = npt.NDArray[np.float32]

TAKEN_SHARES = (0.5, 0.3, 0.2, 0.2)
"""How often each kind is taken to be there, for its probabilities: a half would make a phone of every head that looks
into the lap, and a cigarette of every hand at the mouth."""

PLACES: Mapping[str, Callable[[Example], bool]] = {
    "truck cabs, infrared": lambda e: e.source == "truck_cabs",
    "stock photos": lambda e: e.source == "stock",
    "stock photos, clean test split": lambda e: e.cab == "test",
    "parked cars": lambda e: e.source == "parked",
    "side view": lambda e: e.source in {"side_phones", "side_straps"},
}


@dataclass(frozen=True, eq=False)
class Answers:
    """Logits (n, kinds) of examples that the network had never seen."""

    examples: Sequence[Example]
    logits: Floats

    def join(self, other: Answers) -> Answers:
        return Answers([*self.examples, *other.examples], np.concatenate([self.logits, other.logits]))


def calibrate(answers: Answers) -> tuple[list[float], list[float]]:
    """Slopes and offsets, one a kind, that make logits honest where it is as frequent as is taken (Platt)."""
    there = np.array([e.there for e in answers.examples])
    fitted = [_fit(answers.logits[:, kind], there[:, kind], TAKEN_SHARES[kind]) for kind in range(len(KINDS))]
    return [slope for slope, _ in fitted], [offset for _, offset in fitted]


def measure(answers: Answers, slopes: Sequence[float], offsets: Sequence[float]) -> Mapping[str, Mapping[str, object]]:
    """By signal, then by place: AUC with its interval (groups drawn again), accuracy at the calibrated half."""
    found: dict[str, dict[str, object]] = {}
    for kind, signal in enumerate(SIGNALS):
        for place, inside in PLACES.items():
            chosen = [i for i, e in enumerate(answers.examples) if inside(e) and e.there[kind] != There.UNKNOWN]
            figures = _measure(answers, chosen, kind, slopes[kind], offsets[kind])
            if figures:
                found.setdefault(signal, {})[place] = figures
    return found


def _measure(answers: Answers, chosen: Sequence[int], kind: int, slope: float, offset: float) -> dict[str, object]:
    states = np.array([int(answers.examples[i].there[kind]) for i in chosen], np.int64)
    scores = answers.logits[list(chosen), kind] if len(chosen) else np.zeros(0, np.float32)
    auc = measure_auc(scores, states)
    if auc is None:
        return {}
    groups = [answers.examples[i].clip or answers.examples[i].group for i in chosen]
    low, high = measure_interval(scores, states, groups)
    yes = scores * slope + offset > 0
    return {
        "pictures": len(chosen),
        "positive": int(states.sum()),
        "auc": round(auc, 4),
        "auc_low": round(low, 4),
        "auc_high": round(high, 4),
        "accuracy": round(float((yes == (states == 1)).mean()), 4),
        "recall": round(float(yes[states == 1].mean()), 4),
        "false_positive_share": round(float(yes[states == 0].mean()), 4),
        **_by_clip(answers, chosen, kind),
    }


def _by_clip(answers: Answers, chosen: Sequence[int], kind: int) -> dict[str, object]:
    """The mean logit of a clip, as a vote over time does it; nothing where there are no clips."""
    clips: dict[str, list[int]] = {}
    for i in chosen:
        if answers.examples[i].clip:
            clips.setdefault(answers.examples[i].clip, []).append(i)
    scores = np.array([answers.logits[rows, kind].mean() for rows in clips.values()], np.float32)
    states = [np.mean([int(answers.examples[i].there[kind]) for i in rows]) > 0.5 for rows in clips.values()]
    auc = measure_auc(scores, np.array(states, np.int64)) if clips else None
    return {} if auc is None else {"clips": len(clips), "clip_auc": round(auc, 4)}


def _fit(logits: Floats, there: npt.NDArray[np.int64], taken: float, rounds: int = 200) -> tuple[float, float]:
    """Logistic regression on one number by Newton's method, a little held back. ``taken``: the weight of yes."""
    told = there != There.UNKNOWN
    x, y = logits[told].astype(float), (there[told] == There.YES).astype(float)
    weight = np.where(y == 1, taken / max(y.sum(), 1), (1 - taken) / max((1 - y).sum(), 1)) * len(y)
    design = np.column_stack([x, np.ones_like(x)])
    values = np.array([1.0, 0.0])
    for _ in range(rounds):
        p = 1 / (1 + np.exp(-design @ values))
        slope = design.T @ (weight * (p - y)) + (values - [1.0, 0.0]) * 0.01 * len(y)
        bend = (design * (weight * p * (1 - p))[:, None]).T @ design + np.eye(2) * 0.01 * len(y)
        step = np.linalg.solve(bend, slope)
        values = values - step / max(1.0, float(np.linalg.norm(step)))  # far from the answer Newton overshoots
    return round(float(values[0]), 4), round(float(values[1]), 4)
