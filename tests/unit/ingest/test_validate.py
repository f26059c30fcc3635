"""Which samples are taken, and which streams look as if they were in other units."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import orjson
import pytest

from infra.contracts.telemetry import GPS_DTYPES, IMU_DTYPES, GpsSamples, ImuSamples, empty_gps, empty_imu
from ingest.core import units, validate
from ingest.core.normalise import Fault, RawBatch, judge
from ingest.core.validate import MISSING_TIME, TimeWindow

T0 = 1_782_892_800_000_000
WINDOW = TimeWindow(T0 - 1_000_000_000, T0 + 1_000_000_000)
M_PER_DEG = 111_195.0


def imu(rows: int, **columns) -> ImuSamples:
    base = {name: np.zeros(rows, dtype) for name, dtype in IMU_DTYPES.items()}
    base["time_us"] = T0 + 40_000 * np.arange(rows)
    base["accel_z_mps2"] = np.full(rows, 9.8, np.float32)
    return replace(ImuSamples(**base), **{n: np.asarray(v, IMU_DTYPES[n]) for n, v in columns.items()})


def gps(rows: int, speed_mps: float = 15.0, **columns) -> GpsSamples:
    base = {name: np.zeros(rows, dtype) for name, dtype in GPS_DTYPES.items()}
    base["time_us"] = T0 + 1_000_000 * np.arange(rows)
    base["lat"] = 52.5 + np.arange(rows) * 15 / M_PER_DEG
    base["lon"] = np.full(rows, 13.4)
    base["speed_mps"] = np.full(rows, speed_mps, np.float32)
    return replace(GpsSamples(**base), **{n: np.asarray(v, GPS_DTYPES[n]) for n, v in columns.items()})


def reasons(checked) -> list[tuple[str, int, int]]:
    return [(r.reason, r.rows, r.first_index) for r in checked.refused]


def test_good_samples_pass_untouched():
    given = imu(250)
    assert validate.check_imu(given, WINDOW) == validate.Checked(given)
    assert validate.check_imu(empty_imu(), WINDOW).samples.time_us.size == 0


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"accel_x_mps2": [0, np.nan, 0, np.nan]}, [("missing_value", 2, 1)]),
        ({"accel_x_mps2": [0, 0, np.inf, -np.inf]}, [("not_finite", 2, 2)]),
        ({"accel_x_mps2": [400, 0, 400.1, -400.1]}, [("out_of_range", 2, 2)]),
        ({"gyro_x_radps": [np.nan] * 4}, []),
        ({"gyro_x_radps": [0, np.inf, 0, 0]}, [("not_finite", 1, 1)]),
        ({"time_us": [T0, MISSING_TIME, T0 + 1, T0 + 2]}, [("missing_value", 1, 1)]),
        ({"time_us": [T0, T0 + 1, T0 + 2, T0 + 10**12]}, [("too_far_ahead", 1, 3)]),
        ({"time_us": [T0 - 10**12, T0, T0 + 1, T0 + 2]}, [("too_far_behind", 1, 0)]),
        ({"time_us": [T0, T0, T0 + 1, T0 + 1]}, [("repeated_time", 2, 1)]),
        # a bad row does not make a good one of the same time a repetition
        ({"time_us": [T0, T0, T0 + 1, T0 + 2], "accel_x_mps2": [np.nan, 1, 1, 1]}, [("missing_value", 1, 0)]),
        # one word a row: the first that fits
        ({"time_us": [T0, T0 + 1, T0 + 2, T0 + 10**12], "accel_x_mps2": [0, 0, 0, 999]}, [("too_far_ahead", 1, 3)]),
    ],
)
def test_a_bad_row_is_refused_for_one_reason(columns, expected):
    checked = validate.check_imu(imu(4, **columns), WINDOW)
    assert reasons(checked) == expected
    assert len(checked.samples) == 4 - sum(rows for _, rows, _ in expected)


def test_the_first_of_repeated_times_is_kept_and_disorder_is_sorted():
    given = imu(4, time_us=[T0 + 2, T0, T0 + 2, T0 + 1], accel_x_mps2=[1, 2, 3, 4])
    checked = validate.check_imu(given, WINDOW)
    assert checked.samples.accel_x_mps2.tolist() == [2, 4, 1]
    assert (reasons(checked), checked.reordered) == ([("repeated_time", 1, 2)], 2)


def test_the_example_is_the_row_as_json_with_null_for_nan():
    checked = validate.check_imu(imu(2, accel_x_mps2=[np.nan, 1]), WINDOW)
    example = orjson.loads(checked.refused[0].example)
    assert (example["time_us"], example["accel_x_mps2"]) == (T0, None)


NOISE = np.random.default_rng(5)


@pytest.mark.parametrize(
    ("name", "axes", "suspected"),
    [
        ("parked, in g, flat", (0, 0, 1), True),
        ("parked, in g, at an angle", (0.6, 0, 0.8), True),
        ("parked, m/s²", (0, 0, 9.8), False),
        ("parked, m/s² without gravity", (0, 0, 0), False),
    ],
)
def test_accelerations_in_g_are_told_by_their_norm(name, axes, suspected):
    noisy = [mean + NOISE.normal(0, 0.03, 250) for mean in axes]
    columns = dict(zip(("accel_x_mps2", "accel_y_mps2", "accel_z_mps2"), noisy, strict=True))
    found = units.suspect_imu(imu(250, **columns))
    assert (found is not None) == suspected, name


def test_a_lively_drive_without_gravity_is_not_taken_for_g():
    for sigma in (0.3, 0.58, 0.63, 0.8, 1.2):
        columns = {f"accel_{axis}_mps2": NOISE.normal(0, sigma, 250) for axis in "xyz"}
        assert units.suspect_imu(imu(250, **columns)) is None


def test_a_few_rows_are_no_evidence_of_g():
    assert units.suspect_imu(imu(40, accel_z_mps2=np.ones(40))) is None


@pytest.mark.parametrize(
    ("name", "samples", "word"),
    [
        ("m/s", gps(10), None),
        ("km/h", gps(10, 15 * 3.6), "km/h"),
        ("mph", gps(10, 15 * 2.237), "mph"),
        ("too few pairs", gps(5, 54.0), None),
        ("standing", gps(10, 54.0, lat=np.full(10, 52.5)), None),
        ("speed not known", gps(10, np.nan), None),
        ("one wild fix", gps(10, lat=52.5 + np.array([0, 15, 30, 45, 60, 999, 90, 105, 120, 135]) / M_PER_DEG), None),
    ],
)
def test_speeds_are_held_against_positions(name, samples, word):
    found = units.suspect_gps(samples)
    assert (found is None) if word is None else (found is not None and word in found.hint), name


def test_exchanged_latitude_and_longitude_are_seen_where_no_latitude_can_be():
    assert units.suspect_swapped(np.array([151.2, 151.3]), np.array([-33.8, -33.9])) is not None
    assert units.suspect_swapped(np.array([151.2, 50.0]), np.array([-33.8, 8.0])) is None
    assert units.suspect_swapped(np.array([]), np.array([])) is None


def test_a_fault_in_one_stream_refuses_the_batch_and_says_what_became_of_the_other():
    fault = Fault("imu", "accel_x_mps2", validate.WRONG_LENGTH, "2 values beside 3 times", 3)
    judged = judge(RawBatch("b", 0, None, "vehicle", gps=gps(10), faults=[fault]), WINDOW)
    assert [(r.stream, r.reason, r.rows) for r in judged.refused] == [
        ("imu", "wrong_length", 3),
        ("gps", "batch_refused", 10),
    ]
    assert (judged.rows, judged.fault) == (0, fault)


def test_an_empty_batch_is_nothing_to_refuse():
    judged = judge(RawBatch("b", 0, None, "vehicle", empty_gps(), empty_imu()), WINDOW)
    assert (judged.rows, judged.refused, judged.fault) == (0, (), None)


@pytest.mark.parametrize(
    ("sent_ms", "unit"),
    [(1_795_244_400, "seconds"), (1_795_244_400_000_000, "microseconds"), (1_795_244_400_000, None), (0, None)],
)
def test_times_in_another_unit_than_milliseconds_are_named(sent_ms: int, unit: str | None) -> None:
    found = units.suspect_times(np.array([sent_ms, sent_ms + 1]) * 1000)
    assert (found is None) if unit is None else (found is not None and f"in {unit}:" in found.hint)
