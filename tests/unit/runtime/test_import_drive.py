"""The importer: what it guesses, what it is told, and how it says what it cannot read."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.clock import to_datetime, to_us
from infra.contracts.telemetry import ImuFrame
from infra.drives import DriveError, Manifest
from infra.runtime.import_columns import GPS_FIELDS, IMU_FIELDS, map_columns, parse_mapping
from infra.runtime.import_drive import Footage, Source, import_drive

MANIFEST = Manifest("van-7", "van-7-import", to_datetime(0))
CSV = (
    "time,lat,lon,speed (km/h),ax [g],ay [g],az [g]\n1714550400,41,-95,36,0.1,0,1\n1714550401,41.0001,-95,72,0.2,0,1\n"
)


def bring(tmp_path, text: str, manifest=MANIFEST, **options):
    tmp_path.mkdir(exist_ok=True)
    (tmp_path / "log.csv").write_text(text)
    return import_drive(tmp_path / "drive", Source(tmp_path / "log.csv", **options), manifest)


def test_units_in_the_header_are_read(tmp_path):
    drive, understood = bring(tmp_path, CSV)
    assert drive.gps().speed_mps.tolist() == [10, 20]
    assert drive.imu().accel_x_mps2.tolist() == pytest.approx([0.980665, 1.96133])
    assert drive.manifest.start == datetime(2024, 5, 1, 8, tzinfo=UTC)
    assert ("speed_mps", "log.csv: speed (km/h)", "kmh", "") in understood.rows


def test_units_that_nobody_states_are_guessed_and_said(tmp_path):
    text = CSV.replace(" (km/h)", "").replace(" [g]", "").replace(",72,", ",99,")
    drive, understood = bring(tmp_path, text)
    assert drive.gps().speed_mps[1] == pytest.approx(27.5)
    assert ("speed_mps", "log.csv: speed", "kmh", "unit guessed from the values") in understood.rows
    assert ("accel_x_mps2", "log.csv: ax", "g", "unit guessed from the values") in understood.rows


def test_what_is_told_wins_and_a_minus_turns_the_sign(tmp_path):
    told = ("speed=v:knots", "accel_y=-ay [g]:mps2")
    drive, _ = bring(tmp_path, CSV.replace("speed (km/h)", "v").replace(",0.1,0,1", ",0.1,3,1"), mappings=told)
    assert drive.gps().speed_mps[0] == pytest.approx(36 * 1852 / 3600)
    assert drive.imu().accel_y_mps2.tolist() == [-3, 0]


def test_two_axes_of_the_vehicle_are_taken_and_two_of_an_unknown_device_are_not(tmp_path):
    text = "\n".join(line.rpartition(",")[0] for line in CSV.splitlines())
    drive, understood = bring(tmp_path / "a", text, manifest=replace(MANIFEST, imu_frame=ImuFrame.VEHICLE))
    assert drive.imu().accel_z_mps2.tolist() == pytest.approx([9.80665] * 2)
    assert any("put at rest, 1 g" in note for note in understood.notes)
    drive, understood = bring(tmp_path / "b", text)
    assert not len(drive.imu())
    assert "accelerometer left out: no column for accel_z_mps2" in understood.notes
    with pytest.raises(DriveError, match="accel_z=COLUMN:g; without it --imu-frame vehicle"):
        bring(tmp_path / "c", "time,ax [g],ay [g]\n0,0.1,0\n1,0.2,0\n")


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        (CSV.replace(",72,", ",fast,"), {}, "log.csv: line 3, column speed (km/h): 'fast' is not a number"),
        (CSV.replace("1714550401", ""), {}, "log.csv: line 3, column time: has no time"),
        (CSV.replace("time,", "when,"), {}, "which column is the time? --map time=COLUMN; has when, lat"),
        (CSV.replace("lat,", "x,"), {}, "which columns are lat? --map lat=COLUMN"),
        (CSV, {"mappings": ["speed=velocity"]}, "there is no column 'velocity'; there are time, lat"),
        (CSV, {"mappings": ["colour=lat"]}, "there is no field 'colour'; there are time, lat"),
        (CSV, {"mappings": ["speed=lat:g"]}, "unit 'g' is not one of mps, kmh, mph, knots"),
        (CSV, {"mappings": ["speed"]}, "write FIELD=COLUMN or FIELD=COLUMN:UNIT"),
        (CSV, {"where": ["lat=7"]}, "log.csv: no rows where lat=7"),
        (CSV, {"where": ["trip=7"]}, "there is no column 'trip'"),
        (CSV.replace("41,-95", "410,-95"), {}, "column lat is 410 at row 0, outside -90 … 90 degrees; check its unit"),
        (CSV, {"between_s": (60.0, 90.0)}, "no GPS sample between 60 and 90 s"),
        ("", {}, "not a CSV file with a header line"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_place(tmp_path, text, options, said):
    with pytest.raises(DriveError) as error:
        bring(tmp_path, text, **options)
    assert said in str(error.value)
    assert not (tmp_path / "drive" / "manifest.toml").exists()


def test_line_numbers_are_those_of_the_file_also_among_chosen_rows(tmp_path):
    text = "trip,time,lat,lon\n1,1714550400,1,1\n2,1714550401,1,1\n2,1714550402,1,oops\n"
    with pytest.raises(DriveError, match="line 4, column lon"):
        bring(tmp_path, text, where=["trip=2"])


def test_rows_out_of_order_are_sorted_and_holes_left_out(tmp_path):
    text = "time,lat,lon,speed_mps\n1714550402,1,1,3\n1714550400,1,1,1\n1714550401,,,\n"
    drive, understood = bring(tmp_path, text)
    assert drive.gps().speed_mps.tolist() == [1, 3]
    assert understood.notes[:2] == ["1 GPS rows without a value left out", "GPS rows were not in time order; sorted"]


def test_local_times_need_their_zone(tmp_path):
    text = "timestamp,lat,lon\n2024-05-01 10:00:00,1,1\n2024-05-01 10:00:01.25,1,1\n"
    (tmp_path / "log.csv").write_text(text)
    berlin = Manifest("v", "d", to_datetime(0), time_zone="Europe/Berlin")
    drive, _ = import_drive(tmp_path / "drive", Source(tmp_path / "log.csv"), berlin)
    assert drive.gps().time_us.tolist() == [1_714_550_400_000_000, 1_714_550_401_250_000]


def test_an_hour_that_comes_twice_is_refused_without_an_offset(tmp_path):
    (tmp_path / "log.csv").write_text("time,lat,lon\n2024-10-27 02:30:00,1,1\n")
    berlin = Manifest("v", "d", to_datetime(0), time_zone="Europe/Berlin")
    with pytest.raises(DriveError, match="happened twice in Europe/Berlin"):
        import_drive(tmp_path / "drive", Source(tmp_path / "log.csv"), berlin)


def test_a_gpx_track_without_speeds_gets_them_from_its_positions(tmp_path):
    points = "".join(
        f'<trkpt lat="{41 + i * 0.0001}" lon="-95"><time>2024-05-01T08:00:0{i}Z</time></trkpt>' for i in range(5)
    )
    (tmp_path / "track.gpx").write_text(f'<gpx xmlns="http://www.topografix.com/GPX/1/1"><trk>{points}</trk></gpx>')
    drive, _ = import_drive(tmp_path / "drive", Source(tmp_path / "track.gpx"), MANIFEST)
    assert drive.gps().speed_mps.tolist() == pytest.approx([11.12] * 5, abs=0.01)


@pytest.mark.parametrize(
    ("text", "said"),
    [("<gpx><trk>", "line 1, column"), ("<gpx/>", "no track point"), ("not xml", "not GPX")],
)
def test_a_broken_gpx_is_named(tmp_path, text, said):
    (tmp_path / "track.gpx").write_text(text)
    with pytest.raises(DriveError, match=said):
        import_drive(tmp_path / "drive", Source(tmp_path / "track.gpx"), MANIFEST)


def test_stills_come_out_of_a_video_at_the_rate_asked_for(tmp_path):
    writer = cv2.VideoWriter(str(tmp_path / "cab.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10.0, (64, 48))
    for shade in range(0, 200, 10):
        writer.write(np.full((48, 64, 3), shade, np.uint8))
    writer.release()
    drive, _ = bring(tmp_path, CSV, footage=Footage(tmp_path / "cab.avi", "driver", offset_s=0.5, rate_hz=5.0))
    frames = list(drive.frames())
    assert [(f.time_us - to_us(drive.manifest.start)) / 1e6 for f in frames] == pytest.approx(
        [0.5 + 0.2 * i for i in range(10)]
    )
    shades = [cv2.imdecode(np.frombuffer(f.jpeg, np.uint8), cv2.IMREAD_COLOR).mean() for f in frames]
    assert shades == pytest.approx([i * 20 for i in range(10)], abs=3)


@pytest.mark.parametrize("name", ["cab.mp4", "missing.mp4"])
def test_a_video_that_is_none_is_named(tmp_path, name):
    (tmp_path / "cab.mp4").write_bytes(b"no video")
    with pytest.raises(DriveError, match="not found, or not a video"):
        bring(tmp_path, CSV, footage=Footage(tmp_path / name))


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (["Time (s)", "Latitude", "Longitude", "GPS Speed [mph]"], {"speed_mps": "mph", "time_us": "s"}),
        (["timestamp_ms", "gps_lat", "gps_lon", "speed_kmh", "course"], {"time_us": "ms", "speed_mps": "kmh"}),
        (["t", "lat", "lng", "speed", "speed_limit_kmh"], {"speed_limit_mps": "kmh", "speed_mps": "?"}),
    ],
)
def test_headers_of_common_loggers_are_understood(header, expected):
    mapped = map_columns(header, GPS_FIELDS, ())
    assert {"lat", "lon"} <= mapped.keys()
    assert {name: mapped[name].unit for name in expected} == expected


def test_axes_are_found_in_any_spelling():
    header = ["time", "accelX", "acc_y", "z_accel", "gyro_x_dps", "GyroY (deg/s)", "gz"]
    mapped = map_columns(header, IMU_FIELDS, ())
    assert [mapped[f"accel_{axis}_mps2"].column for axis in "xyz"] == ["accelX", "acc_y", "z_accel"]
    assert [mapped[f"gyro_{axis}_radps"].unit for axis in "xyz"] == ["degps", "degps", "?"]


words = st.text("abcdefghijklmnopqrstuvwxyz_ ()", min_size=1, max_size=12).filter(lambda w: not w.startswith("-"))


@given(st.sampled_from(["speed", "accel_y"]), st.booleans(), words, st.sampled_from(["g", "kmh", ""]))
def test_every_mapping_that_is_written_is_read(field, minus, column, unit):
    text = f"{field}={'-' if minus else ''}{column}" + (f":{unit}" if unit else "")
    assert parse_mapping(text) == (field, column, unit or "?", -1 if minus else 1)


UNITS = {"s": 1_000_000, "ms": 1_000, "us": 1}


@given(st.integers(1_000_000_000, 1_900_000_000), st.sampled_from(sorted(UNITS)))
def test_epochs_are_told_apart_by_their_size(tmp_path_factory, seconds, unit):
    folder = tmp_path_factory.mktemp("import")
    (folder / "log.csv").write_text(f"time,lat,lon\n{seconds * 1_000_000 // UNITS[unit]},1,1\n")
    drive, _ = import_drive(folder / "drive", Source(folder / "log.csv"), MANIFEST)
    assert drive.gps().time_us.tolist() == [seconds * 1_000_000]


ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
TIMES = st.integers(978_307_200_000_000, 2_051_222_400_000_000)  # 2001 to 2035


@given(TIMES, ZONES)
def test_iso_times_keep_their_microseconds_and_offset(tmp_path_factory, time_us, zone):
    folder = tmp_path_factory.mktemp("import")
    (folder / "log.csv").write_text(f"time,lat,lon\n{to_datetime(time_us).astimezone(zone).isoformat()},1,1\n")
    drive, _ = import_drive(folder / "drive", Source(folder / "log.csv"), MANIFEST)
    assert drive.gps().time_us.tolist() == [time_us]


def long_log(rows=12):
    lines = [f"{1714550400 + i},{41 + i / 10000},-95,36,0.1,0,1" for i in range(rows)]
    return "time,lat,lon,speed (km/h),ax [g],ay [g],az [g]\n" + "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("spoilt", "said"),
    [
        ("1714550405,41", "log.csv: line 7: 2 values, the header has 7"),
        ("1714550405,41,-95,fast,0,0,1", "log.csv: line 7, column speed (km/h): 'fast' is not a number"),
        (",41,-95,36,0,0,1", "log.csv: line 7, column time: has no time"),
    ],
)
def test_a_bad_row_is_left_out_and_named_or_with_strict_refused(tmp_path, spoilt, said):
    lines = long_log().splitlines()
    lines[6] = spoilt
    text = "\n".join(lines) + "\n"
    drive, understood = bring(tmp_path, text)
    assert len(drive.gps()) == (12 if "fast" in spoilt else 11)
    assert [note for note in understood.notes if note.startswith(said) and "left out" in note]
    (tmp_path / "again").mkdir()
    with pytest.raises(DriveError, match=r"line 7"):
        bring(tmp_path / "again", text, strict=True)


def test_one_impossible_value_is_left_out_and_said(tmp_path):
    drive, understood = bring(tmp_path, long_log().replace("-95,36,0.1,0,1\n", "-95,36,3400,0,1\n", 1))
    assert len(drive.imu()) == 11
    assert any(note.startswith("1 impossible accel_x_mps2 left out") for note in understood.notes)


@pytest.mark.parametrize(
    ("first", "second", "told", "expected"),
    [
        ("05/31/2024 08:00:00", "05/31/2024 08:00:01", None, "2024-05-31T08:00:00"),
        ("31/05/2024 08:00:00", "31/05/2024 08:00:01", None, "2024-05-31T08:00:00"),
        ("5/31/2024 1:00:00 PM", "5/31/2024 1:00:01 PM", None, "2024-05-31T13:00:00"),
        ("01.05.2024 08:00:00.250", "01.05.2024 08:00:01.250", None, "2024-05-01T08:00:00.25"),
        ("2024/05/01 08:00", "2024/05/01 08:01", None, "2024-05-01T08:00:00"),
        ("01-May-2024 08:00:00.500", "01-May-2024 08:00:01.500", None, "2024-05-01T08:00:00.5"),
        ("05/04/2024 08:00:00", "05/04/2024 08:00:01", "%m/%d/%Y %H:%M:%S", "2024-05-04T08:00:00"),
        ("2024-05-01T10:00:00+02:00", "2024-05-01T10:00:01+02:00", None, "2024-05-01T08:00:00"),
        ("1714550400000000000", "1714550401000000000", None, "2024-05-01T08:00:00"),
    ],
)
def test_dates_are_read_as_their_country_writes_them(tmp_path, first, second, told, expected):
    drive, _ = bring(tmp_path, f"time,lat,lon\n{first},1,1\n{second},1,1\n", time_format=told)
    assert drive.manifest.start == datetime.fromisoformat(expected + "+00:00")


def test_a_date_that_may_be_two_days_is_refused_with_both(tmp_path):
    with pytest.raises(DriveError) as error:
        bring(tmp_path, "time,lat,lon\n05/04/2024 08:00:00,1,1\n05/04/2024 08:00:01,1,1\n")
    assert "is the day or the month first? --time-format '%m/%d/%Y %H:%M:%S'" in str(error.value)


def test_what_nobody_used_is_named_and_a_column_of_one_driver_is_the_driver(tmp_path):
    lines = long_log().splitlines()
    text = "\n".join([lines[0] + ",Driver ID,rpm", *(line + ",ana,900" for line in lines[1:])]) + "\n"
    drive, understood = bring(tmp_path, text.replace("Driver ID", "driver_id"))
    assert drive.manifest.driver_id == "ana"
    assert "log.csv: not used: rpm" in understood.notes


def test_a_misspelt_column_gets_the_nearest(tmp_path):
    with pytest.raises(DriveError, match="no column 'sped', perhaps 'speed'; there are time, lat"):
        bring(tmp_path, long_log().replace("speed (km/h)", "speed"), mappings=["speed=sped"])


def test_semicolons_decimal_commas_and_windows_letters_are_read(tmp_path):
    text = "Zeit;lat;lon;speed (km/h);Höhe\n1714550400;41,5;-95,25;36,0;1\n1714550401;41,5;-95,25;36,0;1\n"
    (tmp_path / "log.csv").write_bytes(text.encode("latin-1"))
    drive, _ = import_drive(tmp_path / "drive", Source(tmp_path / "log.csv", mappings=["time=Zeit"]), MANIFEST)
    assert (drive.gps().lat[0], drive.gps().speed_mps[0]) == (41.5, 10.0)


def test_a_folder_of_sensor_logger_needs_no_mapping(tmp_path):
    folder = tmp_path / "export"
    folder.mkdir()
    ns = [1714550400_000_000_000 + i * 20_000_000 for i in range(100)]
    sensor = "time,seconds_elapsed,z,y,x\n" + "".join(f"{t},0,9.8,0.2,0.1\n" for t in ns)
    (folder / "TotalAcceleration.csv").write_text(sensor)
    (folder / "Gyroscope.csv").write_text(sensor.replace("9.8,0.2,0.1", "0.3,0.2,0.1"))
    header = "time,seconds_elapsed,bearingAccuracy,speedAccuracy,horizontalAccuracy,speed,bearing,longitude,latitude\n"
    (folder / "Location.csv").write_text(header + "".join(f"{t},0,1,1,4,10,90,-95,41\n" for t in ns[::50]))
    drive, understood = import_drive(tmp_path / "drive", Source(folder), MANIFEST)
    imu = drive.imu()
    assert (imu.accel_x_mps2[0], imu.accel_z_mps2[0], imu.gyro_z_radps[0]) == pytest.approx((0.1, 9.8, 0.3))
    assert (len(drive.gps()), drive.gps().heading_deg[0]) == (2, 90)
    assert "Location.csv: as Sensor Logger (location) writes it" in understood.notes


def test_torques_g_is_an_acceleration(tmp_path):
    header = "GPS Time, Device Time, Longitude, Latitude,GPS Speed (Meters/second), Bearing, G(x), G(y), G(z)\n"
    rows = "".join(f"x,01-May-2024 08:00:0{i}.000,-95,41,10,90,0.1,0.2,0.97\n" for i in range(3))
    drive, _ = bring(tmp_path, header + rows)
    assert drive.imu().accel_y_mps2[0] == pytest.approx(1.96133)
    assert drive.gps().speed_mps.tolist() == [10, 10, 10]


def test_a_table_without_positions_is_a_drive_of_accelerations(tmp_path):
    text = "Time (s),Acceleration x (m/s^2),Acceleration y (m/s^2),Acceleration z (m/s^2)\n0.0,0,0,9.8\n0.01,0,0,9.8\n"
    drive, understood = bring(tmp_path, text, start_us=1_714_550_400_000_000)
    assert drive.manifest.start == datetime(2024, 5, 1, 8, tzinfo=UTC)
    assert any(note.startswith("without GPS") for note in understood.notes)
