"""What is usual, as a histogram of time: it fades, and is asked for the value below which a share of the time lies."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from itertools import accumulate

BINS = 40


@dataclass(frozen=True, slots=True)
class Histogram:
    """Microseconds spent at each value; ``learned_us`` is how long it was learned for, up to ``enough_us``."""

    learned_us: int = 0
    weights_us: tuple[int, ...] = (0,) * BINS


def add_time(seen: Histogram, place: float, lasted_us: int, enough_us: int, memory_us: int) -> Histogram:
    """The histogram after so long at this place (in bins). All is halved when it grows beyond ``memory_us``."""
    weights = list(seen.weights_us)
    weights[int(min(max(place, 0.0), BINS - 1))] += lasted_us
    if sum(weights) > memory_us:
        weights = [weight // 2 for weight in weights]
    return Histogram(min(seen.learned_us + lasted_us, enough_us), tuple(weights))


def find_quantile(seen: Histogram, share: float) -> float:
    """The place, in bins, below which this share of the time lies; 0 where nothing was learned."""
    sums = list(accumulate(seen.weights_us))
    target = sums[-1] * share
    if target <= 0:
        return 0.0
    place = bisect_left(sums, target)
    return place + (target - sums[place] + seen.weights_us[place]) / seen.weights_us[place]
