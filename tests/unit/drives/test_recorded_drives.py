"""Recorded drives: what is written reads back, and what is wrong is named with its file and column."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infra.contracts.frames import Camera
from infra.contracts.telemetry import ImuSamples, empty_imu
from infra.drives import DriveError, DriveFrame, Manifest, find_drives, open_drive, write_drive
from infra.runtime.import_tables import gps_samples

START = datetime(2024, 5, 1, 8, tzinfo=UTC)
START_US = 1_714_550_400_000_000
MANIFEST = Manifest("van-7", "van-7-box", START, driver_id="mia", driver_name='Mia "M" Ö', licence="CC0")
DEMO = Path(__file__).parents[3] / "infra" / "demo"


def gps(rows: int = 5, **columns: object):
    plain = {"time_us": START_US + np.arange(rows) * 1_000_000, "lat": np.full(rows, 41.0), "lon": np.full(rows, -95.0)}
    return gps_samples(plain | {"speed_mps": np.arange(rows)} | columns)


def imu(rows: int = 10) -> ImuSamples:
    values = [np.full(rows, value, np.float32) for value in (0.1, 0.2, 9.8, 0, 0, 0.5)]
    return ImuSamples(START_US + np.arange(rows) * 500_000, *values)


def test_a_drive_reads_back_as_it_was_written(tmp_path):
    frames = [
        DriveFrame(START_US + i, i, Camera.DRIVER, f"frames/{i:06d}.jpg", jpeg=b"picture %d" % i) for i in range(3)
    ]
    write_drive(tmp_path / "d", MANIFEST, gps(), imu(), frames)
    drive = open_drive(tmp_path / "d")
    assert drive.manifest == MANIFEST
    assert drive.gps().speed_mps.tolist() == [0, 1, 2, 3, 4]
    assert np.isnan(drive.gps().speed_limit_mps).all()
    assert set(drive.gps().ignition.tolist()) == {-1}
    assert drive.imu().gyro_z_radps.tolist() == [0.5] * 10
    assert [(f.sequence, f.jpeg) for f in drive.frames()] == [(i, b"picture %d" % i) for i in range(3)]


def test_a_drive_without_imu_and_frames_is_a_drive(tmp_path):
    drive = write_drive(tmp_path / "d", MANIFEST, gps(), empty_imu())
    assert not (drive.folder / "imu.parquet").exists()
    assert len(drive.imu()) == 0
    assert list(drive.frames()) == []


def test_unknown_keys_and_columns_are_passed_over(tmp_path):
    drive = write_drive(tmp_path / "d", MANIFEST, gps(), empty_imu())
    manifest = drive.folder / "manifest.toml"
    manifest.write_text(manifest.read_text() + "\n[future]\nthing = 1\n")
    table = pq.read_table(drive.folder / "gps.parquet")
    pq.write_table(table.append_column("altitude_m", pa.array([1.0] * 5)), drive.folder / "gps.parquet")
    assert len(open_drive(drive.folder).gps()) == 5


@pytest.mark.parametrize(
    ("line", "instead", "said"),
    [
        ("format_version = 1", "format_version = 9", "format_version 9 is newer than this program reads"),
        ("format_version = 1", "", "format_version is None; write format_version = 1"),
        ('id = "van-7"', "", '[vehicle] id is missing; add id = "…"'),
        ('id = "van-7"', "id = 7", "[vehicle] id is 7; write it in quotes"),
        ('class = "passenger"', 'class = "tank"', "[vehicle] class is 'tank'; it takes passenger, light_duty"),
        ('time_zone = "UTC"', 'time_zone = "Mars"', "time_zone 'Mars' is not an IANA name"),
        ("+00:00", "", "has no zone; add +00:00"),
        ("[vehicle]", "[vehicle", "not TOML"),
    ],
)
def test_what_is_wrong_in_a_manifest_is_named(tmp_path, line, instead, said):
    drive = write_drive(tmp_path / "d", MANIFEST, gps(), empty_imu())
    path = drive.folder / "manifest.toml"
    assert line in path.read_text()
    path.write_text(path.read_text().replace(line, instead))
    with pytest.raises(DriveError) as error:
        open_drive(drive.folder)
    assert said in str(error.value)
    assert "manifest.toml" in str(error.value)


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"lat": [41.0, 95.0, 41.0]}, "gps.parquet: column lat is 95 at row 1, outside -90 … 90 degrees"),
        ({"speed_mps": [1.0, 2.0, 400.0]}, "column speed_mps is 400 at row 2"),
        ({"time_us": [3, 1, 2]}, "time_us goes back at row 1; sort the rows"),
        ({"time_us": [1.0, 2.0, 3.0]}, "time_us must be whole microseconds"),
        ({"lat": ["a", "b", "c"]}, "column lat is string, not a number"),
        ({"lat": None}, "no column lat; it has time_us, lon, speed_mps"),
    ],
)
def test_what_is_wrong_in_samples_is_named(tmp_path, columns, said):
    drive = write_drive(tmp_path / "d", MANIFEST, gps(3), empty_imu())
    table = {"time_us": [1, 2, 3], "lat": [1.0] * 3, "lon": [1.0] * 3, "speed_mps": [1.0] * 3} | columns
    pq.write_table(pa.table({k: v for k, v in table.items() if v is not None}), drive.folder / "gps.parquet")
    with pytest.raises(DriveError) as error:
        drive.gps()
    assert said in str(error.value)


def test_a_frame_may_not_lie_outside_the_folder(tmp_path):
    drive = write_drive(tmp_path / "d", MANIFEST, gps(), empty_imu(), [DriveFrame(1, 0, Camera.ROAD, "../../secret")])
    with pytest.raises(DriveError, match="outside the drive's folder"):
        drive.frame_index()


def test_a_second_drive_does_not_go_over_the_first(tmp_path):
    write_drive(tmp_path / "d", MANIFEST, gps(), empty_imu())
    with pytest.raises(DriveError, match="holds a drive already"):
        write_drive(tmp_path / "d", MANIFEST, gps(), empty_imu())


def test_a_folder_without_drives_is_said(tmp_path):
    with pytest.raises(DriveError, match="no recorded drive here"):
        find_drives([tmp_path])


def test_the_demo_drives_are_whole_and_say_whose_they_are():
    drives = find_drives([DEMO])
    assert len(drives) == 4
    for drive in drives:
        samples, acceleration = drive.gps(), drive.imu()
        assert len(samples) > 400
        assert drive.manifest.licence.startswith("MIT")
        assert "Marie Hardt" in drive.manifest.attribution
        assert abs(float(acceleration.accel_z_mps2.mean()) - 9.8) < 0.2, "gravity is left in"
        assert np.isnan(samples.speed_limit_mps).all(), "the recordings have no posted limits"
    frames = list(drives[-1].frames())
    assert len(frames) == 235
    assert all(frame.jpeg.startswith(b"\xff\xd8") for frame in frames)
    assert "CC BY 4.0" in drives[-1].manifest.licence
    assert (DEMO / "LICENSE-nds_blackbox.md").exists()


def test_axes_of_the_demo_drives_follow_their_motion():
    """Forward acceleration goes with the change of speed, leftward with the turn: ISO 8855."""
    for drive in find_drives([DEMO]):
        samples, felt = drive.gps(), drive.imu()
        seconds = samples.time_us / 1e6
        moving = samples.speed_mps > 3
        speeding_up = np.gradient(samples.speed_mps, seconds)
        turn = -np.gradient(np.unwrap(np.radians(samples.heading_deg)), seconds)
        leftward = samples.speed_mps * turn
        forward, left = np.corrcoef(felt.accel_x_mps2[moving], speeding_up[moving])[0, 1], moving & (abs(turn) < 1)
        assert forward > 0.4
        assert np.corrcoef(felt.accel_y_mps2[left], leftward[left])[0, 1] > 0.3
        assert np.corrcoef(felt.gyro_z_radps[left], turn[left])[0, 1] > 0.5
