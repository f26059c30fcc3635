"""The law of calm rows: what is found without them is what is found with them, to the last bit."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.contracts.events import EventKind
from infra.contracts.telemetry import take
from scoring.core.calm import MINUTE_US, inside, restless, stretches, sum_up
from scoring.core.formulas.table import OURS
from scoring.core.replay import HARSH, REPLAYED, replay
from scoring.core.rules import DEFAULT
from scoring.core.stored import Motion, Telemetry
from scoring.core.what_if import changed_rules, read_change
from tests.seconds import SORTS, START_US, made_up

EVERY_CLASS = ("passenger", "light_duty", "heavy_duty")
CHANGES = {
    "softer": {"harsh_g": {one: {"brake": 0.3, "acceleration": 0.3, "turn": 0.3} for one in EVERY_CLASS}},
    "harder": {"harsh_g": {one: {"brake": 0.7} for one in EVERY_CLASS}, "speeding_s": {"light": 300}},
    "sooner": {"speeding_s": {"light": 5, "moderate": 2, "heavy": 1}, "idling_s": 30},
}
RULES = tuple(
    changed_rules(DEFAULT, read_change({"name": name, **one}, OURS, DEFAULT)) for name, one in CHANGES.items()
)
KINDS = (REPLAYED, HARSH, {EventKind.SPEEDING}, {EventKind.IDLING}, {EventKind.HARSH_TURN, EventKind.SPEEDING})


def without_calm(one: Telemetry, several, kinds) -> Telemetry:
    """As the sources do: stretches around the minutes that are not calm."""
    minutes = sum_up(one, START_US)
    found = restless(minutes, several, one.subject.vehicle_class, one.subject.dense, kinds)
    times = stretches(minutes.start_us[found], MINUTE_US)
    rows = inside(times, one.motion.time_us)
    motion = Motion(*(getattr(one.motion, field.name)[..., rows] for field in fields(Motion)))
    return replace(one, gps=take(one.gps, inside(times, one.gps.time_us)), motion=motion)


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**32),
    sorts=st.lists(st.sampled_from(SORTS), min_size=1, max_size=3),
    other=st.sampled_from(RULES),
    kinds=st.sampled_from(KINDS),
)
def test_calm_rows_change_nothing(seed, sorts, other, kinds):
    fleet = [made_up(f"van-{place}", seed + place, sort) for place, sort in enumerate(sorts)]
    less = [without_calm(one, (DEFAULT, other), kinds) for one in fleet]
    assert replay(less, [DEFAULT, other], kinds) == replay(fleet, [DEFAULT, other], kinds)


@pytest.mark.parametrize("sort", SORTS)
def test_the_law_is_put_to_the_test(sort):
    """Made-up vehicles have events to find, and calm rows to leave out."""
    fleet = [made_up(f"van-{seed}", seed, sort) for seed in range(12)]
    less = [without_calm(one, RULES, REPLAYED - {EventKind.IDLING}) for one in fleet]
    found = replay(less, RULES, REPLAYED)
    assert len(found[0]) > 5
    rows, kept = (sum(len(one.gps) + len(one.motion) for one in many) for many in (fleet, less))
    assert 0.02 < kept / rows < 0.8
    assert np.all([len(one.gps) for one in fleet])
