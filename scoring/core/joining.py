"""One event, not five: detections of a vehicle that overlap in time become one event with the labels it contains."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from infra.contracts.events import EventKind, JsonObject, SafetyEvent, Severity, event_id
from scoring.core import episodes
from scoring.core.context import context_labels
from scoring.core.detectors import BY_NAME, Accepted
from scoring.core.episodes import Episode
from scoring.core.rules import SECOND_US

JOIN_US = 6 * SECOND_US  # after its end: every detection that overlaps has begun, been seen, and is waited for
LONGEST_US = 30 * SECOND_US  # what lasts longer is no event of motion, but an endless bend or a tilted sensor
_SEVERITIES = tuple(Severity)


@dataclass(frozen=True, slots=True)
class Detection:
    """An episode that was judged to be an event, or a part of one."""

    episode: Episode
    verdict: Accepted

    @property
    def kind(self) -> EventKind:
        return BY_NAME[self.episode.detector].kind

    @property
    def start_us(self) -> int:
        return start_us(self.episode)

    @property
    def end_us(self) -> int:
        return end_us(self.episode)

    def dump(self) -> JsonObject:
        return {"episode": self.episode.dump(), "verdict": asdict(self.verdict)}


def load(state: Any) -> Detection:
    verdict = state["verdict"] | {"severity": Severity(state["verdict"]["severity"])}
    return Detection(episodes.load(state["episode"]), Accepted(**verdict))


def start_us(episode: Episode) -> int:
    """With the time that its first value spans."""
    return episode.start_us - BY_NAME[episode.detector].half_us


def end_us(episode: Episode) -> int:
    """Without the time that its detector only remembers, and with that which its last value spans."""
    detector = BY_NAME[episode.detector]
    return max(episode.start_us, episode.end_us - detector.hold_us) + detector.half_us


def reach_start_us(episode: Episode) -> int:
    """From when on it may overlap with others."""
    detector = BY_NAME[episode.detector]
    return episode.start_us - detector.reach_us - detector.half_us


def joins(episode: Episode) -> bool:
    """Of motion, so far. Speeding is a state, within which motion events stand by themselves."""
    return BY_NAME[episode.detector].joins and episode.end_us - episode.start_us <= LONGEST_US


def groups(detections: Iterable[Detection]) -> list[list[Detection]]:
    """Chains of those that overlap, in order of where they reach back to."""
    found: list[list[Detection]] = []
    until_us = 0
    for one in sorted(detections, key=lambda d: (reach_start_us(d.episode), d.episode.detector)):
        if found and joins(one.episode) and joins(found[-1][0].episode) and reach_start_us(one.episode) <= until_us:
            found[-1].append(one)
            until_us = max(until_us, one.end_us)
        elif joins(one.episode) or not found:
            found.append([one])
            until_us = one.end_us
        else:
            found.insert(-1, [one])
    return found


def chief(group: list[Detection]) -> Detection:
    """The gravest, whose kind the event has."""
    return max(group, key=_gravity)


def to_event(group: list[Detection], vehicle_id: str, rules_version: str, source: str | None = None) -> SafetyEvent:
    """One event of the gravest detection's kind. A near crash gives its severity to the harsh event it lies in.

    There the kind stays the harsh one, whose measure and threshold a driver can follow; its labels name everything.

    Args:
        source: of the evidence, where it is another than the detector knows.
    """
    gravest = chief(group)
    first = min(group, key=lambda d: (d.start_us, d.episode.detector))
    severity = max((d.verdict.severity for d in group), key=_SEVERITIES.index)
    place = first.episode.detail
    evidence = dict(gravest.verdict.evidence)
    if source is not None:
        evidence["source"] = source
    if joins(gravest.episode):
        evidence["labels"] = list(dict.fromkeys(str(d.kind) for d in sorted(group, key=_gravity, reverse=True)))
        near = next((d for d in group if d.kind is EventKind.NEAR_CRASH and d is not gravest), None)
        if near is not None:
            evidence["near_crash_evidence_g"] = near.verdict.peak
    context = context_labels(first.start_us, place.get("lat"), place.get("lon"), place.get("limit_mps"))
    if context:
        evidence["context"] = context
    return SafetyEvent(
        event_id=event_id(rules_version, vehicle_id, gravest.kind, first.start_us),
        vehicle_id=vehicle_id,
        driver_id=first.episode.driver_id,
        kind=gravest.kind,
        severity=severity,
        start_us=first.start_us,
        end_us=max(d.end_us for d in group),
        lat=place.get("lat"),
        lon=place.get("lon"),
        speed_mps=place.get("speed_mps"),
        peak=gravest.verdict.peak,
        peak_unit=gravest.verdict.unit,
        confidence=max(d.verdict.confidence for d in group),
        rules_version=rules_version,
        evidence=evidence,
    )


def _gravity(one: Detection) -> tuple[int, int, float, int, str]:
    verdict = one.verdict
    severity = _SEVERITIES.index(verdict.severity)
    return _RANKS.get(one.kind, 0), severity, verdict.peak, -one.start_us, one.episode.detector


_RANKS = {EventKind.ROLLOVER: 3, EventKind.CRASH: 2, EventKind.NEAR_CRASH: -1, EventKind.SWERVE: -2}
