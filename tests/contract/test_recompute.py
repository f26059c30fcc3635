"""Scores in a real database: taken up where due, exact, the same however often."""

import threading
import uuid
from dataclasses import replace

import pytest
from sqlalchemy import Connection, Engine, text

from infra.contracts.events import EventKind, ReviewState, SafetyEvent, Severity, Trip, TripStatus
from infra.settings import Settings
from infra.store import outputs
from infra.store.media import LocalMedia
from infra.store.outputs import Outputs, ScoreDue
from scoring.recompute import mark_all_due, recompute_due, recompute_event

HOUR_US = 3_600_000_000
NOON_US = 1_750_000_000_000_000 // (24 * HOUR_US) * 24 * HOUR_US + 12 * HOUR_US
TRIP = Trip(
    uuid.UUID(int=1), "van-1", "ada", TripStatus.ENDED, NOON_US, NOON_US + HOUR_US, 50_000.0, 3_600.0, 3_600.0,
    360.0, 0.0, 0.0, 0.0, 30.0, None, None, None, None, "1",
)  # fmt: skip
BRAKE = SafetyEvent(
    uuid.UUID(int=2), "van-1", "ada", EventKind.HARSH_BRAKE, Severity.LOW, NOON_US + 60_000_000, NOON_US + 61_000_000,
    None, None, 20.0, 0.7, "g", 0.9, "1",
)  # fmt: skip
UTC = Settings(time_zone="UTC")


def write(engine: Engine, media: LocalMedia, trips=(), events=()):
    due = [ScoreDue(row.vehicle_id, row.driver_id, row.start_us) for row in (*trips, *events)]
    with engine.begin() as connection:
        outputs.write(connection, Outputs(trips=trips, events=events, score_due=due), media, "scoring")


def recompute(engine: Engine, settings=UTC) -> int:
    with engine.begin() as connection:
        return recompute_due(connection, settings)


def scores(engine: Engine) -> dict[tuple[str, str], float]:
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT scope, scope_id, value FROM score")).all()
    return {(row.scope, row.scope_id): row.value for row in rows}


def days(engine: Engine) -> set[tuple[str, str]]:
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT scope, day FROM score")).all()
    return {(row.scope, str(row.day)) for row in rows}


def review(connection: Connection, state: ReviewState) -> None:
    connection.execute(text("UPDATE safety_event SET review_state = :state"), {"state": str(state)})


def test_a_trip_gives_three_scores_and_the_due_rows_are_gone(database, media):
    write(database, media, [TRIP], [BRAKE])
    assert recompute(database) == 2
    value = 100 - 4 - 10 * 0.2
    assert scores(database) == {
        ("trip", str(TRIP.trip_id)): value,
        ("driver_day", "ada"): value,
        ("vehicle_day", "van-1"): value,
    }
    assert recompute(database) == 0


def test_computing_again_changes_nothing(database, media):
    write(database, media, [TRIP], [BRAKE])
    recompute(database)
    before = scores(database)
    with database.begin() as connection:
        assert mark_all_due(connection) == 1
    assert recompute(database) == 1
    assert scores(database) == before


def test_a_review_is_felt_in_its_own_transaction(database, media):
    write(database, media, [TRIP], [BRAKE])
    recompute(database)
    before = scores(database)
    with database.begin() as connection:
        review(connection, ReviewState.DISMISSED)
        recompute_event(connection, BRAKE.event_id, UTC)
    assert set(scores(database).values()) == {98.0}
    with database.begin() as connection:
        review(connection, ReviewState.REVIEWED)
        recompute_event(connection, BRAKE.event_id, UTC)
    assert scores(database) == before


def test_an_open_trip_is_not_scored_yet(database, media):
    write(database, media, [replace(TRIP, status=TripStatus.OPEN)], [BRAKE])
    recompute(database)
    assert scores(database) == {}
    write(database, media, [TRIP])
    recompute(database)
    assert scores(database)["driver_day", "ada"] == 94.0


def test_a_day_is_a_day_of_the_fleets_time_zone(database, media):
    late = replace(TRIP, start_us=NOON_US + 11 * HOUR_US, end_us=NOON_US + 13 * HOUR_US)
    write(database, media, [late], [replace(BRAKE, start_us=late.end_us, end_us=late.end_us)])
    recompute(database, Settings(time_zone="Asia/Tokyo"))
    assert {day for _, day in days(database)} == {"2025-06-16"}
    assert scores(database)["trip", str(late.trip_id)] == 94.0


def test_several_trips_of_a_day_are_one_score(database, media):
    second = replace(TRIP, trip_id=uuid.UUID(int=3), start_us=NOON_US + 2 * HOUR_US, end_us=NOON_US + 3 * HOUR_US)
    second = replace(second, vehicle_id="van-2", distance_m=150_000.0, over_light_s=0.0)
    write(database, media, [TRIP, second], [BRAKE])
    recompute(database)
    found = scores(database)
    assert found["driver_day", "ada"] == 100 - 2 - 1
    assert found["vehicle_day", "van-1"] == 94.0
    assert found["vehicle_day", "van-2"] == 100.0


def test_a_trip_without_a_driver_has_no_driver_score(database, media):
    write(database, media, [replace(TRIP, driver_id=None)])
    recompute(database)
    assert set(scores(database)) == {("trip", str(TRIP.trip_id)), ("vehicle_day", "van-1")}


def test_the_stored_ledger_adds_up(database, media):
    write(database, media, [TRIP], [BRAKE])
    recompute(database)
    with database.connect() as connection:
        rows = connection.execute(text("SELECT value, ledger FROM score")).all()
    for row in rows:
        assert row.value == pytest.approx(100 + sum(line["points"] for line in row.ledger))
        assert [line["what"] for line in row.ledger] == ["harsh_brake.low", "speeding.light"]


def test_a_review_during_a_recompute_is_not_lost(database, media):
    """The chore has locked the day; the reviewer waits, and reads what the chore committed."""
    write(database, media, [TRIP], [BRAKE])
    reviewed = threading.Event()

    def dismiss() -> None:
        with database.begin() as connection:
            review(connection, ReviewState.DISMISSED)
            recompute_event(connection, BRAKE.event_id, UTC)
        reviewed.set()

    with database.begin() as connection:
        recompute_due(connection, UTC)
        desk = threading.Thread(target=dismiss)
        desk.start()
        assert not reviewed.wait(0.3)
    desk.join(10)
    assert reviewed.is_set()
    assert set(scores(database).values()) == {98.0}
