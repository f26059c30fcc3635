"""Laws of scores: what restores, what never helps and never hurts, units, and how sure one may be."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.contracts.events import EventKind, ReviewState, Severity
from scoring.core.exposure import Exposure, Incident
from scoring.core.formulas.port import Result, State
from scoring.core.formulas.table import FORMULAS, OURS
from scoring.core.formulas.tally import Tally, tally

HOUR_US = 3_600_000_000
FORMULA = pytest.mark.parametrize("formula", FORMULAS.values(), ids=list(FORMULAS))
KINDS, SEVERITIES = st.sampled_from(list(EventKind)), st.sampled_from(list(Severity))
TALLIES = st.builds(
    lambda km, hours, shares, events: Tally(
        km * 1000.0, hours * 3600.0, hours * 3600.0, tuple(share * hours * 3600.0 for share in shares), events
    ),
    st.floats(200, 20_000),
    st.floats(4, 400),
    st.tuples(*[st.sampled_from([0.0, 0.001, 0.05])] * 4),
    st.dictionaries(st.tuples(KINDS, SEVERITIES), st.integers(1, 40), max_size=6),
)


def value_of(result: Result) -> float:
    assert result.state is State.SCORED
    assert result.value is not None
    return result.value


@FORMULA
@given(st.lists(st.tuples(KINDS, SEVERITIES, st.integers(0, 20)), min_size=1, max_size=8), st.data())
def test_dismissing_and_restoring_gives_the_same_score(formula, happened, data):
    trips = [
        Exposure(str(n), "van", n * HOUR_US, (n + 1) * HOUR_US, 9e4, 3600.0, 3600.0, (30.0, 9.0, 0.0, 0.0))
        for n in range(20)
    ]
    before = [Incident("van", hour * HOUR_US, k, s, ReviewState.NEEDS_REVIEW) for k, s, hour in happened]
    which = data.draw(st.integers(0, len(before) - 1))
    dismissed = [replace(e, state=ReviewState.DISMISSED) if n == which else e for n, e in enumerate(before)]
    restored = [replace(e, state=ReviewState.REVIEWED) if n == which else e for n, e in enumerate(dismissed)]
    assert formula(tally(trips, restored)) == formula(tally(trips, before)) == formula(tally(trips, before[::-1]))
    assert value_of(formula(tally(trips, dismissed))) >= value_of(formula(tally(trips, before)))


@FORMULA
@given(TALLIES, st.floats(0, 5_000), st.floats(0, 100))
def test_driving_on_without_events_never_lowers_a_score(formula, driven, km, hours):
    more_s = hours * 3600
    further = replace(driven, distance_m=driven.distance_m + km * 1000)
    longer = replace(further, driving_s=further.driving_s + more_s, limit_known_s=further.limit_known_s + more_s)
    assert value_of(formula(driven)) <= value_of(formula(further)) <= value_of(formula(longer))


@FORMULA
@given(TALLIES, KINDS, SEVERITIES)
def test_one_event_more_never_raises_a_score(formula, driven, kind, severity):
    count = driven.events.get((kind, severity), 0) + 1
    assert value_of(formula(replace(driven, events={**driven.events, (kind, severity): count}))) <= value_of(
        formula(driven)
    )


@given(TALLIES, st.sampled_from([1609.344, 1_609_344.0, 1_000.0]))
def test_the_unit_of_distance_changes_nothing(driven, unit_m):
    """The same peers told per mile, per 1,000 miles, per kilometre; weights are per event of that distance."""
    share = unit_m / OURS.distance_unit_m
    events = {
        kind: replace(cause, weight=cause.weight / share, peers_exposure=cause.peers_exposure / share)
        for kind, cause in OURS.events.items()
    }
    other = replace(OURS, events=events, distance_unit_m=unit_m)(driven)
    mine = OURS(driven)
    assert (other.value, other.low, other.high) == pytest.approx((mine.value, mine.low, mine.high), abs=0.011)


@given(TALLIES, st.floats(1.01, 50))
def test_the_more_one_drives_without_events_the_narrower_the_interval_of_the_risk(driven, times):
    longer = replace(driven, distance_m=driven.distance_m * times, limit_known_s=driven.limit_known_s * times)
    assert width_of_risk(longer) < width_of_risk(driven)


@given(st.floats(0.0, 3.0), st.integers(1, 200), st.integers(2, 50))
def test_the_interval_of_a_score_shrinks_as_driving_goes_on_as_before(level, thousands_km, times):
    """Up to three times what peers do; far from them the first surprises may widen it."""
    assert width(as_peers(level, thousands_km * times)) <= width(as_peers(level, thousands_km)) + 0.011


def as_peers(level: float, thousands_km: float) -> Tally:
    rates = {kind: cause.peers_count / cause.peers_exposure for kind, cause in OURS.events.items()}
    events = {
        (kind, Severity.LOW): level * rate * thousands_km for kind, rate in rates.items() if kind in set(EventKind)
    }
    hours = 20 * thousands_km
    spells = [cause.peers_count / cause.peers_exposure for cause in OURS.bands.values()]
    over = tuple(level * rate * 30 * hours for rate in spells)
    return Tally(
        thousands_km * 1e6,
        hours * 3600,
        hours * 3600,
        over,
        {(EventKind(k[0]), k[1]): n for k, n in events.items() if n},
    )


def width(driven: Tally) -> float:
    result = OURS(driven)
    return result.high - result.low


def width_of_risk(driven: Tally) -> float:
    low, high = OURS(driven).risk_interval
    return high - low
