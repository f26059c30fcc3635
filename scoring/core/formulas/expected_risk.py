"""Our own score: the risk that is to be expected of a driver, by what happened and by what peers lead one to expect.

Events of each kind are taken as Poisson with a rate of its own per driver, and these rates as Gamma among the peer
group (as actuaries rate fleets by experience: Bühlmann's credibility, exact for this pair). What is expected is then
``(peers' events + own events) / (peers' exposure + own exposure)``: with little driving it is near the peers', with
much it is the driver's own. The sum over the kinds, weighted, is the risk, and the score ``100 x scale / (scale +
risk)``, so that it needs no clamp, and 50 is a risk of ``scale``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt

from infra.contracts.events import Severity
from scoring.core.formulas.port import FULL, PEERS, Result, State, Term, shared
from scoring.core.formulas.tally import Tally

NAME = "expected-risk-1"
Z90 = 1.6449  # of the normal distribution: 5 % lie above it
SPELL_S = 30.0  # ours: speeding is counted in spells of half a minute, for seconds of it do not come one by one

# In units of exposure. Own driving of this length weighs at least as much as all peers. Without such an end a kind
# that hardly anyone has, as sleep, would need hundreds of thousands of kilometres to be held against anyone.
MOST_EXPOSURE, MOST_HOURS = 1.0, 10.0
LEAST_DISTANCE_M = 160_934.4  # 100 miles, where Motive's first score appears
DISTANCE_UNIT, TIME_UNIT = "1,000 km", "h with a known limit"
SEVERITY_SHARE: Mapping[Severity, float] = {  # ours: Motive and Samsara count events alike whatever their size
    Severity.LOW: 1.0,
    Severity.MODERATE: 1.5,
    Severity.HIGH: 2.0,
    Severity.CRITICAL: 3.0,
}
# Per percent of driving time in a band. They rise as fatal crashes do with speed, by its fourth power (Nilsson 2004):
# 1.05, 1.15, 1.25 and 1.35 to the fourth, less one.
SPEEDING_POINTS: Mapping[str, float] = {"light": 0.2, "moderate": 0.75, "heavy": 1.45, "severe": 2.3}


@dataclass(frozen=True, slots=True)
class Cause:
    """A kind of event, or a speeding band: its weight and the Gamma distribution of its rate among peers.

    ``peers_count / peers_exposure`` is the peers' mean rate; the more exposure, the more alike they are and the more
    driving it takes to leave their mean. ``peers_share``: their mean severity.
    """

    weight: float
    peers_count: float
    peers_exposure: float
    peers_share: float = 1.0


def _cause(weight: float, rate: float, share: float = 1.0, most: float = MOST_EXPOSURE) -> Cause:
    """Of a peer group that nothing is known of but a mean: spread as an exponential, which is a Gamma of shape 1."""
    exposure = min(1 / rate, most)
    return Cause(weight, rate * exposure, exposure, share)


# Weights of harsh events: Motive's (helpcenter 16406895841565), of in-cab events and crashes ours, above its gravest,
# by how long the road went unseen. Rates per 1,000 km hold until a fleet has peers of its own: 12 harsh events, as in
# Samsara's public example (5 on 247 miles, kb 115001947714), braking and turning as often as starting; the others are
# ours. Mean shares as harsh events in the demo drives have it: four of five are low.
EVENT_CAUSES: Mapping[str, Cause] = {
    "harsh_brake": _cause(4.0, 4.0, 1.2),
    "harsh_acceleration": _cause(1.0, 4.0, 1.2),
    "harsh_turn": _cause(2.0, 4.0, 1.2),
    "swerve": _cause(4.0, 1.0, 1.2),
    "near_crash": _cause(15.0, 0.1, 1.5),
    "crash": _cause(40.0, 0.002, 2.0),
    "rollover": _cause(60.0, 0.0002, 3.0),
    "microsleep": _cause(12.0, 0.05, 1.5),
    "sleep": _cause(20.0, 0.01, 2.0),
    "unresponsive": _cause(30.0, 0.001, 3.0),
    "drowsiness": _cause(12.0, 0.05, 1.5),
    "head_nod": _cause(12.0, 0.05, 1.5),
    "distraction": _cause(8.0, 0.5, 1.2),
    "phone_use": _cause(10.0, 0.5, 1.2),
    "smoking": _cause(2.0, 0.2, 1.2),
    "drinking": _cause(2.0, 0.2, 1.2),
    "no_seat_belt": _cause(8.0, 0.2, 1.2),
}

# Per spell and hour, that is per 0.83 % of the time. Four SPEEDING_POINTS to a point of risk make
# speeding of the average peer (4, 2, 0.7 and 0.2 % of the time) half of its harsh driving.
BAND_CAUSES: Mapping[str, Cause] = {
    band: _cause(4 * points * 100 * SPELL_S / 3600, percent * 36 / SPELL_S, most=MOST_HOURS)
    for (band, points), percent in zip(SPEEDING_POINTS.items(), (4.0, 2.0, 0.7, 0.2), strict=True)
}


@dataclass(frozen=True, slots=True)
class RiskFormula:
    """The whole formula as data. ``scale``: four times the risk of the peers above, who so have about 80."""

    name: str = NAME
    events: Mapping[str, Cause] = field(default_factory=lambda: EVENT_CAUSES)
    bands: Mapping[str, Cause] = field(default_factory=lambda: BAND_CAUSES)
    severity_share: Mapping[Severity, float] = field(default_factory=lambda: SEVERITY_SHARE)
    scale: float = 240.0
    least_distance_m: float = LEAST_DISTANCE_M
    distance_unit_m: float = 1_000_000.0
    distance_unit: str = DISTANCE_UNIT

    def __call__(self, tally: Tally) -> Result:
        """Kinds without a cause here, as idling, say nothing about risk and are left out."""
        if tally.driving_s <= 0 or tally.distance_m <= 0:
            return Result(self.name, State.NOTHING_DRIVEN, None, (), 0.0, scale=self.scale)
        terms = shared(_event_terms(self, tally) + _band_terms(self, tally), self.scale)
        risk = sum(term.rate for term in terms)
        low, high = _risk_interval(risk, _variance(terms))
        state = State.SCORED if tally.distance_m >= self.least_distance_m else State.TOO_LITTLE_DRIVING
        value, worst, best = (round(FULL * self.scale / (self.scale + r), 2) for r in (risk, high, low))
        return Result(self.name, state, value, terms, risk, worst, best, self.scale, risk_interval=(low, high))


def expected_risk(tally: Tally) -> Result:
    """Our formula with the peers that it brings along."""
    return RiskFormula()(tally)


def _event_terms(formula: RiskFormula, tally: Tally) -> list[Term]:
    """The peers' share of each kind, then what happened."""
    exposure, unit = tally.distance_m / formula.distance_unit_m, formula.distance_unit
    terms = [
        Term(
            f"{PEERS}{kind}", cause.peers_count, cause.weight * cause.peers_share, exposure, unit, cause.peers_exposure
        )
        for kind, cause in formula.events.items()
    ]
    for (kind, severity), count in tally.events.items():
        if cause := formula.events.get(kind):
            weight = cause.weight * formula.severity_share[severity]
            terms.append(Term(f"{kind}.{severity}", count, weight, exposure, unit, cause.peers_exposure))
    return terms


