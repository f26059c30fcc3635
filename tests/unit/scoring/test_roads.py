"""Posted limits by matching to real roads of Andorra: drives simulated along them, with a receiver's noise."""

from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np
import orjson
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from dashboard.labels import Words, summary
from infra.contracts.events import EventKind
from infra.contracts.telemetry import empty_imu, take
from infra.drives import Manifest, write_drive
from scoring.core import roads as core
from scoring.core.roads import Matched
from scoring.judge import judge_app
from scoring.roads import tiles as tiles_of
from scoring.roads.cli import roads_app
from scoring.roads.matcher import Matcher
from scoring.stored.road_limits import put_limits
from tests import roads
from tests.roads import PLACES, START_US, driven, route

KMH = 1 / 3.6


@pytest.fixture(scope="module")
def tiles(tmp_path_factory):
    return roads.build_tiles(tmp_path_factory.mktemp("roads") / "tiles")


@pytest.fixture(scope="module")
def matcher(tiles):
    return Matcher(tiles)


@pytest.fixture(scope="module")
def ways(matcher):
    names = ["Encamp", "La Vella", "Sant Julià", "Arinsal"]
    return [route(matcher, PLACES[a], PLACES[b]) for a, b in pairwise(names)]


def shares(matcher, drives):
    """Of fixes on roads with a limit: right, wrong, unknown; of those on roads without: given one."""
    truth = np.concatenate([drive.limit_mps for drive in drives])
    found = [matcher.match(drive.gps) for drive in drives]
    limit, believed = (np.concatenate([getattr(one, name) for one in found]) for name in ("limit_mps", "believed"))
    tagged, right = np.isfinite(truth), np.isclose(limit, truth, atol=0.1)
    return (
        (believed & right)[tagged].mean(),
        (believed & ~right)[tagged].mean(),
        (~believed)[tagged].mean(),
        believed[~tagged].mean(),
    )


# --- the core, without Valhalla ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kmh", "expected_kmh"),
    [(50, 50), (100, 100), (80, 80), (48, 30 * 1.609344), (113, 70 * 1.609344), (np.inf, np.inf)],
)
def test_a_limit_that_was_posted_in_miles_is_exact_again(kmh, expected_kmh):
    assert core.limit_mps(np.array([float(kmh)]))[0] * 3.6 == pytest.approx(expected_kmh, rel=1e-6)


def matched_to(limit_mps, confidence=1.0, n=4):
    full = np.full(n, 1.0, np.float32)
    return Matched(full * np.float32(limit_mps), full * np.float32(confidence), full, np.full(n, "primary"))


@pytest.mark.parametrize(
    ("told", "matched", "used"),
    [
        (np.nan, matched_to(20), 20),
        (0.0, matched_to(20), 20),
        (15.0, matched_to(20), 15),  # what the device says stands
        (np.nan, matched_to(20, confidence=0.3), np.nan),
        (np.nan, matched_to(np.nan), np.nan),
        (np.nan, matched_to(np.inf), np.inf),  # no limit is not the same as no known limit
    ],
)
def test_only_a_limit_that_is_missing_is_filled_and_only_by_a_sure_one(told, matched, used):
    gps = replace(_still(4), speed_limit_mps=np.full(4, told, np.float32))
    np.testing.assert_array_equal(core.filled(gps, matched).speed_limit_mps, np.full(4, used, np.float32))


def _still(n):
    way = roads.Route(np.full(9, 42.5), np.full(9, 1.5), np.full(9, np.nan), np.full(9, ""), np.full(9, ""))
    return take(driven(way, speed_mps=1.0, noise_m=0).gps, slice(0, n))


