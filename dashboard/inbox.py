"""What people do with events: one transaction a call, with its audit row and the scores it changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, insert, select, update

from dashboard.core.review import Decision, NotAllowed, Outcome, Role, decide
from infra.contracts.events import ReviewState
from infra.settings import Settings
from infra.store.tables import review_action, safety_event
from scoring.recompute import recompute_events

MOST_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts. A driver acts on their own events only."""

    username: str
    role: Role
    driver_id: str | None = None


class Changed(RuntimeError):
    """Someone else changed an event after it was shown. Nothing was written."""


class UnknownEvent(LookupError):
    """There is no such event, or this person may not see it."""


def act(
    engine: Engine,
    settings: Settings,
    actor: Actor,
    seen: Mapping[UUID, ReviewState],
    decision: Decision,
    now: datetime,
) -> list[Outcome]:
    """Take a decision on one or several events: all of them, or none.

    Args:
        seen: the events, each with the state that the person saw it in.
        now: when; stands in the audit log.

    Raises:
        Changed: an event is in another state by now; the message says which and by whom.
        NotAllowed, NotPossible: see ``dashboard.core.review``.
        UnknownEvent: no such event for this person.
        ValueError: none, or too many at once.
    """
    if not 1 <= len(seen) <= MOST_AT_ONCE:
        raise ValueError(f"choose between 1 and {MOST_AT_ONCE} events, not {len(seen)}")
    with engine.begin() as connection:
        rows = _lock(connection, actor, sorted(seen))
        _check_unchanged(rows, seen)
        outcomes = [decide(ReviewState(row.review_state), actor.role, decision) for row in rows]
        for row, outcome in zip(rows, outcomes, strict=True):
            _write(connection, row.event_id, actor, outcome, now)
        moved = [row.event_id for row, outcome in zip(rows, outcomes, strict=True) if outcome.changes_state]
        if moved:
            recompute_events(connection, moved, settings)
    return outcomes


def _lock(connection: Connection, actor: Actor, event_ids: Sequence[UUID]) -> Sequence[Any]:
    """The events, locked in the order of their ids, so that two people cannot wait for each other."""
    table = safety_event.c
    columns = (table.event_id, table.driver_id, table.review_state, table.reviewed_by, table.reviewed_at)
    query = select(*columns).where(table.event_id.in_(event_ids)).order_by(table.event_id).with_for_update()
    rows: Sequence[Any] = connection.execute(query).all()
    if actor.role is Role.DRIVER:
        if actor.driver_id is None:
            raise NotAllowed("this account is not linked to a driver")
        rows = [row for row in rows if row.driver_id == actor.driver_id]
    if len(rows) < len(event_ids):
        raise UnknownEvent("there is no such event, or it is not one of yours")
    return rows


def _check_unchanged(rows: Sequence[Any], seen: Mapping[UUID, ReviewState]) -> None:
    changed = [row for row in rows if row.review_state != seen[row.event_id]]
    if changed:
        first = changed[0]
        which = "this event" if len(seen) == 1 else f"{len(changed)} of these events"
        raise Changed(
            f"{first.reviewed_by or 'someone'} changed {which} to “{first.review_state.replace('_', ' ')}” "
            "after you opened it. Nothing was written; look at it again and decide."
        )


def _write(connection: Connection, event_id: UUID, actor: Actor, outcome: Outcome, now: datetime) -> None:
    if outcome.changes_state:
        dismissed = outcome.to_state is ReviewState.DISMISSED
        values = {
            "review_state": outcome.to_state.value,
            "dismissal_reason": outcome.reason if dismissed else None,
            "reviewed_at": now,
            "reviewed_by": actor.username,
        }
        connection.execute(update(safety_event).where(safety_event.c.event_id == event_id).values(values))
    connection.execute(
        insert(review_action).values(
            event_id=event_id,
            username=actor.username,
            from_state=outcome.from_state.value,
            to_state=outcome.to_state.value,
            reason=outcome.reason,
            comment=outcome.comment,
            at=now,
        )
    )
