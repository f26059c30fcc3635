"""What a whole source came to: faces, eyes, time by state, events, and what could not be judged and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from infra.contracts.events import JsonObject
from vision.core import signals
from vision.core.eyes import LEARNING_US, SHUT_OPENNESS
from vision.core.rules.shape import Finding
from vision.sources import Source
from vision.watching import DRIVING_MPS, Happened, Missed, Seen, Told

LONGEST_US = 1_500_000
"""A picture speaks for the time until the next one, and not for longer."""

SHARES = {
    "belt worn": signals.BELT_WORN,
    "phone": signals.PHONE,
    "smoking": signals.SMOKING,
    "drinking": signals.DRINKING,
    "yawning": signals.YAWN,
    "camera unfit": signals.CAMERA_UNFIT,
}
"""Of the pictures looked at for it, how many say so at 0.5."""

_MOST_NAMED = 5


@dataclass(slots=True)
class Summary:
    """Grows picture by picture, and stays small for a camera that runs for months."""

    source: Source
    speed_mps: float | None = None
    start_us: int | None = None
    frames: int = 0
    faces: int = 0
    missed: int = 0
    named: list[Missed] = field(default_factory=list)  # the first few of them
    events: list[Finding] = field(default_factory=list)
    state_us: Counter[str] = field(default_factory=Counter)
    said: Counter[str] = field(default_factory=Counter)
    asked: Counter[str] = field(default_factory=Counter)
    sparse: int = 0
    learned: float | None = None
    speed_known: bool = False
    _openness: Counter[int] = field(default_factory=Counter)  # in hundredths
    _last: tuple[int, str] | None = None

    def add(self, told: Told) -> None:
        if isinstance(told, Happened):
            self.events += [told.finding] if told.over else []
        elif isinstance(told, Missed):
            self.missed += 1
            self.named += [told] if len(self.named) < _MOST_NAMED else []
        else:
            self._add_seen(told)

    def median_openness(self) -> float | None:
        if not self._openness:
            return None
        hundredths = np.repeat(list(self._openness), list(self._openness.values()))
        return float(np.median(hundredths)) / 100

    def notes(self) -> Iterator[str]:
        """In words, what was assumed and what could not be judged."""
        yield from self._notes_on_time() if self.source.kind != "pictures" else ()
        for name, count in self.said.items():
            if name == "camera unfit" and count:
                yield f"{count} of {self.asked[name]} pictures are unfit to judge by (dark, covered or blinded)."
        if self.source.dropped():
            yield f"{self.source.dropped()} pictures of the camera were dropped: they came faster than they are seen."

    def line(self) -> JsonObject:
        """The last line of ``--format jsonl``."""
        median = self.median_openness()
        return {
            "type": "summary",
            "source": self.source.name,
            "frames": self.frames,
            "errors": self.missed,
            "faces": self.faces,
            "openness_median": None if median is None else round(median, 4),
            "seconds": {state: round(us / 1e6, 3) for state, us in sorted(self.state_us.items())},
            "events": dict(sorted(Counter(str(event.kind) for event in self.events).items())),
            "baseline_learned": None if self.learned is None else round(self.learned, 4),
            "notes": list(self.notes()),
        }

    def _add_seen(self, seen: Seen) -> None:
        self.start_us = seen.shot.time_us if self.start_us is None else self.start_us
        self.frames += 1
        self.faces += seen.look.face_found
        self.sparse += seen.too_sparse
        self.learned = seen.learned
        self.speed_known |= seen.shot.speed_mps is not None
        if seen.openness is not None:
            self._openness[round(seen.openness * 100)] += 1
        for name, signal in SHARES.items():
            if (value := seen.look.signals.get(signal)) is not None:
                self.asked[name] += 1
                self.said[name] += value >= 0.5
        self._count_time(seen)

    def _count_time(self, seen: Seen) -> None:
        if seen.shot.time_us is None:
            return
        if self._last is not None:
            since_us, state = self._last
            self.state_us[state] += max(0, min(seen.shot.time_us - since_us, LONGEST_US))
        self._last = seen.shot.time_us, eyes_in_words(seen)

    def _notes_on_time(self) -> Iterator[str]:
        if not self.speed_known and self.speed_mps is None:
            yield f"No speed is known: driving at {DRIVING_MPS * 3.6:.0f} km/h is assumed (--speed says otherwise)."
        if self.learned is not None and self.learned < 1:
            seconds = LEARNING_US / 1e6
            yield (
                f"This driver's own eyes are still being learned ({self.learned * seconds:.0f} of {seconds:.0f} s of "
                "driving with a face): until then eyes are called shut only where the network is sure of it, and "
                "what is relative to the driver's usual (openness, head pose, PERCLOS) is not to be relied on."
            )
        if self.frames > 1 and self.sparse > self.frames / 2:
            yield "Too few pictures a second to see a microsleep: it takes two a second, and evenly."


def eyes_in_words(seen: Seen) -> str:
    """open, shut, or why that is not judged."""
    if not seen.look.face_found:
        return "no face"
    if seen.openness is not None:
        return "eyes shut" if seen.openness <= SHUT_OPENNESS else "eyes open"
    return "eyes not seen" if seen.look.aspect_ratio is None else "eyes being learned"
