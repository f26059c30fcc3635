"""Scores in a real database: taken up where due, exact, the same however often."""

import threading
import uuid
from dataclasses import replace
from datetime import UTC as UTC_ZONE
from datetime import datetime

import pytest
from sqlalchemy import Connection, Engine, text

from infra.contracts.events import EventKind, ReviewState, SafetyEvent, Severity, Trip, TripStatus
from infra.settings import Settings
from infra.store import outputs
from infra.store.media import LocalMedia
from infra.store.outputs import Outputs, ScoreDue
from scoring.core.exposure import exposures_of, incidents_of
from scoring.core.formulas.table import OURS
from scoring.core.formulas.tally import tally
from scoring.core.rules import DEFAULT
from scoring.core.what_if import changed_formula, read_change
from scoring.recompute import mark_all_due, recompute_due, recompute_event
from scoring.what_if import switch

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


def value(trips=(TRIP,), events=(BRAKE,), formula=OURS) -> float:
    """What the pure formula says of these."""
    return formula(tally(exposures_of(trips), incidents_of(events))).value


def test_a_trip_gives_three_scores_and_the_due_rows_are_gone(database, media):
    write(database, media, [TRIP], [BRAKE])
    assert recompute(database) == 2
    assert scores(database) == {
        ("trip", str(TRIP.trip_id)): value(),
        ("driver_day", "ada"): value(),
        ("vehicle_day", "van-1"): value(),
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
    assert set(scores(database).values()) == {value(events=())}
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
    assert scores(database)["driver_day", "ada"] == value()


def test_a_day_is_a_day_of_the_fleets_time_zone(database, media):
    late = replace(TRIP, start_us=NOON_US + 11 * HOUR_US, end_us=NOON_US + 13 * HOUR_US)
    write(database, media, [late], [replace(BRAKE, start_us=late.end_us, end_us=late.end_us)])
    recompute(database, Settings(time_zone="Asia/Tokyo"))
    assert {day for _, day in days(database)} == {"2025-06-16"}
    assert scores(database)["trip", str(late.trip_id)] == value()


def test_several_trips_of_a_day_are_one_score(database, media):
    second = replace(TRIP, trip_id=uuid.UUID(int=3), start_us=NOON_US + 2 * HOUR_US, end_us=NOON_US + 3 * HOUR_US)
    second = replace(second, vehicle_id="van-2", distance_m=150_000.0, over_light_s=0.0)
    write(database, media, [TRIP, second], [BRAKE])
    recompute(database)
    found = scores(database)
    assert found["driver_day", "ada"] == value([TRIP, second])
    assert found["vehicle_day", "van-1"] == value()
    assert found["vehicle_day", "van-2"] == value([second], [])


def test_a_trip_without_a_driver_has_no_driver_score(database, media):
    write(database, media, [replace(TRIP, driver_id=None)])
    recompute(database)
    assert set(scores(database)) == {("trip", str(TRIP.trip_id)), ("vehicle_day", "van-1")}


def test_the_stored_ledger_adds_up_beside_its_interval_and_state(database, media):
    write(database, media, [TRIP], [BRAKE])
    recompute(database)
    with database.connect() as connection:
        rows = connection.execute(text("SELECT * FROM score")).all()
    for row in rows:
        assert row.value == pytest.approx(100 + sum(line["points"] for line in row.ledger), abs=0.006)
        assert [line["what"] for line in row.ledger] == ["peers", "harsh_brake.low", "over_limit.light"]
        assert row.low < row.value < row.high
        assert (row.formula, row.state, row.events) == (OURS.name, "too_little_driving", 1)


def test_other_weights_leave_no_score_of_the_ones_before(database, media):
    write(database, media, [TRIP], [BRAKE])
    recompute(database)
    heavy = {"name": "heavy", "weights": {"harsh_brake": 40}}
    with database.begin() as connection:
        switch(connection, heavy, "mia", datetime(2026, 6, 1, tzinfo=UTC_ZONE))
    assert recompute(database)
    changed = changed_formula(OURS, read_change(heavy, OURS, DEFAULT))
    assert set(scores(database).values()) == {value(formula=changed)}
    with database.connect() as connection:
        assert set(connection.scalars(text("SELECT formula FROM score"))) == {"heavy"}


def test_late_data_ends_in_the_same_as_if_it_had_been_in_time(database, media):
    """The event, then a second trip of the day, come after the scores were made; then the trip is told anew."""
    later = replace(TRIP, trip_id=uuid.UUID(int=4), start_us=NOON_US + 2 * HOUR_US, end_us=NOON_US + 3 * HOUR_US)
    for trips, events in (([TRIP], []), ([], [BRAKE]), ([later], []), ([replace(TRIP, distance_m=61_000.0)], [])):
        write(database, media, trips, events)
        recompute(database)
    assert scores(database)["driver_day", "ada"] == value([replace(TRIP, distance_m=61_000.0), later])


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
    assert set(scores(database).values()) == {value(events=())}
