"""Turns a CSV or GPX, with an IMU table and footage if there are, into a recorded drive."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from infra.clock import to_datetime
from infra.contracts.frames import Camera
from infra.contracts.telemetry import (
    IMU_DTYPES,
    UNKNOWN,
    GpsSamples,
    ImuSamples,
    Samples,
    empty_imu,
    take,
)
from infra.drives import Drive, DriveError, DriveFrame, Manifest, write_drive
from infra.drives.manifest import FILE as MANIFEST
from infra.drives.manifest import one_of
from infra.drives.video import measure_video, read_video_frames
from infra.runtime.import_columns import (
    GPS_FIELDS,
    IMU_FIELDS,
    Mapped,
    check_mappings,
    factor,
    map_columns,
    read_units,
)
from infra.runtime.import_tables import TextTable, gps_samples, read_csv, read_gpx, speeds_between


@dataclass(frozen=True, slots=True)
class Footage:
    """A video file, or a folder of JPEGs in the order of their names."""

    path: Path
    camera: str = "driver"
    offset_s: float = 0.0  # of the first picture, after the first GPS sample
    rate_hz: float = 5.0  # pictures a second to keep of a video; pictures a second that a folder was taken at


@dataclass(frozen=True, slots=True)
class Source:
    """What to import, and how to understand it."""

    table: Path
    imu: Path | None = None
    footage: Footage | None = None
    mappings: Sequence[str] = ()
    where: Sequence[str] = ()
    between_s: tuple[float, float] = (0.0, float("inf"))  # the part to keep, in seconds after the first sample


@dataclass(slots=True)
class Understood:
    """What was made of the source, for the table that is printed."""

    rows: list[tuple[str, str, str, str]] = field(default_factory=list)  # field, from, unit, remark
    notes: list[str] = field(default_factory=list)

    def add(self, path: Path, mapped: Iterable[Mapped], decided: dict[str, Mapped]) -> None:
        for item in mapped:
            remark = "" if item.unit != "?" else "unit guessed from the values"
            sign = "−" if item.sign < 0 else ""
            unit = decided[item.field.name].unit
            self.rows.append((item.field.name, f"{path.name}: {sign}{item.column}", unit, remark))

    def as_table(self) -> Table:
        table = Table("field", "from", "unit read", "remark", title="Understood")
        for row in self.rows:
            table.add_row(*row)
        return table


def import_with_progress(folder: Path, source: Source, manifest: Manifest, console: Console) -> None:
    """Import, with a bar for the footage, and print what was understood."""
    with Progress(console=console, transient=True) as progress:
        drive, understood = import_drive(folder, source, manifest, progress)
    console.print(understood.as_table())
    for note in understood.notes:
        console.print(f"  {note}")
    console.print(f"written to {drive.folder}")


def import_drive(
    folder: Path, source: Source, manifest: Manifest, progress: Progress | None = None
) -> tuple[Drive, Understood]:
    """Write the drive folder. ``manifest.start`` is replaced by the first sample's time.

    Raises:
        DriveError: a file, line, column or mapping that cannot be used, or a folder that holds a drive already.
    """
    check_mappings(source.mappings)
    if (folder / MANIFEST).exists():
        raise DriveError(f"{folder}: holds a drive already; name another folder or delete this one")
    understood = Understood()
    gps, imu = _read_samples(source, manifest.time_zone, understood)
    first_us = int(gps.time_us[0])
    low_us, high_us = (first_us + min(s, 1e9) * 1e6 for s in source.between_s)
    gps = take(gps, (gps.time_us >= low_us) & (gps.time_us < high_us))
    imu = take(imu, (imu.time_us >= low_us) & (imu.time_us < high_us))
    if not len(gps):
        raise DriveError(f"{source.table}: no GPS sample between {source.between_s[0]:g} and {source.between_s[1]:g} s")
    start_us = int(gps.time_us[0])
    frames = _frames(folder, source.footage, start_us, progress) if source.footage else []
    started = replace(manifest, start=to_datetime(start_us))
    understood.notes.append(f"{len(gps)} GPS samples, {len(imu)} IMU samples, {len(frames)} frames")
    return write_drive(folder, started, gps, imu, frames), understood


def _read_samples(source: Source, zone: str, understood: Understood) -> tuple[GpsSamples, ImuSamples]:
    if source.table.suffix.lower() == ".gpx":
        gps = read_gpx(source.table)
        understood.notes.append("GPX: speeds computed from the positions where the file has none")
        tables = [read_csv(source.imu)] if source.imu else []
    else:
        table = read_csv(source.table, source.where)
        gps = _gps_of(table, source.mappings, zone, understood)
        tables = [read_csv(source.imu) if source.imu else table]
    imu = _imu_of(tables[0], source.mappings, zone, understood, needed=bool(source.imu)) if tables else empty_imu()
    return _in_order(gps, "GPS", understood), _in_order(imu, "IMU", understood)


def _understand(
    table: TextTable, fields: Sequence[Any], told: Sequence[str], understood: Understood
) -> dict[str, Mapped]:
    mapped = map_columns(table.header, fields, told)
    time = mapped.get("time_us")
    if time is None:
        raise DriveError(f"{table.path}: which column is the time? --map time=COLUMN; has {', '.join(table.header)}")
    if time.unit == "?" and table.looks_like_iso(time.column):
        mapped["time_us"] = replace(time, unit="iso")
    decided = read_units(mapped, table.numbers)
    understood.add(table.path, mapped.values(), decided)
    return decided


def _gps_of(table: TextTable, told: Sequence[str], zone: str, understood: Understood) -> GpsSamples:
    mapped = _understand(table, GPS_FIELDS, told, understood)
    missing = [name for name in ("lat", "lon") if name not in mapped]
    if missing:
        raise DriveError(f"{table.path}: which columns are {' and '.join(missing)}? --map {missing[0]}=COLUMN")
    columns: dict[str, Any] = {"time_us": table.times(mapped["time_us"], zone)}
    for name, item in mapped.items():
        if name != "time_us":
            columns[name] = table.numbers(item.column) * factor(item)
    for name in ("ignition", "belt_buckled"):
        if name in columns:
            columns[name] = np.where(np.isnan(columns[name]), UNKNOWN, columns[name] != 0)
    if "speed_mps" not in columns:
        columns["speed_mps"] = speeds_between(columns["time_us"], columns["lat"], columns["lon"])
        understood.notes.append("no speed column: speeds computed from the positions")
    return _without_holes(gps_samples(columns), ("lat", "lon"), "GPS", understood)


def _imu_of(table: TextTable, told: Sequence[str], zone: str, understood: Understood, *, needed: bool) -> ImuSamples:
    seen = Understood()
    mapped = _understand(table, IMU_FIELDS, told, seen)
    missing = [name for name in tuple(IMU_DTYPES)[1:4] if name not in mapped]
    if missing and needed:
        raise DriveError(f"{table.path}: which columns are {', '.join(missing)}? --map {missing[0][:7]}=COLUMN:g")
    if missing:
        return empty_imu()
    understood.rows += seen.rows
    columns: dict[str, Any] = {"time_us": table.times(mapped["time_us"], zone)}
    for name, dtype in IMU_DTYPES.items():
        if name != "time_us":
            item = mapped.get(name)
            values = table.numbers(item.column) * factor(item) if item else np.full(len(columns["time_us"]), np.nan)
            columns[name] = values.astype(dtype)
    return _without_holes(ImuSamples(**columns), tuple(IMU_DTYPES)[1:4], "IMU", understood)


def _without_holes(samples: Samples, names: Sequence[str], word: str, understood: Understood) -> Samples:
    whole = np.logical_and.reduce([np.isfinite(getattr(samples, name)) for name in names])
    if not whole.all():
        understood.notes.append(f"{np.count_nonzero(~whole)} {word} rows without a value left out")
    return take(samples, whole)


def _in_order(samples: Samples, word: str, understood: Understood) -> Samples:
    if np.all(np.diff(samples.time_us) >= 0):
        return samples
    understood.notes.append(f"{word} rows were not in time order; sorted")
    return take(samples, np.argsort(samples.time_us, kind="stable"))


def _frames(folder: Path, footage: Footage, start_us: int, progress: Progress | None) -> list[DriveFrame]:
    camera = one_of(Camera, footage.camera, "--camera")
    offsets_s, pictures = _pictures(footage)
    counted = progress.track(pictures, total=len(offsets_s), description="frames") if progress else pictures
    (folder / "frames").mkdir(parents=True, exist_ok=True)
    frames = []
    for sequence, (offset_s, jpeg) in enumerate(zip(offsets_s, counted, strict=True)):
        file = f"frames/{sequence:06d}.jpg"
        (folder / file).write_bytes(jpeg)
        time_us = start_us + round((footage.offset_s + offset_s) * 1e6)
        frames.append(DriveFrame(time_us, sequence, camera, file))
    return frames


def _pictures(footage: Footage) -> tuple[list[float], Iterator[bytes]]:
    """Seconds after the first picture, and the pictures."""
    if footage.path.is_dir():
        files = sorted(p for p in footage.path.iterdir() if p.suffix.lower() in (".jpg", ".jpeg"))
        if not files:
            raise DriveError(f"{footage.path}: no .jpg files in it")
        return [i / footage.rate_hz for i in range(len(files))], (p.read_bytes() for p in files)
    count, native_hz = measure_video(footage.path)
    rate_hz = min(footage.rate_hz, native_hz)
    numbers = [min(round(i * native_hz / rate_hz), count - 1) for i in range(max(1, int(count * rate_hz / native_hz)))]
    return [n / native_hz for n in numbers], read_video_frames(footage.path, numbers)
