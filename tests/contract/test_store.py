"""Both stores hold what is written to them, alike: plain PostgreSQL and TimescaleDB."""

from __future__ import annotations

import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from alembic import command
from sqlalchemy import Connection, Engine, select, text

from infra.clock import to_datetime
from infra.contracts.events import EventKind, Media, MediaKind, SafetyEvent, Severity, Trace, Trip, TripStatus
from infra.migrations import configuration, head, timescale, upgrade
from infra.store import tables
from infra.store.engine import has_timescale, make_engine, plain_url
from infra.store.media import LocalMedia
from infra.store.outputs import (
    MOTION_SCHEMA,
    OBSERVATION_SCHEMA,
    POSITION_SCHEMA,
    DeadLetter,
    Outputs,
    ScoreDue,
    write,
)

NOON_US = 1_790_000_000_000_000 // 86_400_000_000 * 86_400_000_000 + 43_200_000_000
GROUP = "scoring"
ORDER = [("time", "ascending"), ("vehicle_id", "ascending")]  # of rows()


def positions(count: int, vehicle: str = "van-1", start_us: int = NOON_US) -> pa.Table:
    """One a second, every other one without driver; speed counts up."""
    columns = {
        "time": pa.array(start_us + np.arange(count) * 1_000_000).cast(POSITION_SCHEMA.field("time").type),
        "vehicle_id": [vehicle] * count,
        "driver_id": [None if i % 2 else "ann" for i in range(count)],
        "lat": np.linspace(50, 51, count),
        "lon": np.linspace(8, 9, count),
        "speed_mps": [float(i) for i in range(count)],
        "ignition": [(None, 0, 1)[i % 3] for i in range(count)],
        "odometer_m": 1e6 + np.arange(count),
    }
    nulls = [None] * count
    return pa.table([columns.get(name, nulls) for name in POSITION_SCHEMA.names], schema=POSITION_SCHEMA)


def motion(count: int) -> pa.Table:
    columns: dict[str, object] = {name: np.arange(count) / 8 for name in MOTION_SCHEMA.names if "accel" in name}
    columns |= {"time": positions(count)["time"], "vehicle_id": ["van-1"] * count, "samples": [25] * count}
    nulls = [None] * count
    return pa.table([columns.get(name, nulls) for name in MOTION_SCHEMA.names], schema=MOTION_SCHEMA)


def an_event(**changes: object) -> SafetyEvent:
    event = SafetyEvent(
        event_id=uuid.UUID(int=1),
        vehicle_id="van-1",
        driver_id=None,
        kind=EventKind.HARSH_BRAKE,
        severity=Severity.LOW,
        start_us=NOON_US,
        end_us=NOON_US + 1_500_000,
        lat=50.0,
        lon=8.0,
        speed_mps=None,
        peak=0.45,
        peak_unit="g",
        confidence=0.9,
        rules_version="1",
        evidence={"jerk_mps3": np.float64(9.5), "samples": [1, 2]},
        media=[Media(MediaKind.STILL, "van-1/one.jpg", NOON_US, b"jpeg")],
    )
    return replace(event, **changes)


def a_trip(**changes: object) -> Trip:
    numbers = dict.fromkeys(
        ("distance_m", "driving_s", "limit_known_s", "over_light_s", "over_moderate_s", "over_heavy_s"), 1.0
    )
    places = dict.fromkeys(("start_lat", "start_lon", "end_lat", "end_lon"))
    trip = Trip(
        trip_id=uuid.UUID(int=2),
        vehicle_id="van-1",
        driver_id="ann",
        status=TripStatus.OPEN,
        start_us=NOON_US,
        end_us=NOON_US,
        over_severe_s=0.0,
        max_speed_mps=20.0,
        rules_version="1",
        **numbers,
        **places,
    )
    return replace(trip, **changes)


def is_compressed(connection: Connection, table: str) -> bool:
    query = "SELECT bool_or(is_compressed) FROM timescaledb_information.chunks WHERE hypertable_name = :table"
    return bool(connection.scalar(text(query), {"table": table}))


def rows(connection: Connection, name: str) -> list[dict[str, object]]:
    found = connection.execute(text(f"SELECT * FROM {name} ORDER BY 1, 2"))
    return [dict(row) for row in found.mappings()]


def test_the_store_is_the_kind_it_says(database: Engine, store_kind: str) -> None:
    with database.connect() as connection:
        assert has_timescale(connection) == (store_kind == "timescale")
        assert connection.scalar(text("SHOW timezone")) == "UTC"


def test_migrated_schema_and_tables_agree(database: Engine) -> None:
    with database.connect() as connection:
        command.check(configuration(connection))  # raises where they differ


def test_migrating_again_changes_nothing(database: Engine) -> None:
    with database.begin() as connection:
        write(connection, Outputs(positions=positions(3)), LocalMedia(None), GROUP)
    assert upgrade(plain_url(database), retention_days=36_500) == head()
    with database.connect() as connection:
        assert len(rows(connection, "position")) == 3


