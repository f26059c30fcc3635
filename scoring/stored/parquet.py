"""Parquet files of positions and motion, a folder for every lane and day: written from the database, read for a replay.

vehicles.parquet                              vehicle_id, vehicle_class, lane, mounting, since_us, imu_hz
position/lane=3/day=2026-05-01/rows.parquet   the table's columns, in order of vehicles and time; days are UTC's
motion/lane=3/day=2026-05-01/rows.parquet
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from sqlalchemy import Connection, text

from infra.clock import to_us
from infra.contracts.telemetry import GPS_DTYPES, UNKNOWN, VehicleClass
from infra.contracts.topics import lane_of
from infra.store.bulk import arrow_schema
from infra.store.tables import motion, position
from scoring.core.stored import Subject, Telemetry, no_motion
from scoring.stored.database import MOTION_COLUMNS, Database, gps_of, motion_of, read_columns
from scoring.stored.source import Calms, Span

VEHICLES = "vehicles.parquet"
_TABLES = {"position": arrow_schema(position), "motion": arrow_schema(motion)}
_FLAGS = frozenset(name for name, dtype in GPS_DTYPES.items() if dtype == np.int8)
_ROW_GROUP = 1 << 18
_DRIVERS = text(
    "SELECT trip.driver_id, trip.start_at, trip.end_at FROM trip "
    "WHERE vehicle_id = :vehicle AND start_at < :until AND end_at >= :since ORDER BY start_at"
)
Told = Callable[[date, int], None]
"""Called with every day and lane that was written."""


class Archive:
    """A folder that ``export`` has written."""

    def __init__(self, root: Path, lanes: Sequence[int] | None = None) -> None:
        self._root = root
        self._lanes = lanes

    def subjects(self, _span: Span) -> Sequence[Subject]:
        rows = pq.read_table(self._root / VEHICLES).to_pylist()
        return [_subject(row) for row in rows if self._lanes is None or row["lane"] in self._lanes]

    def telemetry(self, span: Span, subjects: Sequence[Subject], calm: Calms | None) -> Iterator[Telemetry]:
        """Lane by lane: all vehicles of one are in memory at once."""
        wanted = {one.vehicle_id: one for one in subjects}
        for lane in self.lanes:
            fixes = self._rows("position", lane, span, list(GPS_DTYPES)[1:])
            moved = {} if calm is None else self._rows("motion", lane, span, MOTION_COLUMNS)
            for vehicle_id, columns in fixes.items():
                if vehicle_id in wanted:
                    found = motion_of(moved[vehicle_id]) if vehicle_id in moved else no_motion()
                    yield Telemetry(wanted[vehicle_id], gps_of(columns), found)

    @property
    def lanes(self) -> list[int]:
        """Those that there are files of."""
        found = sorted(int(path.name.partition("=")[2]) for path in (self._root / "position").glob("lane=*"))
        return found if self._lanes is None else [lane for lane in found if lane in self._lanes]

    def _rows(self, table: str, lane: int, span: Span, names: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Columns by vehicle."""
        since, until = span.read
        days = _days(since, until)
        paths = [path for day in days if (path := file_of(self._root, table, lane, day)).exists()]
        columns = ["vehicle_id", "time", *names]
        tables = [pq.read_table(path, columns=columns, partitioning=None, memory_map=True) for path in paths]
        if not tables:
            return {}
        rows = pa.concat_tables(tables).combine_chunks()
        vehicles = pc.dictionary_encode(rows["vehicle_id"]).combine_chunks()
        time_us = rows["time"].cast(pa.int64()).to_numpy()
        inside = np.flatnonzero((time_us >= to_us(since)) & (time_us < to_us(until)))
        code = vehicles.indices.to_numpy()[inside]
        order = inside[np.argsort(code, kind="stable")]  # days come in order, and so stay
        found = {"time_us": time_us} | {name: _numbers(rows[name], name) for name in names}
        bounds = np.searchsorted(code[np.argsort(code, kind="stable")], np.arange(len(vehicles.dictionary) + 1))
        return {
            vehicle: {name: values[order[a:b]] for name, values in found.items()}
            for vehicle, a, b in zip(vehicles.dictionary.to_pylist(), bounds[:-1], bounds[1:], strict=True)
            if b > a
        }


def export(
    connection: Connection, root: Path, since: datetime, until: datetime, lanes: int, told: Told = lambda _, __: None
) -> int:
    """Write what was recorded between two times. Days are whole; one that was written before is written anew.

    Returns:
        How many rows of positions and motion.
    """
    subjects = Database(connection).subjects(Span(since, until))
    root.mkdir(parents=True, exist_ok=True)
    _write(_vehicles(subjects, lanes), root / VEHICLES)
    written = 0
    for day in _days(since, until):
        for lane in range(lanes):
            ours = [one.vehicle_id for one in subjects if lane_of(one.vehicle_id, lanes) == lane]
            for name, schema in _TABLES.items():
                parts = [_table(connection, name, schema, vehicle, day) for vehicle in ours]
                rows = pa.concat_tables(parts) if parts else schema.empty_table()
                if len(rows):
                    _write(rows, file_of(root, name, lane, day))
                written += len(rows)
            told(day, lane)
    return written


def file_of(root: Path, table: str, lane: int, day: date) -> Path:
    return root / table / f"lane={lane}" / f"day={day}" / "rows.parquet"


def _write(rows: pa.Table, path: Path) -> None:
    """Whole, or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    pq.write_table(rows, new, compression="zstd", row_group_size=_ROW_GROUP)
    new.replace(path)


def _days(since: datetime, until: datetime) -> list[date]:
    first, last = since.astimezone(UTC).date(), (until - timedelta(microseconds=1)).astimezone(UTC).date()
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]


def _table(connection: Connection, name: str, schema: pa.Schema, vehicle_id: str, day: date) -> pa.Table:
    start = datetime.combine(day, time(), UTC)
    times = start, start + timedelta(days=1)
    names = [field for field in schema.names if field not in ("time", "vehicle_id", "driver_id")]
    columns = read_columns(connection, name, names, vehicle_id, times)
    time_us = columns["time_us"]
    found = {field: _nullable(columns[field], field, schema) for field in names}
    found["time"] = pa.array(time_us, pa.timestamp("us", tz="UTC"))
    found["vehicle_id"] = pa.array([vehicle_id], pa.string()).take(pa.array(np.zeros(len(time_us), np.int64)))
    if "driver_id" in schema.names:
        found["driver_id"] = _drivers(connection, vehicle_id, times, time_us)
    return pa.table([found[field] for field in schema.names], schema=schema)


def _drivers(connection: Connection, vehicle_id: str, times: tuple[datetime, datetime], time_us: Any) -> pa.Array:
    """Of the trip that a row lies on."""
    asked = {"vehicle": vehicle_id, "since": times[0], "until": times[1]}
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


def _numbers(column: pa.ChunkedArray, name: str) -> Any:
    if name in _FLAGS:
        return pc.fill_null(column, UNKNOWN).to_numpy()
    return column.to_numpy()  # null becomes NaN


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


def _subject(row: dict[str, Any]) -> Subject:
    mounting = None if row["mounting"] is None else np.array(row["mounting"]).reshape(3, 3)
    return Subject(row["vehicle_id"], VehicleClass(row["vehicle_class"]), mounting, row["since_us"], row["imu_hz"])
