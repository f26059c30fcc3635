"""Trips: when they begin and end, and what they add up to."""

from dataclasses import replace

import numpy as np
import pytest

from infra.contracts.events import TripStatus
from infra.contracts.telemetry import take
from scoring.core.pipeline import Found, fold_batch, fold_silence
from scoring.core.rules import DEFAULT
from scoring.core.state import VehicleState, dump
from tests.unit.scoring.road import START_US, Leg, batches, drive, judge, spoil

UP, DOWN = Leg(10, 0.15), Leg(10, -0.15)
SPEED = 10 * 0.15 * 9.80665


def ended(found):
    """The last row of each trip that has ended, in order."""
    rows = {trip.trip_id: trip for trip in found.trips}
    return sorted((t for t in rows.values() if t.status is TripStatus.ENDED), key=lambda t: t.start_us)


def seconds(time_us):
    return (time_us - START_US) / 1e6


def test_a_trip_begins_at_five_mph_and_ends_at_the_last_moving_fix():
    _, found = judge(drive(Leg(30), UP, Leg(60), DOWN, Leg(30)))
    (trip,) = ended(found)
    assert seconds(trip.start_us) == pytest.approx(30 + 2.2352 / (0.15 * 9.81), abs=1)
    assert seconds(trip.end_us) == pytest.approx(110 - 2.2352 / (0.15 * 9.81), abs=1)
    assert trip.driving_s == pytest.approx(77, abs=2)
    assert trip.distance_m == pytest.approx(SPEED * 70, rel=0.01)
    assert trip.max_speed_mps == pytest.approx(SPEED, rel=0.01)


@pytest.mark.parametrize(("rest_s", "trips"), [(60, 1), (280, 1), (310, 2), (900, 2)])
def test_five_minutes_of_rest_divide_trips(rest_s, trips):
    _, found = judge(drive(UP, Leg(60), DOWN, Leg(rest_s), UP, Leg(60), imu_hz=0))
    assert len(ended(found)) == trips


@pytest.mark.parametrize(("gap_s", "trips"), [(45, 1), (240, 1), (320, 2)])
def test_a_gap_longer_than_five_minutes_divides_trips(gap_s, trips):
    recording = drive(UP, Leg(100 + gap_s + 100), imu_hz=0)
    since_s = (recording.gps.time_us - START_US) / 1e6
    recording = replace(recording, gps=take(recording.gps, (since_s < 100) | (since_s >= 100 + gap_s)))
    _, found = judge(recording)
    assert len(ended(found)) == trips
    if trips == 1:  # the straight line across the gap was driven
        assert ended(found)[0].distance_m == pytest.approx(SPEED * (205 + gap_s), rel=0.02)


def test_ignition_off_ends_a_trip_at_once():
    recording = drive(UP, Leg(60), DOWN, Leg(30), UP, Leg(60), imu_hz=0)
    assert len(ended(judge(recording)[1])) == 1
    assert len(ended(judge(spoil(recording, (90, 100), ignition=0))[1])) == 2


def test_ignition_off_while_driving_is_a_loose_wire():
    _, found = judge(spoil(drive(UP, Leg(60), imu_hz=0), (30, 40), ignition=0))
    assert len(ended(found)) == 1


def test_another_driver_is_another_trip():
    recording = drive(UP, Leg(110), imu_hz=0)
    state, found = VehicleState(), Found("van-1", DEFAULT)
    for number, batch in enumerate(batches(recording)):
        state = fold_batch(state, replace(batch, driver_id="ada" if number < 6 else "bob"), found)
    fold_silence(state, found)
    assert [(t.driver_id, seconds(t.end_us)) for t in ended(found)] == [("ada", 59), ("bob", 119)]


def test_a_driver_who_logs_in_late_gets_the_whole_trip():
    state, found = VehicleState(), Found("van-1", DEFAULT)
    for number, batch in enumerate(batches(drive(UP, Leg(110), imu_hz=0))):
        state = fold_batch(state, replace(batch, driver_id=None if number < 3 else "ada"), found)
    fold_silence(state, found)
    assert [t.driver_id for t in ended(found)] == ["ada"]


def test_a_wandering_parked_receiver_drives_nowhere():
    recording = drive(Leg(600), imu_hz=0)
    wander = np.random.default_rng(3).normal(0, 4e-5, (2, len(recording.gps)))
    gps = replace(recording.gps, lat=recording.gps.lat + wander[0], lon=recording.gps.lon + wander[1])
    _, found = judge(replace(recording, gps=gps))
    assert found.trips == []


def test_a_red_light_adds_no_way():
    _, found = judge(drive(UP, Leg(60), DOWN, Leg(120), UP, Leg(60), imu_hz=0))
    (trip,) = ended(found)
    assert trip.distance_m == pytest.approx(SPEED * (60 + 60 + 15), rel=0.01)
    assert trip.driving_s == pytest.approx(60 + 60 + 30 - 6, abs=3)


def test_a_device_without_speed_is_judged_by_its_positions():
    recording = drive(UP, Leg(60), imu_hz=0)
    _, found = judge(spoil(recording, (0, 999), speed_mps=np.nan))
    (trip,) = ended(found)
    assert trip.distance_m == pytest.approx(SPEED * 64, rel=0.02)
    assert trip.max_speed_mps == pytest.approx(SPEED, rel=0.02)


def test_an_open_trip_is_written_every_minute_under_one_id():
    _, found = judge(drive(UP, Leg(290), imu_hz=0), silence=False)
    assert {trip.status for trip in found.trips} == {TripStatus.OPEN}
    assert len({trip.trip_id for trip in found.trips}) == 1
    assert len(found.trips) == 5


def test_silence_ends_a_trip_and_a_late_message_resumes_it():
    """The network was away for longer than the wake-up; by the vehicle's clock it drove on."""
    messages = list(batches(drive(UP, Leg(110), imu_hz=0)))
    state, found = VehicleState(), Found("van-1", DEFAULT)
    for batch in messages[:6]:
        state = fold_batch(state, batch, found)
    state = fold_silence(state, found)
    assert state.at_rest
    assert [seconds(t.end_us) for t in ended(found)] == [59]
    for batch in messages[6:]:
        state = fold_batch(state, batch, found)
    assert found.trips[-1].status is TripStatus.OPEN
    fold_silence(state, found)
    assert [seconds(t.end_us) for t in ended(found)] == [119]


def test_a_second_device_does_not_double_the_way():
    recording = drive(UP, Leg(110))
    state, found = VehicleState(), Found("van-1", DEFAULT)
    for batch in batches(recording):
        state = fold_batch(state, batch, found)
        state = fold_batch(state, replace(batch, device_id="dashcam"), found)
    fold_silence(state, found)
    (trip,) = ended(found)
    assert trip.distance_m == pytest.approx(SPEED * 114, rel=0.01)
    assert found.counts["gps_of_second_device"] == len(recording.gps)


def test_a_clock_that_is_set_back_begins_afresh():
    first, second = drive(UP, Leg(110)), drive(UP, Leg(110), start_us=START_US - 3_600_000_000)
    state, found = VehicleState(), Found("van-1", DEFAULT)
    for batch in [*batches(first), *batches(second)]:
        state = fold_batch(state, batch, found)
    fold_silence(state, found)
    assert len(ended(found)) == 2
    assert found.counts["clock_set_back"] == 1


def test_a_state_stays_small():
    state, _ = judge(drive(UP, Leg(110), Leg(1.5, -0.75), Leg(3), imu_hz=25), silence=False)
    assert len(str(dump(state))) < 12_000
