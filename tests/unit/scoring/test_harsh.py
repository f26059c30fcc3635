"""Harsh driving: what is one event, what is none, and what the event says."""

import io

import numpy as np
import pyarrow as pa
import pytest

from infra.contracts.events import EventKind, Severity
from infra.contracts.telemetry import ImuFrame, VehicleClass
from scoring.core.rules import DEFAULT, GEOTAB
from tests.unit.scoring.road import START_US, Leg, any_rotation, drive, judge, mounted, replace, spoil

CRUISE, UP = Leg(20), Leg(12, 0.15)
BRAKE, ACCELERATION, TURN = EventKind.HARSH_BRAKE, EventKind.HARSH_ACCELERATION, EventKind.HARSH_TURN

STORIES = [
    ("an_emergency_brake", [Leg(2, -0.75)], [BRAKE]),
    ("a_firm_stop_at_a_light", [Leg(5, -0.35)], []),
    ("two_brakes_half_a_second_apart_are_one_event", [Leg(1, -0.75), Leg(0.5), Leg(1, -0.75)], [BRAKE]),
    ("two_brakes_ten_seconds_apart", [Leg(1, -0.75), Leg(10), Leg(1, -0.75)], [BRAKE, BRAKE]),
    ("a_hard_launch", [Leg(3, 0.55)], [ACCELERATION]),
    ("a_corner_taken_too_fast", [Leg(2, 0, 0.6)], [TURN]),
    ("a_roundabout_at_leisure", [Leg(5, 0, -0.25)], []),
    ("braking_into_a_fast_corner", [Leg(1.5, -0.8), Leg(2, 0, -0.6)], [BRAKE, TURN]),
    ("a_pothole", [Leg(0.08, -1.2), Leg(0.08, 1.2)], []),
]


def kinds(found):
    return [event.kind for event in sorted(found.events, key=lambda e: e.start_us)]


@pytest.mark.parametrize("imu_hz", [10, 25, 100])
@pytest.mark.parametrize(("legs", "expected"), [s[1:] for s in STORIES], ids=[s[0] for s in STORIES])
def test_accelerometer_in_the_vehicle_frame(legs, expected, imu_hz):
    _, found = judge(drive(UP, CRUISE, *legs, CRUISE, imu_hz=imu_hz))
    assert kinds(found) == expected
    assert all(event.evidence["source"] == "accelerometer" for event in found.events)


@pytest.mark.parametrize(
    ("legs", "expected"),
    [
        ([Leg(2.5, -0.75)], [BRAKE]),
        ([Leg(5, -0.3)], []),
        ([Leg(3, 0.5)], [ACCELERATION]),
        ([Leg(4, 0, 0.55)], [TURN]),
        ([Leg(6, 0, 0.25)], []),
    ],
)
@pytest.mark.parametrize("imu", [{"imu_hz": 0}, {"frame": ImuFrame.DEVICE}], ids=["no_imu", "unknown_mounting"])
def test_gps_judges_where_the_accelerometer_cannot(legs, expected, imu):
    _, found = judge(drive(CRUISE, *legs, CRUISE, start_mps=18, **imu))
    assert kinds(found) == expected
    assert all(event.evidence["source"] == "gps" and event.confidence == 0.5 for event in found.events)


def test_five_hertz_gps_finds_the_same_brake():
    _, found = judge(drive(UP, CRUISE, Leg(2.5, -0.75), CRUISE, imu_hz=0, gps_hz=5))
    assert kinds(found) == [BRAKE]


def test_one_hertz_accelerometer_must_not_contradict_gps():
    recording = drive(UP, CRUISE, Leg(3, -0.75), CRUISE, imu_hz=1)
    _, found = judge(recording)
    assert [(e.kind, e.confidence) for e in found.events] == [(BRAKE, 0.7)]
    _, silent = judge(spoil(recording, (0, 99), accel_x_mps2=0.1))
    assert kinds(silent) == []
    assert silent.counts["gps_brake_accelerometer_disagrees"] == 1


@pytest.mark.parametrize("vehicle_class", list(VehicleClass))
def test_thresholds_go_by_vehicle_class(vehicle_class):
    limits = GEOTAB[vehicle_class]
    for share, expected in ((0.9, []), (1.12, [BRAKE])):
        recording = drive(UP, CRUISE, Leg(2, -limits.brake_g * share), CRUISE)
        recording = replace(recording, batch=replace(recording.batch, vehicle_class=vehicle_class))
        assert kinds(judge(recording)[1]) == expected


