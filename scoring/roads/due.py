"""Matches trips that have ended, once the recorder has their positions: speeding and exposure that were missing.

In hindsight, over the whole trip: how its messages were cut cannot matter, and a road is judged with what came after
it. All of a trip is written in one transaction with its place in the queue, and its event ids are derived: done twice
it is the same.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from sqlalchemy import Connection, Engine, Row, text

from infra.clock import to_us
from infra.contracts.events import EventKind, SafetyEvent, TripStatus
from infra.contracts.telemetry import (
    GPS_DTYPES,
    GpsSamples,
    ImuFrame,
    TelemetryBatch,
    VehicleClass,
    empty_imu,
)
from infra.runtime.worker import Chore, Writer, transaction
from infra.store import outputs as store
from infra.store.bulk import insert, replacing
from infra.store.media import MediaStore
from infra.store.outputs import Outputs, ScoreDue
from infra.store.road_tables import trip_roads
from scoring.core import roads
from scoring.core.exposure import BANDS
from scoring.core.pipeline import Found, fold_batch, fold_silence
from scoring.core.roads import Matched
from scoring.core.rules import Rules
from scoring.core.state import VehicleState
from scoring.roads.matcher import Matcher
from scoring.stored.database import gps_of, read_columns
from scoring.stored.road_limits import pack_limits

logger = logging.getLogger(__name__)

BATCH = 4
"""Trips matched in one transaction."""

_KEPT_WAITING = "7 days"  # for positions that do not come; then with what is there. Also: matched again for new tiles
_ROADS = replacing(trip_roads, leave=("matched_at",))
_OVER = ", ".join(f"trip.over_{band}_s" for band in BANDS)
_TOLD = ", ".join(f"before.told_{band}_s" for band in BANDS)
_TAKE = text(
    "SELECT trip.trip_id, trip.vehicle_id, trip.driver_id, trip.status, trip.start_at, trip.end_at, trip.driving_s, "
    f"trip.limit_known_s, {_OVER}, before.end_at AS before_end_at, before.told_known_s, {_TOLD}, "
    "coalesce((SELECT vehicle_class FROM vehicle WHERE vehicle_id = trip.vehicle_id), 'passenger') AS vehicle_class "
    "FROM road_due JOIN trip ON trip.trip_id = road_due.trip_id "
    "LEFT JOIN trip_roads AS before ON before.trip_id = trip.trip_id "
    f"WHERE road_due.asked_at < now() - interval '{_KEPT_WAITING}' OR EXISTS (SELECT FROM position "
    "WHERE position.vehicle_id = trip.vehicle_id AND position.time >= trip.end_at - interval '1 second') "
    "ORDER BY road_due.asked_at, trip.trip_id LIMIT :batch FOR UPDATE OF road_due, trip SKIP LOCKED"
)
_ASK = text("INSERT INTO road_due (trip_id) SELECT unnest(CAST(:trips AS uuid[])) ON CONFLICT DO NOTHING")
_ASK_AGAIN = text(
    "INSERT INTO road_due (trip_id) SELECT trip_id FROM trip_roads WHERE tiles <> :tiles "
    f"AND matched_at > now() - interval '{_KEPT_WAITING}' ON CONFLICT DO NOTHING"
)
_DONE = text("DELETE FROM road_due WHERE trip_id = :trip_id")
_ADD = text(
    "UPDATE trip SET limit_known_s = :known, over_light_s = :light, over_moderate_s = :moderate, "
    "over_heavy_s = :heavy, over_severe_s = :severe WHERE trip_id = :trip_id"
)
_GONE = text(  # found by an earlier match and not by this one; what a person has reviewed stays
    "DELETE FROM safety_event WHERE vehicle_id = :vehicle_id AND kind = 'speeding' AND start_at >= :start_at "
    "AND start_at <= :end_at AND evidence ? 'limit_confidence' AND review_state = 'needs_review' "
    "AND event_id <> ALL(CAST(:kept AS uuid[]))"
)


def asking(write: Writer) -> Writer:
    """A writer that also puts the trips that have ended into the queue, in the same transaction."""

    def write_and_ask(connection: Connection, found: Outputs, media: MediaStore, group: str) -> None:
        write(connection, found, media, group)
        ended = [trip.trip_id for trip in found.trips if trip.status is TripStatus.ENDED]
        if ended:
            connection.execute(_ASK, {"trips": ended})

    return write_and_ask


def chore(matcher: Matcher, rules: Callable[[], Rules], media: MediaStore, group: str) -> Chore:
    """Match what is due, for a worker to run between its rounds. At first, ask again for what older tiles matched."""
    asked: list[bool] = []

    def match_batch(engine: Engine) -> int:
        with transaction(engine) as connection:
            if not asked:
                connection.execute(_ASK_AGAIN, {"tiles": matcher.note.tiles_id})
            taken = connection.execute(_TAKE, {"batch": BATCH}).all()
            for trip in taken:
                _match_trip(connection, trip, matcher, rules(), media, group)
        asked.append(True)
        return len(taken)

    return match_batch


def _match_trip(
    connection: Connection, trip: Row[Any], matcher: Matcher, rules: Rules, media: MediaStore, group: str
) -> None:
    connection.execute(_DONE, {"trip_id": trip.trip_id})
    if trip.status != TripStatus.ENDED:
        return  # it goes on, and will be asked for again
    gps = _positions(connection, trip)
    matched, problem = _matched(matcher, gps, trip)
    events, added = _judged(trip, gps, matched, rules)
    told = _told(trip)
    sums = [a + b for a, b in zip(told, added, strict=True)]
    words = dict(zip(("known", *BANDS), sums, strict=True))
    connection.execute(_ADD, {"trip_id": trip.trip_id, **words, "known": min(words["known"], trip.driving_s)})
    connection.execute(_GONE, trip._asdict() | {"kept": [event.event_id for event in events]})
    due = ScoreDue(trip.vehicle_id, trip.driver_id, to_us(trip.start_at))
    store.write(connection, Outputs(events=events, score_due=[due]), media, group)
    filled = int((roads.missing(gps) & matched.believed).sum())
    row = (
        trip.trip_id,
        trip.end_at,
        matcher.note.tiles_id,
        len(gps),
        filled,
        problem,
        *told,
        pack_limits(gps, matched),
    )
    insert(connection, _ROADS, [row])


def _positions(connection: Connection, trip: Row[Any]) -> GpsSamples:
    times = np.array([[to_us(trip.start_at), to_us(trip.end_at) + 1]])
    return gps_of(read_columns(connection, "position", list(GPS_DTYPES)[1:], trip.vehicle_id, times))


def _matched(matcher: Matcher, gps: GpsSamples, trip: Row[Any]) -> tuple[Matched, str | None]:
    """A trip that Valhalla fails on must not stop the others: its limits stay unknown, and the row says why."""
    try:
        return matcher.match(gps), None
    except RuntimeError as error:
        logger.exception("trip %s could not be matched", trip.trip_id)
        return roads.no_roads(len(gps)), str(error)[:500]


def _judged(
    trip: Row[Any], gps: GpsSamples, matched: Matched, rules: Rules
) -> tuple[list[SafetyEvent], Sequence[float]]:
    """Speeding, and seconds of known limits and over them in bands, where the messages did not know the limit.

    By the worker's own code; where they knew it, the worker has judged.
    """
    use = roads.missing(gps) & matched.believed
    limit_mps = np.where(use, matched.limit_mps, np.nan).astype(np.float32)
    found = Found(trip.vehicle_id, rules)
    fold_silence(fold_batch(VehicleState(), _batch(trip, replace(gps, speed_limit_mps=limit_mps)), found), found)
    ended = {one.trip_id: one for one in found.trips if one.status is TripStatus.ENDED}.values()
    seconds = [sum(one.limit_known_s for one in ended)]
    seconds += [sum(getattr(one, f"over_{band}_s") for one in ended) for band in BANDS]
    speeding = [event for event in found.events if event.kind is EventKind.SPEEDING]
    return [roads.attributed(event, gps, matched) for event in speeding], seconds


def _batch(trip: Row[Any], gps: GpsSamples) -> TelemetryBatch:
    return TelemetryBatch(
        vehicle_id=trip.vehicle_id,
        device_id="positions",
        boot_id="roads",
        sequence=0,
        driver_id=trip.driver_id,
        vehicle_class=VehicleClass(trip.vehicle_class),
        imu_frame=ImuFrame.VEHICLE,
        received_us=0,
        gps=gps,
        imu=empty_imu(),
    )


def _told(trip: Row[Any]) -> Sequence[float]:
    """What the messages told: of the row as the worker wrote it, which is no longer there after a first match."""
    if trip.before_end_at == trip.end_at:
        return [trip.told_known_s, *(getattr(trip, f"told_{band}_s") for band in BANDS)]
    return [trip.limit_known_s, *(getattr(trip, f"over_{band}_s") for band in BANDS)]
