"""The desk's state machine, as a table."""

from __future__ import annotations

import pytest

from dashboard.core.review import (
    LONGEST_COMMENT,
    RULES,
    Action,
    Decision,
    DismissalReason,
    NotAllowed,
    NotPossible,
    Role,
    allowed,
    allowed_on_all,
    decide,
)
from infra.contracts.events import SCORED_STATES, ReviewState

S, A, R = ReviewState, Action, Role

TRANSITIONS = [  # state, action, role, where it goes
    (S.NEEDS_REVIEW, A.MARK_REVIEWED, R.COACH, S.REVIEWED),
    (S.NEEDS_REVIEW, A.NEEDS_COACHING, R.COACH, S.NEEDS_COACHING),
    (S.NEEDS_COACHING, A.COACHED, R.COACH, S.COACHED),
    (S.NEEDS_COACHING, A.MARK_REVIEWED, R.MANAGER, S.REVIEWED),
    (S.REVIEWED, A.NEEDS_COACHING, R.MANAGER, S.NEEDS_COACHING),
    (S.NEEDS_REVIEW, A.RECOGNISE, R.MANAGER, S.NEEDS_RECOGNITION),
    (S.NEEDS_RECOGNITION, A.RECOGNISED, R.COACH, S.RECOGNIZED),
    (S.DISMISSED, A.REOPEN, R.MANAGER, S.NEEDS_REVIEW),
    (S.COACHED, A.REOPEN, R.MANAGER, S.NEEDS_REVIEW),
]


@pytest.mark.parametrize(("state", "action", "role", "goal"), TRANSITIONS)
def test_an_action_leads_where_the_table_says(state: S, action: A, role: R, goal: S) -> None:
    outcome = decide(state, role, Decision(action))
    assert (outcome.from_state, outcome.to_state) == (state, goal)
    assert outcome.changes_state


@pytest.mark.parametrize(
    ("state", "action", "role"),
    [
        (S.COACHED, A.COACHED, R.MANAGER),
        (S.NEEDS_REVIEW, A.REOPEN, R.MANAGER),
        (S.DISMISSED, A.MARK_REVIEWED, R.MANAGER),
        (S.NEEDS_REVIEW, A.RECOGNISED, R.MANAGER),
        (S.DISMISSED, A.CONTEST, R.DRIVER),
    ],
)
def test_what_the_state_does_not_allow_is_refused_by_name(state: S, action: A, role: R) -> None:
    with pytest.raises(NotPossible, match=state.replace("_", " ")):
        decide(state, role, Decision(action, comment="because"))


@pytest.mark.parametrize("action", [A.DISMISS, A.RECOGNISE, A.REOPEN])
@pytest.mark.parametrize("role", [R.COACH, R.DRIVER])
def test_only_a_manager_changes_scores(action: A, role: R) -> None:
    with pytest.raises(NotAllowed, match="manager"):
        decide(S.REVIEWED, role, Decision(action, DismissalReason.INCORRECT))


def test_every_move_in_or_out_of_the_scored_states_is_the_managers() -> None:
    for action, rule in RULES.items():
        crosses = rule.target and any((s in SCORED_STATES) != (rule.target in SCORED_STATES) for s in rule.sources)
        if crosses:
            assert rule.roles == {R.MANAGER}, action


def test_a_driver_only_speaks() -> None:
    for state in S:
        assert set(allowed(state, R.DRIVER)) <= {A.COMMENT, A.CONTEST}
    outcome = decide(S.REVIEWED, R.DRIVER, Decision(A.CONTEST, comment=" A child ran out. "))
    assert (outcome.to_state, outcome.reason, outcome.comment) == (S.REVIEWED, "contested", "A child ran out.")
    assert not outcome.changes_state


@pytest.mark.parametrize(
    ("decision", "problem"),
    [
        (Decision(A.DISMISS), "takes a reason"),
        (Decision(A.DISMISS, DismissalReason.OTHER, "  "), "takes a comment"),
        (Decision(A.MARK_REVIEWED, DismissalReason.MINOR_EVENT), "only a dismissal"),
        (Decision(A.COMMENT), "write a comment"),
        (Decision(A.COMMENT, comment="x" * (LONGEST_COMMENT + 1)), "at most"),
    ],
)
def test_what_must_be_said_is_asked_for(decision: Decision, problem: str) -> None:
    with pytest.raises(NotPossible, match=problem):
        decide(S.NEEDS_REVIEW, R.MANAGER, decision)


def test_a_dismissal_takes_the_event_out_of_the_score() -> None:
    outcome = decide(S.REVIEWED, R.MANAGER, Decision(A.DISMISS, DismissalReason.OTHER, "tow truck"))
    assert outcome.changes_score
    assert outcome.reason == "other"


def test_every_state_can_be_left_by_a_manager() -> None:
    for state in S:
        assert any(RULES[action].target not in (None, state) for action in allowed(state, R.MANAGER)), state


def test_several_events_share_only_what_each_allows() -> None:
    assert A.COACHED not in allowed_on_all([S.NEEDS_REVIEW, S.NEEDS_COACHING], R.MANAGER)
    assert A.DISMISS in allowed_on_all([S.NEEDS_REVIEW, S.NEEDS_COACHING], R.MANAGER)
    assert allowed_on_all([], R.MANAGER) == ()
