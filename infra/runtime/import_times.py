"""Times of foreign tables: epochs, ISO 8601, and dates in the orders that countries and loggers write them."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from infra.drives import DriveError

Stamps = npt.NDArray[np.int64]

_ISO = re.compile(r"\d{4}-\d\d-\d\d([T ]|$)")
_YEAR_FIRST = re.compile(r"(\d{4})[/.](\d{1,2})[/.](\d{1,2})\b(.*)")
_DAY_OR_MONTH = re.compile(r"(\d{1,2})([/.-])(\d{1,2})[/.-](\d{2,4})\b,?(.*)")
_NAMED_MONTH = re.compile(r"[A-Za-z]{3}")
_CLOCKS = re.compile(r"[T ]*(\d{1,2}):(\d\d)(?::(\d\d)([.,]\d+)?)?\s*([AaPp]\.?[Mm]\.?)?\s*")


class TimeFormatError(ValueError):
    """Says which format could not be told, and what to do."""


@dataclass(frozen=True, slots=True)
class TimeFormat:
    """``pattern``: of strptime, or ``iso``; ``words`` say it to a reader."""

    pattern: str
    words: str


ISO = TimeFormat("iso", "ISO 8601")


def tell_format(texts: list[str]) -> TimeFormat:
    """The format that all these times can be in.

    Raises:
        TimeFormatError: none is known, or day and month cannot be told apart.
    """
    sample = next((t.strip() for t in texts if t.strip()), "")
    if _ISO.match(sample):
        return ISO
    year_first = _YEAR_FIRST.match(sample)
    if year_first:
        mark = sample[4]
        return TimeFormat(f"%Y{mark}%m{mark}%d{_clock(year_first[4], sample)}", "year, month, day")
    if _DAY_OR_MONTH.match(sample):
        return _by_numbers(texts, sample)
    if _NAMED_MONTH.search(sample):
        return TimeFormat("mixed", "month by name")
    raise TimeFormatError(
        f"{sample!r} is not a time that is known; say how it is written: --time-format '%d.%m.%Y %H:%M'"
    )


def _by_numbers(texts: list[str], sample: str) -> TimeFormat:
    """Day and month by which of the two exceeds 12; dates with points are written day first everywhere."""
    found = [m for m in map(_DAY_OR_MONTH.match, (t.strip() for t in texts)) if m]
    first, second = max(int(m[1]) for m in found), max(int(m[3]) for m in found)
    mark, year = found[0][2], "%Y" if len(found[0][4]) == 4 else "%y"
    comma = "," if "," in sample[: sample.find(":")] else ""
    clock = comma + _clock(found[0][5], sample)
    if (first > 12 and second <= 12) or (mark == "." and second <= 12):
        return TimeFormat(f"%d{mark}%m{mark}{year}{clock}", "day, month, year")
    if second > 12 and first <= 12:
        return TimeFormat(f"%m{mark}%d{mark}{year}{clock}", "month, day, year")
    day, month = f"%d{mark}%m{mark}{year}{clock}", f"%m{mark}%d{mark}{year}{clock}"
    raise TimeFormatError(
        f"{sample!r}: is the day or the month first? --time-format '{month}' (month first, United States) "
        f"or --time-format '{day}' (day first)"
    )


def _clock(text: str, sample: str) -> str:
    """The strptime pattern of the clock behind a date."""
    if not text.strip():
        return ""
    matched = _CLOCKS.fullmatch(text.rstrip("Z"))
    if not matched:
        raise TimeFormatError(f"{sample!r} is not a time that is known; say how it is written: --time-format")
    between = text[: len(text) - len(text.lstrip("T "))]
    hours = "%I" if matched[5] else "%H"
    seconds = (":%S" if matched[3] else "") + (f"{matched[4][0]}%f" if matched[4] else "")
    return between + hours + ":%M" + seconds + (" %p" if matched[5] else "")


def parse_times(
    text: pd.Series[str], form: TimeFormat, zone: str
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Microseconds since 1970 UTC, and which could be read. Times without an offset are of ``zone``.

    A time that a clock change repeats is not read.
    """
    zoned = bool(text.str.contains(r"(?:Z|[+-]\d\d:?\d\d)\s*$").all())
    kind = {"iso": "ISO8601", "mixed": "mixed"}.get(form.pattern, form.pattern)
    stripped = text.str.strip()
    parsed = pd.to_datetime(stripped, format=kind, errors="coerce", utc=zoned or "%z" in form.pattern)
    if parsed.dt.tz is None:
        parsed = parsed.dt.tz_localize(zone, ambiguous="NaT", nonexistent="shift_forward")
    known = parsed.notna().to_numpy()
    stamps = parsed.dt.tz_convert("UTC").fillna(pd.Timestamp(0, tz="UTC")).to_numpy("datetime64[us]").astype(np.int64)
    return stamps, known


def read_moment(text: str, zone: str) -> int:
    """One ISO 8601 time in microseconds. Raises DriveError."""
    stamps, known = parse_times(pd.Series([text], dtype=str), ISO, zone)
    if not known[0]:
        raise DriveError(f"--start {text}: write a time such as 2024-05-01T08:00:00+02:00")
    return int(stamps[0])
