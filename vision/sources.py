"""What `rumblestrip watch` can look at: a video, a folder or a single picture, a recorded drive, a camera."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise, tee
from pathlib import Path

from infra.contracts.frames import Camera
from infra.drives import DriveError, open_drive
from infra.drives.folder import FRAMES
from infra.drives.manifest import FILE as MANIFEST
from infra.runtime.parcels import frames_with_speed
from vision.frames import Picture, UnusableFrame, decode_any_picture

FOLDER_FPS = 5.0
"""Of a folder of pictures that says nothing about time: what `rumblestrip import` keeps of a video."""

PICTURES = frozenset({".jpg", ".jpeg", ".jpe", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
"""Endings of files that are meant as pictures; those of kinds that cannot be read are named as errors."""

INDEX = "index.csv"
_INDEX_FILE = ("file", "name", "filename", "image")
_INDEX_TIME = {"time_us": 1.0, "time_ms": 1e3, "time_s": 1e6, "time": 1e6}
_DIGITS = re.compile(r"(?<!\d)(\d{16}|\d{13})(?!\d)")  # microseconds or milliseconds since 1970
_STAMP = re.compile(r"(20\d\d)-?(\d\d)-?(\d\d)[T_ -]?(\d\d)[:_-]?(\d\d)[:_-]?(\d\d)(?:[._](\d{1,6}))?")


class SourceError(ValueError):
    """There is nothing to look at."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    reason: str
    detail: str


@dataclass(frozen=True, slots=True, eq=False)
class Shot:
    """One picture of a source, or why there is none. ``time_us`` counts from 1970 where the source knows it, else
    from its first picture; None where there is no time at all."""

    source: str
    index: int
    time_us: int | None
    picture: Picture | Unreadable
    speed_mps: float | None = None  # where the source knows it
    belt_switch: bool | None = None  # of the vehicle, likewise


@dataclass(frozen=True, slots=True)
class Source:
    """``shots`` reads it from the beginning; of a camera it may be called once."""

    name: str
    kind: str  # video, folder, drive, pictures or camera
    shots: Callable[[], Iterator[Shot]]
    count: int | None = None
    rate_hz: float | None = None
    clock: str = "none"  # where times come from, in words
    since_1970: bool = False
    live: bool = False
    dropped: Callable[[], int] = lambda: 0  # pictures of a camera for which there was no time


def open_folder(folder: Path, fps: float | None) -> Source:
    """A folder of pictures in order: a recorded drive, or times from ``index.csv``, from the names, or from ``fps``.

    Raises:
        SourceError: no pictures in it.
        DriveError: a drive that cannot be read.
    """
    if (folder / MANIFEST).exists() and (folder / FRAMES).exists():
        return _open_drive(folder)
    files = find_pictures(folder)
    times_us, clock = _times(folder, files, fps)
    shots = [(file, at_us) for at_us, file in sorted(zip(times_us, files, strict=True))]

    def read() -> Iterator[Shot]:
        for index, (file, at_us) in enumerate(shots):
            yield Shot(file.relative_to(folder).as_posix(), index, at_us, read_picture(file))

    ordered = sorted(times_us)
    return Source(str(folder), "folder", read, len(files), _rate(ordered), clock, since_1970=ordered[0] > 1e15)


def open_pictures(path: Path) -> Source:
    """Every picture of a folder and its folders, or a single one, each on its own. Raises SourceError."""
    files = find_pictures(path) if path.is_dir() else [path]
    root = path if path.is_dir() else path.parent

    def read() -> Iterator[Shot]:
        for index, file in enumerate(files):
            yield Shot(file.relative_to(root).as_posix(), index, None, read_picture(file))

    return Source(str(path), "pictures", read, len(files))


def find_pictures(folder: Path) -> list[Path]:
    """In the order of their paths, numbers by their value. Raises SourceError."""
    found = [path for path in folder.rglob("*") if path.suffix.lower() in PICTURES and path.is_file()]
    if not found:
        raise SourceError(f"{folder}: no pictures in it ({', '.join(sorted(PICTURES))})")
    return sorted(found, key=lambda path: _natural(path.relative_to(folder).as_posix()))


