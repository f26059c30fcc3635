"""Compares the rules in force with others over a window, and switches: events lost and gained, scores, ranks moved."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime

import orjson
from sqlalchemy import Connection, insert, text

from infra.contracts.events import EventKind
from infra.store import registry
from infra.store.rule_tables import rules_change
from scoring.core.formulas.table import OURS
from scoring.core.rules import DEFAULT, Rules
from scoring.core.what_if import Change, changed_formula, changed_rules, kinds_that_differ, read_change
from scoring.in_force import InForce, in_force
from scoring.outcome import Outcome, judge, read_stored, window_after
from scoring.recompute import mark_all_due
from scoring.timeline import rules_in_force
from scoring.trial import Tried
from scoring.windows import DEFAULT_FORMULA, By, Part, Scored, Window, parts, score_parts

_ONE_AT_A_TIME = text("LOCK TABLE rules_change IN EXCLUSIVE MODE")  # so that changes commit in the order of their ids


@dataclass(frozen=True, slots=True)
class Move:
    """One driver, vehicle or other part. Ranks count from 1, the best; None where there is no score."""

    name: str
    value: float | None
    value_after: float | None
    rank: int
    rank_after: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """``events``: of the window, under the rules in force. ``after``: the window as it would be."""

    change: Change
    moves: Sequence[Move]
    outcome: Outcome
    events: int
    after: Window


def to_replay(connection: Connection, change: Change) -> tuple[tuple[Rules, Rules], Set[EventKind]]:
    """The thresholds in force and those of the change, and the kinds of events that these judge differently."""
    rules = rules_in_force(connection), changed_rules(DEFAULT, change)
    return rules, kinds_that_differ(*rules)


def compare(
    connection: Connection, window: Window, change: Change, by: By = By.DRIVER, tried: Tried | None = None
) -> Comparison:
    """Score a window twice. Nothing is written.

    Args:
        tried: what a replay of the window found, by the rules of ``to_replay``; without it no event can be gained.
    """
    rules, kinds = to_replay(connection, change)
    outcome = judge(read_stored(connection, window), rules, kinds, tried)
    after, base = window_after(window, outcome), in_force(connection)
    changed = replace(base, base=changed_formula(OURS, change))
    tags = registry.vehicles_by_tag(connection)
    old, new = (_ranked(w, parts(w, by, tags), f) for w, f in ((window, base), (after, changed)))
    moves = [Move(name, value, new[name][0], rank, new[name][1]) for name, (value, rank) in old.items()]
    return Comparison(change, moves, outcome, len(window.incidents), after)


def switch(connection: Connection, content: dict[str, object], username: str, now: datetime) -> None:
    """Put weights and thresholds in force, on the caller's transaction; the row says who, when and what, for ever.

    Weights count for the scores of all windows at once; those that are stored of trips and days follow. Thresholds
    count for what arrives from ``now`` on: events that were found stay as they are. What the change leaves out is as
    built in.

    Raises:
        RulesError: the rules are wrong.
    """
    change = read_change(content, OURS, DEFAULT)
    connection.execute(_ONE_AT_A_TIME)
    row = {"name": change.name, "content": orjson.loads(orjson.dumps(content)), "username": username, "at": now}
    connection.execute(insert(rules_change).values(row))
    mark_all_due(connection)


def _ranked(window: Window, found: Sequence[Part], formulas: InForce) -> dict[str, tuple[float | None, int]]:
    scored: list[Scored] = score_parts(window, found, formulas)
    values = [one.results[DEFAULT_FORMULA].value for one in scored]
    known = [value for value in values if value is not None]
    return {
        one.part.name: (value, 1 + sum(other > value for other in known) if value is not None else len(scored))
        for one, value in zip(scored, values, strict=True)
    }