@pytest.mark.parametrize(
    ("peak_g", "severity"),
    [(0.66, Severity.LOW), (0.8, Severity.MODERATE), (1.0, Severity.HIGH), (1.25, Severity.CRITICAL)],
)
def test_severity_grows_with_the_peak(peak_g, severity):
    _, found = judge(drive(UP, CRUISE, Leg(1.2, -peak_g), CRUISE))
    (event,) = found.events
    assert event.severity is severity
    assert event.peak == pytest.approx(peak_g, abs=0.05)


FAULTS = [
    ("one_sample_of_minus_34_g", (20.0, 20.04), {"accel_x_mps2": -34 * 9.81}),
    ("a_second_of_minus_34_g", (20.0, 21.0), {"accel_x_mps2": -34 * 9.81}),
    ("one_infinite_sample", (20.0, 20.04), {"accel_x_mps2": -np.inf}),
    ("a_second_of_infinity", (20.0, 21.0), {"accel_y_mps2": np.inf}),
    ("a_second_of_nothing", (20.0, 21.0), {"accel_x_mps2": np.nan}),
    ("a_sensor_stuck_at_0_8_g_for_three_seconds", (20.0, 23.0), {"accel_x_mps2": -0.8 * 9.81}),
    ("a_sensor_stuck_for_ever", (20.0, 99.0), {"accel_y_mps2": 0.8 * 9.81}),
    ("gps_speed_dead_for_a_second", (20.0, 21.0), {"speed_mps": 0.0}),
    ("gps_speed_jumps_once", (20.0, 21.0), {"speed_mps": 24.0}),
    ("gps_position_in_the_gulf_of_guinea", (20.0, 21.0), {"lat": 0.0, "lon": 0.0}),
]


@pytest.mark.parametrize("imu_hz", [0, 10, 25])
@pytest.mark.parametrize(("seconds", "columns"), [f[1:] for f in FAULTS], ids=[f[0] for f in FAULTS])
def test_sensor_faults_are_no_events(seconds, columns, imu_hz):
    recording = drive(UP, Leg(40), imu_hz=imu_hz)
    if not imu_hz:
        columns = {name: value for name, value in columns.items() if "accel" not in name}
    _, found = judge(spoil(recording, seconds, **columns))
    assert found.events == []
    distance_m = sum(trip.distance_m for trip in found.trips if trip.status == "ended")
    assert distance_m == pytest.approx(12**2 / 2 * 0.15 * 9.81 + 40 * 12 * 0.15 * 9.81, rel=0.06)


def test_a_tilted_box_that_feels_gravity_does_not_brake():
    """Sustained 0.7 g without any change of GPS speed."""
    recording = drive(UP, Leg(40))
    tilted = recording.imu.accel_x_mps2.copy()
    tilted[500:650] -= np.float32(0.7 * 9.81)
    _, found = judge(replace(recording, imu=replace(recording.imu, accel_x_mps2=tilted)))
    assert found.events == []
    assert found.counts["imu_brake_no_speed_change"] == 1


GPS_STOOD_STILL = [
    ("speed_dead_while_the_positions_go_slower", {"speed_mps": 24.0}, [BRAKE]),
    ("speed_dead_at_zero_while_the_positions_go", {"speed_mps": 0.0}, [BRAKE]),
    ("the_whole_receiver_dead", {"speed_mps": 18.0, "lat": 52.0, "lon": 8.0}, [BRAKE]),
    ("dead_at_zero_but_no_parked_car_loses_so_much", {"speed_mps": 0.0, "lat": 52.0, "lon": 8.0}, [BRAKE]),
    ("the_speed_that_the_positions_show_too", {"speed_mps": 12.6}, []),
]


@pytest.mark.parametrize(("columns", "expected"), [s[1:] for s in GPS_STOOD_STILL], ids=[s[0] for s in GPS_STOOD_STILL])
def test_a_dead_gps_speed_does_not_deny_a_brake(columns, expected):
    _, found = judge(spoil(drive(CRUISE, Leg(1.5, -0.75), CRUISE, start_mps=18), (0, 99), **columns))
    assert [event.kind for event in found.events if event.kind is BRAKE] == expected
    assert all(event.evidence["gps_speed"] == "dead" and event.confidence == 0.7 for event in found.events)


