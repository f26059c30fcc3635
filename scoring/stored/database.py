"""Rows of positions and motion, read as whole columns.

A column comes as one binary array, which NumPy takes as it is. Of positions, with 8 columns, that is 1,050,000 rows/s
on one core, where COPY BINARY into psycopg gives 440,000 and ADBC 840,000; most of it is the server's time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
from psycopg import sql
from sqlalchemy import Connection, text

from infra.clock import to_datetime, to_us
from infra.contracts.events import EventKind
from infra.contracts.telemetry import GPS_DTYPES, UNKNOWN, Float64, GpsSamples, Int64, VehicleClass, empty_gps
from infra.store.engine import driver_of, make_engine
from scoring.core.calm import LEAD_US, MINUTE_US, merged, stretches
from scoring.core.rules import DEFAULT
from scoring.core.state import VehicleState
from scoring.core.state import load as load_state
from scoring.core.stored import ALWAYS_US, Motion, Subject, Telemetry, no_motion, unsure
from scoring.stored.restless import PIECE_US, Restless, felt
from scoring.stored.road_limits import fill_limits, vehicles_with_road_limits
from scoring.stored.source import Sought, Span

_POSTGRES_EPOCH_US = 946_684_800_000_000  # 2000-01-01, from which timestamptz counts
_ARRAY_HEADER = 20  # bytes: dimensions, nulls, type, length, lower bound
_STATS = ("mean", "rms", "min", "max")
_NEWEST_ROWS = 600  # of motion: how dense a vehicle's accelerometer is

_AT_ONCE = 20  # vehicles, whose calm minutes one query tells
_EARLIER_US = 3 * MINUTE_US

_DRIVEN = text("SELECT DISTINCT vehicle_id FROM trip WHERE start_at < :until AND end_at >= :since ORDER BY 1")
_KNOWN = text(
    "SELECT asked.vehicle_id, coalesce(vehicle.vehicle_class, 'passenger') AS vehicle_class, "
    "CAST(state.state AS text) AS state FROM unnest(CAST(:ids AS text[])) AS asked (vehicle_id) "
    "LEFT JOIN vehicle ON vehicle.vehicle_id = asked.vehicle_id "
    "LEFT JOIN vehicle_state AS state ON state.vehicle_id = asked.vehicle_id AND state.consumer_group = 'scoring' "
    f"AND state.rules_version = 'driving-{DEFAULT.version}' ORDER BY 1"
)
_DENSITY = text(
    "SELECT avg(samples) FROM (SELECT samples FROM motion WHERE vehicle_id = :vehicle AND time >= :since "
    f"AND time < :until ORDER BY time DESC LIMIT {_NEWEST_ROWS}) AS newest"
)


# OFFSET 0 keeps the planner from looking at all rows for every stretch: each is looked up by vehicle and time.
_STRETCHES = sql.SQL(
    "SELECT {columns} FROM (SELECT row.* FROM unnest(%(since)s::timestamptz[], %(until)s::timestamptz[]) "
    "AS stretch (since, until), LATERAL (SELECT {names} FROM {table} WHERE vehicle_id = %(vehicle)s "
    "AND time >= %(first)s AND time < %(last)s AND time >= stretch.since AND time < stretch.until OFFSET 0) AS row "
    "ORDER BY row.time) AS rows"
)


class Database:
    """Reads on the caller's connection, and writes nothing."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def parts(self, span: Span) -> Sequence[Sequence[str]]:
        found = self._connection.execute(_DRIVEN, {"since": span.since, "until": span.until}).scalars().all()
        return [found[first : first + _AT_ONCE] for first in range(0, len(found), _AT_ONCE)]

    def subjects(self, span: Span, vehicle_ids: Sequence[str]) -> Sequence[Subject]:
        """What is known of these vehicles. Mountings are those that the scoring worker has learned last."""
        rows = self._connection.execute(_KNOWN, {"ids": list(vehicle_ids)}).all()
        return [self._subject(span, *row) for row in rows]

    def telemetry(self, span: Span, vehicle_ids: Sequence[str], sought: Sought) -> Iterator[Telemetry]:
        subjects = self.subjects(span, vehicle_ids)
        speeding = EventKind.SPEEDING in sought.kinds
        matched = vehicles_with_road_limits(self._connection, vehicle_ids, span.read) if speeding else frozenset()
        told = [one for one in subjects if one.vehicle_id not in matched]  # others' rows hide where it was too fast
        restless = {} if sought.whole else Restless(self._connection, span, sought).of(told)
        for subject in subjects:
            one = self._read(span, subject, sought, restless.get(subject.vehicle_id))
            if subject.vehicle_id in matched:
                one = replace(one, gps=fill_limits(self._connection, subject.vehicle_id, span.read, one.gps))
            yield one

    def _subject(self, span: Span, vehicle_id: str, vehicle_class: str, state: str | None) -> Subject:
        mounting, since_us = mounting_of(state)
        density = None
        if mounting is not None:
            window = {"vehicle": vehicle_id, "since": span.since, "until": span.until}
            density = self._connection.scalar(_DENSITY, window)
        return Subject(vehicle_id, VehicleClass(vehicle_class), mounting, since_us, float(density or 0.0))

    def _read(self, span: Span, subject: Subject, sought: Sought, restless: Int64 | None) -> Telemetry:
        """``restless``: where there may be something to see, in order; None: all of it is read."""
        first, last = (to_us(time) for time in span.read)
        times, motion = np.array([[first, last]]), no_motion()
        turned = sought.motion and subject.dense and not subject.straight
        if turned:  # what its rows show along the vehicle's axes, only they tell together
            motion = self._motion(subject, times)
            restless = None if restless is None else felt(Telemetry(subject, empty_gps(), motion), sought, restless)
        if restless is not None:
            times = np.clip(stretches(restless, PIECE_US), first, last)
        gps, times = self._positions(subject, sought, times, first)
        if sought.motion and subject.mounting is not None and not turned:
            motion = self._motion(subject, times)
        return Telemetry(subject, gps, motion)

    def _positions(self, subject: Subject, sought: Sought, times: Int64, first_us: int) -> tuple[GpsSamples, Int64]:
        """And the stretches: they begin earlier where it takes more rows to know which fixes are believed."""
        names = sought.positions_of([subject])
        while True:
            gps = gps_of(read_columns(self._connection, "position", names, subject.vehicle_id, times))
            doubtful = gps.time_us[unsure(gps)]
            at = np.searchsorted(times[:, 0], doubtful, side="right") - 1
            early = np.unique(at[(doubtful < times[at, 0] + LEAD_US) & (times[at, 0] > first_us)])
            if not len(early):
                return gps, times
            times = times.copy()
            times[early, 0] = np.maximum(times[early, 0] - _EARLIER_US, first_us)
            times = merged(times)

    def _motion(self, subject: Subject, times: Int64) -> Motion:
        names = motion_columns([subject])
        return motion_of(read_columns(self._connection, "motion", names, subject.vehicle_id, times))


