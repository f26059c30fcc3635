"""Formulas side by side: published examples, hand-worked sums, states, peers, percentiles, intervals."""

from dataclasses import replace

import numpy as np
import pytest

from infra.contracts.events import EventKind, ReviewState, Severity
from scoring.core.exposure import Exposure, Incident
from scoring.core.formulas.expected_risk import BAND_CAUSES, EVENT_CAUSES, RiskFormula, _risk_interval
from scoring.core.formulas.greenroad_like import NOT_COUNTED, greenroad_like
from scoring.core.formulas.motive_like import EVENT_WEIGHTS as MOTIVE
from scoring.core.formulas.motive_like import motive_like
from scoring.core.formulas.peers import LEAST_PEERS, Gamma, fit_peers, gamma_of, percentile
from scoring.core.formulas.port import State
from scoring.core.formulas.samsara_like import NAMES as SAMSARA
from scoring.core.formulas.samsara_like import WEIGHTS as SAMSARA_WEIGHTS
from scoring.core.formulas.samsara_like import samsara_like
from scoring.core.formulas.table import FORMULAS, OURS
from scoring.core.formulas.tally import Tally, tally

MILE_M = 1609.344
HOUR_US = 3_600_000_000
BRAKES = {(EventKind.HARSH_BRAKE, Severity.LOW): 5}
EXAMPLE = Tally(247 * MILE_M, 31_200.0, 31_200.0, (69 * 60.0, 0.0, 0.0, 0.0), BRAKES)
TRIP = Exposure("t", "van-1", HOUR_US, 2 * HOUR_US, 50_000.0, 3_600.0, 3_600.0, (60.0, 0.0, 0.0, 0.0))
SILENT = {band: replace(cause, weight=0.0) for band, cause in BAND_CAUSES.items()}
BRAKE = Incident("van-1", HOUR_US, EventKind.HARSH_BRAKE, Severity.LOW, ReviewState.NEEDS_REVIEW)


def test_samsaras_published_example_makes_67():
    """kb 115001947714 rounds both deductions first, to 20 and 13."""
    result = samsara_like(EXAMPLE)
    events, speeding = (-term.points for term in result.terms)
    assert 100 - round(events) - round(speeding) == 67
    assert result.value == pytest.approx(66.49)


def test_samsaras_thirty_weights_are_there_and_every_name_of_ours_is_one_of_them():
    assert len(SAMSARA_WEIGHTS) == 30
    assert set(SAMSARA.values()) <= set(SAMSARA_WEIGHTS)


@pytest.mark.parametrize(("weight", "value"), [(0.0, 100 - 1.0), (0.5, 100 - 0.5), (9.0, 100.0)])
def test_defensive_driving_cancels_an_event_and_gives_its_weight_back(weight, value):
    """Two brakes on 1,000 miles, of which one was for a child on the road."""
    trip = replace(TRIP, distance_m=1000 * MILE_M, over_s=(0.0,) * 4)
    driven = tally([trip], [BRAKE, replace(BRAKE, state=ReviewState.RECOGNIZED)])
    weights = {**SAMSARA_WEIGHTS, "defensiveDriving": weight}
    assert samsara_like(driven, weights).value == pytest.approx(value)
    assert samsara_like(driven).value == 99.0


def test_motive_counts_four_for_a_brake_and_six_for_speeding_per_thousand_miles():
    events = BRAKES | {(EventKind.SPEEDING, Severity.HIGH): 2}
    assert motive_like(Tally(1000 * MILE_M, 1.0, 1.0, events=events)).value == pytest.approx(100 - 3.2)
    assert motive_like(Tally(100 * MILE_M, 1.0, 1.0, events=events)).value == pytest.approx(100 - 32)
    assert motive_like(Tally(100 * MILE_M, 1.0, 1.0, events={(EventKind.SLEEP, Severity.HIGH): 9})).value == 50


def test_motive_waits_for_a_hundred_miles():
    result = motive_like(Tally(99 * MILE_M, 1.0, 1.0))
    assert (result.value, result.state) == (None, State.TOO_LITTLE_DRIVING)


@pytest.mark.parametrize(("events", "value", "note"), [(20, 80, "green"), (50, 50, "yellow"), (51, 49, "red")])
def test_greenroad_counts_events_of_ten_hours(events, value, note):
    result = greenroad_like(Tally(1.0, 36_000.0, events={(EventKind.HARSH_TURN, Severity.HIGH): events}))
    assert (result.value, result.note) == (value, note)


def test_ours_worked_by_hand():
    """One cause: peers of 2 events on 1,000 km; 4 brakes of one's own on 3,000 km make 6 / 4 = 1.5, at 10 points."""
    cause = replace(EVENT_CAUSES["harsh_brake"], weight=10.0, peers_count=2.0, peers_exposure=1.0, peers_share=1.0)
    formula = RiskFormula(events={"harsh_brake": cause}, bands=SILENT, scale=60.0)
    result = formula(Tally(3_000_000.0, 1.0, events={(EventKind.HARSH_BRAKE, Severity.LOW): 4}))
    assert result.risk == pytest.approx(15.0)
    assert result.value == 80.0
    assert [term.points for term in result.terms if term.weight] == pytest.approx([-100 * 5 / 75, -100 * 10 / 75])


