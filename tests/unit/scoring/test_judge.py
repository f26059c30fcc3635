"""`rumblestrip judge` on files alone: any frame, any rate, with parts missing, with broken values in it."""

import io
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import orjson
import pyarrow.parquet as pq
import pytest
from rich.console import Console
from typer.testing import CliRunner

from infra.contracts.telemetry import ImuFrame, take
from infra.drives import Manifest, find_drives, write_drive
from infra.runtime.summary import Units
from infra.settings import load
from scoring.core.rules import DEFAULT
from scoring.hindsight import judge_drive
from scoring.judge import judge_app
from scoring.pages import show
from tests.unit.scoring.road import START_US, Leg, any_rotation, drive, mounted, spoil
from tests.unit.scoring.test_orientation import BRAKE, TOWN


def write(folder, recording, frame=ImuFrame.UNKNOWN):
    manifest = Manifest("van-1", "box-1", datetime.fromtimestamp(START_US / 1e6, UTC), imu_frame=frame)
    write_drive(folder, manifest, recording.gps, recording.imu)
    if not len(recording.gps):
        (folder / "gps.parquet").unlink()
    return folder


def judge(*arguments):
    done = CliRunner().invoke(judge_app, [str(a) for a in arguments])
    assert done.exit_code == 0, done.output
    return done.output


def lines(*arguments):
    return [orjson.loads(line) for line in judge(*arguments, "--format", "jsonl").splitlines()]


def of(type_, found):
    return [line for line in found if line["type"] == type_]


@pytest.fixture
def phone(tmp_path):
    """Brakes before its mounting can be known, and after."""
    recording = drive(Leg(5), Leg(1.5, -0.8), *TOWN, *BRAKE, start_mps=22, noise_g=0.05)
    return write(tmp_path / "phone", mounted(recording, any_rotation(5)))


def test_a_phone_at_any_angle_is_judged_from_its_first_second(phone):
    found = lines(phone)
    (calibration,) = of("calibration", found)
    forward = np.array(calibration["rotation"])[0]
    assert np.degrees(np.arccos(forward @ any_rotation(5)[:, 0])) < 5
    assert calibration["source"] == "learned"
    assert calibration["quality"] > 0.5
    events = of("event", found)
    assert [(e["kind"], e["evidence"]["source"]) for e in events] == [("harsh_brake", "accelerometer")] * 2
    assert [e["peak_g"] for e in events] == [pytest.approx(0.8, abs=0.08)] * 2


def test_there_is_one_object_a_line_with_all_that_was_found(phone):
    found = lines(phone)
    types = ["calibration", "trip", "event", "event", "score", "score", "device_health"]
    assert [line["type"] for line in found] == types
    assert [score["of"] for score in of("score", found)] == ["drive", "trip"]
    for score in of("score", found):
        assert score["value"] == pytest.approx(100 + sum(line["points"] for line in score["ledger"]), abs=0.01)
        rates = [t["count"] * t["weight"] / (t["exposure"] + t["peers_exposure"]) for t in score["ledger"]]
        risk = sum(rates)
        assert score["value"] == pytest.approx(100 * score["scale"] / (score["scale"] + risk), abs=0.006)
        low, high = score["interval"]
        assert low < score["value"] < high
        assert (score["formula"], score["state"]) == ("expected-risk-1", "too_little_driving")
    assert of("device_health", found)[0]["imu_hz"] == 25


def test_the_signals_are_in_the_vehicles_axes(phone, tmp_path):
    judge(phone, "--signals", tmp_path / "signals.parquet")
    table = pq.read_table(tmp_path / "signals.parquet")
    truth = drive(Leg(5), Leg(1.5, -0.8), *TOWN, *BRAKE, start_mps=22, noise_g=0.05).imu
    assert table["time_us"].to_numpy().tolist() == truth.time_us.tolist()
    for column, true in (("accel_forward_mps2", truth.accel_x_mps2), ("accel_left_mps2", truth.accel_y_mps2)):
        assert np.sqrt(np.mean((table[column].to_numpy() - true) ** 2)) < 0.5
    assert np.nanmean(table["accel_up_mps2"].to_numpy()) == pytest.approx(9.8, abs=0.1)


RATES = [(imu_hz, gps_hz) for imu_hz in (0, 1, 4, 10, 50, 100) for gps_hz in (0, 1, 5) if imu_hz or gps_hz]


