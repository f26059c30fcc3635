"""When the pictures of a folder were taken: by a table beside them, by their names, or at a steady rate."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

FOLDER_FPS = 5.0
"""Of a folder of pictures that says nothing about time: what `rumblestrip import` keeps of a video."""

INDEX = "index.csv"
_FILE_COLUMNS = ("file", "name", "filename", "image")
_TIME_COLUMNS = {"time_us": 1.0, "time_ms": 1e3, "time_s": 1e6, "time": 1e6, "timestamp": 1e6, "time_utc": 1e6}
_MOST_US = 4_102_444_800_000_000
"""The year 2100."""

_DIGITS = re.compile(r"(?<!\d)(\d{16}|\d{13})(?!\d)")  # microseconds or milliseconds since 1970
_STAMP = re.compile(r"(20\d\d)-?(\d\d)-?(\d\d)[T_ -]?(\d\d)[:_-]?(\d\d)[:_-]?(\d\d)(?:[._](\d{1,6}))?")


def tell_times(folder: Path, files: Sequence[Path], fps: float | None) -> tuple[list[int], str]:
    """Microseconds of each file, since 1970 where that is known, and in words where they come from."""
    if fps is not None:
        return _paced(len(files), fps), f"{fps:g} pictures a second, as told"
    unused = ""
    if (folder / INDEX).exists():
        try:
            return read_index(folder / INDEX, [file.relative_to(folder) for file in files]), f"times of {INDEX}"
        except ValueError as why:
            unused = f"{INDEX} is not used, {why}; "
    named = [_time_in(file.stem) for file in files]
    known = [at_us for at_us in named if at_us is not None]
    if len(known) == len(files) and len(set(known)) == len(files):
        return known, f"{unused}times in the names"
    return _paced(len(files), FOLDER_FPS), f"{unused}{FOLDER_FPS:g} pictures a second, assumed (--fps says otherwise)"


def read_index(path: Path, files: Sequence[Path]) -> list[int]:
    """Times of these files from a table with a header: a column of names, with or without folder and ending, and one
    of times.

    Raises:
        ValueError: it cannot be used; says why.
    """
    rows = _read_rows(path)
    columns = list(rows[0]) if rows else []
    name = next((column for column in _FILE_COLUMNS if column in columns), None)
    time = next((column for column in _TIME_COLUMNS if column in columns), None)
    if name is None or time is None:
        wanted = _TIME_COLUMNS if name else _FILE_COLUMNS
        raise ValueError(f"it has no column {', '.join(wanted)}")
    known = {_key(row[name]): _read_time(row, name, time) for row in rows if row[name]}
    find = _finder(known, files)
    found = [find(file) for file in files]
    times = [at_us for at_us in found if at_us is not None]
    if missing := len(files) - len(times):
        first = files[found.index(None)].as_posix()
        raise ValueError(f"it does not name {first}" + (f" and {missing - 1} more" if missing > 1 else ""))
    if len(set(times)) < len(times):
        raise ValueError("it gives one time to several pictures")
    return times


def _read_rows(path: Path) -> list[dict[str, str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"it cannot be read ({type(error).__name__})") from error
    header = text.partition("\n")[0]
    delimiter = max(",;\t", key=header.count)
    return [{k: v or "" for k, v in row.items() if k} for row in csv.DictReader(text.splitlines(), delimiter=delimiter)]


def _read_time(row: Mapping[str, str], name: str, time: str) -> int:
    told = row.get(time, "").strip()
    try:
        at_us = float(told) * _TIME_COLUMNS[time]
    except ValueError:
        try:
            when = datetime.fromisoformat(told)
        except ValueError:
            raise ValueError(f"{told!r} of {row[name]} is no time") from None
        at_us = (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1e6
    if not -_MOST_US < at_us < _MOST_US:  # nor is it infinite
        raise ValueError(f"{told!r} of {row[name]} is beyond all times")
    return round(at_us)


def _finder(known: Mapping[str, int], files: Sequence[Path]) -> Callable[[Path], int | None]:
    """By the whole path, or by the name alone where that is not ambiguous, on either side."""
    named = [(key.rpartition("/")[2], at_us) for key, at_us in known.items()]
    short, stems = Counter(name for name, _ in named), Counter(file.stem for file in files)
    by_name = {name: at_us for name, at_us in named if short[name] == 1}

    def find(file: Path) -> int | None:
        whole = known.get(_key(file.as_posix()))
        return by_name.get(file.stem) if whole is None and stems[file.stem] == 1 else whole

    return find


def _key(name: str) -> str:
    return Path(name.strip().replace("\\", "/")).with_suffix("").as_posix()


def _paced(count: int, fps: float) -> list[int]:
    return [round(i * 1e6 / fps) for i in range(count)]


def _time_in(stem: str) -> int | None:
    """Microseconds since 1970 of a name such as 1700000000000, 20260102T030405.250 or 2026-01-02_03-04-05."""
    if digits := _DIGITS.search(stem):
        at_us = int(digits[1]) * (1 if len(digits[1]) == 16 else 1000)
        return at_us if 946_684_800_000_000 <= at_us < _MOST_US else None  # of this century
    if not (stamp := _STAMP.search(stem)):
        return None
    try:
        when = datetime.strptime("".join(stamp.groups("")[:6]), "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None
    return int(when.timestamp()) * 1_000_000 + int((stamp[7] or "").ljust(6, "0"))
