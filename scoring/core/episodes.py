"""Stretches of time over a threshold: opened, extended and closed by time, wherever the stream is cut."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from infra.contracts.events import JsonObject
from infra.contracts.telemetry import Float64, Int64

Bool = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Episode:
    """One stretch. ``above_us`` is the time spent at each of the detector's levels, lowest first."""

    detector: str
    start_us: int
    end_us: int  # last sample inside
    peak: float
    peak_us: int
    above_us: tuple[int, ...]
    driver_id: str | None = None
    detail: dict[str, float] = field(default_factory=dict)

    def dump(self) -> JsonObject:
        return asdict(self) | {"above_us": list(self.above_us)}


def load(state: Any) -> Episode:
    return Episode(**(state | {"above_us": tuple(state["above_us"])}))


@dataclass(frozen=True, slots=True, eq=False)
class Signal:
    """A signal's fresh samples. ``value`` grows with what is judged; NaN where it is not known.

    ``step_us`` is the time that each sample speaks for: since the one before, bounded.
    """

    time_us: Int64
    value: Float64
    step_us: Int64


@dataclass(frozen=True, slots=True)
class Following:
    """Whose episodes, the levels at which time is counted, and how long a quiet closes one."""

    detector: str
    levels: tuple[float, ...]
    quiet_us: int


def follow(
    following: Following, signal: Signal, inside: Bool, open_episode: Episode | None
) -> tuple[list[Episode], Episode | None]:
    """Extend the open episode, or open new ones, over samples that are ``inside``; close after a quiet time.

    Returns:
        Episodes that closed, in order, and the one still open.
    """
    closed: list[Episode] = []
    current = open_episode
    for first, last in _runs(signal, inside, following.quiet_us):
        if current is not None and int(signal.time_us[first]) - current.end_us > following.quiet_us:
            closed.append(current)
            current = None
        current = _extend(following, current, signal, slice(first, last))
    if current is not None and len(signal.time_us) and int(signal.time_us[-1]) - current.end_us > following.quiet_us:
        closed.append(current)
        current = None
    return closed, current


def _runs(signal: Signal, inside: Bool, quiet_us: int) -> list[tuple[int, int]]:
    """First and past-last index of stretches inside without a quiet time between their samples."""
    if not inside.any():
        return []
    at = np.flatnonzero(inside)
    apart = (np.diff(at) > 1) | (np.diff(signal.time_us[at]) > quiet_us)
    first, last = at[np.concatenate([[True], apart])], at[np.concatenate([apart, [True]])]
    return list(zip(first.tolist(), (last + 1).tolist(), strict=True))


def _extend(following: Following, current: Episode | None, signal: Signal, run: slice) -> Episode:
    value, step_us = signal.value[run], signal.step_us[run]
    at = int(np.argmax(value))
    peak, peak_us = float(value[at]), int(signal.time_us[run][at])
    above = tuple(int(step_us[value >= level].sum()) for level in following.levels)
    end_us = int(signal.time_us[run.stop - 1])
    if current is None:
        return Episode(following.detector, int(signal.time_us[run.start]), end_us, peak, peak_us, above)
    total = tuple(a + b for a, b in zip(current.above_us, above, strict=True))
    if peak <= current.peak:
        peak, peak_us = current.peak, current.peak_us
    return replace(current, end_us=end_us, peak=peak, peak_us=peak_us, above_us=total)