@contextmanager
def opened_database(url: str) -> Iterator[Database]:
    """On a connection of its own."""
    engine = make_engine(url, "rumblestrip rescore")
    try:
        with engine.connect() as connection:
            yield Database(connection)
    finally:
        engine.dispose()


def motion_columns(subjects: Sequence[Subject]) -> list[str]:
    """Those that a replay looks at: along the vehicle's axes, if the device sends these, with extremes; along all of
    the device's, if not."""
    names = set[str]()
    for straight in {one.straight for one in subjects}:
        axes, stats = ("xy", _STATS) if straight else ("xyz", _STATS[:2])
        names |= {f"accel_{axis}_{stat}" for stat in stats for axis in axes}
        names |= {f"gyro_{axis}_mean" for axis in ("z" if straight else "xyz")}
    return sorted(names)


def read_columns(
    connection: Connection, table: str, names: Sequence[str], vehicle_id: str, times: Int64
) -> dict[str, npt.NDArray[Any]]:
    """A vehicle's rows of some stretches of time, in order: ``time_us`` and these columns, numbers all; NaN (or
    ``UNKNOWN``) for null.

    Args:
        times: (n, 2), in microseconds, in order, the end left out.
    """
    none: dict[str, npt.NDArray[Any]] = {name: np.empty(0) for name in ("time_us", *names)}
    if not len(times):
        return none | {"time_us": np.empty(0, np.int64)}
    picked = [sql.SQL("array_send(array_agg(time))"), *(_packed(name) for name in names)]
    query = _STRETCHES.format(
        columns=sql.SQL(", ").join(picked),
        names=sql.SQL(", ").join(map(sql.Identifier, ("time", *names))),
        table=sql.Identifier(table),
    )
    since, until = ([to_datetime(at) for at in times[:, side].tolist()] for side in (0, 1))
    asked = {"vehicle": vehicle_id, "first": since[0], "last": until[-1], "since": since, "until": until}
    with driver_of(connection).cursor(binary=True) as cursor:
        row: tuple[bytes | None, ...] = cursor.execute(query, asked).fetchone()
    found: dict[str, npt.NDArray[Any]] = {"time_us": _unpacked(row[0], ">i8").astype(np.int64) + _POSTGRES_EPOCH_US}
    for name, column in zip(names, row[1:], strict=True):
        found[name] = _unpacked(column, ">f8" if name in _WIDE else ">f4")
    return found


def gps_of(columns: Mapping[str, npt.NDArray[Any]]) -> GpsSamples:
    """Columns that were not read are unknown."""
    rows = len(columns["time_us"])
    unknown = {name: UNKNOWN if name in _FLAGS else np.nan for name in GPS_DTYPES}
    return GpsSamples(
        **{
            name: columns[name].astype(dtype) if name in columns else np.full(rows, unknown[name], dtype)
            for name, dtype in GPS_DTYPES.items()
        }
    )


def motion_of(columns: Mapping[str, npt.NDArray[Any]]) -> Motion:
    """Columns that were not read are 0: nothing looks at them."""
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
    none = np.zeros(len(columns["time_us"]))
    return np.stack([columns.get(name.format(axis), none).astype(np.float64) for axis in "xyz"])
