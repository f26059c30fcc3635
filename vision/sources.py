"""What `rumblestrip watch` can look at: a video, a folder or a single picture, a recorded drive, a camera."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, tee
from pathlib import Path

from infra.contracts.frames import Camera
from infra.drives import DriveError, open_drive
from infra.drives.folder import FRAMES
from infra.drives.manifest import FILE as MANIFEST
from infra.runtime.parcels import frames_with_speed
from vision.frames import Picture, UnusableFrame, decode_any_picture
from vision.picture_times import tell_times

PICTURES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".heic", ".heif", ".avif"}
)
"""Endings of files that are meant as pictures; those of kinds that cannot be read are named as errors."""

_STARTS = (b"\xff\xd8\xff", b"\x89PNG", b"BM", b"RIFF")  # of files without an ending


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
    times_us, clock = tell_times(folder, files, fps)
    shots = [(file, at_us) for at_us, file in sorted(zip(times_us, files, strict=True))]

    def read() -> Iterator[Shot]:
        for index, (file, at_us) in enumerate(shots):
            yield Shot(_name(file, folder), index, at_us, read_picture(file))

    ordered = sorted(times_us)
    return Source(
        _name(folder, Path()), "folder", read, len(files), _rate(ordered), clock, since_1970=ordered[0] > 1e15
    )


def open_pictures(path: Path) -> Source:
    """Every picture of a folder and its folders, or a single one, each on its own. Raises SourceError."""
    files, root = (find_pictures(path), path) if path.is_dir() else ([path], Path())

    def read() -> Iterator[Shot]:
        for index, file in enumerate(files):
            yield Shot(_name(file, root), index, None, read_picture(file))

    return Source(_name(path, Path()), "pictures", read, len(files))


def find_pictures(folder: Path) -> list[Path]:
    """In the order of their paths, numbers by their value; nothing hidden. Raises SourceError."""
    found = [path for path in folder.rglob("*") if is_picture(path) and not _is_hidden(path.relative_to(folder))]
    if not found:
        raise SourceError(f"{folder}: no pictures in it; of videos and recorded drives name one")
    return sorted(found, key=lambda path: _natural(path.relative_to(folder).as_posix()))


def is_picture(path: Path) -> bool:
    """By its ending, or by how it begins where it has none."""
    if path.suffix:
        return path.suffix.lower() in PICTURES and not path.is_dir()
    try:
        with path.open("rb") as file:
            return file.read(4).startswith(_STARTS)
    except OSError:  # a folder, a link into nowhere, not ours to read
        return False


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _name(file: Path, root: Path) -> str:
    """From the folder on; what is not UTF-8 in it as ``\\udcff``."""
    inside = file if root == Path() else file.relative_to(root)
    return inside.as_posix().encode(errors="backslashreplace").decode()


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

    return Source(
        _name(folder, Path()), "drive", read, len(frames), _rate(times_us), "the recorded drive", since_1970=True
    )


def _decoded(content: bytes) -> Picture | Unreadable:
    try:
        return decode_any_picture(content)
    except UnusableFrame as error:
        return Unreadable(error.reason, error.detail)


def _rate(times_us: Sequence[int]) -> float | None:
    gaps = sorted(after - before for before, after in pairwise(times_us) if after > before)
    return 1e6 / gaps[len(gaps) // 2] if gaps else None


def _natural(name: str) -> list[tuple[int, str]]:
    """``frame_9`` before ``frame_10``."""
    parts = re.split(r"(\d+)", name.lower())
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]
