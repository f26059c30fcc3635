"""How often a torso is looked at: at the first picture of each half second, however the stream is cut."""

from __future__ import annotations

from collections.abc import Mapping

from vision.core.signals import BELT_WORN, DRINKING, PHONE, SMOKING

LOOK_US = 500_000
"""A torso costs about as much as four faces. The quickest rule that asks for one needs phone use of 2 s: four looks,
one of which may miss. Eyes are looked at on every picture, since a blink lasts 0.3 s."""

SELDOM = frozenset((BELT_WORN, PHONE, SMOKING, DRINKING))
"""The numbers of heads that look seldom."""


def must_look(time_us: int, before_us: int | None) -> bool:
    """Whether the seldom heads must look at a picture, asked before it is known which frames the rules follow.

    Where the picture before it lies in the same half second, its numbers cannot count: that one was followed itself,
    or it came too late for one that was and that lies between the two.

    Args:
        before_us: of the picture before it in the order of the stream; None where that is not known.
    """
    return before_us is None or time_us // LOOK_US != before_us // LOOK_US


def keep_due(numbers: Mapping[str, float], time_us: int, last_us: int | None) -> Mapping[str, float]:
    """The numbers of a frame that count: those of the seldom heads only where it begins a half second, looked at or
    not.

    Args:
        last_us: of the last frame that was followed; None where there was none.
    """
    if SELDOM.isdisjoint(numbers) or last_us is None or time_us // LOOK_US > last_us // LOOK_US:
        return numbers
    return {name: value for name, value in numbers.items() if name not in SELDOM}
