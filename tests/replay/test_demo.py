"""The demo, from the command line to the tables, in one process with its own PostgreSQL."""

import io
import os
import re
import signal
import subprocess
import sys
import time

import psutil
import pytest
from rich.console import Console
from sqlalchemy import select, text

from infra.runtime.adapters import open_database
from infra.runtime.demo import run_demo
from infra.runtime.embedded import AlreadyRunning, embedded
from infra.runtime.replay import Options
from infra.settings import Settings, load
from infra.store.embedded import of_settings
from infra.store.tables import stream_count

COUNTED = ("position", "motion", "observation", "trip", "safety_event", "event_media", "score", "dead_letter")
STOP_S = 5.0  # a person at the keyboard waits no longer
START_S = 60.0  # for a machine that does other things as well


@pytest.fixture
def settings(servers, monkeypatch):
    for name in [name for name in os.environ if name.startswith("RUMBLESTRIP_")]:
        monkeypatch.delenv(name)
    chosen = load(data_dir=servers.new_folder(), gateway_port=0, dashboard_port=0)
    yield chosen
    of_settings(chosen).delete()


def play(settings: Settings, **options) -> str:
    console = Console(file=io.StringIO(), width=160)
    run_demo(settings, console, Options(target="local", **options), serve=False)
    return console.file.getvalue()


def contents(settings: Settings) -> tuple[dict[str, int], list[tuple], dict[tuple[str, str], int]]:
    """Rows of every table, the scores, and the counts by group and word."""
    with open_database(settings) as engine, engine.connect() as connection:
        rows = {name: connection.scalar(text(f"SELECT count(*) FROM {name}")) for name in COUNTED}
        scores = [tuple(row) for row in connection.execute(text("SELECT * FROM score ORDER BY 1, 2, 3"))]
        counts: dict[tuple[str, str], int] = {}
        for row in connection.execute(select(stream_count)):
            key = (row.consumer_group, row.word)
            counts[key] = counts.get(key, 0) + row.total
    return rows, scores, counts


def test_the_demo_played_three_times_is_in_the_database_once(settings):
    printed = play(settings)
    assert "4 drives: 9,448 samples and 235 frames sent" in printed
    assert printed.count("Driver A") >= 3
    assert "ended" in printed
    assert " open " not in printed
    rows, scores, counts = contents(settings)
    assert rows["position"] == 4722 + 4, "and one sample a drive that says ignition off"
    assert rows["motion"] == 4722
    assert rows["observation"] == 235
    assert rows["trip"] >= 5
    assert rows["safety_event"] >= 2
    assert rows["event_media"] >= 1
    assert rows["dead_letter"] == 0
    assert counts["scoring", "messages"] == 478
    assert not any(word in ("duplicate", "missing", "late") for _, word in counts)

    again = play(settings, again=True)
    assert "4 drives: 9,448 samples and 235 frames sent" in again
    rows_again, scores_again, counts_again = contents(settings)
    assert (rows_again, scores_again) == (rows, scores)
    assert counts_again["recorder", "duplicate"] == 478
    assert counts_again["scoring", "duplicate"] == 478
    assert counts_again["vision", "duplicate"] == 235

    assert "0 samples and 0 frames sent, 0 retries; 490 parcels sent in an earlier run" in play(settings)
    assert contents(settings) == (rows_again, scores_again, counts_again)


def test_a_second_process_on_the_same_data_is_turned_away(settings):
    with (
        embedded(settings, dashboard=False),
        pytest.raises(AlreadyRunning, match="is in use by another rumblestrip"),
        embedded(settings, dashboard=False),
    ):
        pass


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_everything_in_time_and_leaves_nothing_behind(settings, tmp_path, number):
    log = tmp_path / "log"
    environment = os.environ | {
        "RUMBLESTRIP_DATA_DIR": str(settings.data_dir),
        "RUMBLESTRIP_GATEWAY_PORT": "0",
        "RUMBLESTRIP_DASHBOARD_PORT": "0",
    }
    with log.open("w") as out:
        house = subprocess.Popen(
            [sys.executable, "-m", "infra.runtime.cli", "up"], stdout=out, stderr=out, env=environment
        )
    give_up = time.monotonic() + START_S
    while "Ctrl-C stops everything" not in log.read_text():
        assert house.poll() is None, log.read_text()
        assert time.monotonic() < give_up, log.read_text()
        time.sleep(0.1)
    children = psutil.Process(house.pid).children(recursive=True)
    assert re.search(r"sign in\s+http://127.0.0.1:\d+/\?token=", log.read_text())
    house.send_signal(number)
    asked = time.monotonic()
    assert house.wait(30) == 0, log.read_text()
    assert time.monotonic() - asked < STOP_S
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
    assert of_settings(settings).running() is None
