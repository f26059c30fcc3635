"""A recording judged as the worker would, and a section of the table of detectors."""

from __future__ import annotations

from dataclasses import dataclass, replace

from infra.contracts.telemetry import VehicleClass
from scoring.core.pipeline import Found, fold_batch, fold_silence
from scoring.core.rules import DEFAULT, Rules
from scoring.core.state import VehicleState
from tests.bench.recordings import Recorded, batches


@dataclass(frozen=True)
class Section:
    title: str
    rows: list[str]
    figures: dict[str, float]


def judge(recorded: Recorded, rules: Rules = DEFAULT, vehicle_class: VehicleClass | None = None) -> Found:
    state, found = VehicleState(), Found(recorded.vehicle, rules)
    for batch in batches(recorded):
        state = fold_batch(state, replace(batch, vehicle_class=vehicle_class or batch.vehicle_class), found)
    fold_silence(state, found)
    return found
