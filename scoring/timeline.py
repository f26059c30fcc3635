"""Which thresholds hold when: those that are built in, and every change since, each from the time that it was made."""

from __future__ import annotations

from sqlalchemy import Connection, select

from infra.clock import to_us
from infra.store.rule_tables import rules_change
from scoring.core.formulas.table import OURS
from scoring.core.rules import DEFAULT, Rules
from scoring.core.what_if import changed_rules, read_change


class Timeline:
    """A message is judged by the thresholds that held when it arrived, whenever it is folded: a worker that catches up
    after an outage finds what it would have found in time."""

    def __init__(self, base: Rules = DEFAULT) -> None:
        self._base = base
        self._changes: list[tuple[int, Rules]] = []
        self._seen = 0

    def refresh(self, connection: Connection) -> None:
        """Read the changes that are new. Switches commit in the order of their ids."""
        new = (
            select(rules_change.c.change_id, rules_change.c.content, rules_change.c.at)
            .where(rules_change.c.change_id > self._seen)
            .order_by(rules_change.c.change_id)
        )
        for change_id, content, at in connection.execute(new):
            self.add(to_us(at), changed_rules(self._base, read_change(content, OURS, self._base)))
            self._seen = change_id

    def add(self, from_us: int, rules: Rules) -> None:
        """Rules that hold from a time on, until the next ones."""
        self._changes.append((from_us, rules))

    def at(self, time_us: int) -> Rules:
        """Of the changes made until then, the last."""
        return next((rules for from_us, rules in reversed(self._changes) if from_us <= time_us), self._base)

    @property
    def newest(self) -> Rules:
        return self._changes[-1][1] if self._changes else self._base


def rules_in_force(connection: Connection) -> Rules:
    """The thresholds as last switched to."""
    timeline = Timeline()
    timeline.refresh(connection)
    return timeline.newest
