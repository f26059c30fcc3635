"""The desk's rules: from which state an event goes where, who may do it, and what must be said with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from infra.contracts.events import SCORED_STATES, ReviewState

_NEEDS_REVIEW, _REVIEWED = ReviewState.NEEDS_REVIEW, ReviewState.REVIEWED
_NEEDS_COACHING, _COACHED = ReviewState.NEEDS_COACHING, ReviewState.COACHED
_ALL = frozenset(ReviewState)

LONGEST_COMMENT = 2_000


class Role(StrEnum):
    MANAGER = "manager"
    COACH = "coach"
    DRIVER = "driver"


class Action(StrEnum):
    MARK_REVIEWED = "mark_reviewed"
    NEEDS_COACHING = "needs_coaching"
    COACHED = "coached"
    DISMISS = "dismiss"
    RECOGNISE = "recognise"
    RECOGNISED = "recognised"
    REOPEN = "reopen"
    COMMENT = "comment"
    CONTEST = "contest"


class DismissalReason(StrEnum):
    """Samsara's three words."""

    INCORRECT = "incorrect"
    MINOR_EVENT = "minor_event"
    OTHER = "other"


CONTESTED = "contested"
"""The reason that stands in the audit row of a driver's objection."""


class NotAllowed(PermissionError):
    """This role, or this person, may not do that."""


class NotPossible(ValueError):
    """The event's state does not allow the action, or something that must be said with it is missing."""


@dataclass(frozen=True, slots=True)
class Rule:
    """``target`` None: the state stays as it is."""

    target: ReviewState | None
    sources: frozenset[ReviewState]
    roles: frozenset[Role]


@dataclass(frozen=True, slots=True)
class Decision:
    """What someone wants done with an event."""

    action: Action
    reason: DismissalReason | None = None
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the audit log gets. ``reason`` is a DismissalReason, ``contested``, or None."""

    from_state: ReviewState
    to_state: ReviewState
    reason: str | None
    comment: str

    @property
    def changes_state(self) -> bool:
        return self.from_state is not self.to_state

    @property
    def changes_score(self) -> bool:
        return (self.from_state in SCORED_STATES) != (self.to_state in SCORED_STATES)


_DESK = frozenset({Role.MANAGER, Role.COACH})
_MANAGER = frozenset({Role.MANAGER})  # whatever changes a score, and the taking back of it
RULES: dict[Action, Rule] = {
    Action.MARK_REVIEWED: Rule(_REVIEWED, frozenset({_NEEDS_REVIEW, _NEEDS_COACHING}), _DESK),
    Action.NEEDS_COACHING: Rule(_NEEDS_COACHING, frozenset({_NEEDS_REVIEW, _REVIEWED}), _DESK),
    Action.COACHED: Rule(_COACHED, frozenset({_NEEDS_COACHING}), _DESK),
    Action.DISMISS: Rule(
        ReviewState.DISMISSED, frozenset({_NEEDS_REVIEW, _REVIEWED, _NEEDS_COACHING, _COACHED}), _MANAGER
    ),
    Action.RECOGNISE: Rule(ReviewState.NEEDS_RECOGNITION, frozenset({_NEEDS_REVIEW, _REVIEWED}), _MANAGER),
    Action.RECOGNISED: Rule(ReviewState.RECOGNIZED, frozenset({ReviewState.NEEDS_RECOGNITION}), _DESK),
    Action.REOPEN: Rule(_NEEDS_REVIEW, _ALL - {_NEEDS_REVIEW}, _MANAGER),
    Action.COMMENT: Rule(None, _ALL, frozenset(Role)),
    Action.CONTEST: Rule(None, _ALL - {ReviewState.DISMISSED}, frozenset({Role.DRIVER})),
}
_TELL = frozenset({Action.COMMENT, Action.CONTEST})  # nothing without words


def allowed(state: ReviewState, role: Role) -> tuple[Action, ...]:
    """The actions that someone of this role may take on an event in this state, in the order to offer them."""
    return tuple(action for action, rule in RULES.items() if role in rule.roles and state in rule.sources)


def allowed_on_all(states: Sequence[ReviewState], role: Role) -> tuple[Action, ...]:
    """The actions that are possible on every one of several events; none for none."""
    common = [set(allowed(state, role)) for state in states]
    return tuple(action for action in RULES if common and all(action in each for each in common))


def decide(state: ReviewState, role: Role, decision: Decision) -> Outcome:
    """What becomes of an event.

    Raises:
        NotAllowed: not for this role.
        NotPossible: not from this state, or without the reason or the comment that it takes.
    """
    rule = RULES[decision.action]
    words = decision.action.replace("_", " ")
    if role not in rule.roles:
        who = " or ".join(sorted(rule.roles))
        raise NotAllowed(f"a {role} may not do this ({words}): it takes a {who}")
    if state not in rule.sources:
        raise NotPossible(f"this ({words}) is not possible for an event that is {state.replace('_', ' ')}")
    comment = decision.comment.strip()
    if len(comment) > LONGEST_COMMENT:
        raise NotPossible(f"a comment has at most {LONGEST_COMMENT} characters, this one {len(comment)}")
    return Outcome(state, rule.target or state, _reason(decision, comment), comment)


def _reason(decision: Decision, comment: str) -> str | None:
    if decision.action in _TELL and not comment:
        raise NotPossible("write a comment first")
    if decision.action is Action.CONTEST:
        return CONTESTED
    if decision.action is not Action.DISMISS:
        if decision.reason is not None:
            raise NotPossible("only a dismissal takes a reason")
        return None
    if decision.reason is None:
        raise NotPossible("a dismissal takes a reason: incorrect, minor event or other")
    if decision.reason is DismissalReason.OTHER and not comment:
        raise NotPossible("the reason 'other' takes a comment that says which")
    return decision.reason.value
