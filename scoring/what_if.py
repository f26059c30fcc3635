"""Compares the rules in force with others over a window, and switches: events lost, scores and ranks moved."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import orjson
from sqlalchemy import Connection, insert, select, text

from infra.store.tables import rules_change
from scoring.core.formulas.expected_risk import RiskFormula
from scoring.core.formulas.table import OURS
from scoring.core.rules import DEFAULT
from scoring.core.what_if import KINDS, Change, Peak, RulesError, changed_formula, is_kept, read_change
from scoring.recompute import mark_all_due
from scoring.windows import DEFAULT_FORMULA, By, Scored, Window, learn_peers, parts, score_parts

_PEAKS = text(
    "SELECT event.event_id, event.kind, event.peak, CAST(event.evidence ->> 'threshold_g' AS float8) AS threshold_g, "
    "coalesce(vehicle.vehicle_class, 'passenger') AS vehicle_class FROM safety_event AS event "
    "LEFT JOIN vehicle ON vehicle.vehicle_id = event.vehicle_id "
    "WHERE event.event_id = ANY(CAST(:ids AS uuid[])) AND event.kind = ANY(:kinds) AND event.peak_unit = 'g' "
    "AND event.evidence ->> 'threshold_g' IS NOT NULL"
)


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
    """``lost``: events by kind that would not be events any more."""

    change: Change
    moves: Sequence[Move]
    lost: dict[str, int]
    events: int


def formula_in_force(connection: Connection) -> RiskFormula:
    """Our formula as last switched to."""
    newest = select(rules_change.c.content).order_by(rules_change.c.change_id.desc()).limit(1)
    content = connection.scalar(newest)
    return OURS if content is None else changed_formula(OURS, read_change(content, OURS, DEFAULT))


def compare(connection: Connection, window: Window, change: Change, by: By = By.DRIVER) -> Comparison:
    """Score a window twice. Nothing is written."""
    base = formula_in_force(connection)
    gone = events_lost(connection, window, change)
    after = replace(window, incidents=[one for one in window.incidents if one.event_id not in gone])
    old, new = (_ranked(w, by, f) for w, f in ((window, base), (after, changed_formula(OURS, change))))
    moves = [Move(name, value, new[name][0], rank, new[name][1]) for name, (value, rank) in old.items()]
    return Comparison(change, moves, dict(Counter(gone.values())), len(window.incidents))


def events_lost(connection: Connection, window: Window, change: Change) -> dict[str, str]:
    """Harsh events that the change's thresholds leave out: id to kind."""
    if not change.harsh_g:
        return {}
    asked = {"ids": [one.event_id for one in window.incidents], "kinds": [str(kind) for kind in KINDS.values()]}
    kinds = {str(kind): kind for kind in KINDS.values()}
    return {
        str(row.event_id): row.kind
        for row in connection.execute(_PEAKS, asked)
        if not is_kept(Peak(kinds[row.kind], row.vehicle_class, row.peak, row.threshold_g), change, DEFAULT)
    }


def switch(connection: Connection, content: dict[str, object], username: str, now: datetime) -> None:
    """Put weights in force, on the caller's transaction; the row says who, when and what, for ever.

    Raises:
        RulesError: the rules are wrong, or hold thresholds.
    """
    change = read_change(content, OURS, DEFAULT)
    if change.harsh_g:
        raise RulesError("harsh_g can be tried, not switched: events are found by the worker's own thresholds")
    row = {"name": change.name, "content": orjson.loads(orjson.dumps(content)), "username": username, "at": now}
    connection.execute(insert(rules_change).values(row))
    mark_all_due(connection)


def _ranked(window: Window, by: By, formula: RiskFormula) -> dict[str, tuple[float | None, int]]:
    scored: list[Scored] = score_parts(window, parts(window, by), learn_peers(window, formula))
    values = [one.results[DEFAULT_FORMULA].value for one in scored]
    known = [value for value in values if value is not None]
    return {
        one.part.name: (value, 1 + sum(other > value for other in known) if value is not None else len(scored))
        for one, value in zip(scored, values, strict=True)
    }
