"""What a driver reads under a score: what happened, in words, with points that add up to it."""

from dataclasses import replace

import pytest

from infra.contracts.events import SCORED_STATES, EventKind, ReviewState, Severity
from scoring.core.exposure import Exposure, Incident
from scoring.core.formulas.account import account, span
from scoring.core.formulas.port import compact
from scoring.core.formulas.table import OURS
from scoring.core.formulas.tally import tally

MINUTE_US = 60_000_000
TRIP = Exposure("t", "van-1", 0, 60 * MINUTE_US, 200_000.0, 7_200.0, 7_200.0, (0.0, 0.0, 0.0, 0.0))
BRAKE = Incident("van-1", MINUTE_US, EventKind.HARSH_BRAKE, Severity.LOW, ReviewState.NEEDS_REVIEW)


def km(distance_m: float) -> str:
    return f"{distance_m / 1000:.0f} km"


def told(trip, incidents):
    driven = tally([trip], incidents)
    return OURS(driven), account(OURS(driven), driven, km)


@pytest.mark.parametrize(
    ("changes", "incidents", "what", "why"),
    [
        ({}, [BRAKE], "harsh_brake low", "Once in 200 km. Peers have 0.80 of any severity over that distance."),
        ({}, [BRAKE] * 2, "harsh_brake low", "Twice in 200 km."),
        ({}, [replace(BRAKE, severity=Severity.CRITICAL)] * 3, "harsh_brake critical", "3 times in 200 km."),
        ({}, [replace(BRAKE, kind=EventKind.ROLLOVER)], "rollover low", "Peers have hardly any of any severity"),
        (
            {"over_s": (0.0, 250.0, 0.0, 0.0)},
            [],
            "over_limit moderate",
            "4 min 10 s at 10 to 20 % over the limit, of 2 h 00 min with a known limit. Peers: 2 min 24 s.",
        ),
    ],
)
def test_what_was_taken_off_is_told_beside_what_peers_do(changes, incidents, what, why):
    _, lines = told(replace(TRIP, **changes), incidents)
    assert f"{lines[0].what} {lines[0].grade}" == what
    assert lines[0].why.startswith(why) or why in lines[0].why
    assert lines[0].points < 0


def test_points_add_up_to_the_score_dearest_first_and_the_peers_last():
    trip = replace(TRIP, over_s=(100.0, 50.0, 20.0, 3.0))
    incidents = [replace(BRAKE, kind=kind, severity=severity) for kind in EventKind for severity in Severity]
    result, lines = told(trip, incidents)
    assert 100 + sum(line.points for line in lines) == pytest.approx(result.value, abs=0.006)
    assert 100 + sum(line["points"] for line in compact(result)) == pytest.approx(result.value, abs=0.01)
    assert [line.points for line in lines[:-1]] == sorted(line.points for line in lines[:-1])
    assert lines[-1].what == "peers"


@pytest.mark.parametrize("state", list(ReviewState))
def test_only_some_review_states_count(state):
    driven = tally([TRIP], [replace(BRAKE, state=state)])
    assert driven.count("harsh_brake") == int(state in SCORED_STATES)


@pytest.mark.parametrize(
    ("elsewhere", "counted"),
    [({"start_us": 62 * MINUTE_US}, 0), ({"vehicle_id": "van-2"}, 0), ({"start_us": -1_000_000}, 1)],
)
def test_events_outside_trips_do_not_count_and_a_hard_start_does(elsewhere, counted):
    assert tally([TRIP], [replace(BRAKE, **elsewhere)]).count("harsh_brake") == counted


def test_dismissed_speeding_gives_its_time_back():
    trip = replace(TRIP, over_s=(0.0, 0.0, 72.0, 0.0))
    speeding = Incident("van-1", 0, EventKind.SPEEDING, Severity.HIGH, ReviewState.REVIEWED, (0.0, 0.0, 60.0, 0.0))
    assert tally([trip], [speeding]).over_s[2] == 72
    assert tally([trip], [replace(speeding, state=ReviewState.DISMISSED)]).over_s[2] == 12


@pytest.mark.parametrize(("seconds", "words"), [(45.4, "45 s"), (250, "4 min 10 s"), (7_200, "2 h 00 min")])
def test_a_span_of_time_in_words(seconds, words):
    assert span(seconds) == words
