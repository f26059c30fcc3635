"""Where everybody stands in a window: our score of each driver, vehicle, tag or the fleet, from sums that SQL makes.

The same numbers as ``scoring.windows`` gives, without a row of Python for every trip. A window of 28 days of 1,000
vehicles is summed in the database, and read as a few rows a driver.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, text

from infra.contracts.events import RECOGNISED_STATES, SCORED_STATES, EventKind, Severity, TripStatus
from scoring.core.exposure import BANDS, TRIP_EDGE_US
from scoring.core.formulas.peers import percentile
from scoring.core.formulas.port import Result
from scoring.core.formulas.recognition import Recognition, recognition
from scoring.core.formulas.tally import Tally
from scoring.in_force import InForce, in_force
from scoring.windows import By, ranked_value

_NAMES = {
    By.DRIVER: "trip.driver_id",
    By.VEHICLE: "trip.vehicle_id",
    By.TAG: "tagged.tag",
    By.FLEET: "'fleet'",
}
_OVER = ", ".join(f"sum(over_{band}_s) AS over_{band}_s" for band in BANDS)
_DRIVES = f"""
WITH drive AS MATERIALIZED (
    SELECT {{name}} AS name, trip.*, coalesce(vehicle.vehicle_class, 'passenger') AS vehicle_class
    FROM trip LEFT JOIN vehicle ON vehicle.vehicle_id = trip.vehicle_id {{tagged}}
    WHERE trip.status = '{TripStatus.ENDED}' AND trip.start_at >= :since AND trip.start_at < :until
      AND {{name}} IS NOT NULL
), happened AS MATERIALIZED (
    SELECT DISTINCT drive.name, event.event_id, event.kind, event.severity, event.start_at, event.evidence,
           event.review_state = ANY(:scored) AS counted, event.review_state = ANY(:recognised) AS recognised
    FROM drive JOIN safety_event AS event ON event.vehicle_id = drive.vehicle_id
     AND event.start_at >= drive.start_at - CAST(:edge AS interval)
     AND event.start_at <= drive.end_at + CAST(:edge AS interval)
)"""
_EXPOSURE = f"""{_DRIVES}, last AS (
    SELECT name, max(start_at) AS at FROM happened WHERE counted AND kind = ANY(:held) GROUP BY name
)
SELECT drive.name, vehicle_class, count(*) AS trips, sum(distance_m) AS distance_m, sum(driving_s) AS driving_s,
       sum(limit_known_s) AS limit_known_s, {_OVER},
       coalesce(sum(distance_m) FILTER (WHERE last.at IS NULL OR drive.start_at > last.at), 0) AS clean_m
