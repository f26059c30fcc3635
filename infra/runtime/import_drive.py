"""Turns a CSV or GPX, with an IMU table and footage if there are, into a recorded drive."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress

from infra.clock import to_datetime
from infra.contracts.frames import Camera
from infra.contracts.telemetry import (
    IMU_DTYPES,
    UNKNOWN,
    GpsSamples,
    ImuFrame,
    ImuSamples,
    Samples,
    empty_gps,
    empty_imu,
    take,
)
from infra.drives import Drive, DriveError, DriveFrame, Manifest, write_drive
from infra.drives.folder import RANGES
from infra.drives.manifest import FILE as MANIFEST
from infra.drives.manifest import one_of
from infra.drives.video import measure_video, read_video_frames
from infra.runtime.import_columns import (
    G_MPS2,
    GPS_FIELDS,
    IMU_FIELDS,
    Field,
    Mapped,
    check_mappings,
    factor,
    guess_column,
    map_columns,
    parse_mapping,
    read_units,
)
from infra.runtime.import_loggers import files_in, recognise
from infra.runtime.import_report import Understood, outlook
from infra.runtime.import_tables import TextTable, gps_samples, read_csv, read_gpx, speeds_between

_OLDEST_US = 100_000_000_000_000  # March 1973: before it no epoch, but seconds since a start
_NOWHEN_US = 946_728_000_000_000  # 2000-01-01 12:00 UTC
_NEAR_US = 500_000
_MOST_IMPOSSIBLE = 0.5  # of a column: then it is its unit


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
    gyro: Path | None = None
    time_format: str | None = None  # of strptime
    strict: bool = False  # a row that cannot be read is an error
    start_us: int | None = None  # for times that count from the start
    in_vehicle_frame: bool = False  # then a vertical axis may be missing


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
    source = replace(source, in_vehicle_frame=manifest.imu_frame is ImuFrame.VEHICLE)
    if source.table.is_dir():
        source = _exported(source)
    if (folder / MANIFEST).exists():
        raise DriveError(f"{folder}: holds a drive already; name another folder or delete this one")
    understood = Understood()
    gps, imu = _read_samples(source, manifest.time_zone, understood)
    if not len(gps) and not len(imu):
        raise DriveError(f"{source.table}: no row that can be used")
    first_us = int(gps.time_us[0] if len(gps) else imu.time_us[0])
    low_us, high_us = (first_us + min(s, 1e9) * 1e6 for s in source.between_s)
    gps = take(gps, (gps.time_us >= low_us) & (gps.time_us < high_us))
    imu = take(imu, (imu.time_us >= low_us) & (imu.time_us < high_us))
    if not len(gps) and not len(imu):
        raise DriveError(f"{source.table}: no GPS sample between {source.between_s[0]:g} and {source.between_s[1]:g} s")
    start_us = int(gps.time_us[0] if len(gps) else imu.time_us[0])
    frames = _frames(folder, source.footage, start_us, progress) if source.footage else []
    started = replace(manifest, start=to_datetime(start_us))
    if started.driver_id is None and len(understood.drivers) == 1:
        started = replace(started, driver_id=understood.drivers[0])
        understood.notes.append(f"driver {understood.drivers[0]}")
    understood.notes.append(f"{len(gps)} GPS samples, {len(imu)} IMU samples, {len(frames)} frames")
    understood.notes += outlook(gps, imu, manifest.imu_frame)
    return write_drive(folder, started, gps, imu, frames), understood


def _exported(source: Source) -> Source:
    """The tables of a folder that a phone's logger exported."""
    location, accel, gyro = files_in(source.table)
    if location is None:
        raise DriveError(f"{source.table}: a folder without Location.csv; name the table with the positions")
    return replace(source, table=location, imu=source.imu or accel, gyro=source.gyro or gyro)


