"""The simulator: its sensors agree with each other and with the truth, and the same seed gives the same fleet."""

import numpy as np
import pytest

from infra.clock import SECOND_US, to_us
from infra.drives import DriveError, find_drives
from infra.runtime.simulate import DRIVES, Faults, plan_arrivals, read_plan, read_truth, simulate_vehicle, write_fleet
from infra.runtime.simulated_drive import BY_CHANCE, G_MPS2, WRECKS, Noise, Word, simulate_drive

QUIET = Noise(0.0, 0.0, 0.0, 0.0)


@pytest.fixture(scope="module")
def drive():
    return simulate_drive(np.random.default_rng(7), 0, 3600.0, 20.0, QUIET, kinds=BY_CHANCE)


def test_speed_is_the_sum_of_acceleration(drive):
    summed = np.cumsum(drive.imu.accel_x_mps2.astype(float))[::25] / 25
    assert np.abs(summed - drive.gps.speed_mps).max() < 0.1


def test_heading_is_the_sum_of_the_turn_rate(drive):
    turned = -np.degrees(np.cumsum(drive.imu.gyro_z_radps.astype(float)))[::25] / 25
    shown = drive.gps.heading_deg - drive.gps.heading_deg[0]
    assert np.abs((turned - shown + 180) % 360 - 180).max() < 1.0


def test_positions_move_as_fast_as_the_speed_says(drive):
    north = np.diff(np.radians(drive.gps.lat)) * 6_371_008.8
    east = np.diff(np.radians(drive.gps.lon)) * 6_371_008.8 * np.cos(np.radians(drive.gps.lat[0]))
    assert np.hypot(north, east).sum() == pytest.approx(drive.distance_m, rel=0.01)


def test_acceleration_across_is_speed_times_turn_rate(drive):
    speed = np.cumsum(drive.imu.accel_x_mps2.astype(float)) / 25
    assert np.abs(drive.imu.accel_y_mps2 - speed * drive.imu.gyro_z_radps).max() < 0.05
    assert np.allclose(drive.imu.accel_z_mps2, G_MPS2)


def test_what_is_not_in_the_truth_is_calm(drive):
    """Outside its events nobody brakes harder than 0.25 g or drives over the limit."""
    felt = np.hypot(drive.imu.accel_x_mps2, drive.imu.accel_y_mps2) / G_MPS2
    over = drive.gps.speed_mps - drive.gps.speed_limit_mps
    for event in drive.events:
        around = slice(event.start_us - SECOND_US, event.end_us + SECOND_US)
        felt[(drive.imu.time_us >= around.start) & (drive.imu.time_us <= around.stop)] = 0
        over[(drive.gps.time_us >= around.start) & (drive.gps.time_us <= around.stop)] = -1
    assert felt.max() < 0.25
    assert over.max() <= 0.01


def test_every_kind_of_event_is_there_and_as_strong_as_it_says(drive):
    assert {event.word for event in drive.events} == set(Word) - {Word.CALM, *WRECKS}
    for event in drive.events:
        inside = (drive.imu.time_us >= event.start_us) & (drive.imu.time_us <= event.end_us)
        x, y = drive.imu.accel_x_mps2[inside] / G_MPS2, drive.imu.accel_y_mps2[inside] / G_MPS2
        shown = {
            Word.HARSH_BRAKE: -x.min(),
            Word.HARSH_ACCELERATION: x.max(),
            Word.HARSH_TURN: np.abs(y).max(),
        }.get(event.word, event.peak)
        assert shown == pytest.approx(event.peak, rel=0.01)
        assert event.peak > 0.4 or event.word in (Word.SPEEDING, Word.MAX_SPEED)


