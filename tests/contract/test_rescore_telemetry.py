"""Other thresholds on stored telemetry, on a real database: events gained and lost, nothing live before a switch."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pyarrow.parquet as pq
import pytest
import yaml
from sqlalchemy import Engine, text
from typer.testing import CliRunner

from infra.bus.memory import MemoryBus
from infra.clock import to_datetime
from infra.contracts.events import EventKind, TripStatus
from infra.contracts.telemetry import VehicleClass
from infra.settings import Settings
from infra.store import outputs, registry
from infra.store.engine import plain_url
from infra.store.media import LocalMedia
from infra.store.states import StateRow, save_states
from scoring.core import state as states
from scoring.core.formulas.table import OURS
from scoring.core.rules import DEFAULT
from scoring.core.what_if import changed_rules, read_change
from scoring.outcome import keep_beside
from scoring.ray_job import Judge, pieces
from scoring.rescore import rescore_app
from scoring.service import build
from scoring.stored.archive import Archive
from scoring.stored.database import Database
from scoring.stored.parquet import export
from scoring.timeline import rules_in_force
from scoring.trial import run
from scoring.what_if import Comparison, compare, switch, to_replay
from scoring.windows import By, Window, read_window
from tests.recorded import motion_rows, position_rows
from tests.replay.test_scoring_worker import publish, pump_dry
from tests.unit.scoring.road import START_US, Leg, batches, drive, judge

DAY = to_datetime(START_US).replace(hour=0, minute=0, second=0, microsecond=0)
BETWEEN = DAY, DAY + timedelta(days=1)
LOWER = {"name": "lower", "harsh_g": {"passenger": {"brake": 0.45}}}
HIGHER = {"name": "higher", "harsh_g": {"passenger": {"brake": 0.7}}}
FAST = {"name": "fast", "speeding_s": {"light": 20}}
SOFT = (Leg(20, 0.15), *(leg for _ in range(3) for leg in (Leg(15), Leg(1.2, -0.52), Leg(20, 0.03))), Leg(30))
HARD = (Leg(20, 0.15), Leg(15), Leg(1.2, -0.66), Leg(60))
LIVE = (
    "trip",
    "safety_event",
    "event_trace",
    "score",
    "score_due",
    "vehicle_state",
    "position",
    "motion",
    "rules_change",
)


@pytest.fixture
def fleet(database: Engine, media: LocalMedia, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """Ada brakes softly three times, Bob hard once, Cem not at all but drives a little over the limit."""
    monkeypatch.setenv("RUMBLESTRIP_DATABASE_URL", plain_url(database))
    monkeypatch.setenv("RUMBLESTRIP_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("RUMBLESTRIP_POSITION_RETENTION_DAYS", "40000")  # these drives are years old
    fast = drive(Leg(12, 0.2), Leg(30), Leg(3, -0.1), Leg(90), limit_mps=23.0)
    _put(database, media, "car-ada", "ada", drive(*SOFT))
    _put(database, media, "car-bob", "bob", drive(*HARD, seed=2))
    _put(database, media, "car-cem", "cem", fast)
    return database


def _put(engine, media, vehicle, driver, recording):
    """As the workers would: trip and events, seconds, and what scoring remembers. The trip counts for 900 km."""
    recording = replace(recording, batch=replace(recording.batch, vehicle_id=vehicle, driver_id=driver))
    state, found = judge(recording)
    trips = [replace(t, distance_m=9e5, driving_s=36_000.0) for t in found.trips if t.status is TripStatus.ENDED]
    rows = outputs.Outputs(trips=trips[-1:], events=found.events, traces=found.traces)
    rows.positions = position_rows(vehicle, driver, recording.gps)
    rows.motion = motion_rows(vehicle, recording.imu)
    document = orjson.dumps({"order": {}, "room": states.dump(state), "wake_us": None})
    with engine.begin() as connection:
        registry.add_vehicle(connection, vehicle, vehicle, VehicleClass.PASSENGER)
        registry.add_driver(connection, driver, driver)
        outputs.write(connection, rows, media, "scoring")
        save_states(connection, "scoring", "driving-1", [StateRow(vehicle, 0, document)])


def tried(engine: Engine, content: dict, archive: Path | None = None) -> tuple[Window, Comparison]:
    change = read_change(content, OURS, DEFAULT)
    with engine.begin() as connection:
        window = read_window(connection, *BETWEEN)
        source = Archive(archive) if archive else Database(connection)
        found = run(source, *BETWEEN, *to_replay(connection, change))
        return window, compare(connection, window, change, By.DRIVER, found)


def live(engine):
    with engine.connect() as connection:
        return {table: sorted(map(repr, connection.execute(text(f"SELECT * FROM {table}")))) for table in LIVE}


def test_a_lower_threshold_gains_the_events_that_were_under_it(fleet):
    _, found = tried(fleet, LOWER)
    assert found.outcome.gained_by_kind == {EventKind.HARSH_BRAKE: 3}
    assert {(one.event.vehicle_id, one.exact) for one in found.outcome.gained} == {("car-ada", False)}
    assert found.outcome.lost_by_kind == {}
    gain = found.outcome.gain
    assert (gain.stored, gain.again, gain.beside) == (1, 1, 0)
    moves = {move.name: move for move in found.moves}
    assert (moves["ada"].rank, moves["ada"].rank_after) == (1, 3)
    assert moves["ada"].value_after < moves["ada"].value


def test_a_higher_threshold_loses_those_that_do_not_reach_it(fleet):
    _, found = tried(fleet, HIGHER)
    assert found.outcome.lost_by_kind == {EventKind.HARSH_BRAKE: 1}
    assert found.outcome.gained_by_kind == {}
    bob = next(move for move in found.moves if move.name == "bob")
    assert bob.value_after > bob.value


def test_a_shorter_time_over_the_limit_gains_exact_events(fleet):
    _, found = tried(fleet, FAST)
    assert [(o.event.vehicle_id, o.event.kind, o.exact) for o in found.outcome.gained] == [
        ("car-cem", "speeding", True)
    ]


def test_nothing_live_changes_and_a_second_run_leaves_the_same_beside(fleet):
    before = live(fleet)
    kept = []
    for _ in range(2):
        window, found = tried(fleet, LOWER)
        with fleet.begin() as connection:
            assert keep_beside(connection, "lower", window, found.outcome) == 3
        with fleet.connect() as connection:
            kept.append(connection.execute(text("SELECT * FROM what_if_event ORDER BY event_id")).all())
    assert kept[0] == kept[1]
    assert {(row.outcome, row.estimated, row.driver_id, row.kind) for row in kept[0]} == {
        ("gained", True, "ada", "harsh_brake")
    }
    assert live(fleet) == before


def test_an_export_gives_the_same_as_the_database(fleet, tmp_path):
    with fleet.begin() as connection:
        rows = export(connection, tmp_path / "archive", *BETWEEN, lanes=3)
        again = export(connection, tmp_path / "archive", *BETWEEN, lanes=3)
        stored = sum(connection.scalar(text(f"SELECT count(*) FROM {table}")) for table in ("position", "motion"))
    assert rows == again == stored
    for content in (LOWER, FAST):
        from_files, from_tables = (
            tried(fleet, content, where)[1].outcome.gained for where in (tmp_path / "archive", None)
        )
        assert from_files == from_tables
    judge_pieces = Judge(tmp_path / "archive", (DEFAULT, changed_rules(DEFAULT, read_change(LOWER, OURS, DEFAULT))))
    work = list(pieces(tmp_path / "archive", *BETWEEN))
    table = judge_pieces({name: [piece[name] for piece in work] for name in work[0]})
    assert Counter(table["rules"].to_pylist()) == {"before": 1, "after": 4}
    table = pq.read_table(next((tmp_path / "archive/position").rglob("*.parquet")), partitioning=None)
    assert set(table["driver_id"].to_pylist()) <= {"ada", "bob", "cem", None}


@pytest.mark.parametrize(("more", "rows"), [([], 0), (["--switch", "--yes"], 1)])
def test_the_command_tells_what_is_exact_and_switches_when_told(fleet, tmp_path, more, rows):
    (tmp_path / "lower.yaml").write_text(yaml.safe_dump(LOWER))
    days = ["--from", f"{DAY:%Y-%m-%d}", "--to", f"{DAY:%Y-%m-%d}", "--user", "mia"]
    result = CliRunner().invoke(rescore_app, ["--rules", str(tmp_path / "lower.yaml"), *days, *more])
    assert result.exit_code == 0, result.output
    assert "Events gained: 3 harsh brake" in result.stdout
    assert "0 are exact" in result.stdout
    assert "1 of the 1 stored events found again" in " ".join(result.stdout.split())
    with fleet.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM what_if_event")) == 3
        assert connection.scalar(text("SELECT count(*) FROM rules_change")) == rows
        brake_g = rules_in_force(connection).harsh[VehicleClass.PASSENGER].brake_g
    assert brake_g == (0.45 if rows else 0.61)


def test_the_worker_judges_by_what_was_switched_to(database, media, tmp_path):
    """The same brake before and after, with one worker at work all the time."""
    settings, bus = Settings(data_dir=tmp_path, lanes=4), MemoryBus(lanes=4)
    bus.ensure_topics()
    worker = build(settings, bus, database, media)
    switched = datetime(2026, 6, 1, tzinfo=UTC)
    at_us = int(switched.timestamp() * 1e6)

    def send(vehicle, arrived_us):
        recording = drive(*SOFT)
        own = replace(recording, batch=replace(recording.batch, vehicle_id=vehicle))
        publish(bus, [(arrived_us + n, batch) for n, batch in enumerate(batches(own))])
        pump_dry(worker)
        with database.connect() as connection:
            return connection.execute(text("SELECT vehicle_id, kind, rules_version FROM safety_event")).all()

    assert send("van-1", at_us - 60_000_000) == []
    with database.begin() as connection:
        switch(connection, LOWER, "mia", switched)
    assert send("van-2", at_us - 30_000_000) == []
    assert send("van-3", at_us) == [("van-3", "harsh_brake", "1")] * 3
    worker.close()
    with database.connect() as connection:
        assert connection.execute(text("SELECT name, username, at FROM rules_change")).all() == [
            ("lower", "mia", switched)
        ]
