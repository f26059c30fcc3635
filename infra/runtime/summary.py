"""What the database holds, as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from sqlalchemy import Connection, func, select

from infra.runtime.rooms import STANDINGS, resolve
from infra.settings import Settings
from infra.store import queries, reports
from infra.store.tables import dead_letter, stream_count

MOST_ROWS = 40
_EVER = (datetime(2000, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC))


@dataclass(frozen=True, slots=True)
class Units:
    """How the fleet writes lengths, speeds and times."""

    zone: ZoneInfo
    metric: bool

    @classmethod
    def of(cls, settings: Settings) -> Units:
        return cls(settings.zone, settings.units == "metric")

    def distance(self, distance_m: float) -> str:
        return f"{distance_m / 1000:.1f} km" if self.metric else f"{distance_m / 1609.344:.1f} mi"

    def speed(self, speed_mps: float | None) -> str:
        if speed_mps is None:
            return ""
        return f"{speed_mps * 3.6:.0f} km/h" if self.metric else f"{speed_mps / 0.44704:.0f} mph"

    def time(self, when: datetime) -> str:
        return f"{when.astimezone(self.zone):%Y-%m-%d %H:%M}"


def summarise(connection: Connection, settings: Settings) -> Group:
    """Trips, events, scores and counts. Long lists are cut, and say so."""
    units = Units.of(settings)
    return Group(
        _or_say(_trips(connection, units), "No trips: a trip begins at 8 km/h (5 mph)."),
        _or_say(_events(connection, units), "No safety events."),
        _or_say(_drivers(connection, units), "No driver scores: the drives name no driver."),
        _or_say(_counts(connection), "Nothing was received."),
    )


def _or_say(table: Table, words: str) -> RenderableType:
    return Padding(table if table.row_count else words, (1, 0, 0, 0))


def _table(title: str, columns: Iterable[str], right: Iterable[str] = ()) -> Table:
    table = Table(
        title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0)
    )
    for name in columns:
        table.add_column(name, justify="right" if name in right else "left", no_wrap=True)
    return table


def _trips(connection: Connection, units: Units) -> Table:
    rows = sorted(reports.trips(connection, limit=MOST_ROWS), key=lambda trip: trip.start_at)
    columns = ("start", "vehicle", "driver", "distance", "driving", "top speed", "status")
    table = _table(f"Trips (times in {units.zone.key})", columns, columns[3:6])
    for trip in rows:
        driver = trip.driver_name or trip.driver_id or ""
        minutes = f"{trip.driving_s / 60:.0f} min"
        distance, speed = units.distance(trip.distance_m), units.speed(trip.max_speed_mps)
        table.add_row(units.time(trip.start_at), trip.vehicle_name, driver, distance, minutes, speed, trip.status)
    return _cut(table, len(rows))


def _events(connection: Connection, units: Units) -> Table:
    columns = ("time", "driver", "event", "severity", "peak", "speed", "review")
    table = _table("Safety events", columns, columns[4:6])
    rows = queries.events(connection, queries.EventFilter(), limit=MOST_ROWS)
    for event in sorted(rows, key=lambda event: event.start_at):
        kind, state = event.kind.replace("_", " "), event.review_state.replace("_", " ")
        driver, peak = event.driver_name or event.driver_id or "", f"{event.peak:.2f} {event.peak_unit}"
        speed = units.speed(event.speed_mps)
        table.add_row(units.time(event.start_at), driver, kind, event.severity, peak, speed, state)
    total = queries.count_events(connection, queries.EventFilter())
    table.caption = f"{total} in all" if total <= MOST_ROWS else f"the first {MOST_ROWS} of {total}, most urgent first"
    return table


def _drivers(connection: Connection, units: Units) -> Table:
    columns = ("driver", "score", "90 %", "distance", "driving", "events", "over the limit", "")
    table = _table("Driver scores (0 to 100)", columns, columns[1:-1])
    names = dict(reports.driver_choices(connection))
    for one in resolve(STANDINGS)(connection, *_EVER):
        table.add_row(names.get(one.name, one.name), *_standing(one, units))
    return table


def _standing(one: Any, units: Units) -> tuple[str, ...]:
    """Of scoring.standings, which stands above this room."""
    driven, result = one.driven, one.result
    known = result.value is not None
    value, interval = (f"{result.value:.0f}", f"{result.low:.0f} to {result.high:.0f}") if known else ("", "")
    known_s = driven.limit_known_s
    over = f"{sum(driven.over_s):.0f} s of {known_s:.0f} s" if known_s else "no limits known"
    minutes, events = f"{driven.driving_s / 60:.0f} min", str(sum(driven.events.values()))
    state = "" if result.state == "scored" else str(result.state).replace("_", " ") + " yet"
    return value, interval, units.distance(driven.distance_m), minutes, events, over, state


def _counts(connection: Connection) -> Table:
    table = _table("Data quality", ("group", "what", "count"), ("count",))
    total = func.sum(stream_count.c.total)
    group, word = stream_count.c.consumer_group, stream_count.c.word
    for row in connection.execute(select(group, word, total).group_by(group, word).order_by(group, word)):
        table.add_row(row[0], row[1].replace("_", " "), f"{int(row[2]):,}")
    letters = dead_letter.c
    query = select(letters.consumer_group, letters.reason, func.sum(letters.rows))
    for row in connection.execute(query.group_by(letters.consumer_group, letters.reason)):
        table.add_row(row[0], f"not usable: {row[1]}", f"{int(row[2]):,}")
    return table


def _cut(table: Table, rows: int) -> Table:
    if rows >= MOST_ROWS:
        table.caption = f"the newest {MOST_ROWS}"
    return table
