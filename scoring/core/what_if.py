"""Other rules to try: weights of the risk formula, and thresholds; and what they make of an event that is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import Any

from infra.contracts.events import EventKind, Severity
from infra.contracts.telemetry import VehicleClass
from scoring.core.detectors.axes import severity
from scoring.core.formulas.expected_risk import Cause, RiskFormula
from scoring.core.rules import SECOND_US, Rules

KINDS = {"brake": EventKind.HARSH_BRAKE, "acceleration": EventKind.HARSH_ACCELERATION, "turn": EventKind.HARSH_TURN}
LEAST_HARSH_G = 0.1  # below lies what every corner has
_WORDS = {kind: word for word, kind in KINDS.items()}
_SECTIONS = frozenset(("name", "weights", "bands", "severity", "scale", "harsh_g", "speeding_s", "idling_s"))
_SEVERITIES = tuple(Severity)


class RulesError(ValueError):
    """The rules cannot be understood or tried; the message says what and why."""


@dataclass(frozen=True, slots=True)
class Change:
    """How rules differ from those that are built in. ``harsh_g``: (vehicle class, kind) to g.

    ``speeding_s``: how long each band must last to be an event; ``idling_s``: how long standing must.
    """

    name: str
    weights: Mapping[str, float] = field(default_factory=dict)
    bands: Mapping[str, float] = field(default_factory=dict)
    severity: Mapping[str, float] = field(default_factory=dict)
    scale: float | None = None
    harsh_g: Mapping[tuple[str, EventKind], float] = field(default_factory=dict)
    speeding_s: Mapping[str, float] = field(default_factory=dict)
    idling_s: float | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """A stored event, as a threshold sees it. ``peak``: in the unit of its kind."""

    kind: EventKind
    vehicle_class: str
    severity: Severity
    peak: float
    evidence: Mapping[str, Any]


def read_change(content: Any, formula: RiskFormula, rules: Rules) -> Change:
    """A change from a file's mapping: name, weights, bands, severity, scale, harsh_g (class: brake, turn, ...),
    speeding_s (band: seconds) and idling_s.

    Raises:
        RulesError: a word that is not known, or a number that is none.
    """
    if not isinstance(content, dict) or not isinstance(content.get("name"), str):
        raise RulesError("the rules need a name: `name: what-we-try`")
    _known("rules", content, _SECTIONS)
    severities = {str(one): share for one, share in formula.severity_share.items()}
    bands = {band.word: band.minimum_s for band in rules.speeding_bands}
    return Change(
        name=content["name"],
        weights=_numbers("weights", content.get("weights"), formula.events),
        bands=_numbers("bands", content.get("bands"), formula.bands),
        severity=_numbers("severity", content.get("severity"), severities),
        scale=None if content.get("scale") is None else _number("scale", content["scale"], least=1.0),
        harsh_g=_thresholds(content.get("harsh_g")),
        speeding_s=_numbers("speeding_s", content.get("speeding_s"), bands, least=1.0),
        idling_s=None if content.get("idling_s") is None else _number("idling_s", content["idling_s"], least=30.0),
    )


def changed_formula(formula: RiskFormula, change: Change) -> RiskFormula:
    """The formula with the change's weights, under the change's name."""
    shares = {**formula.severity_share, **{Severity(word): share for word, share in change.severity.items()}}
    return replace(
        formula,
        name=change.name,
        events=_weighed(formula.events, change.weights),
        bands=_weighed(formula.bands, change.bands),
        severity_share=shares,
        scale=change.scale or formula.scale,
    )


def changed_rules(rules: Rules, change: Change) -> Rules:
    """The rules with the change's thresholds. Their version stays: ids of trips and events go on from it."""
    harsh = dict(rules.harsh)
    for (vehicle_class, kind), value_g in change.harsh_g.items():
        one = VehicleClass(vehicle_class)
        harsh[one] = replace(harsh[one], **{f"{_WORDS[kind]}_g": value_g})
    bands = (replace(b, minimum_s=change.speeding_s.get(b.word, b.minimum_s)) for b in rules.speeding_bands)
    idling_us = rules.idling_minimum_us if change.idling_s is None else int(change.idling_s * SECOND_US)
    return replace(rules, harsh=harsh, speeding_bands=tuple(bands), idling_minimum_us=idling_us)


