"""What a list of events shows, as it stands in a page's address: a link shows the next reader the same list."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date
from enum import StrEnum
from typing import TypeVar

from infra.contracts.events import EventKind, ReviewState, Severity


class View(StrEnum):
    """The desk's piles."""

    TO_REVIEW = "to_review"
    CONTESTED = "contested"
    FOLLOW_UP = "follow_up"
    DONE = "done"
    DISMISSED = "dismissed"
    ALL = "all"


class Sorting(StrEnum):
    PRIORITY = "priority"
    NEWEST = "newest"
    OLDEST = "oldest"


STATES_OF: Mapping[View, tuple[ReviewState, ...]] = {
    View.TO_REVIEW: (ReviewState.NEEDS_REVIEW,),
    View.CONTESTED: (),
    View.FOLLOW_UP: (ReviewState.NEEDS_COACHING, ReviewState.NEEDS_RECOGNITION),
    View.DONE: (ReviewState.REVIEWED, ReviewState.COACHED, ReviewState.RECOGNIZED),
    View.DISMISSED: (ReviewState.DISMISSED,),
    View.ALL: (),
}
Word = TypeVar("Word", bound=StrEnum)
_MOST_VALUES = 50  # of one filter, from an address that anyone may have written


@dataclass(frozen=True, slots=True)
class Filters:
    """``since`` and ``until`` are days of the fleet's time zone, both included."""

    view: View = View.TO_REVIEW
    kinds: tuple[str, ...] = ()
    severities: tuple[str, ...] = ()
    drivers: tuple[str, ...] = ()
    vehicles: tuple[str, ...] = ()
    since: date | None = None
    until: date | None = None
    sorting: Sorting = Sorting.PRIORITY

    @property
    def narrowing(self) -> int:
        """How many filters beside the pile leave something out."""
        period = int(self.since is not None or self.until is not None)
        return period + sum(bool(each) for each in (self.kinds, self.severities, self.drivers, self.vehicles))


def from_query(query: Mapping[str, Sequence[str]], default: Filters | None = None) -> Filters:
    """Reads an address leniently: what is unknown or malformed is left out.

    Args:
        query: names to all their values.
    """
    base = default or Filters()

    def many(name: str, known: Iterable[str] | None = None) -> tuple[str, ...]:
        values = dict.fromkeys(query.get(name, ()))
        return tuple(v for v in values if known is None or v in set(known))[:_MOST_VALUES]

    return Filters(
        view=_one(View, query.get("view"), base.view),
        kinds=many("kind", [kind.value for kind in EventKind]),
        severities=many("severity", [severity.value for severity in Severity]),
        drivers=many("driver"),
        vehicles=many("vehicle"),
        since=_day(query.get("since")),
        until=_day(query.get("until")),
        sorting=_one(Sorting, query.get("sort"), base.sorting),
    )


_NAMES = ("view", "kind", "severity", "driver", "vehicle", "since", "until", "sort")


def to_query(filters: Filters) -> dict[str, list[str]]:
    """Only what differs from the default, so that addresses stay short."""
    query: dict[str, list[str]] = {}
    for name, field in zip(_NAMES, fields(Filters), strict=True):
        value = getattr(filters, field.name)
        if value == field.default or value is None:
            continue
        query[name] = list(value) if isinstance(value, tuple) else [str(value)]
    return query


def _one(kind: type[Word], values: Sequence[str] | None, default: Word) -> Word:
    word = values[0] if values else ""
    return kind(word) if word in {each.value for each in kind} else default


def _day(values: Sequence[str] | None) -> date | None:
    try:
        return date.fromisoformat(values[0]) if values else None
    except ValueError:
        return None
