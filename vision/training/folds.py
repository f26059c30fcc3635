"""Judging on people and cabs that were not trained on: folds of whole groups, and the figures of a fold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


def spread_groups(groups: Sequence[str], folds: int) -> Mapping[str, int]:
    """Each group in one fold, the largest first, always into the fold that holds least of its source.

    Groups are named ``source/group``, so that each source is spread over all folds.
    """
    names, sizes = np.unique(np.array(groups), return_counts=True)
    held: dict[tuple[str, int], int] = {}
    fold_of: dict[str, int] = {}
    for name, size in sorted(zip(names.tolist(), sizes.tolist(), strict=True), key=lambda item: (-item[1], item[0])):
        source = name.partition("/")[0]
        fold = min(range(folds), key=lambda number: (held.get((source, number), 0), number))
        fold_of[name] = fold
        held[source, fold] = held.get((source, fold), 0) + size
    return fold_of


def measure_auc(scores: Floats, states: Ints) -> float | None:
    """Share of pairs in the right order, ties half. None where one class is missing."""
    positive, negative = scores[states == 1], scores[states == 0]
    if not len(positive) or not len(negative):
        return None
    order = np.concatenate([negative, positive])
    ranks = _mean_ranks(order)[len(negative) :]
    pairs = len(positive) * len(negative)
    return float((ranks.sum() - len(positive) * (len(positive) + 1) / 2) / pairs)


def measure_interval(scores: Floats, states: Ints, groups: Sequence[str], rounds: int = 400) -> tuple[float, float]:
    """95 % interval of the AUC by drawing whole groups again (a person's pictures are not independent)."""
    random = np.random.default_rng(0)
    places = [np.flatnonzero(np.array(groups) == name) for name in dict.fromkeys(groups)]
    found = []
    for _ in range(rounds):
        drawn = np.concatenate([places[i] for i in random.integers(0, len(places), len(places))])
        auc = measure_auc(scores[drawn], states[drawn])
        found += [] if auc is None else [auc]
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)


def _mean_ranks(values: Floats) -> npt.NDArray[np.float64]:
    """Ranks from 1; equal values share their mean rank."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = counts.cumsum()
    return np.asarray((last - (counts - 1) / 2)[inverse], np.float64)
