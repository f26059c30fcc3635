"""Other rules to try: what a file may say, and what it does to formula and events."""

import pytest

from infra.contracts.events import EventKind, Severity
from scoring.core.formulas.table import OURS
from scoring.core.formulas.tally import Tally
from scoring.core.rules import DEFAULT
from scoring.core.what_if import Change, Peak, RulesError, changed_formula, is_kept, read_change

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
        ({"name": "x", "harsh_g": {"passenger": {"brake": 0.3}}}, "cannot be found again"),
    ],
)
def test_what_is_wrong_in_a_file_is_said(content, words):
    with pytest.raises(RulesError, match=words):
        read_change(content, OURS, DEFAULT)


@pytest.mark.parametrize(
    ("peak", "kept"),
    [
        (Peak(EventKind.HARSH_BRAKE, "passenger", 0.79, 0.61), False),
        (Peak(EventKind.HARSH_BRAKE, "passenger", 0.80, 0.61), True),
        (Peak(EventKind.HARSH_BRAKE, "heavy_duty", 0.50, 0.47), True),
        (Peak(EventKind.HARSH_TURN, "passenger", 0.50, 0.47), True),
        (Peak(EventKind.HARSH_BRAKE, "passenger", 0.47, 0.366), False),  # by GPS, whose threshold is 0.6 of it
        (Peak(EventKind.HARSH_BRAKE, "passenger", 0.49, 0.366), True),
    ],
)
def test_a_higher_threshold_leaves_out_what_does_not_reach_it(peak, kept):
    change = Change("x", harsh_g={("passenger", EventKind.HARSH_BRAKE): 0.8})
    assert is_kept(peak, change, DEFAULT) is kept
