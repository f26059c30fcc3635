"""Pictures of a source through the models and the rules, in order: what `rumblestrip watch` prints, draws and posts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from vision.core.driver import DriverState, change_driver, follow
from vision.core.eyes import LEARNING_US, EyeContour
from vision.core.rules import Finding
from vision.core.seat import Box
from vision.eye_crops import CONTEXT
from vision.frames import Picture
from vision.looking import CHUNK, Eyes, Look, make_glance
from vision.models import Face, Head
from vision.sources import Shot, Unreadable

DRIVING_MPS = 80 / 3.6
"""Assumed where a source has no speed: above every rule's gate, so that everything is judged."""

CLOSE_UP_PX = 256
"""A picture on its own without a face that is at most so large may be the close-up of an eye."""

_SETTLED_US = 61_000_000
"""An event that has not been told again for so long is over: rules tell a long one every minute."""

_EYE_HEAD = "eyes"


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
    """An event, in its last telling so far. A live source tells it once more when it is over."""

    finding: Finding
    over: bool


Told = Seen | Missed | Happened


@dataclass(slots=True)
class _Events:
    """Findings by what stays the same of them, until they are over."""

    live: bool
    _open: dict[tuple[str, int], tuple[int, Finding]] = field(default_factory=dict)

    def tell(self, findings: Iterable[Finding], now_us: int) -> Iterator[Happened]:
        for finding in findings:
            key = (str(finding.family), finding.start_us)
            if self.live and key not in self._open:
                yield Happened(finding, over=False)
            self._open[key] = (now_us, finding)
        for key, (told_us, finding) in list(self._open.items()):
            if now_us - told_us > _SETTLED_US:
                del self._open[key]
                yield Happened(finding, over=True)

    def end(self) -> list[Happened]:
        left = sorted((finding for _, finding in self._open.values()), key=lambda finding: finding.start_us)
        self._open.clear()
        return [Happened(finding, over=True) for finding in left]


def watch_in_time(
    shots: Iterable[Shot], eyes: Eyes, speed_mps: float | None = None, live: bool = False
) -> Iterator[Told]:
    """Every picture as it is seen, and every event once, when it is over.

    Args:
        shots: in the order of their times.
        speed_mps: of the vehicle, instead of what the source says; ``DRIVING_MPS`` where nobody says any.
        live: look at each picture at once instead of ``CHUNK`` together, and tell an event also when it begins.
    """
    state, events, now_us = DriverState(), _Events(live), 0
    for shot, look in _looks(shots, eyes, 1 if live else CHUNK):
        if isinstance(look, Unreadable):
            yield Missed(shot, look)
            continue
        now_us = shot.time_us or 0
        speed = _first_known(speed_mps, shot.speed_mps, DRIVING_MPS)
        state, judgement = follow(state, make_glance(now_us, speed, look))
        learned = state.baseline.learned_us / LEARNING_US
        yield Seen(shot, look, judgement.openness, judgement.perclos, learned, speed, judgement.too_sparse)
        yield from events.tell(judgement.findings, now_us)
    _, ended = change_driver(state, None)
    yield from events.tell(ended.findings, now_us)
    yield from events.end()


def watch_stills(shots: Iterable[Shot], eyes: Eyes, heads: Sequence[Head]) -> Iterator[Seen | Missed]:
    """Every picture on its own: no baseline, no rules. A small one without a face is taken for an eye's close-up."""
    eye_heads = [head for head in heads if head.name == _EYE_HEAD]
    for shot, look in _looks(shots, eyes, CHUNK):
        if isinstance(look, Unreadable):
            yield Missed(shot, look)
        elif not look.face_found and isinstance(shot.picture, Picture) and _may_be_an_eye(shot.picture):
            yield Seen(shot, _with(look, _look_as_eye(shot.picture, eye_heads)), close_up=True)
        else:
            yield Seen(shot, look)


def _looks(shots: Iterable[Shot], eyes: Eyes, chunk: int) -> Iterator[tuple[Shot, Look | Unreadable]]:
    remaining = iter(shots)
    while taken := list(islice(remaining, chunk)):
        looks = iter(eyes.look([shot.picture for shot in taken if isinstance(shot.picture, Picture)]))
        for shot in taken:
            yield shot, next(looks) if isinstance(shot.picture, Picture) else shot.picture


def _first_known(*values: float | None) -> float | None:
    return next((value for value in values if value is not None), None)


# --- close-ups ----------------------------------------------------------------------------------------------


def _may_be_an_eye(picture: Picture) -> bool:
    return max(picture.rgb.shape[:2]) <= CLOSE_UP_PX


def _look_as_eye(picture: Picture, heads: Sequence[Head]) -> Mapping[str, float]:
    """The numbers of a picture that is one eye from edge to edge: both eyes are the same one."""
    height, width = picture.rgb.shape[:2]
    face = Face(Box(0.0, 0.0, 1.0, 1.0), _eye_across(width, height), _eye_across(width, height))
    return {name: value for head in heads for name, value in head.measure([picture], [face])[0].items()}


def _eye_across(width: int, height: int) -> EyeContour:
    """The contour whose crop (see ``eye_crops.cut_eye``) is the largest square in the middle of the picture."""
    half = min(width, height) / CONTEXT / 2
    xs = np.array([-1.0, -1 / 3, 1 / 3, 1.0, 1 / 3, -1 / 3]) * half
    ys = np.array([0.0, -1.0, -1.0, 0.0, 1.0, 1.0]) * half * 0.3
    return np.column_stack([xs + width / 2, ys + height / 2])


def _with(look: Look, signals: Mapping[str, float]) -> Look:
    return Look(look.face_found, look.aspect_ratio, {**look.signals, **signals}, look.box)