def read_picture(file: Path) -> Picture | Unreadable:
    try:
        return decode_any_picture(file.read_bytes())
    except UnusableFrame as error:
        return Unreadable(error.reason, error.detail)
    except OSError as error:
        return Unreadable("file_unreadable", error.strerror or type(error).__name__)


def _open_drive(folder: Path) -> Source:
    """The driver's camera of a recorded drive, with the speed of its GPS. Raises DriveError."""
    drive = open_drive(folder)
    frames = [frame for frame in drive.frame_index() if frame.camera is Camera.DRIVER]
    if not frames:
        raise DriveError(f"{folder}: has no frames of the driver's camera")
    gps = drive.gps(strict=False)
    times_us = [frame.time_us for frame in frames]

    def read() -> Iterator[Shot]:
        wanted, same = tee(frame for frame in drive.frames() if frame.camera is Camera.DRIVER)
        told_of = frames_with_speed(drive, same, gps, "", 0)
        for index, (frame, told) in enumerate(zip(wanted, told_of, strict=True)):
            yield Shot(frame.file, index, frame.time_us, _decoded(frame.jpeg), told.speed_mps, told.belt_switch)

    return Source(str(folder), "drive", read, len(frames), _rate(times_us), "the recorded drive", since_1970=True)


def _decoded(content: bytes) -> Picture | Unreadable:
    try:
        return decode_any_picture(content)
    except UnusableFrame as error:
        return Unreadable(error.reason, error.detail)


def _times(folder: Path, files: Sequence[Path], fps: float | None) -> tuple[list[int], str]:
    if fps is not None:
        return _paced(len(files), fps), f"{fps:g} pictures a second, as told"
    indexed = _times_by_index(folder, files)
    if indexed:
        return indexed, f"times of {INDEX}"
    named = [_time_in(file.stem) for file in files]
    known = [at_us for at_us in named if at_us is not None]
    if len(known) == len(files) and len(set(known)) == len(files):
        return known, "times in the names"
    return _paced(len(files), FOLDER_FPS), f"{FOLDER_FPS:g} pictures a second, assumed (--fps says otherwise)"


def _paced(count: int, fps: float) -> list[int]:
    return [round(i * 1e6 / fps) for i in range(count)]


def _times_by_index(folder: Path, files: Sequence[Path]) -> list[int] | None:
    """From a table of file names and times beside the pictures; None where it does not name them all."""
    try:
        with (folder / INDEX).open(newline="") as lines:
            rows = list(csv.DictReader(lines))
    except (OSError, csv.Error, UnicodeDecodeError):
        return None
    columns = rows[0].keys() if rows else ()
    name = next((c for c in _INDEX_FILE if c in columns), None)
    time = next((c for c in _INDEX_TIME if c in columns), None)
    if name is None or time is None:
        return None
    try:
        known = {Path(row[name]).stem: round(float(row[time]) * _INDEX_TIME[time]) for row in rows}
        return [known[file.stem] for file in files]
    except (KeyError, ValueError, TypeError):
        return None


def _time_in(stem: str) -> int | None:
    """Microseconds since 1970 of a name such as 1700000000000, 20260102T030405.250 or 2026-01-02_03-04-05."""
    if digits := _DIGITS.search(stem):
        at_us = int(digits[1]) * (1 if len(digits[1]) == 16 else 1000)
        return at_us if 946_684_800_000_000 <= at_us < 4_102_444_800_000_000 else None  # of this century
    if not (stamp := _STAMP.search(stem)):
        return None
    try:
        when = datetime.strptime("".join(stamp.groups("")[:6]), "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None
    return int(when.timestamp()) * 1_000_000 + int((stamp[7] or "").ljust(6, "0"))


def _rate(times_us: Sequence[int]) -> float | None:
    gaps = sorted(after - before for before, after in pairwise(times_us) if after > before)
    return 1e6 / gaps[len(gaps) // 2] if gaps else None


def _natural(name: str) -> list[tuple[int, str]]:
    """``frame_9`` before ``frame_10``."""
    parts = re.split(r"(\d+)", name.lower())
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]
