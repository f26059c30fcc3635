"""Driving without a break: hours at the wheel over trips and rests, told when they are too many, and as they grow."""

from __future__ import annotations

import itertools
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from infra.contracts.events import EventKind, JsonObject, SafetyEvent, Severity, event_id
from infra.contracts.telemetry import Int64
from scoring.core.context import context_labels
from scoring.core.rules import SECOND_US, DrivingTimeRule, Rules
from scoring.core.trips import Leg


@dataclass(frozen=True, slots=True)
class Duty:
    """Since the last full break. ``last_us``: the last fix that moved; ``told_us``: driving when last told, or 0."""

    driver_id: str | None
    since_us: int
    last_us: int
    lat: float
    lon: float
    driving_us: int = 0
    short_break: bool = False
    told_us: int = 0

    def dump(self) -> JsonObject:
        return asdict(self)


def load(state: Any) -> Duty:
    return Duty(**state)


def advance(duty: Duty | None, leg: Leg, vehicle_id: str, rules: Rules) -> tuple[list[SafetyEvent], Duty | None]:
    """Follow the fresh fixes. Returns what is to be told, and the duty under way."""
    told: list[SafetyEvent] = []
    if duty is not None and leg.driver_id is not None and duty.driver_id not in (None, leg.driver_id):
        told += _last_word(duty, vehicle_id, rules)
        duty = None
    moving = np.flatnonzero(leg.moving)
    if not len(moving):
        return told, duty
    if duty is None:
        duty = _begin(leg, int(moving[0]))
    elif duty.driver_id is None:
        duty = replace(duty, driver_id=leg.driver_id)
    time_us = leg.time_us[moving]
    if int(time_us[-1]) - duty.last_us <= rules.driving_time.pause_us:  # no pause fits in
        duty, news = _drive(duty, time_us, vehicle_id, rules)
        return told + news, duty
    return _with_pauses(duty, leg, moving, told, vehicle_id, rules)


def _with_pauses(
    duty: Duty, leg: Leg, moving: Int64, told: list[SafetyEvent], vehicle_id: str, rules: Rules
) -> tuple[list[SafetyEvent], Duty]:
    time_us = leg.time_us[moving]
    gaps = np.diff(time_us, prepend=duty.last_us)
    pauses = np.flatnonzero((gaps > rules.driving_time.pause_us) & (leg.driven_us[moving] < gaps))
    for start, end in itertools.pairwise(sorted({0, *pauses.tolist(), len(moving)})):
        if start in pauses:
            duty, ended = _rest(duty, int(gaps[start]), int(time_us[start]), leg, int(moving[start]), rules)
            told += _last_word(ended, vehicle_id, rules) if ended else []
        duty, news = _drive(duty, time_us[start:end], vehicle_id, rules)
        told += news
    return told, duty


def last_word(duty: Duty | None, vehicle_id: str, rules: Rules) -> tuple[list[SafetyEvent], Duty | None]:
    """Nothing more comes for now: tell how long it has become."""
    if duty is None:
        return [], None
    told = _last_word(duty, vehicle_id, rules)
    return told, replace(duty, told_us=duty.driving_us) if told else duty


def _begin(leg: Leg, at: int) -> Duty:
    time_us = int(leg.time_us[at])
    return Duty(leg.driver_id, time_us, time_us, float(leg.lat[at]), float(leg.lon[at]))


def _rest(duty: Duty, gap_us: int, now_us: int, leg: Leg, at: int, rules: Rules) -> tuple[Duty, Duty | None]:
    """The duty after a pause, and the one that a full break ended."""
    rule = rules.driving_time
    if gap_us >= rule.break_us or (duty.short_break and gap_us >= rule.split_us[1]):
        return _begin(leg, at), duty
    return replace(duty, last_us=now_us, short_break=duty.short_break or gap_us >= rule.split_us[0]), None


def _drive(duty: Duty, time_us: Int64, vehicle_id: str, rules: Rules) -> tuple[Duty, list[SafetyEvent]]:
    """Over fixes without a pause between them; told at exactly those at which it is due."""
    if not len(time_us):
        return duty, []
    rule = rules.driving_time
    told: list[SafetyEvent] = []
    total_us = duty.driving_us + int(time_us[-1]) - duty.last_us
    if total_us < _next_told_us(duty, rule):
        return replace(duty, driving_us=total_us, last_us=int(time_us[-1])), told
    total = duty.driving_us + time_us - duty.last_us
    while (due := _next_told_us(duty, rule)) <= int(total[-1]):
        at = int(np.searchsorted(total, due))
        duty = replace(duty, driving_us=int(total[at]), last_us=int(time_us[at]), told_us=int(total[at]))
        told.append(_event(duty, vehicle_id, rules))
    return replace(duty, driving_us=int(total[-1]), last_us=int(time_us[-1])), told


def _next_told_us(duty: Duty, rule: DrivingTimeRule) -> int:
    return duty.told_us + rule.tell_again_us if duty.told_us else rule.longest_us


def _last_word(duty: Duty, vehicle_id: str, rules: Rules) -> list[SafetyEvent]:
    return [_event(duty, vehicle_id, rules)] if 0 < duty.told_us < duty.driving_us else []


def _event(duty: Duty, vehicle_id: str, rules: Rules) -> SafetyEvent:
    """Told again, it has the same id: the same row, grown."""
    rule = rules.driving_time
    evidence: dict[str, object] = {
        "source": "GPS speed",
        "driving_s": duty.driving_us / SECOND_US,
        "allowed_s": rule.longest_us / SECOND_US,
        "break_s": rule.break_us / SECOND_US,
        "short_break_taken": duty.short_break,
    }
    context = context_labels(duty.since_us, duty.lat, duty.lon)
    return SafetyEvent(
        event_id=event_id(rules.version, vehicle_id, EventKind.LONG_DRIVING, duty.since_us),
        vehicle_id=vehicle_id,
        driver_id=duty.driver_id,
        kind=EventKind.LONG_DRIVING,
        severity=_severity(duty.driving_us, rule),
        start_us=duty.since_us,
        end_us=duty.last_us,
        lat=duty.lat,
        lon=duty.lon,
        speed_mps=None,
        peak=duty.driving_us / SECOND_US,
        peak_unit="s",
        confidence=0.9 if duty.driver_id is not None else 0.6,
        rules_version=rules.version,
        evidence=evidence | ({"context": context} if context else {}),
    )


def _severity(driving_us: int, rule: DrivingTimeRule) -> Severity:
    return next(word for least_us, word in rule.severity_steps if driving_us >= least_us)
