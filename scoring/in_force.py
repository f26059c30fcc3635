"""The formula as it is in force: weights as last switched to, and what was last learned of each class's peers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import orjson
from sqlalchemy import Connection, insert, select

from infra.contracts.events import JsonObject
from infra.store.rule_tables import peer_fit, rules_change
from scoring.core.formulas.expected_risk import RiskFormula
from scoring.core.formulas.peers import Rates, dump_rates, load_rates, with_rates
from scoring.core.formulas.table import OURS
from scoring.core.rules import DEFAULT
from scoring.core.what_if import changed_formula, read_change


@dataclass(frozen=True, slots=True)
class InForce:
    """Our formula for every class of vehicles. A class that nothing was learned of has the peers it comes with."""

    base: RiskFormula = OURS
    peers: Mapping[str, Rates] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.base.name

    def of(self, vehicle_class: str) -> RiskFormula:
        rates = self.peers.get(vehicle_class)
        return self.base if rates is None else with_rates(self.base, rates)


def in_force(connection: Connection) -> InForce:
    """The newest entries on record."""
    rules = select(rules_change.c.content).order_by(rules_change.c.change_id.desc()).limit(1)
    fits = select(peer_fit.c.content).order_by(peer_fit.c.fit_id.desc()).limit(1)
    content, fitted = connection.scalar(rules), connection.scalar(fits)
    base = OURS if content is None else changed_formula(OURS, read_change(content, OURS, DEFAULT))
    return InForce(base, {vehicle_class: load_rates(rates) for vehicle_class, rates in (fitted or {}).items()})


def keep_fit(
    connection: Connection, fitted: InForce, since: datetime, until: datetime, username: str, now: datetime
) -> None:
    """Put peers in force, on the caller's transaction; the row says of which days, who and when, for ever."""
    content: JsonObject = {vehicle_class: dump_rates(rates) for vehicle_class, rates in fitted.peers.items()}
    row = {
        "content": orjson.loads(orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)),
        "since": since,
        "until": until,
    }
    connection.execute(insert(peer_fit).values(row | {"username": username, "at": now}))
