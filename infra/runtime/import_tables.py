"""Reads the foreign files of an import: CSV tables and GPX tracks, with errors that name the line and column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from infra.contracts.telemetry import GPS_DTYPES, UNKNOWN, GpsSamples
from infra.drives import DriveError
from infra.runtime.import_columns import Mapped, Numbers, factor

EARTH_RADIUS_M = 6_371_008.8  # mean radius, IUGG
_EMPTY = ("", "NA", "NaN", "nan", "null", "NULL", "None")


@dataclass(frozen=True, slots=True)
class TextTable:
    """A CSV file as text, so that what is no number can be shown where it stands."""

    path: Path
    columns: pa.Table
    lines: npt.NDArray[np.int64]  # line of the file that each row stands on

    @property
    def header(self) -> list[str]:
        return list(self.columns.column_names)

    def numbers(self, column: str) -> Numbers:
        """The column as float64, NaN where it is empty. Raises DriveError naming the first line that is no number."""
        text = pc.utf8_trim_whitespace(self.columns.column(column))
        text = pc.if_else(pc.is_in(text, pa.array(_EMPTY)), None, text)
        try:
            values: Numbers = pc.cast(text, pa.float64()).to_numpy()
        except pa.ArrowInvalid as error:
            parsed = pd.to_numeric(text.to_pandas(), errors="coerce")
            row = int(np.flatnonzero(parsed.isna() & text.to_pandas().notna())[0])
            raise self._wrong(row, column, f"{text[row].as_py()!r} is not a number") from error
        return values

    def times(self, mapped: Mapped, zone: str) -> npt.NDArray[np.int64]:
        """The time column in microseconds. ISO times without a zone are taken to be of ``zone``. Raises DriveError."""
        if mapped.unit == "iso":
            return self._iso_times(mapped.column, zone)
        values = self.numbers(mapped.column)
        if np.isnan(values).any():
            raise self._wrong(int(np.flatnonzero(np.isnan(values))[0]), mapped.column, "has no time")
        stamps: npt.NDArray[np.int64] = np.round(values * factor(mapped)).astype(np.int64)
        return stamps

    def looks_like_iso(self, column: str) -> bool:
        first = next((t for t in self.columns.column(column).to_pylist() if t and t.strip()), "")
        return "-" in first[1:] or ":" in first

    def _iso_times(self, column: str, zone: str) -> npt.NDArray[np.int64]:
        text = self.columns.column(column).to_pandas()
        zoned = bool(text.str.contains(r"(?:Z|[+-]\d\d:?\d\d)\s*$").all())
        parsed = pd.to_datetime(text, format="ISO8601", errors="coerce", utc=zoned)
        if parsed.isna().any():
            row = int(np.flatnonzero(parsed.isna())[0])
            raise self._wrong(row, column, f"{text.iloc[row]!r} is not a time such as 2024-05-01T08:00:00Z")
        aware = parsed if zoned else parsed.dt.tz_localize(zone, ambiguous="NaT", nonexistent="shift_forward")
        if aware.isna().any():
            row = int(np.flatnonzero(aware.isna())[0])
            raise self._wrong(row, column, f"{text.iloc[row]!r} happened twice in {zone}: give times with their offset")
        stamps: npt.NDArray[np.int64] = aware.dt.tz_convert("UTC").to_numpy("datetime64[us]").astype(np.int64)
        return stamps

    def _wrong(self, row: int, column: str, what: str) -> DriveError:
        return DriveError(f"{self.path}: line {self.lines[row]}, column {column}: {what}")


def read_csv(path: Path, where: Sequence[str] = ()) -> TextTable:
    """A CSV file (also .gz) with a header line; of its rows those where each ``COLUMN=VALUE`` holds.

    Raises:
        DriveError: no such file, not a CSV, no such column, or no row left.
    """
    try:
        header = pacsv.open_csv(path, read_options=pacsv.ReadOptions(block_size=1 << 20)).schema.names
        convert = pacsv.ConvertOptions(column_types=dict.fromkeys(header, pa.string()), strings_can_be_null=False)
        table = pacsv.read_csv(path, convert_options=convert)
    except FileNotFoundError as error:
        raise DriveError(f"{path}: not found") from error
    except (pa.ArrowException, OSError) as error:
        raise DriveError(f"{path}: not a CSV file with a header line: {error}") from error
    keep = np.ones(table.num_rows, bool)
    for condition in where:
        column, _, value = condition.partition("=")
        if column not in table.column_names:
            raise DriveError(f"--where {condition}: there is no column {column!r} in {path}")
        keep &= pc.equal(table.column(column), value).to_numpy()
    if not keep.any():
        raise DriveError(f"{path}: no rows" + (f" where {' and '.join(where)}" if where else ""))
    return TextTable(path, table.filter(pa.array(keep)), np.flatnonzero(keep) + 2)


def read_gpx(path: Path) -> GpsSamples:
    """The track points of a GPX file. Where it has no speeds they are computed from the positions.

    Raises:
        DriveError: not GPX, or no track point with a time.
    """
    try:
        root = ElementTree.parse(path).getroot()
    except FileNotFoundError as error:
        raise DriveError(f"{path}: not found") from error
    except ElementTree.ParseError as error:
        line, column = error.position
        raise DriveError(f"{path}: line {line}, column {column}: not GPX: {error}") from error
    points = [p for p in root.iter() if p.tag.rpartition("}")[2] == "trkpt"]
    rows = [row for row in map(_point, points) if row["time"]]
    if not rows:
        raise DriveError(f"{path}: no track point (trkpt) with a time; a route or waypoints alone are no drive")
    return _track(pd.DataFrame(rows), path)


def _point(point: ElementTree.Element) -> dict[str, str | None]:
    inner = {child.tag.rpartition("}")[2]: child.text for child in point.iter()}
    return {
        "time": inner.get("time"),
        "lat": point.get("lat"),
        "lon": point.get("lon"),
        "speed": inner.get("speed"),
        "course": inner.get("course"),
    }


def _track(rows: pd.DataFrame, path: Path) -> GpsSamples:
    stamps = pd.to_datetime(rows["time"], format="ISO8601", utc=True, errors="coerce")
    numbers = rows[["lat", "lon", "speed", "course"]].apply(pd.to_numeric, errors="coerce")
    bad = stamps.isna() | numbers["lat"].isna() | numbers["lon"].isna()
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise DriveError(f"{path}: track point {row + 1}: time, lat or lon cannot be read: {rows.iloc[row].to_dict()}")
    time_us = stamps.to_numpy("datetime64[us]").astype(np.int64)
    lat, lon = numbers["lat"].to_numpy(), numbers["lon"].to_numpy()
    speed = numbers["speed"].to_numpy()
    if np.isnan(speed).all():
        speed = speeds_between(time_us, lat, lon)
    return gps_samples({"time_us": time_us, "lat": lat, "lon": lon, "speed_mps": speed, "heading_deg": numbers.course})


def gps_samples(columns: dict[str, Any]) -> GpsSamples:
    """GpsSamples with unknown values where a column is not given."""
    rows = len(columns["time_us"])
    filled = {
        name: np.asarray(columns.get(name, np.full(rows, UNKNOWN if t.kind == "i" else np.nan))).astype(t)
        for name, t in GPS_DTYPES.items()
    }
    return GpsSamples(**filled)


def speeds_between(time_us: npt.NDArray[np.int64], lat: Numbers, lon: Numbers) -> Numbers:
    """Speed at each position from its neighbours, in m/s. Zero for a single one."""
    if len(time_us) < 2:
        return np.zeros(len(time_us))
    north = np.radians(np.diff(lat)) * EARTH_RADIUS_M
    east = np.radians(np.diff(lon)) * EARTH_RADIUS_M * np.cos(np.radians(lat[:-1]))
    along_m = np.concatenate([[0.0], np.cumsum(np.hypot(north, east))])
    seconds = (time_us - time_us[0]) / 1e6
    keep = np.concatenate([[True], np.diff(seconds) > 0])
    slope = np.gradient(along_m[keep], seconds[keep]) if keep.sum() > 1 else np.zeros(int(keep.sum()))
    return np.asarray(np.interp(seconds, seconds[keep], slope))
