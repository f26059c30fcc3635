"""The ledger of a score as a flat table: trips, events, terms and the score, enough to work it out in a spreadsheet.

``defensive_driving`` counts the events in a state of recognition, which are given back.

To work it out: ``exposure`` of a term is the sum of the trips' distance or time in its unit; ``count`` is the number
of counted events of that name; of ``over_limit`` it is the trips' time in that band, less that of events that do not
count, in seconds, or in spells of 30 s where the unit is hours; ``rate = count x weight / (exposure +
peers_exposure)``. With a ``scale`` the score is ``100 x scale / (scale + sum of rates)``, otherwise ``100 - sum of
rates``, not below ``floor``.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import TextIO

from infra.clock import to_datetime
from infra.contracts.events import SCORED_STATES, JsonObject
from scoring.core.exposure import BANDS, Exposure, Incident
from scoring.core.formulas.port import Result, Term
from scoring.core.formulas.tally import inside_trips
from scoring.windows import Part

OVER = tuple(f"over_{band}_s" for band in BANDS)
COLUMNS = (
    *("row", "what", "id", "vehicle", "start", "state", "counted", "distance_m", "driving_s", "limit_known_s", *OVER),
    *("count", "weight", "exposure", "peers_exposure", "unit", "rate", "points"),
    *("formula", "scale", "floor", "value", "low", "high"),
)


def ledger_rows(part: Part, result: Result) -> Iterator[JsonObject]:
    """Rows with some of COLUMNS each: trips, the events on them, terms, the score."""
    for trip in part.exposures:
        yield _trip(trip)
    for event in inside_trips(part.exposures, part.incidents):
        yield _event(event)
    for term in result.terms:
        yield _term(term)
    numbers = {name: getattr(result, name) for name in ("formula", "scale", "floor", "value", "low", "high")}
    yield {"row": "score", "id": part.name, "state": str(result.state)} | numbers


def ledger_page(part: Part, result: Result) -> JsonObject:
    """The same for a page or an API: the score's own fields, and a list of rows of each sort."""
    rows = list(ledger_rows(part, result))
    lists: JsonObject = {f"{kind}s": [row for row in rows if row["row"] == kind] for kind in ("trip", "event")}
    return rows[-1] | lists | {"terms": [term.dump() for term in result.terms]}


def write_csv(part: Part, result: Result, out: TextIO) -> None:
    """All rows under one heading; numbers in full, times as ISO 8601 in UTC."""
    writer = csv.DictWriter(out, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(ledger_rows(part, result))


def _trip(trip: Exposure) -> JsonObject:
    numbers = {name: getattr(trip, name) for name in ("distance_m", "driving_s", "limit_known_s")}
    own: JsonObject = {"row": "trip", "id": trip.trip_id, "vehicle": trip.vehicle_id, "start": _iso(trip.start_us)}
    return own | numbers | dict(zip(OVER, trip.over_s, strict=True))


def _event(event: Incident) -> JsonObject:
    """Of a dismissed event the times over the limit are to be taken off those of the trips."""
    own: JsonObject = {"row": "event", "what": f"{event.kind}.{event.severity}", "id": event.event_id}
    seen: JsonObject = {"vehicle": event.vehicle_id, "start": _iso(event.start_us), "state": str(event.state)}
    counted = int(event.state in SCORED_STATES)
    return own | seen | {"counted": counted} | dict(zip(OVER, event.over_s, strict=True))


def _term(term: Term) -> JsonObject:
    names = ("what", "count", "weight", "exposure", "peers_exposure", "unit", "rate", "points")
    return {"row": "term"} | {name: getattr(term, name) for name in names}


def _iso(time_us: int) -> str:
    return to_datetime(time_us).isoformat()
