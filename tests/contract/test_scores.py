"""Scores of a window from a real database, and the commands that show and export them."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine
from typer.testing import CliRunner

from infra.settings import Settings
from infra.store.engine import plain_url
from infra.store.media import LocalMedia
from scoring.scores_cli import scores_app
from scoring.windows import By, learn_peers, parts, read_window, score_parts
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
    (whole,) = score_parts(window, parts(window, By.FLEET), learn_peers(window))
    assert whole.tally.distance_m == pytest.approx(sum(trip.distance_m for trip in fleet.trips))
    assert sum(whole.tally.events.values()) == len(fleet.events)


def test_scores_are_listed_under_every_formula(fleet):
    page = run("list", "--by", "vehicle", *DAYS)
    assert all(word in page for word in ("expected-risk", "samsara-like", "motive-like", "greenroad-like"))
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
        (["export"], "name a driver or a vehicle"),
        (["export", "--driver", "driver-0", "--formula", "magic"], "expected-risk"),
        (["list", "--by", "tag", "--tag", "north"], "TAG=VEHICLE"),
    ],
)
def test_what_is_asked_wrongly_is_said(fleet, arguments, words):
    result = CliRunner().invoke(scores_app, [*arguments, *DAYS], env={"TERMINAL_WIDTH": "200"})
    assert result.exit_code == 2
    assert words in " ".join(result.output.split())