def test_stored_limits_of_trips_are_laid_on_the_fixes_that_they_are_of():
    gps = _still(6)
    told = replace(gps, speed_limit_mps=np.array([np.nan, 15, np.nan, np.nan, np.nan, np.nan], np.float32))
    trip = pa.table(
        {
            "time_us": [gps.time_us[0] - 1, *gps.time_us[:4]],  # the first is of a fix that was left out since
            "limit_mps": np.array([9, 20, 20, 20, 20], np.float32),
            "confidence": np.array([1, 1, 1, 0.2, 1], np.float32),
        }
    )
    laid = put_limits(told, [trip.slice(0, 3), trip.slice(3)]).speed_limit_mps
    np.testing.assert_array_equal(laid, np.array([20, 15, np.nan, 20, np.nan, np.nan], np.float32))
    assert put_limits(told, []) is told


def test_gaps_and_jumps_divide_a_trace():
    gps = _still(8)
    time_us, lat = gps.time_us.copy(), gps.lat.copy()
    time_us[4:] += 100_000_000
    assert core.pieces(replace(gps, time_us=time_us)) == [slice(0, 4), slice(4, 8)]
    lat[4:] += 0.1
    assert core.pieces(replace(gps, lat=lat)) == [slice(0, 4), slice(4, 8)]
    assert core.pieces(gps) == [slice(0, 8)]


# --- on real roads ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("noise_m", "right_from", "wrong_to"), [(4, 0.95, 0.01), (8, 0.92, 0.015)])
def test_the_limit_is_right_or_unknown(matcher, ways, noise_m, right_from, wrong_to):
    right, wrong, _unknown, invented = shares(matcher, [driven(w, noise_m=noise_m, seed=i) for i, w in enumerate(ways)])
    assert right >= right_from
    assert wrong <= wrong_to
    assert invented <= 0.02  # roads without a limit on the map have none here


def test_far_from_any_road_nothing_is_known(matcher):
    gps = driven(roads.Route(*np.array([[42.6, 1.66]] * 500).T, *[np.full(500, np.nan)] * 3), speed_mps=9.0).gps
    lost = matcher.match(gps)
    assert not lost.believed.any()
    broken = replace(gps, lat=np.full(len(gps), np.nan))
    assert not matcher.match(broken).believed.any()


def test_beside_the_road_it_is_less_sure(matcher, ways):
    """As in a car park, on a parallel road that the map does not have, or in a tunnel with a lost receiver."""
    drive = driven(ways[0], noise_m=3)
    beside = replace(drive.gps, lat=drive.gps.lat + 25 / 111_195)
    on, off = (matcher.match(gps).confidence.mean() for gps in (drive.gps, beside))
    assert on > 0.85
    assert off < 0.5


# --- judged -----------------------------------------------------------------------------------------------


def recorded(folder, drive, limits=None):
    manifest = Manifest("van-1", "box-1", datetime.fromtimestamp(START_US / 1e6, UTC))
    gps = drive.gps if limits is None else replace(drive.gps, speed_limit_mps=limits.astype(np.float32))
    write_drive(folder, manifest, gps, empty_imu())
    return folder


def judged(*arguments):
    done = CliRunner().invoke(judge_app, [str(a) for a in (*arguments, "--format", "jsonl")])
    assert done.exit_code == 0, done.output
    return [orjson.loads(line) for line in done.output.splitlines()]


def speeding(lines):
    return [line for line in lines if line["type"] == "event" and line["kind"] == EventKind.SPEEDING]


def stretches_over(drive, at_least=1.12, least_s=25):
    over = drive.speed_mps > drive.limit_mps * at_least
    edges = np.flatnonzero(np.diff(np.r_[0, over, 0]))
    return [(a, b) for a, b in edges.reshape(-1, 2) if b - a >= least_s]