def _read_samples(source: Source, zone: str, understood: Understood) -> tuple[GpsSamples, ImuSamples]:
    if source.table.suffix.lower() == ".gpx":
        gps = read_gpx(source.table)
        understood.notes.append("GPX: speeds computed from the positions where the file has none")
        imu = empty_imu()
    else:
        table = read_csv(source.table, source.where, source.strict)
        gps = _gps_of(table, source, zone, understood)
        imu = empty_imu() if source.imu else _imu_of(table, source, zone, understood, needed=not len(gps))
        understood.told_by(table)
    if source.imu:
        table = read_csv(source.imu, (), source.strict)
        imu = _imu_of(table, source, zone, understood, needed=True)
        understood.told_by(table)
    if source.gyro:
        imu = _with_gyro(imu, read_csv(source.gyro, (), source.strict), source, zone, understood)
    gps, imu = _begun(gps, source.start_us, understood), _begun(imu, source.start_us, understood)
    return _in_order(gps, "GPS", understood), _in_order(imu, "IMU", understood)


def _understand(table: TextTable, fields: Sequence[Field], source: Source, understood: Understood) -> dict[str, Mapped]:
    logger = recognise(table.header)
    known = logger.mappings if logger else ()
    usual = [text for text in known if parse_mapping(text)[1] in table.header]
    if logger and f"{table.path.name}: as {logger.name} writes it" not in understood.notes:
        understood.notes.append(f"{table.path.name}: as {logger.name} writes it")
    mapped = map_columns(table.header, fields, (*usual, *(m for m in source.mappings if _meant(m, table, source))))
    time = mapped.get("time_us")
    if time is None:
        raise DriveError(f"{table.path}: which column is the time? --map time=COLUMN; has {', '.join(table.header)}")
    if time.unit == "?" and (source.time_format or table.holds_texts(time.column)):
        mapped["time_us"] = replace(time, unit="iso")
    decided = read_units(mapped, table.numbers)
    understood.add(table.path, mapped.values(), decided)
    return decided


def _meant(mapping: str, table: TextTable, source: Source) -> bool:
    """Whether a mapping is for this table: with several, for those that have the column."""
    return not (source.imu or source.gyro) or parse_mapping(mapping)[1] in table.header


def _gps_of(table: TextTable, source: Source, zone: str, understood: Understood) -> GpsSamples:
    if not source.imu and not _has_any(table, GPS_FIELDS[1:3], source) and _has_any(table, IMU_FIELDS[1:4], source):
        understood.notes.append("no position: an accelerometer alone is judged, without speeds")
        return empty_gps()
    mapped = _understand(table, GPS_FIELDS, source, understood)
    missing = [name for name in ("lat", "lon") if name not in mapped]
    if missing:
        raise DriveError(
            f"{table.path}: which columns are {' and '.join(missing)}? --map {missing[0]}=COLUMN; "
            f"has {', '.join(table.header)}"
        )
    time_us, known = table.times(mapped["time_us"], zone, source.time_format)
    columns: dict[str, Any] = {"time_us": time_us}
    for name, item in mapped.items():
        if name != "time_us":
            columns[name] = table.numbers(item.column) * factor(item)
    for name in ("ignition", "belt_buckled"):
        if name in columns:
            columns[name] = np.where(np.isnan(columns[name]), UNKNOWN, columns[name] != 0)
    if "speed_mps" not in columns:
        columns["speed_mps"] = speeds_between(columns["time_us"], columns["lat"], columns["lon"])
        understood.notes.append("no speed column: speeds computed from the positions")
    return _possible(take(gps_samples(columns), known), ("lat", "lon"), "GPS", source, understood)


def _has_any(table: TextTable, fields: Sequence[Field], source: Source) -> bool:
    logger = recognise(table.header)
    usual = [m for m in (logger.mappings if logger else ()) if parse_mapping(m)[1] in table.header]
    told = {parse_mapping(text)[0].removesuffix("_mps2") for text in (*usual, *source.mappings)}
    return any(guess_column(f, table.header) or f.name.removesuffix("_mps2") in told for f in fields)


