"""Any mounting: the rotation is learned while driving, and nothing is judged by it before."""

import numpy as np
import pytest

from scoring.core import orientation
from tests.unit.scoring.road import Leg, any_rotation, drive, judge, mounted, replace

TOWN = [Leg(10, 0.15), Leg(10), Leg(4, -0.2), Leg(5), Leg(4, 0.15), Leg(4, 0, 0.25), Leg(10), Leg(4, 0, -0.2), Leg(5)]
BRAKE = [Leg(10), Leg(1.5, -0.8), Leg(15)]
SEEDS = range(20)


def forward_error_deg(mounting, turn):
    return np.degrees(np.arccos(np.clip(mounting.current.matrix[0] @ turn[:, 0], -1, 1)))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_minute_in_town_tells_any_mounting(seed):
    turn = any_rotation(seed)
    state, _ = judge(mounted(drive(*TOWN, Leg(10), noise_g=0.05, gps_lag_s=seed % 3), turn))
    assert forward_error_deg(state.mounting, turn) < 5
    assert state.mounting.current.error_deg < 4


@pytest.mark.parametrize("seed", SEEDS)
def test_a_brake_after_that_is_judged_by_the_accelerometer(seed):
    _, found = judge(mounted(drive(*TOWN, *BRAKE, noise_g=0.05, seed=seed), any_rotation(seed)))
    (event,) = found.events
    assert (event.kind, event.evidence["source"], event.evidence["mounting"]) == (
        "harsh_brake",
        "accelerometer",
        "learned",
    )
    assert event.peak == pytest.approx(0.8, abs=0.08)


def test_a_brake_before_it_is_judged_by_gps_and_says_so():
    _, found = judge(mounted(drive(Leg(20), Leg(2.5, -0.75), Leg(20), start_mps=25), any_rotation(1)))
    (event,) = found.events
    assert (event.evidence["source"], event.evidence["accelerometer"]) == ("gps", "mounting not known")


@pytest.mark.parametrize("seed", range(6))
def test_hills_and_a_rough_road_do_not_make_it_wrong(seed):
    """A grade of 8 % that comes and goes, shaking of 1.2 m/s2: the seconds are far from independent."""
    made = drive(*TOWN, *TOWN, noise_g=0.12, seed=seed)
    seconds = (made.imu.time_us - made.imu.time_us[0]) / 1e6
    slope = (0.78 * np.sin(2 * np.pi * seconds / 40 + seed)).astype(np.float32)
    hilly = replace(made, imu=replace(made.imu, accel_x_mps2=made.imu.accel_x_mps2 + slope))
    state, _ = judge(mounted(hilly, any_rotation(seed)))
    assert forward_error_deg(state.mounting, any_rotation(seed)) < 5


def test_brakes_and_bends_that_contradict_each_other_are_less_sure():
    """What is felt in bends is not to the left of where the brakes push: one of the two is something else."""
    made = drive(*TOWN, *TOWN)
    twisted = np.where(np.abs(made.imu.gyro_z_radps) > 0.05, made.imu.accel_y_mps2 * 0.6, 0).astype(np.float32)
    odd = replace(made, imu=replace(made.imu, accel_x_mps2=made.imu.accel_x_mps2 + twisted))
    states = (judge(mounted(one, any_rotation(9)))[0] for one in (made, odd))
    told, doubtful = (orientation.estimate(state.mounting.sums) for state in states)
    assert told.error_deg < 2
    assert doubtful is None or doubtful.error_deg > 1.5 * told.error_deg


def test_a_state_of_before_seconds_were_paired_keeps_its_rotation():
    state, _ = judge(mounted(drive(*TOWN), any_rotation(8)), silence=False)
    old = orientation.dump(state.mounting) | {"sums": "A" * 1440, "recent": [1.0] * 9}
    loaded = orientation.load(old)
    assert (loaded.current.matrix == state.mounting.current.matrix).all()
    assert not loaded.sums.any()
    assert len(loaded.recent) == 0


def test_a_motorway_at_constant_speed_tells_nothing():
    state, found = judge(mounted(drive(Leg(300), start_mps=30), any_rotation(2)))
    assert state.mounting.current is None
    assert found.events == []


def test_a_phone_that_falls_off_its_holder_is_learned_again():
    recording = mounted(drive(*TOWN, *TOWN, *TOWN, *TOWN, *TOWN, noise_g=0.05), any_rotation(3))
    again = mounted(recording, any_rotation(4), since_s=112)
    state, found = judge(again)
    assert found.counts["device_moved"] == 1
    assert forward_error_deg(state.mounting, any_rotation(4) @ any_rotation(3)) < 5
    assert found.events == []


def without_gravity(recording):
    flat = recording.imu.accel_z_mps2 - np.float32(9.80665)
    return replace(recording, imu=replace(recording.imu, accel_z_mps2=flat))


def without_gyroscope(recording):
    nothing = np.full(len(recording.imu), np.nan, np.float32)
    imu = replace(recording.imu, gyro_x_radps=nothing, gyro_y_radps=nothing, gyro_z_radps=nothing)
    return replace(recording, imu=imu)


@pytest.mark.parametrize("strip", [lambda r: r, without_gyroscope])
@pytest.mark.parametrize("seed", range(5))
def test_without_gravity_bends_tell_what_is_up(seed, strip):
    recording = strip(without_gravity(drive(*TOWN, *TOWN, noise_g=0.03, seed=seed)))
    state, _ = judge(mounted(recording, any_rotation(seed)))
    error = any_rotation(seed).T @ state.mounting.current.matrix.T
    assert np.degrees(np.arccos((np.trace(error) - 1) / 2)) < 8
    assert forward_error_deg(state.mounting, any_rotation(seed)) < 5
    assert not state.mounting.current.gravity


def test_without_gravity_and_bends_nothing_is_known():
    recording = without_gravity(drive(*TOWN[:5], Leg(60), *TOWN[:5]))
    state, _ = judge(mounted(recording, any_rotation(5)))
    assert state.mounting.current is None


def test_an_accelerometer_that_does_not_follow_gps_is_never_believed():
    recording = drive(*TOWN, *BRAKE)
    other = drive(*reversed(TOWN), Leg(30), seed=2).imu
    count = min(len(other), len(recording.imu))
    still = replace(other, **{n: getattr(other, n)[:count] for n in other.__slots__})
    state, _ = judge(mounted(replace(recording, imu=still), any_rotation(6)))
    assert state.mounting.current is None


def test_without_a_gyroscope_forward_comes_from_speed_alone():
    recording = mounted(drive(*TOWN, noise_g=0.05), any_rotation(7))
    state, _ = judge(without_gyroscope(recording))
    assert forward_error_deg(state.mounting, any_rotation(7)) < 5


def test_rotated_samples_are_missing_before_the_mounting_was_known():
    recording = mounted(drive(*TOWN), any_rotation(8))
    state, _ = judge(recording)
    known = state.mounting.current
    ring = orientation.rotated(
        replace(state.mounting, current=replace(known, since_us=int(state.imu.time_us[50]))), state.imu
    )
    assert (ring.counts[:, :50] == -32768).all()
    assert (ring.counts[:, 50:] != -32768).all()
