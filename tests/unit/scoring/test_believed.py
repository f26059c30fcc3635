"""Recordings as phones make them: filtered, late, moved, held in a hand, in the compass's axes, mirrored."""

import numpy as np
import pandas as pd
import pytest

from infra.contracts.telemetry import ImuFrame, take
from scoring.core.believed import How, believe
from scoring.core.gps_motion import without_held
from tests.unit.scoring.road import START_US, Leg, any_rotation, drive, mounted, replace
from tests.unit.scoring.test_orientation import TOWN

G = 9.80665
AXES = ("accel_x_mps2", "accel_y_mps2", "accel_z_mps2")
BENDS = [Leg(5), Leg(8, 0, 0.3), Leg(5), Leg(8, 0, -0.3), Leg(5), Leg(8, 0, -0.3)]
DRIVE = [*TOWN, Leg(6, 0.2), Leg(4, -0.45), *TOWN]


def columns(imu, names=AXES):
    return np.stack([getattr(imu, name) for name in names]).astype(float)


def with_accel(recording, accel):
    imu = replace(recording.imu, **dict(zip(AXES, accel.astype(np.float32), strict=True)))
    return replace(recording, imu=imu)


def high_passed(recording, time_constant_s, hz=25):
    accel = columns(recording.imu).T
    slow = pd.DataFrame(accel).ewm(alpha=1 - np.exp(-1 / hz / time_constant_s), adjust=False).mean().to_numpy()
    return with_accel(recording, (accel - slow).T)


def off_mps2(believed, truth, row=0):
    return float(np.sqrt(np.nanmean((columns(believed.imu)[row] - columns(truth.imu)[row]) ** 2)))


@pytest.mark.parametrize("frame", [ImuFrame.PHONE, ImuFrame.VEHICLE])
def test_a_long_brake_that_a_phone_filtered_away_is_put_back(frame):
    truth = drive(*DRIVE, gps_lag_s=1.0)
    filtered = high_passed(truth, 2.0)
    sent = mounted(filtered, any_rotation(3)) if frame is ImuFrame.PHONE else filtered
    believed = believe(sent.gps, sent.imu, frame)
    assert believed.high_pass_s == 2.0
    assert believed.lag_s == pytest.approx(1.0, abs=0.3)
    assert off_mps2(believed, truth) < 0.5 * off_mps2(believe(sent.gps, filtered.imu, ImuFrame.VEHICLE), filtered)


def test_nothing_is_put_back_that_was_not_taken():
    truth = drive(*DRIVE)
    believed = believe(truth.gps, truth.imu, ImuFrame.VEHICLE)
    assert believed.high_pass_s is None
    assert off_mps2(believed, truth) == 0


@pytest.mark.parametrize("lag_s", [0.0, 1.0, 2.0])
def test_how_late_gps_is_follows_from_the_drive(lag_s):
    late = mounted(drive(*DRIVE, gps_lag_s=lag_s), any_rotation(2))
    assert believe(late.gps, late.imu, ImuFrame.PHONE).lag_s == pytest.approx(lag_s, abs=0.3)


@pytest.mark.parametrize("north_first", [False, True])
@pytest.mark.parametrize("frame", [ImuFrame.EARTH, ImuFrame.UNKNOWN])
def test_the_compasss_axes_are_turned_by_the_course(frame, north_first):
    truth = drive(*DRIVE, *BENDS)
    course = np.interp(truth.imu.time_us, truth.gps.time_us, np.unwrap(np.radians(truth.gps.heading_deg)))
    forward, left, up = columns(truth.imu)
    east, north = forward * np.sin(course) - left * np.cos(course), forward * np.cos(course) + left * np.sin(course)
    sent = with_accel(truth, np.stack([north, east, -up] if north_first else [east, north, up]))
    if north_first:
        sent = replace(sent, imu=replace(sent.imu, gyro_z_radps=-sent.imu.gyro_z_radps))
    believed = believe(sent.gps, sent.imu, frame)
    assert (believed.how, believed.compass.north_first) == (How.COURSE, north_first)
    assert off_mps2(believed, truth) < 0.3
    assert off_mps2(believed, truth, 1) < 0.3


def test_a_device_that_slides_in_its_holder_is_learned_twice():
    truth = drive(*DRIVE, *DRIVE)
    moved = mounted(mounted(truth, any_rotation(1)), any_rotation(8), since_s=130)
    believed = believe(moved.gps, moved.imu, ImuFrame.PHONE)
    assert len(believed.survey.spans) == 2
    assert abs(believed.survey.spans[1].start_us - START_US - 130e6) < 6e6
    assert off_mps2(believed, truth) < 0.5
    assert any(start <= START_US + 130e6 <= end for start, end in believed.handled)


def test_what_is_felt_in_a_hand_is_not_judged():
    truth = drive(*DRIVE, *DRIVE)
    since_s = (truth.imu.time_us - START_US) / 1e6
    accel = columns(truth.imu)
    held = (since_s >= 60) & (since_s < 66)
    accel[:, held] = [[6.0], [-5.0], [4.0]]
    hand = mounted(with_accel(truth, accel), any_rotation(6))
    believed = believe(hand.gps, hand.imu, ImuFrame.PHONE)
    assert np.isnan(columns(believed.imu)[:, held]).all()
    assert off_mps2(believed, truth) < 0.5
    assert np.isnan(columns(believed.imu)[0]).mean() < 0.15


def test_an_axis_that_points_right_and_a_gyroscope_that_counts_the_other_way_are_seen():
    truth = drive(*DRIVE)
    accel = columns(truth.imu)
    mirrored = with_accel(truth, accel * [[1], [-1], [1]])
    believed = believe(mirrored.gps, mirrored.imu, ImuFrame.DEVICE)
    assert off_mps2(believed, truth, 1) < 0.3
    backwards = replace(truth, imu=replace(truth.imu, gyro_z_radps=-truth.imu.gyro_z_radps))
    believed = believe(backwards.gps, backwards.imu, ImuFrame.DEVICE)
    assert believed.survey.spans[0].fitted.yaw_sign == -1
    assert off_mps2(believed, truth, 1) < 0.3


def test_bends_tell_forward_without_gps():
    sent = mounted(drive(*BENDS, *BENDS, *BENDS, start_mps=12), any_rotation(4))
    believed = believe(take(sent.gps, slice(0, 0)), sent.imu, ImuFrame.PHONE)
    assert believed.how is How.LEARNED
    forward = believed.survey.spans[0].fitted.matrix[0]
    assert np.degrees(np.arccos(forward @ any_rotation(4)[:, 0])) < 10


def test_a_fix_that_a_logger_repeats_counts_once():
    made = drive(*TOWN, imu_hz=50)
    rows = np.searchsorted(made.gps.time_us, made.imu.time_us, side="right") - 1
    held = replace(take(made.gps, rows), time_us=made.imu.time_us)
    gps, left_out = without_held(held)
    assert left_out == len(held) - len(gps)
    assert len(gps) == pytest.approx(len(made.gps), abs=3)
    assert without_held(made.gps)[1] == 0
