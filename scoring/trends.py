"""How a score went: that of a window of days, as it stood at the end of each of some days."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from infra.clock import to_us
from scoring.core.formulas.port import Result
from scoring.core.formulas.tally import tally
from scoring.in_force import InForce
from scoring.recompute import most_of
from scoring.windows import Window


@dataclass(frozen=True, slots=True)
class Point:
    """The score of the days up to this one, it included."""

    day: date
    result: Result


def bounds(first: date, last: date, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """The instants from a day's beginning to another's end, in a time zone."""
    return datetime.combine(first, time(), zone), datetime.combine(last + timedelta(days=1), time(), zone)


def trend(window: Window, formulas: InForce, days: Sequence[date], length: int, zone: ZoneInfo) -> list[Point]:
    """The score of the last ``length`` days, at each of ``days``; those before which nothing was driven are left out.

    Args:
        window: one driver's or vehicle's trips and events, from ``length`` days before the first of ``days`` on.
    """
    found = []
    for day in days:
        since, until = (to_us(when) for when in bounds(day - timedelta(days=length - 1), day, zone))
        drives = [drive for drive in window.drives if since <= drive.exposure.start_us < until]
        if drives:
            formula = formulas.of(most_of(drive.vehicle_class for drive in drives))
            found.append(Point(day, formula(tally([drive.exposure for drive in drives], window.incidents))))
    return found
