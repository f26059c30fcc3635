"""Other rules to try: what a file may say, and what it does to formula and events."""

import pytest

from infra.contracts.events import EventKind, Severity
from scoring.core.formulas.table import OURS
from scoring.core.formulas.tally import Tally
from scoring.core.rules import DEFAULT
from scoring.core.what_if import (
    Known,
    RulesError,
    changed_formula,
    changed_rules,
    judge_again,
    kinds_that_differ,
    read_change,
)

BRAKES = Tally(2e6, 36_000.0, events={(EventKind.HARSH_BRAKE, Severity.HIGH): 9})


def read(**content):
    return read_change({"name": "other", **content}, OURS, DEFAULT)


def test_an_empty_change_changes_nothing_but_the_name():
    result, before = changed_formula(OURS, read())(BRAKES), OURS(BRAKES)
    assert (result.formula, result.value) == ("other", before.value)


@pytest.mark.parametrize(
    "content", [{"weights": {"harsh_brake": 8}}, {"severity": {"high": 4}}, {"scale": 100}], ids=str
)
def test_heavier_rules_give_lower_scores(content):
    assert changed_formula(OURS, read(**content))(BRAKES).value < OURS(BRAKES).value


def test_bands_have_weights_too():
    fast = Tally(2e6, 36_000.0, 36_000.0, (0.0, 0.0, 0.0, 900.0))
    assert changed_formula(OURS, read(bands={"severe": 0}))(fast).value > OURS(fast).value


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("brake: 1", "need a name"),
        ({"weights": {}}, "need a name"),
        ({"name": "x", "wieghts": {}}, "rules.wieghts is not known"),
        ({"name": "x", "weights": {"brake": 1}}, "weights.brake is not known; there is crash"),
        ({"name": "x", "weights": {"crash": "much"}}, "weights.crash must be a number"),
        ({"name": "x", "weights": {"crash": -1}}, "weights.crash must be a number"),
        ({"name": "x", "weights": {"crash": float("nan")}}, "weights.crash must be a number"),
        ({"name": "x", "weights": [1]}, "weights must hold"),
        ({"name": "x", "scale": 0}, "scale must be a number from 1"),
        ({"name": "x", "harsh_g": {"bicycle": {}}}, "harsh_g.bicycle is not known"),
        ({"name": "x", "harsh_g": {"passenger": {"brake": 0.05}}}, "harsh_g.passenger.brake must be a number from 0.1"),
        ({"name": "x", "speeding_s": {"fast": 3}}, "speeding_s.fast is not known; there is heavy"),
        ({"name": "x", "idling_s": 5}, "idling_s must be a number from 30"),
    ],
)
def test_what_is_wrong_in_a_file_is_said(content, words):
    with pytest.raises(RulesError, match=words):
        read_change(content, OURS, DEFAULT)


def harsh(kind, vehicle_class, peak, source="accelerometer", severity=Severity.LOW, **more):
    return Known(kind, vehicle_class, severity, peak, {"source": source, "threshold_g": 0.1, **more})


BRAKE, TURN = EventKind.HARSH_BRAKE, EventKind.HARSH_TURN
SPED = Known(EventKind.SPEEDING, "passenger", Severity.MODERATE, 4.0, {"over_light_s": 40.0, "over_moderate_s": 25.0})
IDLED = Known(EventKind.IDLING, "passenger", Severity.LOW, 400.0, {})


@pytest.mark.parametrize(
    ("change", "known", "becomes"),
    [
        ({"harsh_g": {"passenger": {"brake": 0.8}}}, harsh(BRAKE, "passenger", 0.79), None),
        ({"harsh_g": {"passenger": {"brake": 0.8}}}, harsh(BRAKE, "passenger", 0.80), (BRAKE, Severity.LOW)),
        ({"harsh_g": {"passenger": {"brake": 0.8}}}, harsh(BRAKE, "heavy_duty", 0.50), (BRAKE, Severity.LOW)),
        ({"harsh_g": {"passenger": {"brake": 0.8}}}, harsh(TURN, "passenger", 0.50), (TURN, Severity.LOW)),
        ({"harsh_g": {"passenger": {"brake": 0.4}}}, harsh(BRAKE, "passenger", 0.80), (BRAKE, Severity.CRITICAL)),
        ({"harsh_g": {"passenger": {"brake": 0.8}}}, harsh(BRAKE, "passenger", 0.47, "gps"), None),
        ({"harsh_g": {"passenger": {"brake": 0.8}}}, harsh(BRAKE, "passenger", 0.49, "gps"), (BRAKE, Severity.LOW)),
        (
            {"harsh_g": {"passenger": {"brake": 0.8}}},
            harsh(BRAKE, "passenger", 0.7, severity=Severity.HIGH, near_crash_evidence_g=0.9),
            (EventKind.NEAR_CRASH, Severity.HIGH),
        ),
        ({"speeding_s": {"moderate": 30}}, SPED, (EventKind.SPEEDING, Severity.LOW)),
        ({"speeding_s": {"moderate": 30, "light": 70}}, SPED, None),
        ({"speeding_s": {"heavy": 30}}, SPED, (EventKind.SPEEDING, Severity.MODERATE)),
        ({"idling_s": 500}, IDLED, None),
        ({"idling_s": 350}, IDLED, (EventKind.IDLING, Severity.LOW)),
        ({"weights": {"crash": 9}}, SPED, (EventKind.SPEEDING, Severity.MODERATE)),
    ],
)
def test_a_stored_event_is_judged_again_from_its_own_figures(change, known, becomes):
    assert judge_again(known, DEFAULT, changed_rules(DEFAULT, read(**change))) == becomes


def test_only_what_differs_need_be_replayed():
    differing = [{"harsh_g": {"passenger": {"brake": 0.5}}}, {"speeding_s": {"light": 30}}, {"weights": {"crash": 9}}]
    kinds = [set(kinds_that_differ(DEFAULT, changed_rules(DEFAULT, read(**change)))) for change in differing]
    assert kinds == [{BRAKE}, {EventKind.SPEEDING}, set()]