def kinds_that_differ(before: Rules, after: Rules) -> Set[EventKind]:
    """Kinds of events whose thresholds are not the same."""
    found = {
        kind
        for kind in KINDS.values()
        for one in VehicleClass
        if threshold_g(before, one, kind) != threshold_g(after, one, kind)
    }
    if before.speeding_bands != after.speeding_bands:
        found.add(EventKind.SPEEDING)
    if before.idling_minimum_us != after.idling_minimum_us:
        found.add(EventKind.IDLING)
    return found


def judge_again(known: Known, before: Rules, after: Rules) -> tuple[EventKind, Severity] | None:
    """What other rules make of a stored event, from its own figures; None: no event any more.

    Exact but for this: the 0.2 s that a harsh peak must last are not asked again, so that an event at the very
    threshold is kept. A harsh event that holds a near crash stays one when it is harsh no more.
    """
    now = known.kind, known.severity
    if known.kind in _WORDS:
        held_g, new_g = (threshold_g(rules, known.vehicle_class, known.kind) for rules in (before, after))
        return now if held_g == new_g or "threshold_g" not in known.evidence else _harsh(known, new_g, after)
    if known.kind is EventKind.SPEEDING and before.speeding_bands != after.speeding_bands:
        return _speeding(known, after)
    if known.kind is EventKind.IDLING and known.peak * SECOND_US < after.idling_minimum_us:
        return None if before.idling_minimum_us != after.idling_minimum_us else now
    return now


def threshold_g(rules: Rules, vehicle_class: str, kind: EventKind) -> float:
    """Of the accelerometer."""
    return float(getattr(rules.harsh[VehicleClass(vehicle_class)], f"{_WORDS[kind]}_g"))


def _harsh(known: Known, new_g: float, rules: Rules) -> tuple[EventKind, Severity] | None:
    near = "near_crash_evidence_g" in known.evidence
    share = getattr(rules, f"gps_{_WORDS[known.kind]}_share") if known.evidence.get("source") == "gps" else 1.0
    if known.peak < new_g * share:
        return (EventKind.NEAR_CRASH, known.severity) if near else None
    own = severity(known.peak, new_g, rules)
    return known.kind, max(own, known.severity, key=_SEVERITIES.index) if near else own


def _speeding(known: Known, rules: Rules) -> tuple[EventKind, Severity] | None:
    inside = [float(known.evidence.get(f"over_{band.word}_s", 0.0)) for band in rules.speeding_bands]
    above = [sum(inside[place:]) for place in range(len(inside))]
    reached = [band for band, seconds in zip(rules.speeding_bands, above, strict=True) if seconds >= band.minimum_s]
    return (known.kind, reached[-1].severity) if reached else None


def _weighed(causes: Mapping[str, Cause], weights: Mapping[str, float]) -> dict[str, Cause]:
    return {word: replace(cause, weight=weights.get(word, cause.weight)) for word, cause in causes.items()}


def _thresholds(content: Any) -> dict[tuple[str, EventKind], float]:
    _known("harsh_g", content, [str(one) for one in VehicleClass])
    return {
        (vehicle_class, KINDS[word]): value
        for vehicle_class, given in (content or {}).items()
        for word, value in _numbers(f"harsh_g.{vehicle_class}", given, KINDS, least=LEAST_HARSH_G).items()
    }


def _numbers(section: str, content: Any, words: Mapping[str, object], least: float = 0.0) -> dict[str, float]:
    _known(section, content, words)
    return {word: _number(f"{section}.{word}", value, least) for word, value in (content or {}).items()}


def _number(name: str, value: Any, least: float = 0.0) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value < 1e6:
        raise RulesError(f"{name} must be a number from {least:g} to 1,000,000, and is {value!r}")
    return float(value)


def _known(section: str, content: Any, words: Mapping[str, object] | Sequence[str] | frozenset[str]) -> None:
    if content is None:
        return
    if not isinstance(content, dict):
        raise RulesError(f"{section} must hold `word: value` lines")
    for word in content:
        if word not in words:
            raise RulesError(f"{section}.{word} is not known; there is {', '.join(sorted(words))}")
