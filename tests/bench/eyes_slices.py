"""AUC by slice on a small fixed sample: the kept table fails a test when a slice gets worse than its tolerance.

It is about change and not about other people: eyes and mouths of these packs were learned from, belts of these cars
were not.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from tests.bench.eyes_stills import Still, look_at, read_stills
from vision.close_ups import look_as_eye
from vision.core.signals import BELT_WORN, EYE_CLOSED, YAWN
from vision.eye_state import EyeStates
from vision.frames import decode_any_picture
from vision.heads import default_heads
from vision.looking import Eyes
from vision.models import MediapipeFaces
from vision.training.folds import measure_auc

KEPT = Path(__file__).with_suffix(".json")
DATA = Path("../shared/data/cab")
EVERY = 6
EVERY_EYE = 18

Sample = tuple[str, float, int]
"""Slice, score, state."""


def measure_slices(data: Path = DATA) -> dict[str, float]:
    """AUC by slice."""
    samples = [*_eye_samples(data), *_face_samples(data)]
    found = {}
    for name in sorted({name for name, _, _ in samples}):
        scores, states = zip(*((score, state) for part, score, state in samples if part == name), strict=True)
        auc = measure_auc(np.array(scores, np.float32), np.array(states, np.int64))
        if auc is not None:
            found[name] = round(auc, 4)
    return found


def compare(kept: Mapping[str, Mapping[str, float]], measured: Mapping[str, float]) -> list[str]:
    """What got worse than its tolerance, in words."""
    worse = []
    for name, row in kept.items():
        now = measured.get(name)
        if now is None or now < row["auc"] - row["tolerance"]:
            worse.append(f"{name}: AUC was {row['auc']}, is {now}, and may fall by {row['tolerance']}")
    return worse


def _eye_samples(data: Path) -> Iterator[Sample]:
    heads = (EyeStates(),)
    for name, path, state in [*_infrared_eyes(data / "ir_eye_crops"), *_colour_eyes(data / "eye_crops")]:
        numbers = look_as_eye(decode_any_picture(path.read_bytes()), heads)
        yield name, numbers[EYE_CLOSED], state
    heads[0].close()


def _infrared_eyes(pack: Path) -> Iterator[tuple[str, Path, int]]:
    with (pack / "index.csv").open(newline="") as file:
        for row in list(csv.DictReader(file))[::EVERY_EYE]:
            worn = "glasses" if row["glasses"] == "1" else "no glasses"
            yield f"eye, infrared, {worn}", pack / row["file"], int(row["class"] == "closed")


def _colour_eyes(pack: Path) -> Iterator[tuple[str, Path, int]]:
    for state, folder in enumerate(("open", "closed")):
        for path in sorted((pack / folder).glob("*.jpg"))[::EVERY_EYE]:
            yield "eye, colour", path, state


def _face_samples(data: Path) -> Iterator[Sample]:
    """Belts and yawns of the parked cars; belts again with the pictures made grey."""
    parked = [still for still in read_stills(data) if still.path.parents[1].name == "yawn_frames"][::EVERY]
    eyes = Eyes(MediapipeFaces(), default_heads())
    plain = [_with_eyewear(still) for still in parked]
    for grey, stills in ((False, plain), (True, plain[::2])):
        for said in look_at(eyes, stills, grey):
            still = said.still
            for name in ("made grey",) if grey else ("all", *still.slices):
                if BELT_WORN in said.signals:
                    yield f"belt, {name}", said.signals[BELT_WORN], still.labels[BELT_WORN]
                if YAWN in said.signals:
                    yield f"yawn, {name}", said.signals[YAWN], int(still.path.parent.name == "yawn")
    eyes.close()


def _with_eyewear(still: Still) -> Still:
    return still if still.slices else replace(still, slices=("no glasses",))
