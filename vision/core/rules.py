"""From eye openness over time to drowsiness events: closures and PERCLOS, timed, for any frame rate.

A closure is one event that opens as a microsleep and is promoted while the eyes stay shut. It is told when it
reaches a level and once more when it ends, each time under the same id, so that a driver who does not wake is
on the desk at once. Everything is in time, nothing in counts of frames.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from infra.contracts.events import EventKind, Severity
from vision.core.perclos import Perclos, measure_perclos, see_eyes

SHUT_OPENNESS = 0.2
"""At most this is shut: the 80 % of P80 (Wierwille 1994, FHWA 1998)."""

REOPENED_OPENNESS = 0.3
"""A closure ends above this: one noisy frame at the threshold does not cut it in two."""

LONG_BLINK_US = (500_000, 1_000_000)
"""Longer than a blink, shorter than a microsleep. A sign, not an event: blink duration grows with sleepiness
(Caffier 2003, pubmed 12736840)."""

GATE_MPS = 2.2352
"""5 mph, as at TennaCAM. Slower, shut eyes are the driver's own affair."""

CLOCK_BACK_US = 10_000_000
"""Frames from further back than this mean that the device's clock was set: begin afresh."""

EXTEND_US = 60_000_000
"""A long spell of drowsiness is told again this often, so that its end on the desk is not old."""

CAUTION, DROWSY, LEAVE = 0.10, 0.15, 0.08
"""PERCLOS: alert drivers had 6.1 %, 10.5 % at the first microsleep, 12.2 % leaving the lane (jov 2141193).
A spell begins at caution and is told when it becomes drowsy: at 2 frames a second an alert driver's minute reads
as caution once in 20, as drowsy once in 4,000 (binomial)."""

_US = 1_000_000


@dataclass(frozen=True, slots=True)
class Level:
    """How long, seen how closely. ``max_gap_us`` is half the duration, with a fifth for jitter: a closure is
    believed where it was seen at least three times. So a microsleep needs 2 frames a second, and 1 a second
    show a sleep."""

    kind: EventKind
    severity: Severity
    min_us: int
    max_gap_us: int


LEVELS = (  # Euro NCAP: microsleep below 3 s, sleep above, unresponsive from 6 s
    Level(EventKind.MICROSLEEP, Severity.MODERATE, 1_000_000, 600_000),
    Level(EventKind.SLEEP, Severity.HIGH, 3_000_000, 1_500_000),
    Level(EventKind.UNRESPONSIVE, Severity.CRITICAL, 6_000_000, 1_500_000),
)
_BREAK_US = max(level.max_gap_us for level in LEVELS)
_SPARSE_US = LEVELS[0].max_gap_us


@dataclass(frozen=True, slots=True)
class Sample:
    """One frame. ``openness`` is None where the eyes were not seen or their usual is not known yet."""

    time_us: int
    openness: float | None
    speed_mps: float | None


@dataclass(frozen=True, slots=True)
class Closure:
    """Eyes shut, and still so at the last sample."""

    start_us: int
    starts_us: tuple[int, ...]  # per level: since when they were seen shut without a gap too wide for it
    last_us: int
    frames: int
    openness_sum: float
    speed_mps: float | None
    told: int = 0  # levels told
    shut_us: int = 0  # the longest that was seen closely enough for the level told


@dataclass(frozen=True, slots=True)
class Spell:
    """PERCLOS at caution or more, and not yet back under ``LEAVE``. ``told_us`` is None until it is drowsy."""

    start_us: int
    peak: float
    speed_mps: float | None
    told_us: int | None = None


@dataclass(frozen=True, slots=True)
class EyeState:
    """What the rules remember of one driver between two frames."""

    last_us: int | None = None
    closure: Closure | None = None
    perclos: Perclos = field(default_factory=Perclos)
    spell: Spell | None = None


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


@dataclass(frozen=True, slots=True)
class Judgement:
    state: EyeState
    findings: tuple[Finding, ...] = ()
    openness: float | None = None  # 0 shut, 1 this driver's usual: see ``core.eyes``
    perclos: float | None = None
    long_blink: bool = False
    too_sparse: bool = False  # the last frame is too long ago for a microsleep to be seen
    out_of_order: bool = False


def judge(state: EyeState, sample: Sample) -> Judgement:
    """The state after one more frame, and what it brought to light."""
    if state.last_us is not None and sample.time_us <= state.last_us:
        return _judge_backwards(state, sample)
    if not is_moving(sample.speed_mps):
        stopped = replace(finish(state), perclos=None)
        return replace(stopped, state=replace(stopped.state, last_us=sample.time_us))
    shut = _is_shut(state, sample)
    closure, findings, long_blink = _follow_closure(state.closure, sample, shut)
    window = see_eyes(state.perclos, sample.time_us, shut)
    share = measure_perclos(window, sample.time_us)
    spell, told = _follow_spell(state.spell, sample, share)
    sparse = state.last_us is not None and sample.time_us - state.last_us > _SPARSE_US
    after = EyeState(sample.time_us, closure, window, spell)
    return Judgement(after, (*findings, *told), None, share, long_blink, sparse)


def finish(state: EyeState) -> Judgement:
    """Ends whatever is open (the vehicle stands, or another driver took over) and forgets the last minute."""
    findings, long_blink = _end_closure(state.closure) if state.closure else ((), False)
    told = _end_spell(state.spell, state.last_us)
    return Judgement(EyeState(state.last_us), (*findings, *told), long_blink=long_blink)