@pytest.mark.parametrize(("imu_hz", "gps_hz"), RATES)
def test_any_rate_and_any_part_missing_is_taken(tmp_path, imu_hz, gps_hz):
    recording = drive(*TOWN, Leg(2), Leg(3, -0.8), Leg(10), imu_hz=imu_hz, gps_hz=gps_hz, noise_g=0.01)
    found = lines(write(tmp_path / "drive", recording, ImuFrame.VEHICLE))
    kinds = [event["kind"] for event in of("event", found)]
    judged = gps_hz > 0 or imu_hz >= 10
    assert kinds == (["harsh_brake"] if judged else [])
    value = of("score", found)[0]["value"]
    assert value == (pytest.approx(72, abs=3) if gps_hz else None)


def test_impossible_values_are_reported_as_device_health(tmp_path):
    recording = drive(*TOWN, Leg(10))
    folder = write(tmp_path / "drive", recording, ImuFrame.VEHICLE)
    broken = spoil(spoil(recording, (20, 21), accel_x_mps2=-np.inf), (40, 44), accel_y_mps2=5.0)
    table = pq.read_table(folder / "imu.parquet")
    for name in ("accel_x_mps2", "accel_y_mps2"):
        table = table.set_column(table.column_names.index(name), name, [getattr(broken.imu, name)])
    pq.write_table(table, folder / "imu.parquet")
    (health,) = of("device_health", found := lines(folder))
    assert (health["imu_not_a_number"], health["imu_stuck"]) == (25, 100)
    assert of("event", found) == []


@pytest.mark.parametrize(("speed_mps", "dead_s"), [(0.0, 29), (40.0, 29), (20.0, 0)])
def test_a_dead_speed_and_what_a_slow_accelerometer_cannot_show_are_device_health(tmp_path, speed_mps, dead_s):
    recording = spoil(drive(Leg(90), start_mps=20, imu_hz=1), (30, 60), speed_mps=speed_mps)
    folder = write(tmp_path / "drive", recording, ImuFrame.VEHICLE)
    (health,) = of("device_health", lines(folder))
    assert health["gps_dead_s"] == dead_s
    assert health["not_judged"] == ["crash", "near_crash", "swerve"]
    said = " ".join(judge(folder).split())
    assert "with fewer than 8, crashes, near crashes and swerves cannot be judged" in said
    assert ("GPS speed dead for 29 s" in said) == (dead_s > 0)


def test_a_drive_that_does_not_tell_its_mounting_says_so(tmp_path):
    recording = mounted(drive(Leg(120), start_mps=25), any_rotation(1))
    (calibration,) = of("calibration", lines(write(tmp_path / "drive", recording)))
    assert (calibration["rotation"], calibration["quality"]) == (None, 0.0)
    assert "mounting not known: judged by GPS" in judge(tmp_path / "drive")


def test_drives_of_one_driver_make_one_score(tmp_path):
    recording = drive(*TOWN, Leg(10))
    for name, driver in (("a", "ada"), ("b", "ada"), ("c", None)):
        at = datetime.fromtimestamp(START_US / 1e6, UTC)
        manifest = Manifest("van-1", "box-1", at, driver_id=driver, imu_frame=ImuFrame.VEHICLE)
        write_drive(tmp_path / name, manifest, recording.gps, recording.imu)
    scores = of("score", lines(tmp_path))
    (ada,) = [score for score in scores if score["of"] == "driver"]
    drives = [score for score in scores if score["of"] == "drive"]
    assert (ada["id"], len(drives)) == ("ada", 3)
    assert ada["distance_m"] == pytest.approx(sum(score["distance_m"] for score in drives[:2]))
    assert ada["interval"][1] - ada["interval"][0] < drives[0]["interval"][1] - drives[0]["interval"][0]


def test_the_page_for_people_names_score_reason_and_event(phone):
    page = judge(phone)
    assert "of 100, with 90 % certainty between" in page
    assert "too little driving yet" in page
    assert "Not known yet" in page
    assert "harsh brake" in page
    assert "mounting learned" in page


