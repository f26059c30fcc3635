"""Scores of a window from a real database, and the commands that show and export them."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from typer.testing import CliRunner

from infra.contracts.telemetry import VehicleClass
from infra.settings import Settings
from infra.store import registry
from infra.store.engine import plain_url
from infra.store.media import LocalMedia
from scoring.in_force import InForce, in_force
from scoring.recompute import recompute_due
from scoring.scores_cli import scores_app
from scoring.standings import standings
from scoring.tags_cli import tags_app
from scoring.windows import By, parts, read_window, score_parts
from tests.seed import UNTIL, Fleet, seed

pytestmark = pytest.mark.store("postgres")
DAYS = ["--from", f"{UNTIL - timedelta(days=5):%Y-%m-%d}", "--to", f"{UNTIL + timedelta(days=1):%Y-%m-%d}"]


@pytest.fixture
def fleet(database: Engine, media: LocalMedia, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    monkeypatch.setenv("RUMBLESTRIP_DATABASE_URL", plain_url(database))
    monkeypatch.setenv("RUMBLESTRIP_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    return seed(database, media, Settings(data_dir=tmp_path), UNTIL, days=3)


def run(*arguments: str) -> str:
    result = CliRunner().invoke(scores_app, list(arguments))
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_window_holds_all_trips_and_their_events(database, fleet):
    with database.connect() as connection:
        window = read_window(connection, UNTIL - timedelta(days=5), UNTIL + timedelta(days=1))
    assert len(window.drives) == len(fleet.trips)
    assert {one.event_id for one in window.incidents} == {str(one.event_id) for one in fleet.events}
    (whole,) = score_parts(window, parts(window, By.FLEET), InForce())
    assert whole.tally.distance_m == pytest.approx(sum(trip.distance_m for trip in fleet.trips))
    assert sum(whole.tally.events.values()) == len(fleet.events)


@pytest.mark.parametrize("by", [By.DRIVER, By.VEHICLE, By.TAG, By.FLEET])
def test_sums_of_sql_are_those_of_the_rows(database, fleet, by):
    """Tallies, scores, places and praise, with a dismissed speeding and an event between two vehicles' trips."""
    since, until = UNTIL - timedelta(days=2), UNTIL + timedelta(days=1)
    with database.begin() as connection:
        connection.execute(text("UPDATE safety_event SET review_state = 'dismissed' WHERE kind = 'speeding'"))
        connection.execute(text("UPDATE safety_event SET review_state = 'recognized' WHERE kind = 'harsh_turn'"))
        connection.execute(text("UPDATE trip SET driver_id = 'driver-0' WHERE vehicle_id = 'car-1'"))
        registry.add_vehicle(connection, "car-2", "Car 2", VehicleClass.HEAVY_DUTY)
        registry.add_tag(connection, "north", ["car-0", "car-2"])
        registry.add_tag(connection, "cold", ["car-2"])
        formulas = in_force(connection)
        window = read_window(connection, since, until)
        rows = score_parts(window, parts(window, by, registry.vehicles_by_tag(connection)), formulas)
        sums = standings(connection, since, until, formulas, by)
    assert [one.name for one in sums] == [one.part.name for one in rows]
    for mine, theirs in zip(sums, rows, strict=True):
        assert mine.driven == theirs.tally
        assert mine.result == theirs.results["expected-risk"]
        assert (mine.percentile, mine.trips) == (theirs.percentile, len(theirs.part.exposures))
        assert mine.recognition.clean_m == pytest.approx(theirs.recognition.clean_m)


def test_tags_are_kept_and_have_scores(fleet, database):
    assert CliRunner().invoke(tags_app, ["add", "north", "car-0", "car-1"]).exit_code == 0
    assert CliRunner().invoke(tags_app, ["add", "north", "car-9"]).exit_code == 2
    assert "car-0, car-1" in CliRunner().invoke(tags_app, ["list"]).stdout
    assert "north" in run("list", "--by", "tag", *DAYS)
    rows = list(csv.DictReader(io.StringIO(run("export", "--tag", "north", *DAYS))))
    assert {row["vehicle"] for row in rows if row["row"] == "trip"} == {"car-0", "car-1"}
    assert "off 2 vehicles" in CliRunner().invoke(tags_app, ["remove", "north"]).stdout
    assert "north" not in run("list", "--by", "tag", *DAYS)


def test_peers_are_learned_once_and_hold_for_every_score(database, media, fleet, tmp_path):
    """Twenty more drivers, who brake far less than we guess of people nobody has seen."""
    seed(database, media, Settings(data_dir=tmp_path), UNTIL, days=1, drivers=22)
    before = run("list", *DAYS)
    assert "In force for passenger" in run("fit", "--user", "mia", *DAYS)
    assert run("list", *DAYS) != before
    with database.begin() as connection:
        formulas = in_force(connection)
        assert formulas.of("passenger") != formulas.base == formulas.of("heavy_duty")
        assert connection.execute(text("SELECT username FROM peer_fit")).scalar_one() == "mia"
        while recompute_due(connection, Settings(data_dir=tmp_path)):
            pass
        window = read_window(connection, UNTIL - timedelta(days=5), UNTIL + timedelta(days=1))
        stored = dict(connection.execute(text("SELECT scope_id, value FROM score WHERE scope = 'trip'")).all())
    scored = score_parts(window, parts(window, By.TRIP), formulas)
    assert stored == {one.part.name: one.results["expected-risk"].value for one in scored}


def test_scores_are_listed_under_every_formula(fleet):
    page = run("list", "--by", "vehicle", *DAYS)
    heading = " ".join(page.splitlines()[:2])
    assert all(word in heading for word in ("expected-", "samsara-", "motive-", "greenroad-", "risk", "like"))
    assert all(trip.vehicle_id in page for trip in fleet.trips)


def test_the_ledger_of_a_driver_is_written_as_csv(fleet):
    rows = list(csv.DictReader(io.StringIO(run("export", "--driver", "driver-0", *DAYS))))
    mine = [trip for trip in fleet.trips if trip.driver_id == "driver-0"]
    assert sorted(row["id"] for row in rows if row["row"] == "trip") == sorted(str(trip.trip_id) for trip in mine)
    scale = float(rows[-1]["scale"])
    rates = sum(float(row["rate"]) for row in rows if row["row"] == "term")
    assert 100 * scale / (scale + rates) == pytest.approx(float(rows[-1]["value"]), abs=0.0051)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["export", "--driver", "nobody"], "has no trip"),
        (["export"], "name a driver, a vehicle or a tag"),
        (["export", "--driver", "driver-0", "--formula", "magic"], "expected-risk"),
        (["fit"], "no class of vehicles has 20 drivers"),
    ],
)
def test_what_is_asked_wrongly_is_said(fleet, arguments, words):
    result = CliRunner().invoke(scores_app, [*arguments, *DAYS], env={"TERMINAL_WIDTH": "200"})
    assert result.exit_code == 2
    assert words in " ".join(result.output.split())
