"""Pictures of a source through the models and the rules, in order: what `rumblestrip watch` prints, draws and posts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from vision.close_ups import doubt_faces, leave_out_cab, look_as_eye, may_be_eye
from vision.core.cadence import must_look
from vision.core.driver import DriverState, finish, follow
from vision.core.eyes import LEARNING_US
from vision.core.rules.shape import Finding
from vision.frames import Picture
from vision.looking import CHUNK, Eyes, Look, make_glance
from vision.models import Head
from vision.sources import Shot, Unreadable

DRIVING_MPS = 80 / 3.6
"""Assumed where a source has no speed: above every rule's gate, so that everything is judged."""


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """One picture and what was seen on it. ``learned`` is the share of the baseline that is learned."""

    shot: Shot
    look: Look
    openness: float | None = None
    perclos: float | None = None
    learned: float | None = None
    speed_mps: float | None = None
    too_sparse: bool = False  # too long after the one before for a microsleep to be seen
    close_up: bool = False  # no face: the numbers of the eye are of the whole picture


@dataclass(frozen=True, slots=True, eq=False)
class Missed:
    """One picture that could not be looked at."""

    shot: Shot
    why: Unreadable


@dataclass(frozen=True, slots=True)
class Happened:
    """An event when it begins, and once more when it is over, in its last telling."""

    finding: Finding
    over: bool


Told = Seen | Missed | Happened
Looker = Callable[[Sequence[Picture], Sequence[bool]], list[Look]]
"""Takes pictures, and which of them the seldom heads must look at (see ``vision.core.cadence``)."""


@dataclass(slots=True)
class _Events:
    """Findings by what stays the same of them, until they are over."""

    _open: set[tuple[str, int]] = field(default_factory=set)

    def tell(self, findings: Iterable[Finding]) -> Iterator[Happened]:
        for finding in findings:
            key = (str(finding.family), finding.start_us)
            if finding.ends:
                self._open.discard(key)
                yield Happened(finding, over=True)
            elif key not in self._open:
                self._open.add(key)
                yield Happened(finding, over=False)


def watch_in_time(
    shots: Iterable[Shot], eyes: Eyes, speed_mps: float | None = None, live: bool = False
) -> Iterator[Told]:
    """Every picture as it is seen, and every event when it begins and when it is over.

    Args:
        shots: in the order of their times.
        speed_mps: of the vehicle, instead of what the source says; ``DRIVING_MPS`` where nobody says any.
        live: look at each picture at once instead of ``CHUNK`` together.
    """
    looks = look_at(shots, lambda pictures, due: eyes.look(pictures, due=due), 1 if live else CHUNK)
    yield from judge_in_time(looks, DriverState(), speed_mps)


def judge_in_time(
    looks: Iterable[tuple[Shot, Look | Unreadable]], state: DriverState, speed_mps: float | None = None
) -> Iterator[Told]:
    """The rules over what was seen, in the order of the pictures' times."""
    events = _Events()
    for shot, look in looks:
        if isinstance(look, Unreadable):
            yield Missed(shot, look)
            continue
        now_us = shot.time_us or 0
        speed = _first_known(speed_mps, shot.speed_mps, DRIVING_MPS)
        state, judgement = follow(state, make_glance(now_us, speed, look, shot.belt_switch))
        learned = state.baseline.learned_us / LEARNING_US
        yield Seen(shot, look, judgement.openness, judgement.perclos, learned, speed, judgement.too_sparse)
        yield from events.tell(judgement.findings)
    _, ended = finish(state)
    yield from events.tell(sorted(ended.findings, key=lambda finding: finding.start_us))


def watch_stills(shots: Iterable[Shot], eyes: Eyes, heads: Sequence[Head]) -> Iterator[Seen | Missed]:
    """Every picture on its own: no baseline, no rules. Small ones may be close-ups (see ``vision.close_ups``)."""

    def look(pictures: Sequence[Picture], _due: Sequence[bool]) -> list[Look]:
        return eyes.look(pictures, doubt_faces(pictures, eyes.find_faces(pictures), eyes))

    for shot, seen in look_at(shots, look, CHUNK):
        if isinstance(seen, Unreadable):
            yield Missed(shot, seen)
        elif not seen.face_found and isinstance(shot.picture, Picture) and may_be_eye(shot.picture, seen.signals):
            numbers = {**leave_out_cab(seen.signals), **look_as_eye(shot.picture, heads)}
            yield Seen(shot, replace(seen, signals=numbers), close_up=True)
        else:
            yield Seen(shot, seen)


def look_at(shots: Iterable[Shot], look: Looker, chunk: int) -> Iterator[tuple[Shot, Look | Unreadable]]:
    """Each shot with its look, ``chunk`` pictures at a time."""
    remaining = iter(shots)
    before_us: int | None = None
    while taken := list(islice(remaining, chunk)):
        readable = [(shot.time_us or 0, shot.picture) for shot in taken if isinstance(shot.picture, Picture)]
        befores_us = [before_us, *(time_us for time_us, _ in readable)]
        due = [must_look(time_us, before) for (time_us, _), before in zip(readable, befores_us, strict=False)]
        before_us = befores_us[-1]
        looks = iter(look([picture for _, picture in readable], due))
        for shot in taken:
            yield shot, next(looks) if isinstance(shot.picture, Picture) else shot.picture


def _first_known(*values: float | None) -> float | None:
    return next((value for value in values if value is not None), None)