def test_two_processes_that_migrate_at_once_both_succeed(servers, server_url: str, store_kind: str) -> None:
    url = servers.empty_database(store_kind)
    with ThreadPoolExecutor(3) as pool:
        outcomes = list(pool.map(upgrade, [url] * 3))
    servers.drop_database(url)
    assert outcomes == [head()] * 3


def test_columnar_rows_come_back_as_they_went_in(database: Engine, media: LocalMedia) -> None:
    columns = {
        "time": positions(2)["time"],
        "vehicle_id": ["van-1"] * 2,
        "camera": ["driver"] * 2,
        "face_found": [True, False],
        "eye_openness": [0.5, None],
        "speed_mps": [1.5, 2.5],
        "record_offset": [2**40, None],
        "yawn": [None, 0.25],
    }
    values = [columns.get(name, [None, None]) for name in OBSERVATION_SCHEMA.names]
    seen = pa.table(values, schema=OBSERVATION_SCHEMA)
    sent = {"position": positions(1000), "motion": motion(100), "observation": seen}
    with database.begin() as connection:
        write(connection, Outputs(positions(1000), motion(100), seen), media, GROUP)
    with database.connect() as connection:
        for name, table in sent.items():
            assert rows(connection, name) == table.sort_by("time").to_pylist()


def test_wrong_columns_are_refused_before_anything_is_sent(database: Engine, media: LocalMedia) -> None:
    wrong = positions(2).drop_columns(["lat"])
    with database.begin() as connection:
        with pytest.raises(ValueError, match="rows for position must have the columns"):
            write(connection, Outputs(wrong), media, GROUP)
        assert rows(connection, "position") == []


def test_nothing_stays_without_the_callers_commit(database: Engine, media: LocalMedia) -> None:
    everything = Outputs(
        positions(5), trips=[a_trip()], events=[an_event()], counts=Counter({("van-1", "messages"): 1})
    )
    with database.connect() as connection:
        write(connection, everything, media, GROUP)
        connection.rollback()
        for name in ("position", "trip", "safety_event", "event_media", "stream_count"):
            assert rows(connection, name) == []


def test_an_open_trip_is_written_again_until_it_ends(database: Engine, media: LocalMedia) -> None:
    longer = a_trip(end_us=NOON_US + 60_000_000, distance_m=900.0)
    ended = replace(longer, status=TripStatus.ENDED)
    with database.begin() as connection:
        write(connection, Outputs(trips=[a_trip(), longer]), media, GROUP)  # the later of the two in one call
        assert [row["distance_m"] for row in rows(connection, "trip")] == [900.0]
        write(connection, Outputs(trips=[ended]), media, GROUP)
        [row] = rows(connection, "trip")
    assert row["status"] == "ended"
    assert row["end_at"] == to_datetime(ended.end_us)
    assert row["over_severe_s"] == 0.0
    assert row["max_speed_mps"] == 20.0


def test_a_worker_that_extends_an_event_leaves_the_desks_decision_alone(database: Engine, media: LocalMedia) -> None:
    dismissed = {"review_state": "dismissed", "dismissal_reason": "pothole", "reviewed_by": "kim"}
    extended = an_event(severity=Severity.HIGH, end_us=NOON_US + 9_000_000, media=())
    with database.begin() as connection:
        write(connection, Outputs(events=[an_event()]), media, GROUP)
        connection.execute(tables.safety_event.update().values(dismissed))
        write(connection, Outputs(events=[extended]), media, GROUP)
        [row] = rows(connection, "safety_event")
        [footage] = rows(connection, "event_media")
    assert row.items() >= dismissed.items()
    assert (row["severity"], row["end_at"]) == ("high", to_datetime(extended.end_us))
    assert row["evidence"] == {"jerk_mps3": 9.5, "samples": [1, 2]}
    assert media.read(footage["path"]) == b"jpeg"


def test_an_event_that_is_the_same_already_is_not_written(database: Engine, media: LocalMedia) -> None:
    place = select(text("ctid::text")).select_from(tables.safety_event)
    with database.begin() as connection:
        write(connection, Outputs(events=[an_event()]), media, GROUP)
        before = connection.scalar(place)
        write(connection, Outputs(events=[an_event()]), media, GROUP)
        assert connection.scalar(place) == before


def test_traces_counts_and_dues_are_kept(database: Engine, media: LocalMedia) -> None:
    event = an_event()
    batch = Outputs(
        traces=[Trace(event.event_id, b"arrow")],
        score_due=[ScoreDue("van-1", None, NOON_US), ScoreDue("van-1", "ann", NOON_US)],
        counts=Counter({("van-1", "messages"): 2, ("van-2", "late"): 1, ("van-2", "missing"): 0}),
    )
    with database.begin() as connection:
        write(connection, batch, media, GROUP)
        write(connection, batch, media, GROUP)
        totals = {(row["vehicle_id"], row["word"]): row["total"] for row in rows(connection, "stream_count")}
        assert totals == {("van-1", "messages"): 4, ("van-2", "late"): 2}
        assert [row["samples"] for row in rows(connection, "event_trace")] == [b"arrow"]
        assert [row["driver_id"] for row in rows(connection, "score_due")] == [None, "ann", None, "ann"]


