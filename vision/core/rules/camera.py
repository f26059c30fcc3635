"""Nobody can be judged: the camera is covered or blind, shows no driver, or hangs. Said within 10 s (Euro NCAP)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from infra.contracts.events import EventKind, Severity
from vision.core.rules.gates import GATES_MPS
from vision.core.rules.shape import (
    LEAST_FRAMES,
    NOTHING,
    SECOND_US,
    Episode,
    Evidence,
    OneEvent,
    Plan,
    Said,
    Sample,
    hold,
    is_faster,
)
from vision.core.signals import CAMERA_UNFIT

SAID_AFTER_US = 8 * SECOND_US
"""Euro NCAP gives 10 s to say so; two are left for the way."""

UNFIT_AT = 0.5
LONG_US = 300 * SECOND_US
MAX_GAP_US = 4 * SECOND_US  # wider, the picture may have been good in between
PLAN = Plan(EventKind.CAMERA_OBSTRUCTED, 60 * SECOND_US)

UNFIT, FROZEN, NOBODY = "unfit", "frozen", "nobody"
_SEVERITIES = {UNFIT: Severity.MODERATE, FROZEN: Severity.MODERATE, NOBODY: Severity.LOW}


@dataclass(frozen=True, slots=True)
class Blind:
    """Since when, for one reason."""

    reason: str
    start_us: int
    last_us: int
    frames: int


@dataclass(frozen=True, slots=True)
class CameraState:
    blind: Blind | None = None
    picture_hash: int | None = None
    episode: Episode | None = None


@dataclass(frozen=True, slots=True)
class CameraRule(OneEvent[CameraState]):
    gate_mps: float = GATES_MPS[EventKind.CAMERA_OBSTRUCTED]
    state: type[CameraState] = CameraState
    plan: Plan = PLAN
    name: str = "camera"

    @property
    def slowest_us(self) -> Mapping[EventKind, int]:
        return {EventKind.CAMERA_OBSTRUCTED: MAX_GAP_US}

    def step(self, state: CameraState, sample: Sample) -> tuple[CameraState, Said]:
        same = sample.picture_hash is not None and sample.picture_hash == state.picture_hash
        reason = self._reason(sample, same)
        blind = _follow(state.blind, reason, sample.time_us)
        if blind is None and state.episode is None:
            return CameraState(None, sample.picture_hash), NOTHING
        episode, told = hold(self.plan, state.episode, _read(blind), sample)
        return CameraState(blind, sample.picture_hash, episode), Said(told) if told else NOTHING

    def _reason(self, sample: Sample, same: bool) -> str | None:
        """An empty seat is nothing strange unless the vehicle is known to move."""
        if not is_faster(sample.speed_mps, self.gate_mps):
            return None
        if sample.numbers.get(CAMERA_UNFIT, 0.0) >= UNFIT_AT:
            return UNFIT
        if same:
            return FROZEN
        return NOBODY if not sample.face_found and sample.speed_mps is not None else None


def _follow(blind: Blind | None, reason: str | None, now_us: int) -> Blind | None:
    """A reason may give way to another: a camera that is being covered is unfit before it shows nobody."""
    if reason is None:
        return None
    if blind is None or now_us - blind.last_us > MAX_GAP_US:
        return Blind(reason, now_us, now_us, 1)
    worse = min(blind.reason, reason, key=(UNFIT, FROZEN, NOBODY).index)
    return Blind(worse, blind.start_us, now_us, blind.frames + 1)


def _read(blind: Blind | None) -> Evidence | None:
    if blind is None or blind.frames < LEAST_FRAMES or blind.last_us - blind.start_us < SAID_AFTER_US:
        return None
    lasted_us = blind.last_us - blind.start_us
    severity = Severity.HIGH if lasted_us >= LONG_US else _SEVERITIES[blind.reason]
    details = {"reason": blind.reason, "blind_s": lasted_us / SECOND_US, "frames": blind.frames}
    confidence = blind.frames / (blind.frames + 2)
    return Evidence(blind.start_us, blind.last_us, lasted_us / SECOND_US, severity, confidence, details)
