"""Scores: what takes points off, what does not, and that the ledger adds up."""

from dataclasses import replace

import pytest

from infra.contracts.events import SCORED_STATES, EventKind, ReviewState, Severity
from scoring.core.ledger import value_of
from scoring.core.score import Exposure, Incident, score
from scoring.core.weights import EVENT_POINTS, SEVERITY_SHARE, SPEEDING_POINTS

MINUTE_US = 60_000_000
TRIP = Exposure("t", "van-1", 0, 60 * MINUTE_US, 200_000.0, 7_200.0, 7_200.0, (0.0, 0.0, 0.0, 0.0))
BRAKE = Incident("van-1", MINUTE_US, EventKind.HARSH_BRAKE, Severity.LOW, ReviewState.NEEDS_REVIEW)


@pytest.mark.parametrize(
    ("changes", "incidents", "value", "words"),
    [
        ({}, [], 100.0, []),
        ({}, [BRAKE], 98.0, ["1 x harsh brake (low)", "over 200.0 km"]),
        ({}, [BRAKE] * 3, 94.0, ["3 x harsh brake"]),
        ({"distance_m": 5_000.0}, [BRAKE], 96.0, ["driven 5.0 km, counted as 100.0 km"]),
        ({}, [replace(BRAKE, severity=Severity.CRITICAL)], 94.0, ["x 3 for severity"]),
        ({}, [BRAKE] * 99, 0.0, ["99 x harsh brake"]),
        ({"over_s": (720.0, 0, 0, 0)}, [], 98.0, ["12 min 00 s at up to 10 % over the limit is 10.00 % of 2 h 00 min"]),
        ({"over_s": (0, 0, 0, 72.0)}, [], 97.7, ["more than 30 %", "2.3 points per percent"]),
        ({"driving_s": 60.0, "over_s": (0, 36.0, 0, 0)}, [], 99.25, ["driven 1 min 00 s, counted as 1 h 00 min"]),
    ],
)
def test_what_is_taken_off_and_why(changes, incidents, value, words):
    result = score([replace(TRIP, **changes)], incidents)
    assert result.value == value
    text = " ".join(line.why for line in result.lines)
    assert all(word in text for word in words), text


@pytest.mark.parametrize("state", list(ReviewState))
def test_only_some_review_states_count(state):
    result = score([TRIP], [replace(BRAKE, state=state)])
    assert (result.value < 100) == (state in SCORED_STATES)
    assert result.events == int(state in SCORED_STATES)


@pytest.mark.parametrize("elsewhere", [{"start_us": 62 * MINUTE_US}, {"vehicle_id": "van-2"}])
def test_events_outside_trips_do_not_count(elsewhere):
    assert score([TRIP], [replace(BRAKE, **elsewhere)]).value == 100


def test_a_hard_start_a_second_before_its_trip_counts():
    assert score([TRIP], [replace(BRAKE, start_us=-1_000_000)]).value == 98


def test_dismissed_speeding_gives_its_time_back():
    trip = replace(TRIP, over_s=(0.0, 0.0, 72.0, 0.0))
    speeding = Incident("van-1", 0, EventKind.SPEEDING, Severity.HIGH, ReviewState.REVIEWED, (0.0, 0.0, 60.0, 0.0))
    assert score([trip], [speeding]).lines[0].count == 72
    assert score([trip], [replace(speeding, state=ReviewState.DISMISSED)]).lines[0].count == 12


def test_nothing_driven_has_no_score():
    assert score([], []).value is None


def test_every_line_can_be_added_up():
    trip = replace(TRIP, over_s=(100.0, 50.0, 20.0, 3.0))
    incidents = [replace(BRAKE, kind=kind, severity=severity) for kind in EventKind for severity in Severity]
    result = score([trip], incidents)
    assert result.value == max(0, round(100 + sum(line.points for line in result.lines), 2)) == value_of(result.lines)
    assert all(line.points <= 0 for line in result.lines)


def test_every_word_has_a_weight():
    assert set(EVENT_POINTS) >= set(EventKind)
    assert set(SEVERITY_SHARE) == set(Severity)
    assert list(SPEEDING_POINTS) == ["light", "moderate", "heavy", "severe"]