def test_speeding_is_found_where_it_was_and_nowhere_else(tmp_path, tiles, ways):
    found, true = [], 0
    for number, way in enumerate(ways):
        drive = driven(way, over=1.25, fast=[(100, 160), (400, 460)], noise_m=5, seed=number)
        since = stretches_over(drive)
        lines = judged(recorded(tmp_path / f"drive-{number}", drive), "--roads", tiles)
        times = [
            tuple((datetime.fromisoformat(e[w]).timestamp() * 1e6 - START_US) / 1e6 for w in ("start", "end"))
            for e in speeding(lines)
        ]
        true += len(since)
        fast = stretches_over(drive, 1.0, 1)  # with those that a change of limit has cut short
        found += [any(a < end and start < b for a, b in fast) for start, end in times]
        assert all(any(a < end and start < b for start, end in times) for a, b in since)
    assert true >= 3
    assert all(found)


def test_an_event_says_where_its_limit_is_from(tmp_path, tiles, ways):
    drive = driven(ways[0], over=1.4, fast=[(100, 200)], noise_m=4)
    lines = judged(recorded(tmp_path / "drive", drive), "--roads", tiles)
    event = speeding(lines)[0]
    assert event["evidence"]["source"] == core.SOURCE
    assert core.LEAST_CONFIDENCE <= event["evidence"]["limit_confidence"] <= 1
    assert event["confidence"] <= event["evidence"]["limit_confidence"]
    assert "OpenStreetMap" in event["evidence"]["attribution"]
    told = summary("speeding", event["peak"], event["peak_unit"], event["evidence"], Words("metric", ZoneInfo("UTC")))
    assert "posted limit from OpenStreetMap, matched" in told
    (trip,) = [line for line in lines if line["type"] == "trip"]
    (of_roads,) = [line for line in lines if line["type"] == "roads"]
    assert trip["limit_known_s"] / trip["driving_s"] == pytest.approx(of_roads["limit_share"], abs=0.02)


def test_without_roads_nothing_is_judged_and_the_device_s_own_limit_stands(tmp_path, tiles, ways):
    drive = driven(ways[0], over=1.4, fast=[(100, 200)], noise_m=4)
    assert speeding(judged(recorded(tmp_path / "none", drive))) == []
    generous = recorded(tmp_path / "own", drive, np.full(len(drive.gps), 60.0))
    assert speeding(judged(generous, "--roads", tiles)) == []


# --- the command ------------------------------------------------------------------------------------------


def test_tiles_are_built_by_a_command_and_tell_what_they_are_made_of(tmp_path):
    extract = roads.need_extract()
    done = CliRunner().invoke(roads_app, ["build", str(extract), "--tiles", str(tmp_path / "tiles")])
    assert done.exit_code == 0, done.output
    assert extract.name in done.output
    assert "OpenStreetMap contributors, ODbL" in done.output
    assert [path.name for path in tmp_path.iterdir()] == ["tiles"]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("gone.osm.pbf", None, "is not there"),
        ("map.osm.gz", b"<osm/>", "osmium cat"),
        ("junk.osm.pbf", b"junk of some length", "could not build tiles"),
    ],
)
def test_what_is_no_extract_is_refused_with_its_reason(tmp_path, name, content, says):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    done = CliRunner().invoke(roads_app, ["build", str(tmp_path / name), "--tiles", str(tmp_path / "tiles")])
    assert done.exit_code == 1
    assert says in done.output
    assert not (tmp_path / "tiles").exists()


def test_a_folder_of_something_else_is_not_written_over(tmp_path):
    (tmp_path / "letters.txt").write_text("dear")
    (tmp_path / "a.osm.pbf").write_bytes(b"")
    done = CliRunner().invoke(roads_app, ["build", str(tmp_path / "a.osm.pbf"), "--tiles", str(tmp_path)])
    assert done.exit_code == 1
    assert (tmp_path / "letters.txt").read_text() == "dear"


def test_without_valhalla_it_says_what_to_install(monkeypatch, tmp_path):
    import sys

    monkeypatch.setitem(sys.modules, "valhalla", None)
    with pytest.raises(tiles_of.RoadsError, match=r"pip install 'rumblestrip\[roads\]'"):
        tiles_of.build([tmp_path / "a.osm.pbf"], tmp_path / "tiles", print)
