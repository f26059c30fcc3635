"""Tracks, scores, trips and the fleet's health as pages read them: bounded, on the caller's connection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

import pandas as pd
from sqlalchemy import Connection, Select, Text, cast, func, select, text, true

from infra.store.queries import with_names
from infra.store.tables import dead_letter, driver, safety_event, score, stream_count, trip, vehicle

MOST_POINTS = 20_000  # of a track: 5.5 h at 1 Hz; longer ones are thinned
MOST_CHOICES = 2_000  # drivers or vehicles offered in a filter
MOST_TRIPS = 200
MOST_DAYS = 400


@dataclass(frozen=True, slots=True)
class ScoreRow:
    """A score that is stored. ``scope`` is trip, driver_day or vehicle_day; ``low`` to ``high`` holds it with 90 %."""

    scope: str
    scope_id: str
    day: date
    formula: str
    value: float | None
    low: float | None
    high: float | None
    state: str
    distance_m: float
    driving_s: float
    over_limit_s: float
    limit_known_s: float
    events: int
    ledger: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class TripRow:
    trip_id: UUID
    vehicle_id: str
    vehicle_name: str
    driver_id: str | None
    driver_name: str | None
    status: str
    start_at: datetime
    end_at: datetime
    distance_m: float
    driving_s: float
    limit_known_s: float
    over_limit_s: float
    max_speed_mps: float
    events: int
    value: float | None
    low: float | None
    high: float | None
    state: str | None


@dataclass(frozen=True, slots=True)
class VehicleHealth:
    vehicle_id: str
    name: str
    last_seen: datetime | None
    late: int
    duplicate: int
    missing: int
    messages: int
    dead_letters: int  # rows that could not be used


# --- where and how fast -----------------------------------------------------------------------------------


def track(connection: Connection, vehicle_id: str, since: datetime, until: datetime) -> pd.DataFrame:
    """Columns time, lat, lon, speed_mps, speed_limit_mps in time order; at most MOST_POINTS, evenly thinned."""
    return _samples(connection, "position", ("lat", "lon", "speed_mps", "speed_limit_mps"), vehicle_id, since, until)


def motion(connection: Connection, vehicle_id: str, since: datetime, until: datetime) -> pd.DataFrame:
    """Columns time, samples, and mean, min and max of accel_x, _y and _z in m/s², one row a second."""
    names = tuple(f"accel_{axis}_{end}" for axis in "xyz" for end in ("mean", "min", "max"))
    return _samples(connection, "motion", ("samples", *names), vehicle_id, since, until)


def _samples(
    connection: Connection, table: str, columns: Sequence[str], vehicle_id: str, since: datetime, until: datetime
) -> pd.DataFrame:
    listed = ", ".join(columns)
    query = text(
        f"SELECT time, {listed} FROM (SELECT time, {listed}, row_number() OVER (ORDER BY time) AS place, "
        f"count(*) OVER () AS total FROM {table} "
        "WHERE vehicle_id = :vehicle AND time >= :since AND time <= :until) AS numbered "
        "WHERE place % (1 + total / :most) = 0 ORDER BY time"
    )
    asked = {"vehicle": vehicle_id, "since": since, "until": until, "most": MOST_POINTS}
    rows = connection.execute(query, asked).all()
    frame = pd.DataFrame([tuple(row) for row in rows], columns=["time", *columns])
    frame["time"] = pd.to_datetime(frame["time"], utc=True)
    return frame.astype(dict.fromkeys(columns, "float64"))


# --- drivers, scores, trips -------------------------------------------------------------------------------


def driver_choices(connection: Connection) -> list[tuple[str, str]]:
    """(id, name) of every driver, by name."""
    return _choices(connection, driver.c.driver_id, driver.c.name)


def vehicle_choices(connection: Connection) -> list[tuple[str, str]]:
    return _choices(connection, vehicle.c.vehicle_id, vehicle.c.name)


def _choices(connection: Connection, key: Any, name: Any) -> list[tuple[str, str]]:
    return [(row[0], row[1]) for row in connection.execute(select(key, name).order_by(name).limit(MOST_CHOICES))]


def newest_trip(connection: Connection, only_driver: str | None = None) -> datetime | None:
    """When the last trip with a driver began that has ended."""
    table = trip.c
    query = select(func.max(table.start_at)).where(table.status == "ended")
    whose = table.driver_id.is_not(None) if only_driver is None else table.driver_id == only_driver
    found: datetime | None = connection.scalar(query.where(whose))
    return found


def scores(connection: Connection, scope: str, scope_id: str, formula: str) -> list[ScoreRow]:
    """The scores of a trip, or of a driver's or vehicle's days, oldest first; at most MOST_DAYS.

    Args:
        formula: the one that is in force.
    """
    table = score.c
    query = select(score).where(table.scope == scope, table.scope_id == scope_id, table.formula == formula)
    newest = connection.execute(query.order_by(table.day.desc()).limit(MOST_DAYS))
    return [ScoreRow(**row._mapping) for row in newest][::-1]


def trips(
    connection: Connection,
    since: datetime | None = None,
    until: datetime | None = None,
    driver_id: str | None = None,
    vehicle_id: str | None = None,
    limit: int = 50,
    offset: int = 0,
    formula: str = "",
) -> list[TripRow]:
    """Newest first, with how many events happened on each.

    Args:
        formula: the one in force, whose scores come along.
    """
    query = _trip_rows(formula)
    for column, value in ((trip.c.driver_id, driver_id), (trip.c.vehicle_id, vehicle_id)):
        query = query if value is None else query.where(column == value)
    query = query if since is None else query.where(trip.c.start_at >= since)
    query = query if until is None else query.where(trip.c.start_at < until)
    rows = connection.execute(query.order_by(trip.c.start_at.desc()).limit(min(limit, MOST_TRIPS)).offset(offset))
    return [TripRow(**row._mapping) for row in rows]


def trip_of(connection: Connection, trip_id: UUID, only_driver: str | None = None, formula: str = "") -> TripRow | None:
    query = _trip_rows(formula).where(trip.c.trip_id == trip_id)
    query = query if only_driver is None else query.where(trip.c.driver_id == only_driver)
    row = connection.execute(query).first()
    return TripRow(**row._mapping) if row else None


def trip_at(connection: Connection, vehicle_id: str, when: datetime) -> UUID | None:
    """The trip of a vehicle that an instant lies in."""
    table = trip.c
    query = select(table.trip_id).where(
        table.vehicle_id == vehicle_id, table.start_at <= when, table.end_at >= when - timedelta(seconds=1)
    )
    found: UUID | None = connection.scalar(query.order_by(table.start_at.desc()).limit(1))
    return found


def _trip_rows(formula: str) -> Select[Any]:
    table, during = trip.c, safety_event.c
    happened = (
        select(func.count())
        .where(
            during.vehicle_id == table.vehicle_id, during.start_at >= table.start_at, during.start_at <= table.end_at
        )
        .correlate(trip)
        .scalar_subquery()
    )
    own = [
        "trip_id",
        "vehicle_id",
        "driver_id",
        "status",
        "start_at",
        "end_at",
        "distance_m",
        "driving_s",
        "limit_known_s",
        "max_speed_mps",
    ]
    over = table.over_light_s + table.over_moderate_s + table.over_heavy_s + table.over_severe_s
    own_score = (
        select(score)
        .where(score.c.scope == "trip", score.c.scope_id == cast(table.trip_id, Text), score.c.formula == formula)
        .limit(1)
        .correlate(trip)
        .lateral("own_score")
    )
    figures = (own_score.c[name] for name in ("value", "low", "high", "state"))
    return select(
        *(table[name] for name in own),
        over.label("over_limit_s"),
        func.coalesce(vehicle.c.name, table.vehicle_id).label("vehicle_name"),
        func.coalesce(driver.c.name, table.driver_id).label("driver_name"),
        happened.label("events"),
        *figures,
    ).select_from(with_names(trip).outerjoin(own_score, true()))


# --- how the data arrive ----------------------------------------------------------------------------------


def fleet_health(connection: Connection) -> list[VehicleHealth]:
    """Every vehicle, the one unheard of for longest first."""
    rows = connection.execute(text(_HEALTH), {"most": MOST_CHOICES})
    return [VehicleHealth(**row._mapping) for row in rows]


_HEALTH = """
SELECT v.vehicle_id, v.name, seen.time AS last_seen,
       coalesce(c.late, 0)::int8 AS late, coalesce(c.duplicate, 0)::int8 AS duplicate,
       coalesce(c.missing, 0)::int8 AS missing, coalesce(c.messages, 0)::int8 AS messages,
       coalesce(d.rows, 0)::int8 AS dead_letters