def _band_terms(formula: RiskFormula, tally: Tally) -> list[Term]:
    hours, terms = tally.limit_known_s / 3600, []
    for (band, cause), over_s in zip(formula.bands.items(), tally.over_s, strict=True):
        by = (hours, TIME_UNIT, cause.peers_exposure)
        terms.append(Term(f"{PEERS}over_limit.{band}", cause.peers_count, cause.weight, *by))
        if over_s > 0:
            terms.append(Term(f"over_limit.{band}", over_s / SPELL_S, cause.weight, *by))
    return terms


def _variance(terms: Sequence[Term]) -> float:
    """Of the risk. What happened is Poisson, each kind by itself; what peers lead to expect is taken to be wrong in
    the same direction for all kinds, for who brakes hard also turns hard."""
    own = sum(term.rate**2 / term.count for term in terms if not term.is_of_peers)
    peers = sum(term.rate / sqrt(term.count) for term in terms if term.is_of_peers)
    return own + peers**2


def _risk_interval(mean: float, variance: float) -> tuple[float, float]:
    """90 % of a Gamma distribution of this mean and variance, by Wilson and Hilferty's cube (PNAS 17, 1931).

    At shape 1, the least that a peer group here has, its upper end is 0.9 % too low and its lower end lies at 0.040
    of the mean instead of 0.051; at shape 10 both are within 0.3 %.
    """
    if variance <= 0:
        return mean, mean
    spread = variance / (9 * mean**2)
    ends = (max(0.0, 1 - spread + sign * Z90 * sqrt(spread)) ** 3 for sign in (-1, 1))
    low, high = (mean * end for end in ends)
    return low, high
