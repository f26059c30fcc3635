"""What every rule is given and gives back, and how one event is opened, promoted, extended and closed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Generic, Protocol, TypeVar

from infra.contracts.events import EventKind, Severity
from vision.core.pose import Turn

SECOND_US = 1_000_000

LEAST_FRAMES = 3
"""Whatever lasts is believed where at least three frames show it."""

EXTEND_US = 60_000_000
"""An event that goes on is told again this often, so that its end on the desk is not old."""

State = TypeVar("State")


class Sign(StrEnum):
    """Small facts that one rule tells those after it. Not events."""

    LONG_BLINK = "long_blink"
    MICROSLEEP = "microsleep"
    YAWN = "yawn"
    NOD = "nod"


@dataclass(frozen=True, slots=True)
class Sample:
    """One frame. ``openness`` and ``shut`` are None where the eyes were not seen or cannot be judged yet, ``turn``
    where the head was not; ``numbers`` are by the names in ``core.signals``."""

    time_us: int
    speed_mps: float | None = None
    openness: float | None = None
    shut: bool | None = None
    perclos: float | None = None
    turn: Turn | None = None
    face_found: bool = True
    numbers: Mapping[str, float] = field(default_factory=dict)
    belt_switch: bool | None = None
    picture_hash: int | None = None
    signs: tuple[Sign, ...] = ()  # of this frame, by the rules before


@dataclass(frozen=True, slots=True)
class Finding:
    """An event, or one told before and now promoted, extended or ended: the same ``family`` and ``start_us``."""

    family: EventKind  # the least kind that it may be: never changes, unlike ``kind``
    kind: EventKind
    severity: Severity
    start_us: int
    end_us: int
    peak: float
    peak_unit: str
    confidence: float
    speed_mps: float | None
    evidence: Mapping[str, object]
    opens: bool  # told for the first time, at the frame that crossed the threshold
    ends: bool = False  # told for the last time


@dataclass(frozen=True, slots=True)
class Said:
    findings: tuple[Finding, ...] = ()
    signs: tuple[Sign, ...] = ()


NOTHING = Said()


class Rule(Protocol[State]):
    """Pure: values in, values out. ``slowest_us`` says, per kind, the widest gap between two frames at which it can
    still be seen."""

    @property
    def name(self) -> str: ...

    @property
    def state(self) -> type[State]:
        """Called without arguments it is the state before the first frame."""

    @property
    def slowest_us(self) -> Mapping[EventKind, int]: ...

    def step(self, state: State, sample: Sample) -> tuple[State, Said]:
        """The state after a frame later than all before, and what it brought to light."""

    def finish(self, state: State) -> tuple[State, Said]:
        """Ends what is open: another driver took over, or no frame has come for long."""

    def is_open(self, state: State) -> bool:
        """Whether an event was told that has not ended."""


def is_faster(speed_mps: float | None, gate_mps: float) -> bool:
    """True for an unknown speed: a camera without one would be blind."""
    return speed_mps is None or not speed_mps <= gate_mps


# --- one event over time ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Evidence:
    """That it is so at this frame, since when, and how much of it."""

    start_us: int
    last_us: int
    peak: float
    severity: Severity
    confidence: float
    details: Mapping[str, object]
    kind: EventKind | None = None  # where it is another than the plan's


@dataclass(frozen=True, slots=True)
class Plan:
    """``quiet_us``: evidence that comes back within this time is the same event."""

    kind: EventKind
    quiet_us: int
    peak_unit: str = "s"


@dataclass(frozen=True, slots=True)
class Episode:
    """An event that was told and has not ended."""

    kind: EventKind
    start_us: int
    last_us: int
    peak: float
    severity: Severity
    confidence: float
    details: Mapping[str, object]
    speed_mps: float | None
    told_us: int


class HasEpisode(Protocol):
    @property
    def episode(self) -> Episode | None: ...


HeldState = TypeVar("HeldState", bound=HasEpisode)


class OneEvent(ABC, Generic[HeldState]):
    """A rule (see ``Rule``) with one event at a time, which its state holds: it ends the same way whatever it is."""

    __slots__ = ()

    @property
    @abstractmethod
    def state(self) -> type[HeldState]: ...

    @property
    @abstractmethod
    def plan(self) -> Plan: ...

    def finish(self, state: HeldState) -> tuple[HeldState, Said]:
        return self.state(), Said(end(self.plan, state.episode))

    def is_open(self, state: HeldState) -> bool:
        return state.episode is not None


def hold(
    plan: Plan, episode: Episode | None, seen: Evidence | None, sample: Sample
) -> tuple[Episode | None, tuple[Finding, ...]]:
    """The event after a frame that shows it, or does not, and what there is to tell of it."""
    told: tuple[Finding, ...] = ()
    since_us = seen.start_us if seen else sample.time_us
    if episode and since_us - episode.last_us > plan.quiet_us:
        told, episode = end(plan, episode), None
    if seen is None:
        return episode, told
    if episode is None:
        opened = _open(plan, seen, sample)
        return opened, (*told, _tell(plan, opened, opens=True))
    after = _extend(episode, seen)
    promoted = (after.kind, after.severity) != (episode.kind, episode.severity)
    if not promoted and sample.time_us - episode.told_us < EXTEND_US:
        return after, told
    after = replace(after, told_us=sample.time_us)
    return after, (*told, _tell(plan, after))


def end(plan: Plan, episode: Episode | None) -> tuple[Finding, ...]:
    return () if episode is None else (_tell(plan, episode, ends=True),)


def worse(one: Severity, other: Severity) -> Severity:
    return max(one, other, key=_ORDER.__getitem__)


_ORDER = {severity: i for i, severity in enumerate(Severity)}


def _open(plan: Plan, seen: Evidence, sample: Sample) -> Episode:
    return Episode(
        seen.kind or plan.kind,
        seen.start_us,
        seen.last_us,
        seen.peak,
        seen.severity,
        seen.confidence,
        seen.details,
        sample.speed_mps,
        sample.time_us,
    )


def _extend(episode: Episode, seen: Evidence) -> Episode:
    more = seen.peak >= episode.peak
    return replace(
        episode,
        kind=seen.kind or episode.kind,
        last_us=max(episode.last_us, seen.last_us),
        peak=max(episode.peak, seen.peak),
        severity=worse(episode.severity, seen.severity),
        confidence=max(episode.confidence, seen.confidence),
        details=seen.details if more else episode.details,
    )


def _tell(plan: Plan, episode: Episode, opens: bool = False, ends: bool = False) -> Finding:
    return Finding(
        family=plan.kind,
        kind=episode.kind,
        severity=episode.severity,
        start_us=episode.start_us,
        end_us=episode.last_us,
        peak=episode.peak,
        peak_unit=plan.peak_unit,
        confidence=episode.confidence,
        speed_mps=episode.speed_mps,
        evidence=episode.details,
        opens=opens,
        ends=ends,
    )
