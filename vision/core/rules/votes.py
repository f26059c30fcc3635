"""A vote over time: calibrated probabilities of several looks, averaged as log-odds."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from vision.core.rules.shape import SECOND_US

SURE = 0.02
"""Probabilities are cut here and at 1 minus this: one look says no more than 50 to 1."""

WEIGHT_US = SECOND_US
"""The first look weighs as much as a second of looking."""


@dataclass(frozen=True, slots=True)
class Vote:
    """Over how long it is averaged (``memory_us``), and after how long without a look all is forgotten."""

    memory_us: int
    forget_us: int


@dataclass(frozen=True, slots=True)
class Run:
    """Looks that on the whole say yes. ``lean`` is the log-odds over the memory, ``mean`` over the whole run."""

    start_us: int
    last_us: int  # the last look that said yes
    looked_us: int
    looks: int
    lean: float
    mean: float


def log_odds(probability: float) -> float:
    sure = min(max(probability, SURE), 1 - SURE)
    return math.log(sure / (1 - sure))


def cast(vote: Vote, run: Run | None, time_us: int, odds: float) -> Run | None:
    """The run after a look with these log-odds; None where the looks say no."""
    if run is None or time_us - run.looked_us > vote.forget_us:
        return Run(time_us, time_us, time_us, 1, odds, odds) if odds > 0 else None
    lean = odds + (run.lean - odds) * math.exp((run.looked_us - time_us) / vote.memory_us)
    if lean <= 0:
        return None
    counted_us = time_us - run.start_us + WEIGHT_US
    mean = run.mean + (odds - run.mean) * (time_us - run.looked_us) / counted_us
    last_us = time_us if odds > 0 else run.last_us
    return replace(run, last_us=last_us, looked_us=time_us, looks=run.looks + 1, lean=lean, mean=mean)


def read_mean(run: Run) -> float:
    """The run's mean as a probability."""
    return 1 / (1 + math.exp(-run.mean))
