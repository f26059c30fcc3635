"""Trips of devices that know no limits, through the real workers: matched to the road when they have ended."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from sqlalchemy import text

from infra.clock import to_datetime, to_us
from infra.contracts.events import EventKind
from infra.contracts.telemetry import empty_gps, empty_imu
from infra.contracts.topics import lane_of
from infra.store import tables
from infra.store.road_tables import road_due, trip_roads
from ingest.service import build_recorder
from scoring.core.roads import SOURCE
from scoring.core.rules import DEFAULT
from scoring.roads.matcher import Matcher
from scoring.service import build
from scoring.stored.archive import Archive
from scoring.stored.database import Database
from scoring.stored.parquet import export
from scoring.trial import run
from tests import roads
from tests.replay.test_scoring_worker import TEN_MINUTES_US, _neighbour, publish, pump_dry, rows
from tests.roads import PLACES, START_US, driven, route
from tests.unit.scoring.road import Leg, Recording, batches, drive

KNOWN = ("limit_known_s", "over_light_s", "over_moderate_s", "over_heavy_s", "over_severe_s")


@pytest.fixture(scope="module")
def tiles(tmp_path_factory):
    return roads.build_tiles(tmp_path_factory.mktemp("roads") / "tiles")


@pytest.fixture(scope="module")
def drives(tiles):
    matcher = Matcher(tiles)
    way = route(matcher, PLACES["Encamp"], PLACES["La Vella"])
    return driven(way, over=1.3, fast=[(100, 160), (250, 300)], noise_m=4)


def recording(gps):
    return Recording(gps, empty_imu(), drive(Leg(1)).batch)


class Fleet:
    """Recorder and scoring on one database, and messages to them."""

    def __init__(self, bus, database, settings, media, tiles):
        settings = settings.model_copy(update={"road_tiles": tiles})
        self.bus, self.database, self.lanes = bus, database, settings.lanes
        self.recorder = build_recorder(settings, bus, database, media)
        self.scoring = build(settings, bus, database, media)

    def send(self, gps, every_s=10.0, first=0, now_us=START_US, vehicle="van-1"):
        whole = batches(recording(gps), every_s=every_s)
        messages = [replace(m, sequence=m.sequence + first, vehicle_id=vehicle) for m in whole]
        publish(self.bus, [(now_us + i, message) for i, message in enumerate(messages)])

    def silence(self, now_us):
        """Another vehicle of the lane speaks long after."""
        template = recording(empty_gps()).batch
        later = replace(template, gps=empty_gps(), imu=empty_imu(), vehicle_id=_third(template, self.lanes))
        publish(self.bus, [(now_us, replace(later, boot_id=str(now_us)))])

    def close(self):
        self.recorder.close()
        self.scoring.close()


def _third(template, lanes):
    """A vehicle of the same lane that nobody else is."""
    lane = lane_of(template.vehicle_id, lanes)
    return next(f"car-{n}" for n in range(99) if lane_of(f"car-{n}", lanes) == lane)


@pytest.fixture
def fleet(bus, database, settings, media, tiles):
    made = Fleet(bus, database, settings, media, tiles)
    yield made
    made.close()


def judged(fleet):
    (trip,) = rows(fleet.database, tables.trip)
    events = sorted(rows(fleet.database, tables.safety_event), key=lambda row: row["start_at"])
    return {word: trip[word] for word in (*KNOWN, "status")}, [(e["event_id"], e["evidence"]) for e in events]


@pytest.mark.bus("memory")
@pytest.mark.store("postgres")
def test_a_trip_without_limits_is_matched_once_it_has_ended(fleet, drives, tmp_path):
    """The recorder lags behind: nothing is matched before it has the whole trip."""
    fleet.send(drives.gps)
    fleet.silence(START_US + 2 * TEN_MINUTES_US)
    pump_dry(fleet.scoring)
    assert judged(fleet)[0]["limit_known_s"] == 0
    assert len(rows(fleet.database, road_due)) == 1
    pump_dry(fleet.recorder)
    pump_dry(fleet.scoring)
    trip, events = judged(fleet)
    truth = np.isfinite(drives.limit_mps).sum()
    assert trip["limit_known_s"] == pytest.approx(truth, rel=0.06)
    over = (drives.speed_mps > drives.limit_mps * 1.2).sum()
    assert trip["over_heavy_s"] + trip["over_severe_s"] == pytest.approx(over, rel=0.15)
    assert events
    assert {evidence["source"] for _, evidence in events} == {SOURCE}
    assert rows(fleet.database, road_due) == rows(fleet.database, tables.score_due) == []
    score = next(row for row in rows(fleet.database, tables.score) if row["scope"] == "trip")
    assert (score["limit_known_s"], score["events"]) == (trip["limit_known_s"], len(events))
    _rules_can_be_tried_on_it(fleet, tmp_path)
    _matched_again_it_is_the_same(fleet, (trip, events))
    _it_goes_on(fleet, drives.gps, trip)


def _rules_can_be_tried_on_it(fleet, folder):
    """From the database and from an export: the rules in force find again what was found by the road's limits."""
    between = to_datetime(START_US), to_datetime(START_US) + timedelta(hours=3)
    kinds = {EventKind.SPEEDING}
    with fleet.database.connect() as connection:
        stored = rows(fleet.database, tables.safety_event)
        known = sorted((to_us(event["start_at"]), to_us(event["end_at"])) for event in stored)
        export(connection, folder, *between, fleet.lanes)
        for source in (Database(connection), Archive(folder)):
            tried = run(source, *between, (DEFAULT, DEFAULT), kinds)
            assert sorted((one.event.start_us, one.event.end_us) for one in tried.before) == known