@pytest.mark.parametrize("word", WRECKS)
def test_a_wreck_ends_the_drive_and_its_sensors_agree(word):
    drive = simulate_drive(np.random.default_rng(5), 0, 900.0, 0.0, QUIET, word)
    (event,) = drive.events
    x, y, z = (getattr(drive.imu, f"accel_{axis}_mps2").astype(float) for axis in "xyz")
    after = drive.imu.time_us > event.end_us + 20 * SECOND_US
    assert event.word is word
    assert np.hypot(np.hypot(x, y), z)[after] == pytest.approx(G_MPS2, rel=0.01)
    assert not drive.gps.speed_mps[drive.gps.time_us > event.end_us + 20 * SECOND_US].any()
    turned_deg = np.degrees(np.cumsum(drive.imu.gyro_x_radps.astype(float))[-1]) / 25
    assert abs(turned_deg) == pytest.approx(event.peak if word is Word.ROLLOVER else 0.0, abs=1)
    assert z[after].mean() == pytest.approx(G_MPS2 * np.cos(np.radians(turned_deg)), abs=0.1)


def test_speeding_lasts_from_the_limit_to_the_limit(drive):
    for event in drive.events:
        if event.word is Word.SPEEDING:
            inside = (drive.gps.time_us > event.start_us) & (drive.gps.time_us < event.end_us)
            assert (drive.gps.speed_mps[inside] > drive.gps.speed_limit_mps[inside]).all()
            assert event.end_us - event.start_us > 10 * SECOND_US


def test_gravity_can_be_left_out():
    calm = simulate_drive(np.random.default_rng(1), 0, 60.0, 0.0, Noise(0.0, 0.0, 0.0, 0.0, gravity=False))
    assert not calm.imu.accel_z_mps2.any()
    assert calm.events == []


def test_a_vehicle_is_the_same_in_a_fleet_of_any_size():
    (one, risk, drive), (other, other_risk, other_drive) = (simulate_vehicle(3, 5, 120.0) for _ in range(2))
    assert (one, risk) == (other, other_risk)
    assert np.array_equal(drive.imu.accel_x_mps2, other_drive.imu.accel_x_mps2)
    assert not np.array_equal(simulate_vehicle(4, 5, 120.0)[2].imu.accel_x_mps2, drive.imu.accel_x_mps2)


def test_riskier_drivers_have_more_events():
    drawn = [simulate_vehicle(11, index, 1200.0) for index in range(60)]
    risks, events = np.array([d[1] for d in drawn]), np.array([len(d[2].events) for d in drawn])
    assert np.corrcoef(np.exp(risks), events)[0, 1] > 0.6


def test_a_fleet_is_written_with_its_truth_and_a_plan(tmp_path):
    faults = Faults(duplicate=0.1, swapped=0.1, lost=0.05, offline=0.05, clock_jump=0.02)
    write_fleet(tmp_path, 4, 600.0, 2, faults)
    drives = find_drives([tmp_path / DRIVES])
    assert len(drives) == 4
    assert {row["vehicle_id"] for row in read_truth(tmp_path)} <= {drive.name for drive in drives}
    arrivals = list(read_plan(tmp_path))
    assert [a.arrival_us for a in arrivals] == sorted(a.arrival_us for a in arrivals)
    assert {a.fault for a in arrivals} == {"", "duplicate", "swapped", "offline", "clock_jump"}
    seen = {(a.batch.vehicle_id, a.batch.sequence) for a in arrivals}
    assert 4 * 61 * 0.85 < len(seen) < 4 * 61
    assert len(arrivals) > len(seen)
    with pytest.raises(DriveError, match="holds a fleet already"):
        write_fleet(tmp_path, 1, 60.0, 2)


def test_without_faults_batches_come_in_order(tmp_path):
    manifest, _, _ = simulate_vehicle(1, 0, 60.0)
    rows = plan_arrivals(np.random.default_rng(0), manifest, 100, Faults(0, 0, 0, 0, 0))
    assert [row["sequence"] for row in rows] == list(range(100))
    late_us = [row["arrival_us"] - to_us(manifest.start) - (row["sequence"] + 1) * 10 * SECOND_US for row in rows]
    assert min(late_us) > 0
    assert max(late_us) < 2 * SECOND_US