def test_the_average_peer_has_about_80():
    per_1000_km = {"harsh_brake": 4, "harsh_acceleration": 4, "harsh_turn": 4}
    events = {(EventKind(kind), Severity.LOW): 20 * count for kind, count in per_1000_km.items()}
    hours = 400 * 3600
    over = tuple(hours * percent / 100 for percent in (4.0, 2.0, 0.7, 0.2))
    assert OURS(Tally(20_000_000.0, hours, hours, over, events)).value == pytest.approx(80, abs=6)


def test_little_driving_says_so_and_leans_on_the_peers():
    short, nothing = OURS(Tally(1_000.0, 60.0)), OURS(Tally())
    assert short.state is State.TOO_LITTLE_DRIVING
    assert short.value == pytest.approx(80, abs=6)
    assert short.high - short.low > 15
    assert (nothing.state, nothing.value) == (State.NOTHING_DRIVEN, None)


@pytest.mark.parametrize("kind", ["crash", "sleep", "unresponsive", "microsleep", "near_crash"])
def test_grave_events_cost_more_than_a_harsh_brake(kind):
    def risk_of(word):
        cause = EVENT_CAUSES[word]
        return cause.weight / (1.5 + cause.peers_exposure)

    assert risk_of(kind) > 1.5 * risk_of("harsh_brake")


@pytest.mark.parametrize("name", FORMULAS)
def test_the_points_of_all_terms_make_the_score(name):
    result = FORMULAS[name](EXAMPLE)
    points = 100 + sum(term.points for term in result.terms)
    assert max(result.floor, points) == pytest.approx(result.value, abs=0.006)


@pytest.mark.parametrize("kind", list(EventKind))
def test_every_kind_is_known_to_every_formula(kind):
    """Speeding is time to two of them; a kind that tells nothing of risk is listed as such."""
    if kind in NOT_COUNTED:
        return
    timed = {"speeding"}
    assert kind in set(EVENT_CAUSES) | timed
    assert kind in set(SAMSARA) | timed
    assert kind in MOTIVE


def test_gamma_quantiles_are_those_of_the_tables():
    """Chi-square of 20 degrees (10.851 and 31.410 in any table) is twice a Gamma of shape 10; of 2 it is shape 1."""
    assert _risk_interval(10.0, 10.0) == pytest.approx((10.851 / 2, 31.410 / 2), rel=0.003)
    low, high = _risk_interval(1.0, 1.0)
    assert high == pytest.approx(2.9957, rel=0.01)
    assert low == pytest.approx(0.0513, abs=0.012)


def test_peers_are_learned_back_from_what_they_did():
    rng = np.random.default_rng(11)
    exposures = rng.uniform(1.0, 6.0, 4_000)
    counts = rng.poisson(rng.gamma(2.0, 4.0 / 2.0, 4_000) * exposures).astype(float)
    gamma = gamma_of(counts, exposures, Gamma(1.0, 0.25), most=9.0)
    assert gamma.count / gamma.exposure == pytest.approx(4.0, rel=0.05)
    assert gamma.count == pytest.approx(2.0, rel=0.12)


def test_few_peers_teach_nothing():
    assert fit_peers(OURS, [EXAMPLE] * (LEAST_PEERS - 1)) is OURS
    fitted = fit_peers(OURS, [EXAMPLE] * LEAST_PEERS)
    assert fitted.events["harsh_brake"].peers_count != OURS.events["harsh_brake"].peers_count
    assert set(fitted.bands) == set(BAND_CAUSES)
    assert fitted(EXAMPLE).value > 0


def test_percentiles():
    peers = [70.0, 80.0, 80.0, 90.0]
    assert [percentile(value, peers) for value in (60.0, 80.0, 95.0)] == [0.0, 50.0, 100.0]
    with pytest.raises(ValueError, match="needs peers"):
        percentile(1.0, [])


def test_a_tally_leaves_out_what_was_dismissed_or_elsewhere():
    gone = Incident("van-1", HOUR_US, EventKind.SPEEDING, Severity.LOW, ReviewState.DISMISSED, (40.0, 0.0, 0.0, 0.0))
    elsewhere = [replace(BRAKE, vehicle_id="van-2"), replace(BRAKE, start_us=3 * HOUR_US)]
    just_before = replace(BRAKE, start_us=HOUR_US - 5_000_000)
    second = replace(TRIP, trip_id="u", start_us=4 * HOUR_US, end_us=5 * HOUR_US)
    found = tally([second, TRIP], [BRAKE, just_before, gone, *elsewhere])
    assert found.events == {(EventKind.HARSH_BRAKE, Severity.LOW): 2}
    assert found.over_s == (80.0, 0.0, 0.0, 0.0)
    assert (found.distance_m, found.driving_s) == (100_000.0, 7_200.0)
