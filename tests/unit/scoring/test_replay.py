"""Stored seconds judged again: what was found live is found, and other thresholds find more or less."""

from dataclasses import replace as with_

import numpy as np
import pytest

from infra.contracts.events import EventKind
from infra.contracts.telemetry import UNKNOWN, VehicleClass
from scoring.core.replay import REPLAYED, replay
from scoring.core.rules import DEFAULT
from scoring.core.stored import Subject, Telemetry
from scoring.core.what_if import Change, changed_rules
from tests.recorded import motion_of_samples
from tests.unit.scoring.road import START_US, Leg, any_rotation, drive, judge, mounted, replace

LEGS = (
    Leg(20, 0.15),
    Leg(30),
    *(leg for peak in (-0.5, -0.75, -0.66) for leg in (Leg(1.2, peak), Leg(20, 0.05), Leg(20))),
    Leg(1.5, 0, 0.55),
    Leg(20),
    Leg(1.5, 0.5),
    Leg(30),
)
BRAKES = {"passenger": {"brake": 0.45}}


def stored(recording, vehicle_id="van-1", mounting=None):
    hz = 0.0 if not len(recording.imu) else 1e6 / np.diff(recording.imu.time_us).mean()
    mounting = np.eye(3) if mounting is None and hz else mounting
    subject = Subject(vehicle_id, VehicleClass.PASSENGER, mounting, imu_hz=hz)
    return Telemetry(subject, recording.gps, motion_of_samples(recording.imu))


def lower_brakes(g):
    return changed_rules(DEFAULT, Change("x", harsh_g={("passenger", EventKind.HARSH_BRAKE): g}))


def told(events):
    return [(e.event_id, e.kind, e.severity, e.start_us, e.end_us, e.peak, e.lat, e.speed_mps) for e in events]


def replayed_kinds(found):
    return sorted((e for e in found.events if e.kind in REPLAYED), key=lambda e: (e.start_us, e.kind))


def speeder():
    recording = drive(Leg(200), start_mps=20, limit_mps=20, imu_hz=0, start_us=START_US + 5_000_000_000)
    speed = np.full(200, 20, np.float32)
    speed[30:110], speed[120:140] = 21, 26
    return replace(recording, gps=replace(recording.gps, speed_mps=speed))


def idler():
    recording = drive(Leg(400), Leg(10, 0.2), imu_hz=0)
    return replace(recording, gps=replace(recording.gps, ignition=np.ones(410, np.int8)))


@pytest.mark.parametrize(
    "recording",
    [speeder(), idler(), drive(*LEGS, imu_hz=0), drive(*LEGS, imu_hz=1, noise_g=0.0)],
    ids=["speeding", "idling", "GPS alone", "an accelerometer of 1 Hz"],
)
def test_speed_and_gps_are_judged_exactly_as_they_were(recording):
    ((found,)) = replay([stored(recording)], [DEFAULT], REPLAYED)
    expected = replayed_kinds(judge(recording)[1])
    assert expected
    assert told(one.event for one in found) == told(expected)
    assert all(one.exact for one in found)


def test_many_vehicles_are_judged_as_each_alone():
    recordings = {"van-1": speeder(), "van-2": idler(), "van-3": drive(*LEGS, imu_hz=0), "van-4": drive(*LEGS)}
    fleet = [stored(recording, name) for name, recording in recordings.items()]
    (together,) = replay(fleet, [DEFAULT], REPLAYED)
    apart = [one for single in fleet for one in replay([single], [DEFAULT], REPLAYED)[0]]
    assert together == apart
    assert {one.event.vehicle_id for one in together} == set(recordings)


def test_a_wild_fix_is_left_out_as_it_was():
    recording = speeder()
    lat = recording.gps.lat.copy()
    lat[[50, 51, 90]] += 1.0
    recording = replace(recording, gps=replace(recording.gps, lat=lat))
    (found,) = replay([stored(recording)], [DEFAULT], REPLAYED)
    assert told(one.event for one in found) == told(replayed_kinds(judge(recording)[1]))


@pytest.mark.parametrize("turn", [None, 3, 5], ids=["vehicle axes", "mounted", "mounted otherwise"])
@pytest.mark.parametrize("hz", [10, 25, 100])
def test_harsh_events_are_found_again_and_a_lower_threshold_gains_what_is_there(hz, turn):
    recording = drive(*LEGS, imu_hz=hz, noise_g=0.03)
    live, less = judge(recording)[1], judge(recording, lower_brakes(0.45))[1]
    assert len(less.events) == len(live.events) + 1
    matrix = None
    if turn is not None:
        matrix = any_rotation(turn).T
        recording = mounted(recording, any_rotation(turn))
    before, after = replay([stored(recording, mounting=matrix)], [DEFAULT, lower_brakes(0.45)], REPLAYED)
    for found, true in ((before, live), (after, less)):
        expected = replayed_kinds(true)
        assert [one.event.kind for one in found] == [event.kind for event in expected]
        assert all(
            abs(one.event.start_us - event.start_us) < 1_500_000 for one, event in zip(found, expected, strict=True)
        )
        assert all(not one.exact for one in found if one.event.kind is not EventKind.SPEEDING)


def test_a_brake_that_gps_does_not_show_is_none():
    """Its speed moves by a hair: one that stood still to the last bit would say nothing."""
    recording = drive(*LEGS)
    steady = 20 + np.resize([0, 0.1], len(recording.gps)).astype(np.float32)
    still = with_(recording, gps=replace(recording.gps, speed_mps=steady))
    (found,) = replay([stored(still)], [lower_brakes(0.45)], {EventKind.HARSH_BRAKE})
    assert found == []


def test_without_a_known_mounting_gps_is_judged():
    recording = drive(*LEGS)
    one = stored(recording)
    unknown = with_(one, subject=with_(one.subject, mounting=None))
    (found,) = replay([unknown], [DEFAULT], REPLAYED)
    assert {one.event.evidence["source"] for one in found} == {"gps"}


def test_a_vehicle_without_rows_finds_nothing():
    recording = speeder()
    gps = replace(recording, gps=replace(recording.gps, ignition=np.full(200, UNKNOWN, np.int8))).gps
    none = with_(stored(recording), gps=type(gps)(*(getattr(gps, name)[:0] for name in gps.__slots__)))
    assert replay([none], [DEFAULT], REPLAYED) == [[]]