FROM vehicle v
LEFT JOIN LATERAL (
    SELECT time FROM position p WHERE p.vehicle_id = v.vehicle_id ORDER BY time DESC LIMIT 1) seen ON true
LEFT JOIN (
    SELECT vehicle_id, max(total) FILTER (WHERE word = 'late') AS late,
           max(total) FILTER (WHERE word = 'duplicate') AS duplicate,
           max(total) FILTER (WHERE word = 'missing') AS missing,
           max(total) FILTER (WHERE word = 'messages') AS messages
    FROM stream_count GROUP BY vehicle_id) c USING (vehicle_id)
LEFT JOIN (SELECT vehicle_id, sum(rows) AS rows FROM dead_letter GROUP BY vehicle_id) d USING (vehicle_id)
ORDER BY seen.time NULLS FIRST, v.vehicle_id LIMIT :most
"""


def stream_totals(connection: Connection) -> pd.DataFrame:
    """Columns consumer_group, word, total: every count over the whole fleet."""
    table = stream_count.c
    query = select(table.consumer_group, table.word, func.sum(table.total)).group_by(table.consumer_group, table.word)
    rows = connection.execute(query.order_by(table.consumer_group, table.word))
    return pd.DataFrame([tuple(row) for row in rows], columns=["consumer_group", "word", "total"])


def dead_letter_reasons(connection: Connection) -> pd.DataFrame:
    """Columns reason, rows, letters, newest, example: what could not be used, and why."""
    table = dead_letter.c
    newest = func.max(table.arrived_at).label("newest")
    query = select(
        table.reason,
        func.sum(table.rows).label("rows"),
        func.count().label("letters"),
        newest,
        func.max(func.left(table.detail, 200)).label("example"),
    )
    rows = connection.execute(query.group_by(table.reason).order_by(newest.desc()).limit(100))
    return pd.DataFrame([tuple(row) for row in rows], columns=["reason", "rows", "letters", "newest", "example"])
