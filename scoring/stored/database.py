"""Rows of positions and motion, read as whole columns.

A column comes as one binary array, which NumPy takes as it is. Of positions, with 8 columns, that is 1,050,000 rows/s
on one core, where COPY BINARY into psycopg gives 440,000 and ADBC 840,000; most of it is the server's time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
from psycopg import sql
from sqlalchemy import Connection, text

from infra.contracts.telemetry import GPS_DTYPES, UNKNOWN, Float64, GpsSamples, VehicleClass
from scoring.core.rules import DEFAULT
from scoring.core.state import VehicleState
from scoring.core.state import load as load_state
from scoring.core.stored import ALWAYS_US, Motion, Subject, Telemetry, no_motion
from scoring.stored.source import Calm, Calms, Span, is_straight

_POSTGRES_EPOCH_US = 946_684_800_000_000  # 2000-01-01, from which timestamptz counts
_ARRAY_HEADER = 20  # bytes: dimensions, nulls, type, length, lower bound
_STATS = ("mean", "rms", "min", "max")
MOTION_COLUMNS = (
    *(f"accel_{axis}_{stat}" for stat in _STATS for axis in "xyz"),
    *(f"gyro_{axis}_mean" for axis in "xyz"),
)
_NEWEST_ROWS = 600  # of motion: how dense a vehicle's accelerometer is

_DRIVEN = text(
    "SELECT DISTINCT trip.vehicle_id, coalesce(vehicle.vehicle_class, 'passenger') AS vehicle_class, "
    "CAST(state.state AS text) AS state FROM trip LEFT JOIN vehicle ON vehicle.vehicle_id = trip.vehicle_id "
    "LEFT JOIN vehicle_state AS state ON state.vehicle_id = trip.vehicle_id AND state.consumer_group = 'scoring' "
    f"AND state.rules_version = 'driving-{DEFAULT.version}' "
    "WHERE trip.start_at < :until AND trip.end_at >= :since ORDER BY 1"
)
_DENSITY = text(
    "SELECT avg(samples) FROM (SELECT samples FROM motion WHERE vehicle_id = :vehicle AND time >= :since "
    f"AND time < :until ORDER BY time DESC LIMIT {_NEWEST_ROWS}) AS newest"
)


class Database:
    """Reads on the caller's connection, and writes nothing."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def subjects(self, span: Span) -> Sequence[Subject]:
        """See ``Source``. Mountings are those that the scoring worker has learned last."""
        rows = self._connection.execute(_DRIVEN, {"since": span.since, "until": span.until}).all()
        return [self._subject(span, *row) for row in {row.vehicle_id: row for row in rows}.values()]

    def telemetry(self, span: Span, subjects: Sequence[Subject], calm: Calms | None) -> Iterator[Telemetry]:
        for subject in subjects:
            motion = no_motion() if calm is None else self._motion(span, subject, calm[subject.vehicle_class])
            yield Telemetry(subject, self._positions(span, subject.vehicle_id), motion)

    def _subject(self, span: Span, vehicle_id: str, vehicle_class: str, state: str | None) -> Subject:
        mounting, since_us = mounting_of(state)
        window = {"vehicle": vehicle_id, "since": span.since, "until": span.until}
        density = self._connection.scalar(_DENSITY, window)
        return Subject(vehicle_id, VehicleClass(vehicle_class), mounting, since_us, float(density or 0.0))

    def _positions(self, span: Span, vehicle_id: str) -> GpsSamples:
        names = list(GPS_DTYPES)[1:]
        return gps_of(read_columns(self._connection, "position", names, vehicle_id, span.read))

    def _motion(self, span: Span, subject: Subject, calm: Calm) -> Motion:
        if subject.mounting is None:
            return no_motion()
        loud = _loud(calm) if subject.dense and is_straight(subject.mounting) else sql.SQL("true")
        columns = read_columns(self._connection, "motion", MOTION_COLUMNS, subject.vehicle_id, span.read, loud)
        return motion_of(columns)


