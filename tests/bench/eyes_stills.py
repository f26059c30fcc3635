"""Unrelated pictures through the shipped models: what they say, what was labelled, and how far the two agree."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vision.core.signals import BELT_WORN, LIGHT, PHONE, SMOKING
from vision.frames import Picture, decode_any_picture
from vision.looking import Eyes
from vision.training.folds import measure_auc, measure_interval
from vision.training.tables import read_table
from vision.training.torso_augment import to_grey
from vision.training.torso_packs import is_kept_person, read_parked

HERE = Path(__file__).parent
DARK_LIGHT = 0.25
SMALL_FACE = 0.16
"""Widths of the picture."""

Numbers = Mapping[str, object]


@dataclass(frozen=True)
class Still:
    """``labels`` and ``audited`` by signal: 1, 0, or nothing where nobody can say."""

    pack: str
    path: Path
    group: str
    labels: Mapping[str, int]
    audited: Mapping[str, int]
    slices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Said:
    still: Still
    signals: Mapping[str, float]
    slices: tuple[str, ...]


def read_stills(data: Path) -> list[Still]:
    return [*_stock_test(data / "belt_phone_yolo"), *_parked(data / "yawn_frames")]


def look_at(eyes: Eyes, stills: Sequence[Still], grey: bool = False) -> Iterator[Said]:
    for still in stills:
        picture = decode_any_picture(still.path.read_bytes())
        if grey:
            picture = Picture(to_grey(picture.rgb))
        (look,) = eyes.look([picture])
        dark = ("dark",) if look.signals[LIGHT] < DARK_LIGHT else ()
        small = ("small face",) if look.box and look.box.right - look.box.left < SMALL_FACE else ()
        made = ("made grey",) if grey else ("all", *still.slices, *dark, *small)
        yield Said(still, look.signals, made)


def measure_stills(said: Sequence[Said]) -> list[Numbers]:
    """One row a task, pack and slice."""
    rows = []
    for signal in (BELT_WORN, PHONE, SMOKING):
        for pack in dict.fromkeys(one.still.pack for one in said):
            for name in dict.fromkeys(part for one in said if one.still.pack == pack for part in one.slices):
                chosen = [one for one in said if one.still.pack == pack and name in one.slices]
                for how, labels in (("as labelled", _labels), ("as audited", _audited)):
                    rows += _row(signal, pack, name, how, chosen, labels)
    return rows


def _labels(still: Still) -> Mapping[str, int]:
    return still.labels


def _audited(still: Still) -> Mapping[str, int]:
    return still.audited


def _row(
    signal: str, pack: str, name: str, how: str, said: Sequence[Said], labels: Callable[[Still], Mapping[str, int]]
) -> list[Numbers]:
    told = [one for one in said if signal in labels(one.still)]
    kept = [one for one in told if signal in one.signals]
    if not kept:
        return []
    scores = np.array([one.signals[signal] for one in kept], np.float32)
    states = np.array([labels(one.still)[signal] for one in kept], np.int64)
    groups = [one.still.group for one in kept]
    head = {"task": signal, "data": pack, "slice": name, "labels": how, "how": "shipped weights, not trained on"}
    return [{**head, "not_judged": len(told) - len(kept), **measure(scores, states, groups)}]


def measure(scores: np.ndarray, states: np.ndarray, groups: Sequence[str]) -> dict[str, object]:
    """AUC, accuracy at a half, precision and recall of both classes; intervals by drawing groups again."""
    auc = measure_auc(scores, states)
    yes = scores > 0.5
    found: dict[str, object] = {"pictures": len(scores), "with": int(states.sum()), "groups": len(set(groups))}
    if auc is not None:
        low, high = measure_interval(scores, states, groups)
        found |= {"auc": round(auc, 4), "auc_low": round(low, 4), "auc_high": round(high, 4)}
    for word, rate in _rates(yes, states).items():
        low, high = _interval(yes, states, groups, word)
        found |= {word: rate, f"{word}_low": low, f"{word}_high": high}
    return found


def _rates(yes: np.ndarray, states: np.ndarray) -> dict[str, float | None]:
    there = states == 1
    parts = {
        "accuracy": (yes == there, np.ones(len(yes), bool)),
        "precision": (there, yes),
        "recall": (yes, there),
        "precision_without": (~there, ~yes),
        "recall_without": (~yes, ~there),
    }
    return {word: round(float(hit[among].mean()), 4) if among.any() else None for word, (hit, among) in parts.items()}


def _interval(
    yes: np.ndarray, states: np.ndarray, groups: Sequence[str], word: str
) -> tuple[float | None, float | None]:
    random = np.random.default_rng(0)
    places = [np.flatnonzero(np.array(groups) == name) for name in dict.fromkeys(groups)]
    drawn = (np.concatenate([places[i] for i in random.integers(0, len(places), len(places))]) for _ in range(200))
    found = [rate for rows in drawn if (rate := _rates(yes[rows], states[rows])[word]) is not None]
    if not found:
        return None, None
    low, high = np.quantile(found, [0.025, 0.975])
    return round(float(low), 4), round(float(high), 4)


# --- the packs ----------------------------------------------------------------------------------------------


def _stock_test(pack: Path) -> Iterator[Still]:
    """Pictures whose persons are all belted or all not: nobody says which of several is the driver."""
    audit = read_audit()
    for row in read_table(pack / "index.csv"):
        if row["clean_split"] != "test":
            continue
        belt, bare = int(row["n_belt"]), int(row["n_nobelt"])
        labels = {PHONE: int(int(row["n_phone_calling"]) + int(row["n_phone_texting"]) > 0)}
        if bool(belt) != bool(bare):
            labels[BELT_WORN] = int(belt > 0)
        changed = audit.get(("belt_phone_yolo", row["name"]), {})
        audited = {name: changed.get(name, value) for name, value in labels.items()}
        kept = {name: value for name, value in audited.items() if value is not None}
        path = pack / "images" / f"{row['name']}.jpg"
        yield Still("stock photos, clean test split", path, row["near_dup_group"], labels, kept)


def _parked(pack: Path) -> Iterator[Still]:
    """The people whom no torso that ships learned from; nobody phones or smokes."""
    for row, path in read_parked(pack):
        if is_kept_person(row["person"]):
            labels = {BELT_WORN: int(row["belt"] == "worn"), PHONE: 0, SMOKING: 0}
            eyewear = () if row["eyewear"] == "none" else (row["eyewear"],)
            yield Still("parked cars, colour", path, row["person"], labels, labels, eyewear)


def read_audit() -> dict[tuple[str, str], dict[str, int | None]]:
    """By pack and file: signal to 1, 0, or None where the picture does not show it."""
    signals = {"belt": BELT_WORN, "phone": PHONE}
    states = {"worn": 1, "yes": 1, "not_worn": 0, "no": 0, "unsure": None}
    found: dict[tuple[str, str], dict[str, int | None]] = defaultdict(dict)
    for row in read_table(HERE / "eyes_audit.csv"):
        if row["task"] in signals:
            found[row["pack"], row["file"]][signals[row["task"]]] = states[row["audited"]]
    return found
