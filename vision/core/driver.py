"""What is remembered of the driver of one vehicle between frames, and how one more frame changes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from infra.contracts.events import JsonObject
from vision.core.eyes import Baseline, fuse_openness, is_learned, learn, measure_openness
from vision.core.perclos import Bucket, Perclos
from vision.core.rules import Closure, EyeState, Judgement, Sample, Spell, finish, is_moving, judge
from vision.core.signals import EYE_CLOSED

LONGEST_LESSON_US = 1_500_000
"""A frame teaches the baseline for the time since the one before, and not for a longer gap."""


@dataclass(frozen=True, slots=True)
class DriverState:
    """``learned_from`` is the driver whose baseline this is: a frame without a driver does not unlearn it."""

    driver_id: str | None = None
    learned_from: str | None = None
    baseline: Baseline = field(default_factory=Baseline)
    eyes: EyeState = field(default_factory=EyeState)


@dataclass(frozen=True, slots=True)
class Glance:
    """What one frame says about the driver. ``aspect_ratio`` is None where no eyes were seen or they are too small.

    ``numbers`` are those of the heads, by the names in ``core.signals``; what was not measured is left out.
    """

    time_us: int
    speed_mps: float | None
    aspect_ratio: float | None
    numbers: Mapping[str, float] = field(default_factory=dict)
    face_found: bool = True
    belt_switch: bool | None = None  # of the vehicle: True buckled, None unknown
    picture_hash: int | None = None  # of the pixels: a camera that hangs sends the same ones again


def follow(state: DriverState, glance: Glance) -> tuple[DriverState, Judgement]:
    """The state after a frame, and what it brought to light."""
    openness = see_openness(state, glance)
    judgement = judge(state.eyes, Sample(glance.time_us, openness, glance.speed_mps))
    baseline = state.baseline if judgement.out_of_order else _learn(state, glance)
    return replace(state, baseline=baseline, eyes=judgement.state), replace(judgement, openness=openness)


def see_openness(state: DriverState, glance: Glance) -> float | None:
    """None where no eyes were seen, or nothing can be said of them yet."""
    if glance.aspect_ratio is None:
        return None
    relative = measure_openness(state.baseline, glance.aspect_ratio) if is_learned(state.baseline) else None
    return fuse_openness(relative, glance.numbers.get(EYE_CLOSED))


def change_driver(state: DriverState, driver_id: str | None) -> tuple[DriverState, Judgement]:
    """Ends what was open under the earlier driver. Another driver's eyes are learned from nothing."""
    ended = finish(state.eyes)
    if driver_id is None or state.learned_from in (None, driver_id):
        kept = replace(state, driver_id=driver_id, learned_from=driver_id or state.learned_from, eyes=ended.state)
        return kept, ended
    return DriverState(driver_id, driver_id, eyes=ended.state), ended


def has_open_event(state: DriverState) -> bool:
    closure = state.eyes.closure
    spell = state.eyes.spell
    return (spell is not None and spell.told_us is not None) or (closure is not None and closure.told > 0)


def dump_state(state: DriverState) -> JsonObject:
    eyes = state.eyes
    return {
        "driver": [state.driver_id, state.learned_from],
        "baseline": [state.baseline.learned_us, *state.baseline.weights_us],
        "last_us": eyes.last_us,
        "closure": _fields(eyes.closure),
        "spell": _fields(eyes.spell),
        "perclos": [eyes.perclos.last_us, eyes.perclos.last_shut, [_fields(b) for b in eyes.perclos.buckets]],
    }


def load_state(data: JsonObject | None) -> DriverState:
    if data is None:
        return DriverState()
    row: dict[str, Any] = dict(data)
    learned_us, *weights = row["baseline"]
    last_us, last_shut, buckets = row["perclos"]
    closure, spell = row["closure"], row["spell"]
    eyes = EyeState(
        row["last_us"],
        Closure(closure[0], tuple(closure[1]), *closure[2:]) if closure else None,
        Perclos(tuple(Bucket(*bucket) for bucket in buckets), last_us, last_shut),
        Spell(*spell) if spell else None,
    )
    driver_id, learned_from = row["driver"]
    return DriverState(driver_id, learned_from, Baseline(learned_us, tuple(weights)), eyes)


def _fields(value: Closure | Spell | Bucket | None) -> list[object] | None:
    """The fields in their order, short in JSON: a state is written with every batch."""
    return None if value is None else [getattr(value, name) for name in value.__slots__]


def _learn(state: DriverState, glance: Glance) -> Baseline:
    last_us = state.eyes.last_us
    if glance.aspect_ratio is None or last_us is None or not is_moving(glance.speed_mps):
        return state.baseline
    return learn(state.baseline, glance.aspect_ratio, min(glance.time_us - last_us, LONGEST_LESSON_US))