def read_columns(
    connection: Connection,
    table: str,
    names: Sequence[str],
    vehicle_id: str,
    times: tuple[datetime, datetime],
    only: sql.Composable | None = None,
) -> dict[str, npt.NDArray[Any]]:
    """A vehicle's rows in order: ``time_us`` and these columns, numbers all; NaN (or ``UNKNOWN``) for null."""
    picked = [sql.SQL("array_send(array_agg(time))"), *(_packed(name) for name in names)]
    query = sql.SQL(
        "SELECT {} FROM (SELECT * FROM {} WHERE vehicle_id = %s AND time >= %s AND time < %s AND {} "
        "ORDER BY time) AS rows"
    ).format(sql.SQL(", ").join(picked), sql.Identifier(table), only or sql.SQL("true"))
    driver: Any = connection.connection.driver_connection  # psycopg's: SQLAlchemy has no word for binary results
    with driver.cursor(binary=True) as cursor:
        row: tuple[bytes | None, ...] = cursor.execute(query, (vehicle_id, *times)).fetchone()
    found: dict[str, npt.NDArray[Any]] = {"time_us": _unpacked(row[0], ">i8").astype(np.int64) + _POSTGRES_EPOCH_US}
    for name, column in zip(names, row[1:], strict=True):
        found[name] = _unpacked(column, ">f8" if name in _WIDE else ">f4")
    return found


def gps_of(columns: Mapping[str, npt.NDArray[Any]]) -> GpsSamples:
    return GpsSamples(**{name: columns[name].astype(dtype) for name, dtype in GPS_DTYPES.items()})


def motion_of(columns: Mapping[str, npt.NDArray[Any]]) -> Motion:
    mean, rms, least, most = (_three(columns, f"accel_{{}}_{stat}") for stat in _STATS)
    return Motion(columns["time_us"], mean, rms, least, most, _three(columns, "gyro_{}_mean"))


def mounting_of(document: str | None) -> tuple[Float64 | None, int]:
    """From a vehicle's state as stored: the mounting, and since when it holds, in microseconds."""

    state = VehicleState() if document is None else load_state(orjson.loads(document)["room"])
    if state.in_vehicle_frame:
        return np.eye(3), ALWAYS_US
    current = state.mounting.current if state.mounting else None
    if state.mounting is None or current is None:
        return None, ALWAYS_US
    return current.matrix, current.since_us if state.mounting.moves else ALWAYS_US


_WIDE = frozenset(name for name, dtype in GPS_DTYPES.items() if dtype == np.float64)
_FLAGS = frozenset(name for name, dtype in GPS_DTYPES.items() if dtype == np.int8)


def _packed(name: str) -> sql.Composable:
    none = str(UNKNOWN) if name in _FLAGS else "NaN"
    kind = "float8" if name in _WIDE else "float4"
    return sql.SQL("array_send(array_agg(coalesce({}::{}, {})))").format(
        sql.Identifier(name), sql.SQL(kind), sql.SQL(f"'{none}'::{kind}")
    )


def _unpacked(array: bytes | None, dtype: str) -> npt.NDArray[Any]:
    if array is None:
        return np.empty(0, dtype)
    return np.frombuffer(array, [("size", ">i4"), ("value", dtype)], offset=_ARRAY_HEADER)["value"]


def _three(columns: Mapping[str, npt.NDArray[Any]], name: str) -> Float64:
    return np.stack([columns[name.format(axis)].astype(np.float64) for axis in "xyz"])


def _loud(calm: Calm) -> sql.Composable:
    return sql.SQL("(accel_x_min <= {} OR accel_x_max >= {} OR accel_y_min <= {} OR accel_y_max >= {})").format(
        *(sql.Literal(v) for v in (-calm.brake_mps2, calm.acceleration_mps2, -calm.turn_mps2, calm.turn_mps2))
    )
