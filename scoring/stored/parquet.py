"""Parquet files of positions and motion, a folder for every lane and day, written from the database.

vehicles.parquet                              vehicle_id, vehicle_class, lane, mounting, since_us, imu_hz
position/lane=3/day=2026-05-01/rows.parquet   the table's columns, in order of vehicles and time; days are UTC's; where
                                              the message knew no limit, that of the road if it was matched
motion/lane=3/day=2026-05-01/rows.parquet
minutes/lane=3/day=2026-05-01/rows.parquet    of each minute of a vehicle: rows, extremes, and where its rows lie

A row group holds what a vehicle sent within ten minutes, so that a replay can read the minutes at which rules must
look, and leave the others (``scoring.core.calm``). ``minutes`` says which these are, for any thresholds, and in which
row groups they lie: a sixtieth of the rows, where the statistics of the row groups themselves would take Python longer
to look through than it takes to read the rows. It is written last: where it is, the others are as it says.

LZ4 on split bytes: as small as Zstandard on plain ones (26 and 67 bytes a row, 38 and 71), and where row groups are
this small, Zstandard spends 25 us on setting itself up for each column of each, five times what LZ4 takes in all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import Connection, text

from infra.clock import to_datetime, to_us
from infra.contracts.telemetry import GPS_DTYPES, UNKNOWN, Int64
from infra.contracts.topics import lane_of
from infra.store.bulk import arrow_schema
from infra.store.tables import motion, position
from scoring.core.calm import sum_up
from scoring.core.stored import Subject, Telemetry
from scoring.stored import minutes
from scoring.stored.database import Database, gps_of, motion_of, read_columns
from scoring.stored.road_limits import fill_limits
from scoring.stored.source import Span

VEHICLES, MINUTES = "vehicles.parquet", "minutes"
_TABLES = {"position": arrow_schema(position), "motion": arrow_schema(motion)}
_FLAGS = frozenset(name for name, dtype in GPS_DTYPES.items() if dtype == np.int8)
_DAY_US = 86_400_000_000
_DRIVERS = text(
    "SELECT trip.driver_id, trip.start_at, trip.end_at FROM trip "
    "WHERE vehicle_id = :vehicle AND start_at <= :last AND end_at >= :since ORDER BY start_at"
)
Told = Callable[[date, int], None]
"""Called with every day and lane that was written."""


def export(
    connection: Connection, root: Path, since: datetime, until: datetime, lanes: int, told: Told = lambda _, __: None
) -> int:
    """Write what was recorded between two times. Days are whole; one that was written before is written anew.

    Returns:
        How many rows of positions and motion.
    """
    database = Database(connection)
    span = Span(since, until)
    subjects = database.subjects(span, [vehicle for part in database.parts(span) for vehicle in part])
    root.mkdir(parents=True, exist_ok=True)
    pq.write_table(_vehicles(subjects, lanes), root / f"{VEHICLES}.new")
    (root / f"{VEHICLES}.new").replace(root / VEHICLES)
    written = 0
    for day in days(since, until):
        for lane in range(lanes):
            ours = [one for one in subjects if lane_of(one.vehicle_id, lanes) == lane]
            written += _write_day(connection, root, lane, day, ours)
            told(day, lane)
    return written


def file_of(root: Path, table: str, lane: int, day: date) -> Path:
    return root / table / f"lane={lane}" / f"day={day}" / "rows.parquet"


def days(since: datetime, until: datetime) -> list[date]:
    """Of UTC, that lie between, or partly so."""
    first, last = since.astimezone(UTC).date(), (until - timedelta(microseconds=1)).astimezone(UTC).date()
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]


def _write_day(connection: Connection, root: Path, lane: int, day: date, subjects: Sequence[Subject]) -> int:
    summed = file_of(root, MINUTES, lane, day)
    with ExitStack() as files:
        writers = {
            name: files.enter_context(_Writer(file_of(root, name, lane, day), schema))
            for name, schema in _TABLES.items()
        }
        parts = [_write_vehicle(connection, writers, one, day) for one in subjects]
        rows = sum(writer.rows for writer in writers.values())
        if rows:
            summed.unlink(missing_ok=True)
    if rows:
        with _Writer(summed, minutes.SCHEMA) as writer:
            writer.add(pa.concat_tables(parts), [sum(len(part) for part in parts)])
    return rows


def _write_vehicle(connection: Connection, writers: Mapping[str, _Writer], subject: Subject, day: date) -> pa.Table:
    """A vehicle's day; returns its minutes."""
    begun = datetime.combine(day, time(), UTC)
    start_us = to_us(begun)
    times = np.array([[start_us, start_us + _DAY_US]])
    read = {
        name: read_columns(connection, name, _names(schema), subject.vehicle_id, times)
        for name, schema in _TABLES.items()
    }
    between = begun, begun + timedelta(days=1)
    gps = fill_limits(connection, subject.vehicle_id, between, gps_of(read["position"]))
    read["position"]["speed_limit_mps"] = gps.speed_limit_mps
    summed = sum_up(Telemetry(subject, gps, motion_of(read["motion"])), start_us)
    groups = {}
    for name, rows in (("position", summed.fixes), ("motion", summed.seconds)):
        group, sizes = minutes.group_by_tens(summed.start_us, rows)
        groups[name] = writers[name].groups + group
        writers[name].add(_table(connection, _TABLES[name], subject.vehicle_id, read[name]), sizes.tolist())
    return minutes.minutes_table(subject, summed, groups)


