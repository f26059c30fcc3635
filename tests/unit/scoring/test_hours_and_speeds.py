"""The fleet's top speed, hours without a break, hours in the dark, dead speeds, and what the posted limit tells."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from infra.contracts.events import EventKind
from infra.contracts.telemetry import VehicleClass
from tests.unit.scoring.road import START_US, Leg, Recording, drive, judge, spoil

NOON_US = int(datetime(2024, 6, 21, 11, tzinfo=UTC).timestamp() * 1e6)
MIDNIGHT_US = int(datetime(2024, 12, 21, 20, tzinfo=UTC).timestamp() * 1e6)
HOUR_US = 3_600_000_000


def hours(driven: float, since_us: int = NOON_US, breaks: tuple[tuple[float, float], ...] = ()) -> Recording:
    """At 20 m/s, one fix in 10 s; ``breaks``: after how many hours the vehicle is off, and for how many minutes."""
    made = drive(Leg(driven * 3600), start_mps=20, imu_hz=0, gps_hz=0.1, start_us=since_us)
    time_us = made.gps.time_us.copy()
    for after_h, minutes in breaks:
        time_us[made.gps.time_us >= since_us + int(after_h * HOUR_US)] += int(minutes * 60e6)
    return replace(made, gps=replace(made.gps, time_us=time_us))


def told(recording: Recording, kind: EventKind) -> list:
    """The rows as the database keeps them: the last of each id."""
    return list({e.event_id: e for e in judge(recording)[1].events if e.kind is kind}.values())


@pytest.mark.parametrize(
    ("driven", "breaks", "events"),
    [
        (4.3, (), 0),
        (5.0, (), 1),
        (5.0, ((2.0, 50),), 0),
        (5.0, ((2.0, 40),), 1),
        (5.0, ((1.0, 16), (3.0, 31)), 0),  # 15 and then 30
        (5.0, ((1.0, 31), (3.0, 16)), 1),  # not the other way round
        (9.9, ((4.8, 50),), 2),
    ],
)
def test_four_and_a_half_hours_without_a_break_are_told(driven, breaks, events):
    moved = hours(driven, breaks=breaks)
    far = replace(moved.gps, lat=np.full(len(moved.gps), 52.0))  # a break is no drive: its ends lie in one place
    assert len(told(replace(moved, gps=far), EventKind.LONG_DRIVING)) == events


def test_long_driving_is_told_when_it_is_reached_and_grows():
    _, found = judge(hours(6.0))
    said = [e for e in found.events if e.kind is EventKind.LONG_DRIVING]
    assert said[0].peak == pytest.approx(4.5 * 3600, abs=15)
    assert said[-1].peak == pytest.approx(6 * 3600, abs=30)
    assert len({e.event_id for e in said}) == 1
    assert said[0].severity < said[-1].severity or said[0].severity != said[-1].severity


@pytest.mark.parametrize(("since_us", "events"), [(NOON_US, 0), (MIDNIGHT_US, 1)])
def test_an_hour_in_the_dark_is_exposure(since_us, events):
    found = told(hours(1.0, since_us), EventKind.NIGHT_DRIVING)
    assert [round(e.peak / 60) for e in found] == [60] * events


def test_a_quarter_of_an_hour_in_the_dark_is_none():
    assert not told(hours(0.25, MIDNIGHT_US), EventKind.NIGHT_DRIVING)


@pytest.mark.parametrize(("seconds", "kmh", "events"), [(60, 150, 1), (60, 138, 0), (8, 150, 0)])
def test_the_top_speed_of_the_fleet_takes_a_while(seconds, kmh, events):
    made = drive(Leg(60), Leg(seconds), Leg(60), start_mps=30, imu_hz=0, start_us=NOON_US)
    fast = spoil_since(made, 60, 60 + seconds, kmh / 3.6)
    assert len(told(fast, EventKind.MAX_SPEED)) == events


def test_a_lorry_has_a_lower_top_speed():
    made = drive(Leg(100), start_mps=33, imu_hz=0, start_us=NOON_US)
    assert not told(made, EventKind.MAX_SPEED)
    lorry = replace(made, batch=replace(made.batch, vehicle_class=VehicleClass.HEAVY_DUTY))
    assert len(told(lorry, EventKind.MAX_SPEED)) == 1


def spoil_since(recording: Recording, start_s: float, end_s: float, speed_mps: float) -> Recording:
    """With another speed, and positions that agree with it."""
    gps = recording.gps
    since_s = (gps.time_us - gps.time_us[0]) / 1e6
    speed = np.where((since_s >= start_s) & (since_s < end_s), speed_mps, gps.speed_mps)
    lat = 52 + np.concatenate([[0.0], np.cumsum(speed[1:] * np.diff(since_s))]) / 111_195.0
    return replace(recording, gps=replace(gps, speed_mps=speed.astype(np.float32), lat=lat))


# --- dead speeds ------------------------------------------------------------------------------------------


def test_a_speed_dead_at_zero_is_no_idling_while_the_positions_move():
    made = drive(Leg(900), start_mps=20, imu_hz=0, start_us=NOON_US)
    gps = replace(made.gps, ignition=np.ones(len(made.gps), np.int8), speed_mps=np.zeros(len(made.gps), np.float32))
    assert not judge(replace(made, gps=gps))[1].events


def test_a_speed_stuck_high_is_no_speeding_while_the_vehicle_crawls():
    made = drive(Leg(300), start_mps=3, imu_hz=0, limit_mps=14, start_us=NOON_US)
    gps = replace(made.gps, speed_mps=np.full(len(made.gps), 45, np.float32))
    assert not judge(replace(made, gps=gps))[1].events


def test_a_speed_that_was_not_driven_and_comes_back_is_no_harsh_acceleration():
    made = drive(Leg(60), start_mps=20, imu_hz=0)
    for second, speed in ((30, 24.0), (31, 28.0), (32, 29.0)):
        made = spoil(made, (second, second + 1), speed_mps=speed)
    _, found = judge(made)
    assert not found.events
    assert found.counts["gps_acceleration_speed_came_back"] == 1


# --- what events say --------------------------------------------------------------------------------------


def test_an_event_seen_by_gps_alone_lasts_as_long_as_what_it_was_seen_in():
    (event,) = judge(drive(Leg(20), Leg(1.2, -0.7), Leg(20), start_mps=20, imu_hz=0, start_us=START_US))[1].events
    assert event.evidence["seconds"] >= 2.0
    assert event.end_us - event.start_us >= 2_000_000


@pytest.mark.parametrize(("kmh", "label"), [(50, "urban"), (80, None), (120, "motorway")])
def test_the_posted_limit_tells_where_it_happened(kmh, label):
    made = drive(Leg(20), Leg(1.0, -0.7), Leg(20), start_mps=kmh / 3.6 - 1, limit_mps=kmh / 3.6, start_us=NOON_US)
    (event,) = judge(made)[1].events
    assert event.evidence.get("context", []) == ([label] if label else [])
