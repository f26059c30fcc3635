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
from scoring.core.rules import DEFAULT, SECOND_US
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


def same_without_calm(fleet, several, kinds):
    less = [without_calm(one, several, kinds) for one in fleet]
    found = replay(fleet, several, kinds)
    assert replay(less, several, kinds) == found
    return found


@settings(max_examples=25)
@given(
    seed=st.integers(0, 2**32),
    sorts=st.lists(st.sampled_from(SORTS), min_size=1, max_size=3),
    other=st.sampled_from(RULES),
    kinds=st.sampled_from(KINDS),
)
def test_calm_rows_change_nothing(seed, sorts, other, kinds):
    fleet = [made_up(f"van-{place}", seed + place, sort) for place, sort in enumerate(sorts)]
    same_without_calm(fleet, (DEFAULT, other), kinds)


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


MINUTE = 600  # seconds from the start: an event of its first second is as far from what is read before as can be


def changed(one: Telemetry, **columns) -> Telemetry:
    gps = {name: getattr(one.gps, name).copy() for name in columns}
    for name, change in columns.items():
        change(gps[name])
    return replace(one, gps=replace(one.gps, **gps))


@pytest.mark.parametrize("away_s", [10, 20, 29, 45])
@pytest.mark.parametrize("before_s", range(30, 70, 3))
def test_fixes_that_are_wrong_before_an_event(before_s, away_s):
    """Whoever begins to read among them would believe these, and none of the event's."""

    def wander(lat):
        lat[MINUTE - before_s : MINUTE - before_s + away_s] += 0.5

    def hurry(speed):
        speed[MINUTE : MINUTE + 12] = 19

    one = changed(made_up("van-1", 1, "none", 20, busy=False), lat=wander, speed_mps=hurry)
    same_without_calm([one], RULES, {EventKind.SPEEDING})


@pytest.mark.parametrize("missing_s", range(12))
def test_fixes_that_are_missing_before_an_event(missing_s):
    """Its place is that of the last fix, up to 10 s old."""
    one = made_up("van-1", 1, "straight", 20, busy=False)
    mean = one.motion.mean.copy()
    mean[0, MINUTE : MINUTE + 2] += 6.0
    spread = one.motion.rms**2 - one.motion.mean**2
    motion = replace(one.motion, mean=mean, rms=np.sqrt(mean**2 + spread), most=mean + 2, least=mean - 2)
    after = (one.gps.time_us < START_US + (MINUTE - missing_s) * SECOND_US) | (np.arange(len(one.gps)) > MINUTE + 1)

    def accelerate(speed):
        speed[MINUTE + 1 :] += 12.0

    one = changed(replace(one, motion=motion), speed_mps=accelerate)
    found = same_without_calm([replace(one, gps=take(one.gps, after))], RULES, HARSH)
    assert [event.event.kind for event in found[0]] == [EventKind.HARSH_ACCELERATION]


@pytest.mark.parametrize("late_s", range(4))
def test_speeds_that_come_late_after_an_event(late_s):
    """The event is in the last seconds of its minute; that GPS bears it out is seen in the next."""
    one, at = made_up("van-1", 1, "straight", 20, busy=False), MINUTE - 2
    mean = one.motion.mean.copy()
    mean[0, at : at + 2] -= 6.0
    spread = one.motion.rms**2 - one.motion.mean**2
    motion = replace(one.motion, mean=mean, rms=np.sqrt(mean**2 + spread), most=mean + 2, least=mean - 2)

    def brake(speed):
        speed[at + late_s :] -= 10.0

    found = same_without_calm([changed(replace(one, motion=motion), speed_mps=brake)], RULES, HARSH)
    assert len(found[0]) == (late_s < 4)