def test_a_dead_letter_is_kept_once_and_two_reasons_twice(database: Engine, media: LocalMedia) -> None:
    letter = DeadLetter("telemetry", 1, 42, "van-1", "nan", "gps.lat", 3, NOON_US, b"raw")
    other = replace(letter, detail="imu.accel_x_mps2", payload=None)
    with database.begin() as connection:
        write(connection, Outputs(dead_letters=[letter, letter]), media, GROUP)
        write(connection, Outputs(dead_letters=[letter, other]), media, GROUP)
        kept = {(row["detail"], row["payload"], row["rows"]) for row in rows(connection, "dead_letter")}
    assert kept == {("gps.lat", b"raw", 3), ("imu.accel_x_mps2", None, 3)}


def test_minutes_and_days_say_the_same_in_both_stores(database: Engine, media: LocalMedia, store_kind: str) -> None:
    with database.begin() as connection:
        write(connection, Outputs(positions(150), motion(150)), media, GROUP)
    if store_kind == "timescale":  # part gathered, part not yet: readers must not notice
        with database.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            until = to_datetime(NOON_US + 60_000_000)
            connection.execute(text("CALL refresh_continuous_aggregate('position_minute', NULL, :t)"), {"t": until})
    with database.connect() as connection:
        minutes = rows(connection, "position_minute")
        [day] = rows(connection, "position_day")
        [motion_day] = rows(connection, "motion_day")
    assert [row["samples"] for row in minutes] == [60, 60, 30]
    assert [row["speed_max_mps"] for row in minutes] == [59, 119, 149]
    assert day["samples"] == 150
    assert day["speed_sum_mps"] == sum(range(150))
    assert (day["odometer_min_m"], day["odometer_max_m"]) == (1e6, 1e6 + 149)
    assert (motion_day["seconds"], motion_day["samples"], motion_day["accel_y_max"]) == (150, 3750, 149 / 8)


def test_retention_follows_the_setting(database: Engine, media: LocalMedia, store_kind: str) -> None:
    with database.begin() as connection:
        write(connection, Outputs(positions(2, start_us=NOON_US - 3 * 365 * 86_400_000_000)), media, GROUP)
        timescale.apply_retention(connection, 30)
        timescale.apply_retention(connection, 20)
    if store_kind == "timescale":
        with database.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            query = (
                "SELECT job_id, config->>'drop_after' FROM timescaledb_information.jobs "
                "WHERE proc_name = 'policy_retention' AND hypertable_name = 'position'"
            )
            [(job, drop_after)] = connection.execute(text(query)).all()
            assert drop_after == "20 days"
            connection.execute(text(f"CALL run_job({job})"))
    with database.connect() as connection:
        assert rows(connection, "position") == []


@pytest.mark.store("timescale")
def test_rows_come_back_the_same_from_compressed_chunks(database: Engine, media: LocalMedia) -> None:
    first, again, few = positions(5000), positions(600, start_us=NOON_US - 600_000_000), positions(3, "bus-1")
    for batch in (first, again, few):  # the first two are compressed as they come in, the last is not
        with database.begin() as connection:
            write(connection, Outputs(batch), media, GROUP)
    with database.begin() as connection:
        assert is_compressed(connection, "position")
        connection.execute(text("SELECT compress_chunk(c) FROM show_chunks('position') c"))
        assert rows(connection, "position") == pa.concat_tables([again, first, few]).sort_by(ORDER).to_pylist()


@pytest.mark.store("timescale")
def test_rows_compressed_as_they_come_in_roll_back_and_reach_the_aggregates(
    database: Engine, media: LocalMedia
) -> None:
    for commit in (True, False, True):
        with database.connect() as connection:
            write(connection, Outputs(positions(600)), media, GROUP)
            connection.commit() if commit else connection.rollback()
        with database.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("CALL refresh_continuous_aggregate('position_minute', NULL, NULL)"))
    with database.connect() as connection:
        assert [row["samples"] for row in rows(connection, "position_minute")] == [120] * 10


@pytest.mark.store("timescale")
def test_two_workers_compress_into_one_chunk_at_once(database: Engine, media: LocalMedia) -> None:
    with database.begin() as connection:
        write(connection, Outputs(positions(600, "van-0")), media, GROUP)  # the first waits for nobody: makes the chunk
    with database.connect() as one, database.connect() as other:
        for connection, vehicle in ((one, "van-1"), (other, "van-2")):
            connection.execute(text("SET LOCAL lock_timeout = '5s'"))
            write(connection, Outputs(positions(600, vehicle)), media, GROUP)
        one.commit()
        other.commit()
        assert one.scalar(text("SELECT count(*) FROM position")) == 1800


def test_an_unreachable_database_is_explained() -> None:
    engine = make_engine("postgresql://ann:secret@127.0.0.1:1/fleet")
    with pytest.raises(
        ConnectionError, match=r"no database at .*127\.0\.0\.1:1/fleet.*RUMBLESTRIP_DATABASE_URL"
    ) as caught:
        engine.connect()
    assert "secret" not in str(caught.value)
