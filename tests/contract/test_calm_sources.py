"""Calm rows left out by the database and by an export: the same is found, in one process or several, and less read."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from pathlib import Path

import numpy as np
import orjson
import pyarrow.parquet as pq
import pytest
from sqlalchemy import Engine, text

from infra.clock import to_datetime
from infra.contracts.events import EventKind, Trip, TripStatus, trip_id
from infra.store import outputs, registry
from infra.store.bulk import copy, insert, replacing
from infra.store.engine import plain_url
from infra.store.media import LocalMedia
from infra.store.road_tables import trip_roads
from infra.store.states import StateRow, save_states
from infra.store.tables import motion, position
from scoring.core import state as states
from scoring.core.formulas.table import OURS
from scoring.core.orientation import Mounting, Rotation
from scoring.core.roads import Matched
from scoring.core.rules import DEFAULT
from scoring.core.what_if import changed_rules, kinds_that_differ, read_change
from scoring.stored.archive import Archive, ArchiveError, opened_archive
from scoring.stored.database import Database, opened_database
from scoring.stored.parquet import export
from scoring.stored.road_limits import pack_limits
from scoring.trial import run, run_apart
from tests.recorded import position_rows
from tests.seconds import SORTS, START_US, made_up, motion_rows

START = to_datetime(START_US)
BETWEEN = START, START + timedelta(minutes=37)  # past midnight; what begins in the last minutes is not asked for
CHANGES = {
    "harsh": {"harsh_g": {name: {"brake": 0.3, "turn": 0.3} for name in ("passenger", "light_duty", "heavy_duty")}},
    "speeding": {"speeding_s": {"light": 5, "moderate": 2}},
    "idling": {"idling_s": 45},
    "all": {"idling_s": 60, "speeding_s": {"light": 30}, "harsh_g": {"passenger": {"acceleration": 0.35}}},
}


def rules_of(content):
    rules = DEFAULT, changed_rules(DEFAULT, read_change({"name": "other", **content}, OURS, DEFAULT))
    return rules, kinds_that_differ(*rules)


@pytest.fixture
def fleet(database: Engine, media: LocalMedia) -> Engine:
    """Eight vehicles, two of each sort, as the workers would have stored them."""
    for number in range(8):
        sort = SORTS[number % 4]
        one = made_up(f"van-{number}", 40 + number, sort)
        learned = Rotation(one.subject.mounting, 0, 1.0, 0, 9.8, 1) if sort == "turned" else None
        state = states.VehicleState(
            in_vehicle_frame=sort in ("straight", "slow"), mounting=Mounting(current=learned) if learned else None
        )
        document = orjson.dumps({"order": {}, "room": states.dump(state), "wake_us": None})
        vehicle, ends = one.subject.vehicle_id, (int(one.gps.time_us[0]), int(one.gps.time_us[-1]))
        trip = Trip(
            trip_id("1", vehicle, ends[0]), vehicle, "ada", TripStatus.ENDED, *ends, 4e4, 3e3, 3e3, 0, 0, 0, 0, 30.0,
            None, None, None, None, "1",
        )  # fmt: skip
        with database.begin() as connection:
            registry.add_vehicle(connection, vehicle, vehicle, one.subject.vehicle_class)
            save_states(connection, "scoring", "driving-1", [StateRow(vehicle, 0, document)])
            outputs.write(connection, outputs.Outputs(trips=[trip]), media, "scoring")
            copy(connection, position, position_rows(vehicle, "ada", one.gps))
            copy(connection, motion, motion_rows(one) if len(one.motion) else None)
    return database


@pytest.fixture
def archive(fleet: Engine, tmp_path: Path) -> Path:
    with fleet.begin() as connection:
        export(connection, tmp_path / "archive", *BETWEEN, lanes=3)
    return tmp_path / "archive"


def both(tried):
    return tried.before, tried.after


def test_what_is_calm_changes_nothing_from_either_source(fleet, archive):
    with fleet.connect() as connection:
        for content in CHANGES.values():
            rules, kinds = rules_of(content)
            for source in (Database(connection), Archive(archive)):
                whole = run(source, *BETWEEN, rules, kinds, whole=True)
                found = run(source, *BETWEEN, rules, kinds)
                assert found.after
                assert both(found) == both(whole)
                assert found.rows < 0.9 * whole.rows


def test_where_roads_told_the_limits_nothing_is_missed_whatever_is_tried_beside_speeding(fleet):
    with fleet.begin() as connection:
        for trip in connection.execute(text("SELECT trip_id, vehicle_id, end_at FROM trip")).all():
            gps = made_up(trip.vehicle_id, 40 + int(trip.vehicle_id[-1]), SORTS[int(trip.vehicle_id[-1]) % 4]).gps
            n = len(gps)
            low = Matched(np.full(n, 6, np.float32), np.ones(n, np.float32), np.zeros(n, np.float32), np.full(n, "x"))
            told = (0.0,) * 5
            row = (trip.trip_id, trip.end_at, "tiles", n, n, None, *told, pack_limits(gps, low))
            insert(connection, replacing(trip_roads, leave=("matched_at",)), [row])
        for name in ("speeding", "all"):
            rules, kinds = rules_of(CHANGES[name])
            source = Database(connection)
            whole = run(source, *BETWEEN, rules, kinds, whole=True)
            found = run(source, *BETWEEN, rules, kinds)
            assert {one.event.vehicle_id for one in found.after if one.event.kind is EventKind.SPEEDING}
            assert both(found) == both(whole)


def test_several_processes_find_the_same_and_tell_how_far_they_are(fleet, archive):
    rules, kinds = rules_of(CHANGES["all"])
    told = []
    opening = partial(opened_archive, archive)
    apart = run_apart(opening, *BETWEEN, rules, kinds, lambda *done: told.append(done), processes=2)
    alone = run_apart(partial(opened_database, plain_url(fleet)), *BETWEEN, rules, kinds, processes=1)
    assert both(apart) == both(alone)
    assert len(told) == 3
    assert told[-1] == (8, 8)


def test_an_export_without_minutes_or_of_another_mounting_is_read_whole(archive):
    rules, kinds = rules_of(CHANGES["harsh"])
    found = run(Archive(archive), *BETWEEN, rules, kinds)
    vehicles = pq.read_table(archive / "vehicles.parquet")
    since = [one + 60_000_000 if one > 0 else one for one in vehicles["since_us"].to_pylist()]
    at = vehicles.schema.get_field_index("since_us")
    moved = vehicles.set_column(at, vehicles.schema.field(at), [[one if one < 0 else 1 for one in since]])
    pq.write_table(moved, archive / "vehicles.parquet")
    for path in archive.glob("minutes/*/*/rows.parquet"):
        path.unlink()
    whole = run(Archive(archive), *BETWEEN, rules, kinds)
    assert both(found) == both(whole)
    assert whole.rows > found.rows


def test_files_of_two_exports_are_not_mixed(archive):
    """As if an export had been copied over another while it ran."""
    rules, kinds = rules_of({"speeding_s": {"light": 5}})
    paths = list(archive.glob("position/*/*/rows.parquet"))
    for path in paths:
        pq.write_table(pq.read_table(path, partitioning=None).slice(1), path)
    with pytest.raises(ArchiveError, match="export this day again"):
        run(Archive(archive), *BETWEEN, rules, kinds)
    assert EventKind.SPEEDING in kinds
