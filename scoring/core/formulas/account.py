"""A score's terms as lines that a driver can read: what happened, how often, and what peers do on the same way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from scoring.core.exposure import BAND_LABELS
from scoring.core.formulas.expected_risk import SPELL_S
from scoring.core.formulas.port import Result, Term
from scoring.core.formulas.tally import Tally

OVER = "over_limit"
PEERS_WORD = "peers"
_TIMES = {1: "Once", 2: "Twice"}


@dataclass(frozen=True, slots=True)
class Line:
    """``what``: a kind of event, "over_limit" or "peers". ``grade``: its severity or band; empty of peers."""

    what: str
    grade: str
    points: float
    why: str


def account(result: Result, driven: Tally, distance: Callable[[float], str]) -> list[Line]:
    """The lines of a score of ours, dearest first, the peers' last. Their points and 100 make the score.

    Args:
        distance: writes a length in metres in the fleet's unit.
    """
    peers = {term.what.partition(".")[2]: term for term in result.terms if term.is_of_peers}
    own = [_line(term, peers, driven, distance) for term in result.terms if not term.is_of_peers]
    own.sort(key=lambda line: (line.points, line.what, line.grade))
    return [*own, _of_peers(list(peers.values()))] if peers else own


def span(seconds: float) -> str:
    """`45 s`, `4 min 10 s`, `3 h 05 min`"""
    whole = round(seconds)
    minutes, rest = divmod(whole, 60)
    if not minutes:
        return f"{whole} s"
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def _line(term: Term, peers: dict[str, Term], driven: Tally, distance: Callable[[float], str]) -> Line:
    grade = term.what.partition(".")[2]
    usual = peers.get(term.what if term.kind == OVER else term.kind)
    if term.kind == OVER:
        return Line(OVER, grade, term.points, _over(grade, usual, driven))
    times = _TIMES.get(round(term.count), f"{term.count:g} times")
    why = f"{times} in {distance(driven.distance_m)}."
    if usual is not None:
        why += f" Peers have {_about(_expected(usual))} of any severity over that distance."
    return Line(term.kind, grade, term.points, why)


def _over(band: str, usual: Term | None, driven: Tally) -> str:
    place = list(BAND_LABELS).index(band)
    known = f", of {span(driven.limit_known_s)} with a known limit" if driven.limit_known_s else ""
    why = f"{span(driven.over_s[place])} at {BAND_LABELS[band]} over the limit{known}."
    return why if usual is None else f"{why} Peers: {span(_expected(usual) * SPELL_S)}."


def _of_peers(terms: Sequence[Term]) -> Line:
    points = sum(term.points for term in terms)
    why = "What peers have on average stands in for what is not known yet: the more is driven, the less it counts."
    return Line(PEERS_WORD, "", points, why)


def _expected(usual: Term) -> float:
    """How many peers have on the same exposure."""
    return usual.count / usual.peers_exposure * usual.exposure


def _about(count: float) -> str:
    return f"{count:.1f}" if count >= 0.95 else f"{count:.2f}" if count >= 0.01 else "hardly any"
