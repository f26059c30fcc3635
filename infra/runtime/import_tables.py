"""Reads the foreign files of an import: CSV tables and GPX tracks. What cannot be read is named by line and column."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
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
from infra.runtime.import_columns import Mapped, Numbers, factor, no_column
from infra.runtime.import_times import TimeFormat, TimeFormatError, parse_times, tell_format

EARTH_RADIUS_M = 6_371_008.8  # mean radius, IUGG
_EMPTY = ("", "-", "NA", "N/A", "NaN", "nan", "null", "NULL", "None")
_MOST_BAD = 0.5  # of the rows: then it is not a few bad rows, but another column
_HEAD_BYTES = 65_536
_NUMBER = re.compile(r"[-+]?\d*[.,]?\d+(?:[eE][-+]?\d+)?")
_COMMA_NUMBER = re.compile(r"[-+]?\d+,\d+")

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class TextTable:
    """A CSV file as text, so that what is no number can be shown where it stands.

    ``skipped`` collects what was left out and where, once each; ``strict`` makes it an error instead.
    """

    path: Path
    columns: pa.Table
    lines: npt.NDArray[np.int64]  # line of the file that each row stands on
    strict: bool = False
    comma: bool = False  # a decimal comma
    skipped: list[str] = field(default_factory=list)

    @property
    def header(self) -> list[str]:
        return list(self.columns.column_names)

    def texts(self, column: str) -> list[str]:
        return [text or "" for text in self.columns.column(column).to_pylist()]

    def numbers(self, column: str) -> Numbers:
        """The column as float64, NaN where it is empty, and where a few rows hold no number.

        Raises:
            DriveError: naming the first line that is no number, where most are none, or with ``strict``.
        """
        text = pc.utf8_trim_whitespace(self.columns.column(column))
        text = pc.if_else(pc.is_in(text, pa.array(_EMPTY)), None, text)
        if self.comma:
            text = pc.replace_substring(text, ",", ".")
        try:
            values: Numbers = pc.cast(text, pa.float64()).to_numpy()
        except pa.ArrowInvalid:
            given = text.to_pandas()
            parsed = pd.to_numeric(given, errors="coerce")
            bad = np.flatnonzero(parsed.isna() & given.notna())
            self._leave_out(bad, column, f"{given.iloc[bad[0]]!r} is not a number", len(given))
            values = parsed.to_numpy(np.float64)
        return values

    def times(self, mapped: Mapped, zone: str, form: str | None = None) -> tuple[npt.NDArray[np.int64], Mask]:
        """The time column in microseconds, and which rows have one. Raises DriveError as ``numbers`` does."""
        if mapped.unit == "iso":
            return self._written_times(mapped.column, zone, form)
        values = self.numbers(mapped.column)
        known = np.isfinite(values)
        self._leave_out(np.flatnonzero(~known), mapped.column, "has no time", len(values))
        stamps: npt.NDArray[np.int64] = np.round(np.where(known, values, 0.0) * factor(mapped)).astype(np.int64)
        return stamps, known

    def holds_texts(self, column: str) -> bool:
        """Whether the first value is a date rather than a number."""
        first = next((t for t in self.texts(column) if t.strip()), "").strip()
        return bool(first) and not _NUMBER.fullmatch(first)

    def _written_times(self, column: str, zone: str, form: str | None) -> tuple[npt.NDArray[np.int64], Mask]:
        texts = self.texts(column)
        try:
            told = TimeFormat(form, form) if form else tell_format(texts)
            stamps, known = parse_times(pd.Series(texts, dtype=str), told, zone)
        except (TimeFormatError, ValueError) as error:
            raise self._wrong(0, column, str(error)) from error
        bad = np.flatnonzero(~known)
        if len(bad):
            what = f"{texts[bad[0]]!r} is not a time such as 2024-05-01T08:00:00Z"
            if told.pattern != "iso":
                what = f"{texts[bad[0]]!r} is not a time as the others ({told.words})"
            if _reads_as_utc(texts[bad[0]], told):
                what = f"{texts[bad[0]]!r} happened twice in {zone}: give times with their offset"
            self._leave_out(bad, column, what if texts[bad[0]].strip() else "has no time", len(texts))
        return stamps, known

    def _leave_out(self, rows: npt.NDArray[np.intp], column: str, what: str, of: int) -> None:
        if not len(rows):
            return
        if self.strict or len(rows) >= _MOST_BAD * of:
            raise self._wrong(int(rows[0]), column, what)
        note = f"{self.path.name}: line {self.lines[rows[0]]}, column {column}: {what}"
        more = f"; {len(rows)} rows like it were left out" if len(rows) > 1 else "; left out"
        if note + more not in self.skipped:
            self.skipped.append(note + more)

    def _wrong(self, row: int, column: str, what: str) -> DriveError:
        return DriveError(f"{self.path}: line {self.lines[row]}, column {column}: {what}")


def read_csv(path: Path, where: Sequence[str] = (), strict: bool = False) -> TextTable:
    """A CSV file (also .gz) with a header line; of its rows those where each ``COLUMN=VALUE`` holds.

    Commas, semicolons and tabs are told apart by the header. Rows of another length than the header are left out.

    Raises:
        DriveError: no such file, not a CSV, no such column, no row left; with ``strict`` a row of another length.
    """
    odd: list[tuple[int, int, int]] = []

    def leave_out(row: pacsv.InvalidRow) -> str:
        odd.append((row.number, row.actual_columns, row.expected_columns))
        return "skip"

    try:
        with pa.input_stream(str(path)) as stream:
            head = stream.read(_HEAD_BYTES)
        header = head.split(b"\n", 1)[0]
        mark = max((b",", b";", b"\t"), key=header.count).decode()
        read = pacsv.ReadOptions(use_threads=False, encoding=_encoding(head))
        split = pacsv.ParseOptions(delimiter=mark, invalid_row_handler=leave_out)
        names = _names(header, read.encoding, mark)
        convert = pacsv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False)
        table = pacsv.read_csv(path, read_options=read, parse_options=split, convert_options=convert)
    except FileNotFoundError as error:
        raise DriveError(f"{path}: not found") from error
    except (pa.ArrowException, OSError) as error:
        raise DriveError(f"{path}: not a CSV file with a header line: {error}") from error
    table = table.rename_columns([name.strip().lstrip("\ufeff") for name in table.column_names])
    lines = np.setdiff1d(np.arange(table.num_rows + len(odd)) + 2, [number for number, _, _ in odd])
    found = TextTable(path, table, lines, strict, comma=mark == ";" and _decimal_comma(table))
    if odd:
        _odd_rows(found, odd)
    return _chosen(found, where)


def _names(header: bytes, encoding: str, mark: str) -> list[str]:
    """Column names as Arrow will read them."""
    text = header.decode(encoding).lstrip("\ufeff").rstrip("\r")
    return next(csv.reader([text], delimiter=mark), [])


def _encoding(head: bytes) -> str:
    """UTF-8, unless its degree signs and umlauts are those of Windows."""
    try:
        head[: head.rfind(b"\n") + 1].decode()
    except UnicodeDecodeError:
        return "latin-1"
    return "utf-8"


def _decimal_comma(table: pa.Table) -> bool:
    return any(
        _COMMA_NUMBER.fullmatch((table.column(n)[0].as_py() or "").strip())
        for n in table.column_names
        if table.num_rows
    )


def _reads_as_utc(text: str, told: TimeFormat) -> bool:
    return bool(parse_times(pd.Series([text], dtype=str), told, "UTC")[1][0])


def _odd_rows(table: TextTable, odd: list[tuple[int, int, int]]) -> None:
    number, actual, expected = odd[0]
    what = f"{table.path.name}: line {number}: {actual} values, the header has {expected}"
    if table.strict:
        raise DriveError(what.replace(table.path.name, str(table.path), 1))
    table.skipped.append(what + (f"; {len(odd)} rows like it were left out" if len(odd) > 1 else "; left out"))


def _chosen(table: TextTable, where: Sequence[str]) -> TextTable:
    keep = np.ones(table.columns.num_rows, bool)
    for condition in where:
        column, _, value = condition.partition("=")
        if column not in table.header:
            raise DriveError(f"--where {condition}: {no_column(column, table.header)} in {table.path}")
        keep &= pc.equal(table.columns.column(column), value).to_numpy()
    if not keep.any():
        raise DriveError(f"{table.path}: no rows" + (f" where {' and '.join(where)}" if where else ""))
    return replace(table, columns=table.columns.filter(pa.array(keep)), lines=table.lines[keep])


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
