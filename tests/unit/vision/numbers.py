"""Frames as the rules see them, in seconds from a start: a driver whose usual is known already."""

from collections.abc import Iterable, Sequence

from infra.contracts.events import EventKind
from vision.core.driver import DriverState, Glance, Judgement, follow
from vision.core.eyes import LEARNING_US, SHUT_RATIO, Baseline, learn
from vision.core.pose import Neutral, learn_pose
from vision.core.rules.shape import Finding
from vision.core.rules.table import RULES, Rules
from vision.core.signals import EYE_CLOSED, GAZE_PITCH, GAZE_YAW, HEAD_PITCH, HEAD_YAW

START_US = 1_700_000_000_000_000
FAST_MPS = 25.0
USUAL_RATIO = 0.2925  # the middle of a bin of the baseline
NEUTRAL_YAW_DEG, NEUTRAL_PITCH_DEG = 14.0, -6.0  # a camera beside the driver, a little above


def _known() -> DriverState:
    neutral, straight = Neutral(), turned(0, 0) | {GAZE_YAW: 2.0, GAZE_PITCH: 2.0}
    baseline = learn(Baseline(), USUAL_RATIO, LEARNING_US)
    return DriverState("anna", "anna", baseline, learn_pose(neutral, straight, LEARNING_US))


def turned(yaw_deg: float, pitch_deg: float) -> dict[str, float]:
    """The head so far from its neutral pose."""
    return {HEAD_YAW: NEUTRAL_YAW_DEG + yaw_deg, HEAD_PITCH: NEUTRAL_PITCH_DEG + pitch_deg}


def glance(at_s: float, openness: float | None = 1.0, speed_mps: float | None = FAST_MPS, **more: object) -> Glance:
    """``openness`` is what both witnesses say. ``numbers`` join those of the eyes."""
    time_us = START_US + round(at_s * 1e6)
    numbers = dict(more.pop("numbers", {}))  # type: ignore[call-overload]
    if openness is None:
        return Glance(time_us, speed_mps, None, numbers, **more)  # type: ignore[arg-type]
    ratio = USUAL_RATIO * (SHUT_RATIO + openness * (1 - SHUT_RATIO))
    return Glance(time_us, speed_mps, ratio, {EYE_CLOSED: 1 - openness} | numbers, **more)  # type: ignore[arg-type]


def stretch(
    start_s: float,
    end_s: float,
    openness: float | None = 1.0,
    fps: float = 10,
    speed_mps: float | None = FAST_MPS,
    **more: object,
) -> list[Glance]:
    """Frames from start to end, the end not included."""
    count = round((end_s - start_s) * fps)
    return [glance(start_s + i / fps, openness, speed_mps, **more) for i in range(count)]


def watch(
    glances: Iterable[Glance], state: DriverState | None = None, rules: Rules = RULES
) -> tuple[DriverState, list[Judgement]]:
    state, judged = state or KNOWN, []
    for each in glances:
        state, judgement = follow(state, each, rules)
        judged.append(judgement)
    return state, judged


def findings(glances: Iterable[Glance], state: DriverState | None = None, rules: Rules = RULES) -> list[Finding]:
    return [finding for judgement in watch(glances, state, rules)[1] for finding in judgement.findings]


def last_words(glances: Iterable[Glance], state: DriverState | None = None) -> list[EventKind]:
    """What the desk shows in the end: the last telling of each event."""
    return [finding.kind for finding in last_tellings(findings(glances, state))]


def last_tellings(told: Sequence[Finding]) -> list[Finding]:
    return list({(finding.family, finding.start_us): finding for finding in told}.values())


KNOWN = _known()