def _imu_of(table: TextTable, source: Source, zone: str, understood: Understood, *, needed: bool) -> ImuSamples:
    seen = Understood()
    mapped = _understand(table, IMU_FIELDS, _bare_axes(table, "accel", source), seen)
    missing = [name for name in tuple(IMU_DTYPES)[1:4] if name not in mapped]
    only_level = missing == ["accel_z_mps2"]
    flat = only_level and source.in_vehicle_frame
    if missing and not flat:
        if needed:
            told = "; without it --imu-frame vehicle takes the vehicle's own two axes" if only_level else ""
            which = f"which columns are {', '.join(missing)}? --map {missing[0][:7]}=COLUMN:g{told}"
            raise DriveError(f"{table.path}: {which}")
        if len(missing) < 3:
            understood.notes.append(f"accelerometer left out: no column for {', '.join(missing)}")
        return empty_imu()
    understood.rows += [row for row in seen.rows if row not in understood.rows]
    understood.notes += [note for note in seen.notes if note not in understood.notes]
    time_us, known = table.times(mapped["time_us"], zone, source.time_format)
    columns: dict[str, Any] = {"time_us": time_us}
    for name, dtype in IMU_DTYPES.items():
        if name != "time_us":
            item = mapped.get(name)
            values = table.numbers(item.column) * factor(item) if item else np.full(len(columns["time_us"]), np.nan)
            columns[name] = values.astype(dtype)
    if flat:
        understood.notes.append("no vertical axis: put at rest, 1 g; bumps and rollovers will not be seen")
        columns["accel_z_mps2"] = np.full(len(columns["time_us"]), G_MPS2, IMU_DTYPES["accel_z_mps2"])
    return _possible(take(ImuSamples(**columns), known), tuple(IMU_DTYPES)[1:4], "IMU", source, understood)


def _bare_axes(table: TextTable, word: str, source: Source) -> Source:
    """A table of one sensor often calls its columns x, y and z."""
    names = {name.lower(): name for name in table.header}
    if not {"x", "y", "z"} <= names.keys():
        return source
    return replace(source, mappings=(*(f"{word}_{axis}={names[axis]}" for axis in "xyz"), *source.mappings))


def _with_gyro(imu: ImuSamples, table: TextTable, source: Source, zone: str, understood: Understood) -> ImuSamples:
    """The gyroscope's table, read at the accelerometer's times."""
    mapped = _understand(table, (IMU_FIELDS[0], *IMU_FIELDS[4:]), _bare_axes(table, "gyro", source), understood)
    missing = [name for name in tuple(IMU_DTYPES)[4:] if name not in mapped]
    if missing:
        raise DriveError(f"{table.path}: which columns are {', '.join(missing)}? --map {missing[0][:6]}=COLUMN:degps")
    time_us, known = table.times(mapped["time_us"], zone, source.time_format)
    order = np.argsort(time_us[known], kind="stable")
    at = time_us[known][order]
    near = np.abs(at[np.clip(np.searchsorted(at, imu.time_us), 0, len(at) - 1)] - imu.time_us) <= _NEAR_US
    columns: dict[str, Any] = {}
    for name in tuple(IMU_DTYPES)[4:]:
        values = (table.numbers(mapped[name].column) * factor(mapped[name]))[known][order]
        columns[name] = np.where(near, np.interp(imu.time_us, at, values), np.nan).astype(np.float32)
    understood.told_by(table)
    return replace(imu, **columns)


def _begun(samples: Samples, start_us: int | None, understood: Understood) -> Samples:
    """Times that count from the start of the recording, put where it began."""
    if not len(samples) or float(np.median(samples.time_us)) > _OLDEST_US:
        return samples
    note = "times count from the start of the recording: --start says when that was; put at 2000-01-01 12:00 UTC"
    if start_us is None and note not in understood.notes:
        understood.notes.append(note)
    return replace(samples, time_us=samples.time_us + (_NOWHEN_US if start_us is None else start_us))


def _possible(samples: Samples, names: Sequence[str], word: str, source: Source, understood: Understood) -> Samples:
    """Without the few values that cannot be: of the columns named a row goes, of others the value."""
    changed: dict[str, Any] = {}
    for name, (low, high, _) in RANGES.items():
        values = getattr(samples, name, None)
        if values is None:
            continue
        wrong = (values < low) | (values > high)
        if wrong.any() and not source.strict and wrong.mean() < _MOST_IMPOSSIBLE:
            changed[name] = np.where(wrong, np.nan, values).astype(values.dtype)
            example = values[np.flatnonzero(wrong)[0]]
            understood.notes.append(f"{np.count_nonzero(wrong)} impossible {name} left out, such as {example:g}")
    return _without_holes(replace(samples, **changed), names, word, understood)


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
