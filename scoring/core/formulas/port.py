"""What every formula gives: a value with its terms, each a count, a weight and an exposure to be worked out by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from infra.contracts.events import JsonObject
from scoring.core.formulas.tally import Tally

FULL = 100.0
PEERS = "peers."  # begins the name of a term that tells what peers lead one to expect


class State(StrEnum):
    SCORED = "scored"
    TOO_LITTLE_DRIVING = "too_little_driving"
    NOTHING_DRIVEN = "nothing_driven"


@dataclass(frozen=True, slots=True)
class Term:
    """``rate = count x weight / (exposure + peers_exposure)``: nothing else goes into a score."""

    what: str
    count: float
    weight: float
    exposure: float
    unit: str  # of the exposure
    peers_exposure: float = 0.0
    points: float = 0.0  # what it takes off the score, negative

    @property
    def rate(self) -> float:
        return self.count * self.weight / (self.exposure + self.peers_exposure)

    @property
    def why(self) -> str:
        """The arithmetic in a line."""
        below = f"{self.exposure:g} {self.unit}"
        below = f"({below} + {self.peers_exposure:g} of the peer group)" if self.peers_exposure else below
        return f"{self.count:g} x {self.weight:g} / {below} = {self.rate:.4g}"

    @property
    def kind(self) -> str:
        """Without the severity or the band; of a peers' term the kind that it is about."""
        return self.what.removeprefix(PEERS).partition(".")[0]

    @property
    def is_of_peers(self) -> bool:
        return self.what.startswith(PEERS)

    def dump(self) -> JsonObject:
        numbers = {name: getattr(self, name) for name in ("count", "weight", "exposure", "peers_exposure", "unit")}
        return {"what": self.what, **numbers, "rate": self.rate, "points": round(self.points, 4), "why": self.why}


@dataclass(frozen=True, slots=True)
class Result:
    """A score of 0 to 100, or None. ``low`` and ``high`` hold 90 % of what it may truly be; None where not known.

    With ``scale`` None the value is ``100 - sum of rates``, kept within ``floor`` and 100; otherwise it is
    ``100 x scale / (scale + sum of rates)``.
    """

    formula: str
    state: State
    value: float | None
    terms: Sequence[Term]
    risk: float  # the sum of the rates
    low: float | None = None
    high: float | None = None
    scale: float | None = None
    floor: float = 0.0
    note: str = ""
    risk_interval: tuple[float, float] | None = None  # 90 % of what the risk may truly be


Formula = Callable[[Tally], Result]


def deducted(name: str, tally: Tally, terms: Sequence[Term], *, floor: float = 0.0, enough: bool = True) -> Result:
    """100 less the sum of the rates: how the vendors' formulas end."""
    if tally.driving_s <= 0 or not tally.distance_m:
        return Result(name, State.NOTHING_DRIVEN, None, (), 0.0, floor=floor)
    priced = [_priced(term, term.rate) for term in terms if term.count]
    risk = sum(term.rate for term in priced)
    if not enough:
        return Result(name, State.TOO_LITTLE_DRIVING, None, priced, risk, floor=floor)
    return Result(name, State.SCORED, min(FULL, max(floor, round(FULL - risk, 2))), priced, risk, floor=floor)


def compact(result: Result) -> list[JsonObject]:
    """The terms for keeping: what happened in full, and what is of the peers as one line, "peers"."""
    own = [term.dump() for term in result.terms if not term.is_of_peers]
    peers = [term.points for term in result.terms if term.is_of_peers]
    return [{"what": PEERS.rstrip("."), "points": round(sum(peers), 4)}, *own] if peers else own


def shared(terms: Sequence[Term], scale: float) -> list[Term]:
    """Terms of a score ``100 x scale / (scale + risk)`` with their points, which add up to what is missing to 100."""
    below = scale + sum(term.rate for term in terms)
    return [_priced(term, FULL * term.rate / below) for term in terms]


def _priced(term: Term, lost: float) -> Term:
    return Term(term.what, term.count, term.weight, term.exposure, term.unit, term.peers_exposure, -lost)