NUMBER, OPTIONAL = (int, float), (int, float, type(None))
TEXT, MAYBE_TEXT = (str,), (str, type(None))
OF_A_DRIVE = {"type": TEXT, "drive": TEXT, "vehicle_id": TEXT}
SCORED = {
    "type": TEXT,
    "of": TEXT,
    "id": TEXT,
    "formula": TEXT,
    "state": TEXT,
    "value": OPTIONAL,
    "ledger": (list,),
    "interval": (list, type(None)),
    "distance_m": NUMBER,
    "driving_s": NUMBER,
}
SCHEMA = {
    "calibration": OF_A_DRIVE
    | {"rotation": (list, type(None)), "quality": NUMBER, "error_deg": OPTIONAL, "source": TEXT, "since": MAYBE_TEXT},
    "trip": OF_A_DRIVE | {"trip_id": TEXT, "start": TEXT, "end": TEXT, "distance_m": NUMBER, "driving_s": NUMBER},
    "event": OF_A_DRIVE
    | {"event_id": TEXT, "kind": TEXT, "start": TEXT, "end": TEXT, "severity": TEXT, "confidence": NUMBER}
    | {"speed_mps": OPTIONAL, "lat": OPTIONAL, "lon": OPTIONAL, "evidence": (dict,)},
    "score": SCORED,
    "device_health": OF_A_DRIVE
    | {"gps_hz": OPTIONAL, "imu_hz": OPTIONAL, "gps_gaps": NUMBER, "imu_gaps": NUMBER, "gps_nowhere": NUMBER}
    | {"imu_not_a_number": NUMBER, "imu_wild": NUMBER, "imu_stuck": NUMBER, "gps_without_speed": NUMBER}
    | {"refused": (dict,), "gps_held": NUMBER, "gps_lag_s": OPTIONAL, "handled": (list,)}
    | {"gps_dead_s": NUMBER, "not_judged": (list,)},
    "error": {"type": TEXT, "drive": TEXT, "error": TEXT},
}


def test_every_line_has_what_its_type_promises_and_a_broken_drive_does_not_stop_the_others(phone, tmp_path):
    write(tmp_path / "torn", drive(Leg(5), start_mps=10))
    (tmp_path / "torn" / "gps.parquet").write_bytes(b"PAR1 and no more")
    write(tmp_path / "idle", drive(Leg(400), start_mps=0))
    done = CliRunner().invoke(judge_app, [str(tmp_path), "--format", "jsonl"])
    assert done.exit_code == 2
    assert "torn/gps.parquet: not a Parquet file" in done.stderr
    found = [orjson.loads(line) for line in done.stdout.splitlines()]
    assert {line["type"] for line in found} == SCHEMA.keys()
    for line in found:
        kinds = SCHEMA[line["type"]]
        assert {name: line.get(name, ...) for name in kinds if not isinstance(line.get(name, ...), kinds[name])} == {}
    peaks = [line for line in of("event", found) if isinstance(line.get("peak_g", line.get("peak")), float)]
    assert peaks == of("event", found)
    assert {line["of"] for line in of("score", found)} == {"drive", "trip"}


@pytest.mark.parametrize(
    ("peak", "unit", "shown"),
    [(0.524, "g", "0.52 g"), (5.0, "m/s", "+18 km/h"), (1260.0, "s", "21 min"), (93.4, "deg", "93°")],
)
def test_peaks_are_shown_in_their_own_units(phone, peak, unit, shown):
    (judged,) = [judge_drive(one, DEFAULT) for one in find_drives([phone])]
    console = Console(record=True, width=160, file=io.StringIO())
    show(replace(judged, events=[replace(judged.events[0], peak=peak, peak_unit=unit)]), Units.of(load()), console)
    assert shown in console.export_text()


def test_a_drive_without_a_sample_says_so_and_blames_no_sensor(tmp_path):
    said = " ".join(judge(write(tmp_path / "bare", take_none(drive(Leg(5), start_mps=10)))).split())
    assert "too few samples to judge anything" in said
    assert "by GPS alone" not in said


def take_none(recording):
    return replace(recording, gps=take(recording.gps, slice(0, 0)), imu=take(recording.imu, slice(0, 0)))


def test_a_higher_sensitivity_finds_a_brake_harsh_and_says_that_it_may_have_been_a_near_crash(tmp_path):
    recording = drive(*TOWN, Leg(20), Leg(1.5, -0.52), Leg(10), start_mps=20, noise_g=0.02)
    folder = write(tmp_path / "brake", recording, ImuFrame.VEHICLE)
    labels = {
        level: [e["evidence"]["labels"] for e in of("event", lines(folder, "--sensitivity", level))] for level in LEVELS
    }
    assert labels == {"low": [], "normal": [["harsh_brake", "near_crash"]], "high": [["harsh_brake", "near_crash"]]}


LEVELS = ("low", "normal", "high")