def test_a_learned_device_that_is_touched_in_a_parked_car_does_not_brake():
    """Its speed stands still as well, at zero; but nothing says that it is fixed."""
    town = (UP, Leg(4, 0, 0.3), Leg(4, 0, -0.3), Leg(30), Leg(6, -0.3), Leg(40))
    touched = mounted(spoil(drive(*town), (80, 81.5), accel_x_mps2=-8.0), any_rotation(3))
    state, found = judge(touched)
    assert state.mounting.current is not None
    assert kinds(found) == []
    assert found.counts["imu_brake_no_speed_change"] == 1


@pytest.mark.parametrize(("level", "expected"), [("low", []), (None, []), ("normal", [BRAKE]), ("high", [BRAKE])])
def test_levels_are_other_published_thresholds(level, expected):
    """A stop at 0.52 g: harsh to Digital Matter and eDriving, not to Geotab."""
    rules = DEFAULT if level is None else DEFAULT.at(level)
    assert kinds(judge(drive(UP, CRUISE, Leg(2, -0.52), CRUISE), rules)[1]) == expected


def test_gps_speed_may_lag_by_two_seconds():
    _, found = judge(drive(UP, CRUISE, Leg(1.5, -0.75), CRUISE, gps_lag_s=2.0))
    assert kinds(found) == [BRAKE]
    assert found.events[0].confidence == 0.9


def test_without_gps_the_accelerometer_is_believed_less():
    _, found = judge(drive(Leg(20), Leg(1.5, -0.75), Leg(20), start_mps=15, gps_hz=0))
    assert [(e.kind, e.confidence, e.evidence["gps_support"]) for e in found.events] == [(BRAKE, 0.7, "unknown")]


def test_a_parked_car_that_is_leant_on_does_not_turn():
    recording = drive(Leg(60))
    _, found = judge(spoil(recording, (20, 21.5), accel_y_mps2=6.0))
    assert found.events == []


def test_an_event_says_when_where_and_how_fast():
    _, found = judge(drive(UP, CRUISE, Leg(1.5, -0.75), CRUISE))
    (event,) = found.events
    assert (event.start_us - START_US) / 1e6 == pytest.approx(32, abs=0.3)
    assert (event.end_us - START_US) / 1e6 == pytest.approx(33.5, abs=0.3)
    assert event.speed_mps == pytest.approx(12 * 0.15 * 9.81, rel=0.1)
    assert event.lat == pytest.approx(52, abs=0.01)
    assert event.driver_id == "ada"
    assert event.evidence["speed_change_mps"] == pytest.approx(-1.5 * 0.75 * 9.81, abs=0.5)


def test_an_event_keeps_ten_seconds_of_raw_imu_on_both_sides():
    recording = drive(UP, CRUISE, Leg(1.5, -0.75), CRUISE)
    _, found = judge(recording)
    (event,), (trace,) = found.events, found.traces
    table = pa.ipc.open_stream(io.BytesIO(trace.samples)).read_all()
    times = table["time_us"].to_numpy()
    inside = (recording.imu.time_us >= event.start_us - 10_000_000) & (
        recording.imu.time_us <= event.end_us + 10_000_000
    )
    assert trace.event_id == event.event_id
    assert times.tolist() == recording.imu.time_us[inside].tolist()
    assert np.abs(table["accel_x_mps2"].to_numpy() - recording.imu.accel_x_mps2[inside]).max() <= 0.0026
    assert np.abs(table["gyro_z_radps"].to_numpy() - recording.imu.gyro_z_radps[inside]).max() <= 0.0006


def test_a_trace_ends_with_the_drive():
    _, found = judge(drive(UP, CRUISE, Leg(1.5, -0.75), Leg(4)))
    (trace,) = found.traces
    assert len(pa.ipc.open_stream(io.BytesIO(trace.samples)).read_all()) == pytest.approx(25 * 15.5, abs=12)


def test_pitch_and_road_noise_are_not_driving():
    _, found = judge(drive(UP, Leg(120), noise_g=0.25))
    assert found.events == []
