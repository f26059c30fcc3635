"""Other rules to try: weights of the risk formula, and harsh thresholds that are higher than those in force."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from infra.contracts.events import EventKind, Severity
from infra.contracts.telemetry import VehicleClass
from scoring.core.formulas.expected_risk import Cause, RiskFormula
from scoring.core.rules import Rules

KINDS = {"brake": EventKind.HARSH_BRAKE, "acceleration": EventKind.HARSH_ACCELERATION, "turn": EventKind.HARSH_TURN}
_SECTIONS = frozenset(("name", "weights", "bands", "severity", "scale", "harsh_g"))


class RulesError(ValueError):
    """The rules cannot be understood or tried; the message says what and why."""


@dataclass(frozen=True, slots=True)
class Change:
    """What differs from the rules in force. ``harsh_g``: (vehicle class, kind) to g."""

    name: str
    weights: Mapping[str, float] = field(default_factory=dict)
    bands: Mapping[str, float] = field(default_factory=dict)
    severity: Mapping[str, float] = field(default_factory=dict)
    scale: float | None = None
    harsh_g: Mapping[tuple[str, EventKind], float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Peak:
    """A harsh event as a threshold sees it. ``threshold_g``: the one that it was found with, which GPS has lower."""

    kind: EventKind
    vehicle_class: str
    peak_g: float
    threshold_g: float


def read_change(content: Any, formula: RiskFormula, rules: Rules) -> Change:
    """A change from a file's mapping: name, weights, bands, severity, scale, harsh_g (class: brake, turn, ...).

    Raises:
        RulesError: a word that is not known, a number that is none, or a threshold below the one in force.
    """
    if not isinstance(content, dict) or not isinstance(content.get("name"), str):
        raise RulesError("the rules need a name: `name: what-we-try`")
    _known("rules", content, _SECTIONS)
    severities = {str(one): share for one, share in formula.severity_share.items()}
    return Change(
        name=content["name"],
        weights=_numbers("weights", content.get("weights"), formula.events),
        bands=_numbers("bands", content.get("bands"), formula.bands),
        severity=_numbers("severity", content.get("severity"), severities),
        scale=None if content.get("scale") is None else _number("scale", content["scale"], least=1.0),
        harsh_g=_thresholds(content.get("harsh_g"), rules),
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


def is_kept(peak: Peak, change: Change, rules: Rules) -> bool:
    """Whether a harsh event still reaches the threshold. Its peak decides; the 0.2 s that it must last are not asked
    again, so that at most an event at the very threshold is kept too many."""
    now_g = threshold_g(rules, peak.vehicle_class, peak.kind)
    new_g = change.harsh_g.get((peak.vehicle_class, peak.kind), now_g)
    return peak.peak_g >= peak.threshold_g * new_g / now_g


def threshold_g(rules: Rules, vehicle_class: str, kind: EventKind) -> float:
    """Of the accelerometer, in force."""
    word = next(word for word, known in KINDS.items() if known is kind)
    return float(getattr(rules.harsh[VehicleClass(vehicle_class)], f"{word}_g"))


def _weighed(causes: Mapping[str, Cause], weights: Mapping[str, float]) -> dict[str, Cause]:
    return {word: replace(cause, weight=weights.get(word, cause.weight)) for word, cause in causes.items()}


def _thresholds(content: Any, rules: Rules) -> dict[tuple[str, EventKind], float]:
    _known("harsh_g", content, [str(one) for one in VehicleClass])
    found = {}
    for vehicle_class, given in (content or {}).items():
        for word, value in _numbers(f"harsh_g.{vehicle_class}", given, KINDS).items():
            now_g = threshold_g(rules, vehicle_class, KINDS[word])
            if value < now_g:
                raise RulesError(
                    f"harsh_g.{vehicle_class}.{word} of {value:g} is below the {now_g:g} in force: what was not "
                    "recorded as an event cannot be found again from what is stored"
                )
            found[vehicle_class, KINDS[word]] = value
    return found


def _numbers(section: str, content: Any, words: Mapping[str, object]) -> dict[str, float]:
    _known(section, content, words)
    return {word: _number(f"{section}.{word}", value) for word, value in (content or {}).items()}


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