class _Writer:
    """A file that is there whole, or not at all; and not at all without rows."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._path, self._new, self._schema = path, path.with_suffix(".new"), schema
        self._file: pq.ParquetWriter | None = None
        self.rows = self.groups = 0

    def __enter__(self) -> _Writer:
        return self

    def add(self, rows: pa.Table, sizes: Sequence[int]) -> None:
        """Rows in groups of these sizes, which add up to them all."""
        for size in sizes:
            self._open().write_table(rows.slice(0, size), row_group_size=size)
            rows = rows.slice(size)
            self.rows += size
            self.groups += 1

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        if self._file is not None:
            self._file.close()
        if error is None:
            self._path.unlink(missing_ok=True) if self._file is None else self._new.replace(self._path)

    def _open(self) -> pq.ParquetWriter:
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = pq.ParquetWriter(self._new, self._schema, **_options(self._schema))
        return self._file


def _options(schema: pa.Schema) -> dict[str, Any]:
    text_columns = [field.name for field in schema if pa.types.is_string(field.type)]
    split = {field.name: "BYTE_STREAM_SPLIT" for field in schema if pa.types.is_floating(field.type)}
    return {
        "compression": "lz4",
        "use_dictionary": text_columns,
        "column_encoding": split | {"time": "DELTA_BINARY_PACKED"},
        "write_statistics": ["time", "vehicle_id"],
    }


def _names(schema: pa.Schema) -> list[str]:
    return [name for name in schema.names if name not in ("time", "vehicle_id", "driver_id")]


def _table(connection: Connection, schema: pa.Schema, vehicle_id: str, columns: Mapping[str, Any]) -> pa.Table:
    time_us = columns["time_us"]
    found = {field: _nullable(columns[field], field, schema) for field in _names(schema)}
    found["time"] = pa.array(time_us, pa.timestamp("us", tz="UTC"))
    found["vehicle_id"] = pa.array([vehicle_id], pa.string()).take(pa.array(np.zeros(len(time_us), np.int64)))
    if "driver_id" in schema.names:
        found["driver_id"] = _drivers(connection, vehicle_id, time_us)
    return pa.table([found[field] for field in schema.names], schema=schema)


def _drivers(connection: Connection, vehicle_id: str, time_us: Int64) -> pa.Array:
    """Of the trip that a row lies on."""
    if not len(time_us):
        return pa.nulls(0, pa.string())
    asked = {"vehicle": vehicle_id, "since": to_datetime(int(time_us[0])), "last": to_datetime(int(time_us[-1]))}
    trips = connection.execute(_DRIVERS, asked).all()
    if not trips:
        return pa.nulls(len(time_us), pa.string())
    starts = np.array([to_us(trip.start_at) for trip in trips])
    ends = np.array([to_us(trip.end_at) for trip in trips])
    at = np.searchsorted(starts, time_us, side="right") - 1
    on_trip = (at >= 0) & (time_us <= ends[np.maximum(at, 0)])
    return pa.array([trip.driver_id for trip in trips], pa.string()).take(pa.array(at, mask=~on_trip))


def _nullable(values: Any, name: str, schema: pa.Schema) -> pa.Array:
    unknown = values == UNKNOWN if name in _FLAGS else np.isnan(values)
    native = values.astype(values.dtype.newbyteorder("="))
    return pa.array(native, mask=unknown).cast(schema.field(name).type, safe=False)


def _vehicles(subjects: Sequence[Subject], lanes: int) -> pa.Table:
    rows = [
        {
            "vehicle_id": one.vehicle_id,
            "vehicle_class": one.vehicle_class.value,
            "lane": lane_of(one.vehicle_id, lanes),
            "mounting": None if one.mounting is None else one.mounting.ravel().tolist(),
            "since_us": one.since_us,
            "imu_hz": one.imu_hz,
        }
        for one in subjects
    ]
    types = (pa.string(), pa.string(), pa.int64(), pa.list_(pa.float64()), pa.int64(), pa.float64())
    names = ("vehicle_id", "vehicle_class", "lane", "mounting", "since_us", "imu_hz")
    return pa.Table.from_pylist(rows, pa.schema(list(zip(names, types, strict=True))))