def _judge_backwards(state: EyeState, sample: Sample) -> Judgement:
    if state.last_us is not None and state.last_us - sample.time_us <= CLOCK_BACK_US:
        return Judgement(state, out_of_order=True)
    ended = finish(state)
    return replace(ended, state=EyeState(sample.time_us), out_of_order=True)


def is_moving(speed_mps: float | None) -> bool:
    return speed_mps is None or not speed_mps <= GATE_MPS


def _is_shut(state: EyeState, sample: Sample) -> bool | None:
    if sample.openness is None:
        return None
    return sample.openness <= (SHUT_OPENNESS if state.closure is None else REOPENED_OPENNESS)


# --- closures -----------------------------------------------------------------------------------------------


def _follow_closure(
    closure: Closure | None, sample: Sample, shut: bool | None
) -> tuple[Closure | None, tuple[Finding, ...], bool]:
    ended: tuple[tuple[Finding, ...], bool] = ((), False)
    if closure and (shut is False or sample.time_us - closure.last_us > _BREAK_US):
        ended, closure = _end_closure(closure), None
    if not shut or sample.openness is None:
        return closure, *ended
    closure = _extend(closure, sample) if closure else _open(sample)
    closure, findings = _promote(closure)
    return closure, (*ended[0], *findings), ended[1]


def _open(sample: Sample) -> Closure:
    starts = (sample.time_us,) * len(LEVELS)
    return Closure(sample.time_us, starts, sample.time_us, 1, sample.openness or 0.0, sample.speed_mps)


def _extend(closure: Closure, sample: Sample) -> Closure:
    gap_us = sample.time_us - closure.last_us
    starts = zip(closure.starts_us, LEVELS, strict=True)
    return replace(
        closure,
        starts_us=tuple(start if gap_us <= level.max_gap_us else sample.time_us for start, level in starts),
        last_us=sample.time_us,
        frames=closure.frames + 1,
        openness_sum=closure.openness_sum + (sample.openness or 0.0),
    )


def _promote(closure: Closure) -> tuple[Closure, tuple[Finding, ...]]:
    """Levels may be skipped: at one frame a second a closure is first told as a sleep."""
    lasted_us = [closure.last_us - start for start in closure.starts_us]
    reached = max((i for i, level in enumerate(LEVELS, 1) if lasted_us[i - 1] >= level.min_us), default=0)
    told = max(reached, closure.told)
    if not told:
        return closure, ()
    after = replace(closure, told=told, shut_us=max(closure.shut_us, lasted_us[told - 1]))
    return after, ((_tell_closure(after, opens=not closure.told),) if told > closure.told else ())


def _end_closure(closure: Closure) -> tuple[tuple[Finding, ...], bool]:
    if closure.told:
        return (_tell_closure(closure, opens=False),), False
    low, high = LONG_BLINK_US
    return (), low <= closure.last_us - closure.starts_us[0] < high


def _tell_closure(closure: Closure, opens: bool) -> Finding:
    level = LEVELS[closure.told - 1]
    shut_s = closure.shut_us / _US
    return Finding(
        family=LEVELS[0].kind,
        kind=level.kind,
        severity=level.severity,
        start_us=closure.start_us,
        end_us=closure.last_us,
        peak=shut_s,
        peak_unit="s",
        confidence=closure.frames / (closure.frames + 2),  # grows with the frames that agree: 3 give 0.6, 18 give 0.9
        speed_mps=closure.speed_mps,
        evidence={
            "eyes_shut_s": round(shut_s, 3),
            "frames_shut": closure.frames,
            "mean_openness": round(closure.openness_sum / closure.frames, 3),
        },
        opens=opens,
    )


# --- PERCLOS ------------------------------------------------------------------------------------------------


def _follow_spell(spell: Spell | None, sample: Sample, share: float | None) -> tuple[Spell | None, tuple[Finding, ...]]:
    if share is None or share < (LEAVE if spell else CAUTION):
        return None, _end_spell(spell, sample.time_us)
    spell = spell or Spell(sample.time_us, share, sample.speed_mps)
    spell = replace(spell, peak=max(spell.peak, share))
    due = spell.peak >= DROWSY and (spell.told_us is None or sample.time_us - spell.told_us >= EXTEND_US)
    if not due:
        return spell, ()
    opens = spell.told_us is None
    return replace(spell, told_us=sample.time_us), (_tell_spell(spell, sample.time_us, opens),)


def _end_spell(spell: Spell | None, end_us: int | None) -> tuple[Finding, ...]:
    if spell is None or spell.told_us is None:
        return ()
    return (_tell_spell(spell, spell.told_us if end_us is None else end_us, opens=False),)


def _tell_spell(spell: Spell, end_us: int, opens: bool) -> Finding:
    return Finding(
        family=EventKind.DROWSINESS,
        kind=EventKind.DROWSINESS,
        severity=Severity.HIGH,
        start_us=spell.start_us,
        end_us=end_us,
        peak=spell.peak,
        peak_unit="share",
        confidence=0.7,  # the best validated single sign, yet not enough alone (PMC10108649)
        speed_mps=spell.speed_mps,
        evidence={"perclos_peak": round(spell.peak, 4), "window_s": 60, "caution_at": CAUTION, "drowsy_at": DROWSY},
        opens=opens,
    )
