"""Crashes, rollovers and swerves: what is one, what looks like one, and that a broken sensor makes none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from infra.contracts.events import EventKind, Severity
from tests.unit.scoring.road import START_US, G, Leg, Recording, any_rotation, drive, judge, mounted, spoil

CRUISE, STAND = Leg(20), Leg(30)
HIT_S = 20.0
STOP = (CRUISE, Leg(8, -0.45), STAND)  # 20 m/s down to nothing


def felt(recording: Recording, since_s: float, seconds: float, **columns: float) -> Recording:
    """With so much added to some columns for some seconds, at 1 kHz resolution of where it begins."""
    imu = recording.imu
    inside = np.abs((imu.time_us - START_US) / 1e6 - since_s - seconds / 2) <= seconds / 2
    changed = {
        name: np.where(inside, getattr(imu, name) + value, getattr(imu, name)) for name, value in columns.items()
    }
    return replace(recording, imu=replace(imu, **{name: value.astype(np.float32) for name, value in changed.items()}))


def turned_over(recording: Recording, since_s: float, angle_deg: float) -> Recording:
    """Gravity comes from another side from then on."""
    angle, imu = np.radians(angle_deg), recording.imu
    after = (imu.time_us - START_US) / 1e6 >= since_s
    y = np.where(after, imu.accel_y_mps2 + G * np.sin(angle), imu.accel_y_mps2).astype(np.float32)
    z = np.where(after, imu.accel_z_mps2 + G * (np.cos(angle) - 1), imu.accel_z_mps2).astype(np.float32)
    return replace(recording, imu=replace(imu, accel_y_mps2=y, accel_z_mps2=z))


def kinds(recording: Recording) -> list[EventKind]:
    return [event.kind for event in judge(recording)[1].events]


@pytest.mark.parametrize("imu_hz", [10, 25, 50, 100])
def test_an_impact_and_a_stop_is_a_crash_at_every_rate(imu_hz):
    hit = felt(drive(*STOP, start_mps=20, imu_hz=imu_hz), HIT_S, 0.2, accel_x_mps2=-4 * G)
    (event,) = judge(hit)[1].events
    assert event.kind is EventKind.CRASH
    assert event.severity in (Severity.HIGH, Severity.CRITICAL)
    assert event.evidence["stopped"] is True
    assert event.confidence == (0.5 if imu_hz < 18 else 0.9)
    assert abs(event.start_us - START_US - HIT_S * 1e6) < 300_000


def test_a_crash_is_seen_at_any_mounting_before_it_is_learned():
    hit = felt(drive(*STOP, start_mps=20), HIT_S, 0.2, accel_x_mps2=-4 * G)
    assert kinds(mounted(hit, any_rotation(3))) == [EventKind.CRASH]


@pytest.mark.parametrize(
    ("name", "columns", "seconds", "legs"),
    [
        ("a pothole", {"accel_z_mps2": 5 * G}, 0.2, STOP),
        ("a blow that changes nothing", {"accel_x_mps2": -4 * G}, 0.2, (CRUISE, Leg(60))),
        ("one sample", {"accel_x_mps2": -12 * G}, 0.03, STOP),
        ("a glitch beyond the sensor's scale", {"accel_x_mps2": -34 * G}, 0.2, STOP),
        ("a hard brake", {}, 0.2, (CRUISE, Leg(2, -0.9), STAND)),
    ],
)
def test_what_is_no_crash(name, columns, seconds, legs):
    assert EventKind.CRASH not in kinds(felt(drive(*legs, start_mps=20), HIT_S, seconds, **columns)), name


def test_a_device_that_falls_is_no_crash():
    falling = felt(drive(*STOP, start_mps=20), HIT_S - 0.35, 0.3, accel_z_mps2=-G)
    _, found = judge(felt(falling, HIT_S, 0.2, accel_x_mps2=-4 * G))
    assert EventKind.CRASH not in [event.kind for event in found.events]
    assert found.counts["crash_device_dropped"] == 1


@pytest.mark.parametrize("imu_hz", [1, 10, 25])
def test_lying_on_its_side_is_a_rollover_even_at_1_hz(imu_hz):
    (event,) = judge(turned_over(drive(*STOP, start_mps=20, imu_hz=imu_hz), HIT_S + 2, 90))[1].events
    assert event.kind is EventKind.ROLLOVER
    assert event.peak == pytest.approx(90, abs=5)
    assert event.severity is Severity.CRITICAL


@pytest.mark.parametrize(
    ("legs", "angle_deg", "frame_turn"),
    [
        (STOP, 35, None),  # a banked road, more than there is
        ((CRUISE, Leg(60)), 90, None),  # the device came loose, and the vehicle drove on
        (STOP, 90, any_rotation(1)),  # a phone taken out of its holder
    ],
)
def test_what_is_no_rollover(legs, angle_deg, frame_turn):
    recording = turned_over(drive(*legs, start_mps=20), HIT_S + 2, angle_deg)
    recording = recording if frame_turn is None else mounted(recording, frame_turn)
    assert EventKind.ROLLOVER not in kinds(recording)


def test_around_something_and_back_is_a_swerve_and_keeps_its_trace():
    swing = (Leg(0.7, 0, 0.33), Leg(1.4, 0, -0.33), Leg(0.7, 0, 0.33))
    _, found = judge(drive(CRUISE, *swing, CRUISE, start_mps=17))
    (event,) = found.events
    assert event.kind is EventKind.SWERVE
    assert event.evidence["heading_net_deg"] < 10
    assert [trace.event_id for trace in found.traces] == [event.event_id]


@pytest.mark.parametrize(
    ("start_mps", "legs"),
    [
        (25, (Leg(2.5, 0, 0.15), Leg(2.5, 0, -0.15))),  # a lane change
        (8, (Leg(1.2, 0, -0.25), Leg(5, 0, 0.4), Leg(1.2, 0, -0.25))),  # a roundabout
        (18, (Leg(4, 0, 0.35), Leg(4, 0, -0.35), Leg(4, 0, 0.35))),  # bends
        (5, (Leg(0.7, 0, 0.4), Leg(0.7, 0, -0.4))),  # around a parked car
    ],
)
def test_what_is_no_swerve(start_mps, legs):
    assert not kinds(drive(CRUISE, *legs, CRUISE, start_mps=start_mps))


def test_a_swing_that_the_gyroscope_does_not_show_is_none():
    swing = (Leg(0.7, 0, 0.42), Leg(1.4, 0, -0.42), Leg(0.7, 0, 0.42))
    assert not kinds(spoil(drive(CRUISE, *swing, CRUISE, start_mps=17), (0, 60), gyro_z_radps=0.0))
