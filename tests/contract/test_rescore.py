"""Trying other rules on a real database: nothing is written until someone switches, and that is on record."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from sqlalchemy import Engine, text
from typer.testing import CliRunner

from infra import migrations
from infra.settings import Settings
from infra.store.engine import plain_url
from infra.store.media import LocalMedia
from scoring.core.formulas.table import OURS
from scoring.core.rules import DEFAULT
from scoring.core.what_if import read_change
from scoring.in_force import in_force
from scoring.rescore import rescore_app
from scoring.what_if import compare, switch
from scoring.windows import By, read_window
from tests.seed import UNTIL, Fleet, seed

pytestmark = pytest.mark.store("postgres")
NOW = datetime(2026, 6, 1, tzinfo=UTC)
HEAVY_BRAKES = {"name": "heavy-brakes", "weights": {"harsh_brake": 40}}
HIGH = {"name": "high", "harsh_g": {c: {"brake": 2.0} for c in ("passenger", "light_duty", "heavy_duty")}}


@pytest.fixture
def fleet(database: Engine, media: LocalMedia, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    monkeypatch.setenv("RUMBLESTRIP_DATABASE_URL", plain_url(database))
    monkeypatch.setenv("RUMBLESTRIP_DATA_DIR", str(tmp_path))
    return seed(database, media, Settings(data_dir=tmp_path), UNTIL, days=3)


def compared(connection, content):
    window = read_window(connection, UNTIL - timedelta(days=5), UNTIL + timedelta(days=1))
    return compare(connection, window, read_change(content, OURS, DEFAULT), By.VEHICLE)


def test_heavier_brakes_lower_the_scores_of_who_braked(database, fleet):
    with database.connect() as connection:
        found = compared(connection, HEAVY_BRAKES)
    braked = {event.vehicle_id for event in fleet.events if event.kind == "harsh_brake"}
    assert braked
    assert {move.name for move in found.moves} == {trip.vehicle_id for trip in fleet.trips}
    assert all(move.value_after < move.value for move in found.moves if move.name in braked)
    assert found.outcome.lost_by_kind == {}


def test_a_threshold_that_nothing_reaches_loses_every_harsh_brake(database, fleet):
    with database.connect() as connection:
        found = compared(connection, HIGH)
    assert found.outcome.lost_by_kind == {"harsh_brake": sum(event.kind == "harsh_brake" for event in fleet.events)}
    assert found.events == len(fleet.events)


def test_a_switch_holds_from_then_on_and_is_on_record(database, fleet):
    with database.begin() as connection:
        assert in_force(connection).base is OURS
        switch(connection, HEAVY_BRAKES, "mia", NOW)
    with database.connect() as connection:
        assert in_force(connection).base.events["harsh_brake"].weight == 40
        assert connection.execute(text("SELECT name, username, at FROM rules_change")).all() == [
            ("heavy-brakes", "mia", NOW)
        ]
        assert all(move.value_after == move.value for move in compared(connection, HEAVY_BRAKES).moves)


@pytest.mark.parametrize(
    ("more", "rows", "said"), [([], 0, "Nothing was switched"), (["--switch", "--yes"], 1, "In force")]
)
def test_the_command_shows_and_switches_only_when_told(database, fleet, tmp_path, more, rows, said):
    (tmp_path / "other.yaml").write_text(yaml.safe_dump(HEAVY_BRAKES))
    days = ["--from", f"{UNTIL - timedelta(days=5):%Y-%m-%d}", "--to", f"{UNTIL + timedelta(days=1):%Y-%m-%d}"]
    arguments = ["--rules", str(tmp_path / "other.yaml"), "--by", "vehicle", "--user", "mia", *days, *more]
    result = CliRunner().invoke(rescore_app, arguments)
    assert result.exit_code == 0, result.output
    assert said in result.stdout
    assert "Events lost: none" in result.stdout
    with database.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM rules_change")) == rows


def test_a_database_of_the_first_schema_gets_the_table(database):
    with database.begin() as connection:
        for table in ("rules_change", "peer_fit", "vehicle_tag"):
            connection.execute(text(f"DROP TABLE {table}"))
        connection.execute(text("ALTER TABLE score DROP COLUMN low, DROP COLUMN high, DROP COLUMN state"))
        connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    assert migrations.upgrade(plain_url(database)) == migrations.head()
    with database.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM rules_change")) == 0