def _matched_again_it_is_the_same(fleet, before):
    """As when tiles change: what the messages told is not added to twice."""
    with fleet.database.begin() as connection:
        connection.execute(text("INSERT INTO road_due (trip_id) SELECT trip_id FROM trip"))
        connection.execute(text("UPDATE safety_event SET event_id = gen_random_uuid()"))  # found by other tiles
    pump_dry(fleet.scoring)
    assert judged(fleet) == before


def _it_goes_on(fleet, gps, before):
    """After its silence the vehicle drives on within the rest that ends a trip: back where it came from."""
    sent = 1 + int((gps.time_us[-1] - gps.time_us[0]) // 10_000_000)
    back = replace(
        gps,
        time_us=gps.time_us + (gps.time_us[-1] - gps.time_us[0]) + 30_000_000,
        lat=gps.lat[::-1].copy(),
        lon=gps.lon[::-1].copy(),
        speed_mps=gps.speed_mps[::-1].copy(),
    )
    now_us = START_US + 2 * TEN_MINUTES_US + 1_000_000
    fleet.send(back, first=sent + 1, now_us=now_us)
    fleet.silence(now_us + 2 * TEN_MINUTES_US)
    for _ in range(2):
        pump_dry(fleet.recorder)
        pump_dry(fleet.scoring)
    trip, _events = judged(fleet)
    assert before["limit_known_s"] < trip["limit_known_s"] < 2.2 * before["limit_known_s"]


def test_how_messages_were_cut_does_not_matter(fleet, drives):
    """Half of the fixes carry a limit of the device's own: what it says stands, the rest is filled."""
    half = len(drives.gps) // 2
    own = np.where(np.arange(len(drives.gps)) < half, 50.0, np.nan).astype(np.float32)
    told = replace(drives.gps, speed_limit_mps=own)
    for vehicle, every_s in (("van-1", 7.0), (_neighbour(recording(told).batch, fleet.lanes), 60.0)):
        fleet.send(told, every_s, vehicle=vehicle)
    fleet.silence(START_US + 2 * TEN_MINUTES_US)
    for _ in range(2):
        pump_dry(fleet.recorder)
        pump_dry(fleet.scoring)
    one, other = rows(fleet.database, tables.trip)
    assert [one[word] for word in KNOWN] == [other[word] for word in KNOWN]
    assert one["limit_known_s"] == pytest.approx(half - 1 + np.isfinite(drives.limit_mps[half:]).sum(), rel=0.06)
    for row in rows(fleet.database, trip_roads):
        assert row["told_known_s"] == half - 1
        assert 0 < row["limits_filled"] <= len(own) - half
    events = {}
    for row in rows(fleet.database, tables.safety_event):
        assert row["start_at"].timestamp() * 1e6 >= START_US + half * 1_000_000
        events.setdefault(row["vehicle_id"], []).append((row["start_at"], row["evidence"]))
    assert len(events) == 2
    assert len({str(sorted(found, key=str)) for found in events.values()}) == 1