FROM drive LEFT JOIN last ON last.name = drive.name GROUP BY drive.name, vehicle_class ORDER BY drive.name"""
_GONE = ", ".join(f"coalesce(sum((evidence ->> 'over_{band}_s')::float8), 0) AS over_{band}_s" for band in BANDS)
_EVENTS = f"""{_DRIVES}
SELECT name, kind, severity, counted, recognised, count(*) AS count, {_GONE}
FROM happened GROUP BY name, kind, severity, counted, recognised"""
_EDGE = timedelta(microseconds=TRIP_EDGE_US)
_STATES = {"scored": [str(s) for s in SCORED_STATES], "recognised": [str(s) for s in RECOGNISED_STATES]}


@dataclass(frozen=True, slots=True)
class Standing:
    """Who, what was driven, our score, and the place among the others of the same class of vehicles.

    ``percentile`` is None where there is too little driving, of one's own or of others.
    """

    name: str
    vehicle_class: str
    trips: int
    driven: Tally
    result: Result
    percentile: float | None
    recognition: Recognition


@dataclass(slots=True)
class _Sums:
    classes: Counter[str] = field(default_factory=Counter)
    metres: float = 0.0
    driving_s: float = 0.0
    limit_known_s: float = 0.0
    clean_m: float = 0.0
    over_s: list[float] = field(default_factory=lambda: [0.0] * len(BANDS))
    events: Counter[tuple[EventKind, Severity]] = field(default_factory=Counter)
    recognised: int = 0

    def tally(self) -> Tally:
        return Tally(
            distance_m=round(self.metres, 6),
            driving_s=round(self.driving_s, 6),
            limit_known_s=round(self.limit_known_s, 6),
            over_s=tuple(max(0.0, round(seconds, 6)) for seconds in self.over_s),
            events=dict(sorted(self.events.items())),
            recognised=self.recognised,
        )


def standings(
    connection: Connection, since: datetime, until: datetime, formulas: InForce, by: By = By.DRIVER
) -> list[Standing]:
    """Everybody who drove from ``since`` to before ``until``, the lowest score first."""
    sums = _read(connection, since, until, formulas, by)
    classes = {name: max(sorted(one.classes), key=one.classes.__getitem__) for name, one in sums.items()}
    tallies = {name: one.tally() for name, one in sums.items()}
    results = {name: formulas.of(classes[name])(driven) for name, driven in tallies.items()}
    ranked: dict[str, list[float]] = {}
    for name, result in results.items():
        if (value := ranked_value(result)) is not None:
            ranked.setdefault(classes[name], []).append(value)
    found = [
        Standing(
            name=name,
            vehicle_class=classes[name],
            trips=one.classes.total(),
            driven=tallies[name],
            result=results[name],
            percentile=place_of(results[name], ranked.get(classes[name], [])),
            recognition=recognition(one.clean_m, formulas.of(classes[name])),
        )
        for name, one in sums.items()
    ]
    return sorted(found, key=lambda s: (s.result.value is None, s.result.value or 0.0, s.name))


def standings_in_force(connection: Connection, since: datetime, until: datetime) -> list[Standing]:
    """The drivers, by the formula that is in force."""
    return standings(connection, since, until, in_force(connection))


def place_of(result: Result, ranked: list[float]) -> float | None:
    """The percentile among scores that one's own is one of; None where it is the only one."""
    value = ranked_value(result)
    return None if value is None or len(ranked) < 2 else percentile(value, ranked)


def _read(connection: Connection, since: datetime, until: datetime, formulas: InForce, by: By) -> Mapping[str, _Sums]:
    held = [*formulas.base.events, str(EventKind.SPEEDING)]
    asked = {"since": since, "until": until, "edge": _EDGE} | _STATES
    found: dict[str, _Sums] = {}
    for row in connection.execute(_query(_EXPOSURE, by), asked | {"held": held}):
        _add_exposure(found.setdefault(row.name, _Sums()), row)
    for row in connection.execute(_query(_EVENTS, by), asked):
        _add_events(found[row.name], row)
    return found


def _query(words: str, by: By) -> Any:
    tagged = "JOIN vehicle_tag AS tagged ON tagged.vehicle_id = trip.vehicle_id" if by is By.TAG else ""
    return text(words.format(name=_NAMES[by], tagged=tagged))


def _add_exposure(sums: _Sums, row: Any) -> None:
    sums.classes[row.vehicle_class] += row.trips
    sums.metres += row.distance_m
    sums.driving_s += row.driving_s
    sums.limit_known_s += row.limit_known_s
    sums.clean_m += row.clean_m
    for place, band in enumerate(BANDS):
        sums.over_s[place] += getattr(row, f"over_{band}_s")


def _add_events(sums: _Sums, row: Any) -> None:
    """Of events that do not count, the time over the limit leaves the sums again."""
    if row.counted:
        sums.events[EventKind(row.kind), Severity(row.severity)] += row.count
        return
    sums.recognised += row.count if row.recognised else 0
    for place, band in enumerate(BANDS):
        sums.over_s[place] -= getattr(row, f"over_{band}_s")
