"""Reads and writes the folder of a recorded drive."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from infra.contracts.frames import Camera
from infra.contracts.telemetry import (
    GPS_DTYPES,
    IMU_DTYPES,
    UNKNOWN,
    GpsSamples,
    ImuSamples,
    empty_gps,
    empty_imu,
    take,
)
from infra.drives.manifest import FILE as MANIFEST
from infra.drives.manifest import DriveError, Manifest, read_manifest, write_manifest
from infra.drives.video import read_video_frames

GPS, IMU, FRAMES = "gps.parquet", "imu.parquet", "frames.parquet"
_FRAME_COLUMNS = ("time_us", "sequence", "camera", "file")
RANGES: dict[str, tuple[float, float, str]] = {
    "lat": (-90.0, 90.0, "degrees"),
    "lon": (-180.0, 180.0, "degrees"),
    "speed_mps": (0.0, 120.0, "m/s"),  # 430 km/h: faster than any road vehicle
    "heading_deg": (-360.0, 360.0, "degrees"),
    "speed_limit_mps": (0.0, 60.0, "m/s"),
    **{f"accel_{axis}_mps2": (-500.0, 500.0, "m/s²") for axis in "xyz"},  # 50 g, beyond which sensors clip
    **{f"gyro_{axis}_radps": (-60.0, 60.0, "rad/s") for axis in "xyz"},
}

Samples = TypeVar("Samples", GpsSamples, ImuSamples)


@dataclass(frozen=True, slots=True)
class DriveFrame:
    """One frame of a drive. ``video_frame`` counts from 0 inside a video file; ``UNKNOWN`` for a JPEG."""

    time_us: int
    sequence: int
    camera: Camera
    file: str
    video_frame: int = UNKNOWN
    jpeg: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Drive:
    """A recorded drive. Samples and frames are read from the folder when asked for."""

    folder: Path
    manifest: Manifest

    @property
    def name(self) -> str:
        return self.folder.name

    def gps(self, strict: bool = True) -> GpsSamples:
        """All GPS samples, in time order.

        Args:
            strict: whether impossible values are an error. Else they are left in, rows are sorted by time, and a
                drive without gps.parquet has none.

        Raises:
            DriveError: the file cannot be used.
        """
        path = self.folder / GPS
        if not strict and not path.exists():
            return empty_gps()
        return _read_samples(GpsSamples, GPS_DTYPES, path, strict)

    def imu(self, strict: bool = True) -> ImuSamples:
        """All IMU samples, in time order; none where the drive has no imu.parquet. As ``gps`` otherwise."""
        path = self.folder / IMU
        return _read_samples(ImuSamples, IMU_DTYPES, path, strict) if path.exists() else empty_imu()

    def frame_index(self) -> list[DriveFrame]:
        """Every frame in time order, without its picture. Raises DriveError."""
        return _read_index(self.folder)

    def frames(self) -> Iterator[DriveFrame]:
        """Every frame in time order with its picture, one at a time. Raises DriveError."""
        index = self.frame_index()
        video_files = sorted({frame.file for frame in index if frame.video_frame != UNKNOWN})
        videos = {
            file: read_video_frames(self.folder / file, [f.video_frame for f in index if f.file == file])
            for file in video_files
        }
        for frame in index:
            yield replace(frame, jpeg=self._jpeg(frame) if frame.file not in videos else next(videos[frame.file]))

    def _jpeg(self, frame: DriveFrame) -> bytes:
        path = self.folder / frame.file
        try:
            return path.read_bytes()
        except FileNotFoundError as error:
            raise DriveError(f"{path}: not found, though {FRAMES} names it as frame {frame.sequence}") from error


def open_drive(folder: Path) -> Drive:
    """The drive in a folder: its manifest is read and checked, the rest later. Raises DriveError."""
    return Drive(folder, read_manifest(folder))


def find_drives(folders: Iterable[Path]) -> list[Drive]:
    """The drives at these folders, or one level inside them, in the order of their names.

    Raises:
        DriveError: a folder holds none, or a manifest is wrong.
    """
    found: list[Drive] = []
    for folder in folders:
        inside = [folder] if (folder / MANIFEST).exists() else sorted(p.parent for p in folder.glob(f"*/{MANIFEST}"))
        if not inside:
            raise DriveError(f"{folder}: no recorded drive here (a folder with {MANIFEST}); see `rumblestrip import`")
        found += [open_drive(path) for path in inside]
    return found


def write_drive(
    folder: Path, manifest: Manifest, gps: GpsSamples, imu: ImuSamples, frames: Sequence[DriveFrame] = ()
) -> Drive:
    """Write a drive folder, which must not hold another. JPEGs that frames carry are written to their files.

    Raises:
        DriveError: the folder is taken, or the samples would not read back.
    """
    if (folder / MANIFEST).exists():
        raise DriveError(f"{folder}: holds a drive already; name another folder or delete this one")
    _check(gps, folder / GPS)
    _check(imu, folder / IMU)
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(_table(gps, GPS_DTYPES), folder / GPS, compression="zstd")
    if len(imu):
        pq.write_table(_table(imu, IMU_DTYPES), folder / IMU, compression="zstd")
    if frames:
        _write_frames(folder, frames)
    write_manifest(folder, manifest)
    return Drive(folder, manifest)


def _write_frames(folder: Path, frames: Sequence[DriveFrame]) -> None:
    for frame in frames:
        if frame.jpeg:
            (folder / frame.file).parent.mkdir(parents=True, exist_ok=True)
            (folder / frame.file).write_bytes(frame.jpeg)
    names = (*_FRAME_COLUMNS, "video_frame")
    columns = {name: [getattr(f, name) for f in frames] for name in names}
    pq.write_table(pa.table(columns | {"camera": [str(f.camera) for f in frames]}), folder / FRAMES)


def _table(samples: GpsSamples | ImuSamples, dtypes: dict[str, np.dtype[Any]]) -> pa.Table:
    """Columns in which nothing is known are left out."""
    columns = {name: getattr(samples, name) for name in dtypes}
    return pa.table({name: values for name, values in columns.items() if name == "time_us" or _says(values)})


def _says(values: np.ndarray[Any, Any]) -> bool:
    return bool(np.any(values != UNKNOWN) if values.dtype.kind == "i" else np.any(~np.isnan(values)))


def _read_samples(kind: type[Samples], dtypes: dict[str, np.dtype[Any]], path: Path, strict: bool) -> Samples:
    table = _read_table(path)
    required = ("time_us", "lat", "lon") if kind is GpsSamples else tuple(dtypes)[:4]
    missing = [name for name in required if name not in table.column_names]
    if missing and table.num_rows:
        raise DriveError(f"{path}: no column {', '.join(missing)}; it has {', '.join(table.column_names)}")
    columns = {name: _column(table, name, dtype, path) for name, dtype in dtypes.items()}
    samples = kind(**columns)
    if not strict:
        return take(samples, np.argsort(samples.time_us, kind="stable"))
    _check(samples, path)
    return samples


def _read_table(path: Path) -> pa.Table:
    try:
        return pq.read_table(path)
    except FileNotFoundError as error:
        raise DriveError(f"{path}: not found; the drive is not complete") from error
    except (pa.ArrowException, OSError) as error:
        raise DriveError(f"{path}: not a Parquet file: {error}") from error


def _column(table: pa.Table, name: str, dtype: np.dtype[Any], path: Path) -> np.ndarray[Any, Any]:
    unknown: Any = UNKNOWN if dtype.kind == "i" else np.nan
    if name not in table.column_names:
        return np.full(table.num_rows, unknown, dtype)
    column = table.column(name)
    if name == "time_us" and (column.null_count or not pa.types.is_integer(column.type)):
        raise DriveError(f"{path}: time_us must be whole microseconds since 1970 UTC in every row, not {column.type}")
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        raise DriveError(f"{path}: column {name} is {column.type}, not a number")
    filled = column.fill_null(unknown) if column.null_count else column
    values: np.ndarray[Any, Any] = filled.to_numpy().astype(dtype, copy=False)
    return values


def _check(samples: GpsSamples | ImuSamples, path: Path) -> None:
    """Raises DriveError where times go back or a value cannot be."""
    back = np.flatnonzero(np.diff(samples.time_us) < 0)
    if len(back):
        raise DriveError(f"{path}: time_us goes back at row {back[0] + 1}; sort the rows by time_us")
    for name, (low, high, unit) in RANGES.items():
        if not hasattr(samples, name):
            continue
        values = getattr(samples, name)
        wrong = np.flatnonzero((values < low) | (values > high))
        if len(wrong):
            raise DriveError(
                f"{path}: column {name} is {values[wrong[0]]:g} at row {wrong[0]}, outside {low:g} … {high:g} {unit}; "
                "check its unit"
            )


def _read_index(folder: Path) -> list[DriveFrame]:
    path = folder / FRAMES
    if not path.exists():
        return []
    table = _read_table(path)
    missing = [name for name in _FRAME_COLUMNS if name not in table.column_names]
    if missing:
        raise DriveError(f"{path}: no column {', '.join(missing)}; it has {', '.join(table.column_names)}")
    known = [name for name in (*_FRAME_COLUMNS, "video_frame") if name in table.column_names]
    frames = [_frame(row, path) for row in table.select(known).to_pylist()]
    return sorted(frames, key=lambda frame: (frame.time_us, frame.camera))


def _frame(row: dict[str, Any], path: Path) -> DriveFrame:
    try:
        video_frame = UNKNOWN if row.get("video_frame") is None else int(row["video_frame"])
        frame = DriveFrame(
            int(row["time_us"]), int(row["sequence"]), Camera(row["camera"]), str(row["file"]), video_frame
        )
    except (ValueError, TypeError) as error:
        raise DriveError(f"{path}: frame {row.get('sequence')}: {error}") from error
    if Path(frame.file).is_absolute() or ".." in Path(frame.file).parts:
        raise DriveError(f"{path}: frame {frame.sequence} names {frame.file}, which is outside the drive's folder")
    return frame
