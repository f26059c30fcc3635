"""Learns what peers lead one to expect: a Gamma distribution of each rate, from the tallies of a peer group."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from infra.contracts.events import JsonObject
from infra.contracts.telemetry import Float64
from scoring.core.formulas.expected_risk import MOST_EXPOSURE, MOST_HOURS, SPELL_S, Cause, RiskFormula
from scoring.core.formulas.tally import Tally

LEAST_PEERS = 20  # ours: from fewer, the spread of a rate is a guess; the peers that the formula brings stand in
MOST_SHAPE = 50.0  # peers who are all alike are a chance of few
KILOMETRES_1000_M = 1_000_000.0


@dataclass(frozen=True, slots=True)
class Gamma:
    """Of a rate among peers: ``count / exposure`` is its mean, ``count`` its shape."""

    count: float
    exposure: float


@dataclass(frozen=True, slots=True)
class Rates:
    """What peers lead one to expect, of kinds of events and of bands: (count, exposure, mean severity) of each."""

    events: Mapping[str, tuple[float, float, float]]
    bands: Mapping[str, tuple[float, float, float]]


def rates_of(formula: RiskFormula) -> Rates:
    """The peers of a formula."""
    return Rates(*({word: _numbers(cause) for word, cause in m.items()} for m in (formula.events, formula.bands)))


def with_rates(formula: RiskFormula, rates: Rates) -> RiskFormula:
    """The formula with these peers; a word that they do not hold keeps its own."""
    return replace(formula, events=_told(formula.events, rates.events), bands=_told(formula.bands, rates.bands))


def dump_rates(rates: Rates) -> JsonObject:
    return {"events": dict(rates.events), "bands": dict(rates.bands)}


def load_rates(stored: Mapping[str, Mapping[str, Sequence[float]]]) -> Rates:
    """What ``dump_rates`` made, from JSON."""
    events, bands = ({w: (n[0], n[1], n[2]) for w, n in stored[part].items()} for part in ("events", "bands"))
    return Rates(events, bands)


def _numbers(cause: Cause) -> tuple[float, float, float]:
    return cause.peers_count, cause.peers_exposure, cause.peers_share


def _told(causes: Mapping[str, Cause], rates: Mapping[str, tuple[float, float, float]]) -> dict[str, Cause]:
    told = {}
    for word, cause in causes.items():
        count, exposure, share = rates.get(word, _numbers(cause))
        told[word] = replace(cause, peers_count=count, peers_exposure=exposure, peers_share=share)
    return told


def fit_peers(formula: RiskFormula, tallies: Sequence[Tally]) -> RiskFormula:
    """The formula with the causes' peers taken from this group: one tally a peer, of the same span of time.

    Fewer than LEAST_PEERS with any driving leave it as it is.
    """
    driven = [one for one in tallies if one.distance_m > 0 and one.driving_s > 0]
    if len(driven) < LEAST_PEERS:
        return formula
    distance = np.array([one.distance_m for one in driven]) / formula.distance_unit_m
    hours = np.array([one.limit_known_s for one in driven]) / 3600
    events = {kind: _events(formula, kind, cause, driven, distance) for kind, cause in formula.events.items()}
    spells = np.array([one.over_s for one in driven]) / SPELL_S
    bands = {
        band: _learned(cause, spells[:, place], hours, cause.peers_share, MOST_HOURS)
        for place, (band, cause) in enumerate(formula.bands.items())
    }
    return replace(formula, events=events, bands=bands)


def _events(formula: RiskFormula, kind: str, cause: Cause, driven: Sequence[Tally], distance: Float64) -> Cause:
    counts = np.array([one.count(kind) for one in driven], float)
    weighed = sum(
        number * formula.severity_share[severity]
        for one in driven
        for (word, severity), number in one.events.items()
        if word == kind
    )
    most = MOST_EXPOSURE * KILOMETRES_1000_M / formula.distance_unit_m
    return _learned(cause, counts, distance, weighed / counts.sum() if counts.any() else cause.peers_share, most)


def _learned(cause: Cause, counts: Float64, exposures: Float64, share: float, most: float) -> Cause:
    gamma = gamma_of(counts, exposures, Gamma(cause.peers_count, cause.peers_exposure), most)
    return replace(cause, peers_count=gamma.count, peers_exposure=gamma.exposure, peers_share=share)


def gamma_of(counts: Float64, exposures: Float64, before: Gamma, most: float) -> Gamma:
    """The distribution of a rate by its moments (Bühlmann and Straub 1970, the variance within being Poisson's).

    ``before`` counts as one more peer: a kind that nobody had yet keeps a rate above nought.
    ``most``: the exposure that the peers stand for at most.
    """
    counts = np.append(counts, before.count)
    exposures = np.append(exposures, before.exposure)
    kept = exposures > 0
    counts, exposures = counts[kept], exposures[kept]
    total = float(exposures.sum())
    mean = float(counts.sum()) / total
    between = float(np.sum(exposures * (counts / exposures - mean) ** 2)) - (len(counts) - 1) * mean
    variance = between / (total - float(np.sum(exposures**2)) / total)
    shape = MOST_SHAPE if variance <= 0 else min(mean**2 / variance, MOST_SHAPE)
    exposure = min(shape / mean, most)
    return Gamma(exposure * mean, exposure)


def percentile(value: float, peers: Sequence[float]) -> float:
    """The share of peers below a score, of those as good half: 0 to 100, as Geotab's 50 is the middle.

    Raises:
        ValueError: no peers.
    """
    if not peers:
        raise ValueError("a percentile needs peers")
    ordered = sorted(peers)
    return 50 * (bisect_left(ordered, value) + bisect_right(ordered, value)) / len(ordered)
