"""The bytes on the bus: round trips, old payloads that decode for ever, and garbage that never does harm."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.contracts import arrow_form, codec
from infra.contracts.codec import DecodeError
from infra.contracts.frames import Camera, Frame
from infra.contracts.observations import OBSERVATION_DTYPES, ObservationBatch, ObservationSamples
from infra.contracts.telemetry import (
    GPS_DTYPES,
    IMU_DTYPES,
    UNKNOWN,
    GpsSamples,
    ImuFrame,
    ImuSamples,
    Rejection,
    TelemetryBatch,
    VehicleClass,
    empty_gps,
    empty_imu,
)

PAYLOADS = Path(__file__).parent / "payloads"
T0 = 1_782_892_800_000_000


def _column(values, dtype):
    return np.array(values, dtype)


TELEMETRY = TelemetryBatch(
    vehicle_id="van-7",
    device_id="van-7-device",
    boot_id="2026-07-01-a",
    sequence=12,
    driver_id="änna",
    vehicle_class=VehicleClass.LIGHT_DUTY,
    imu_frame=ImuFrame.VEHICLE,
    received_us=T0 + 5_000_000,
    gps=GpsSamples(
        time_us=_column([T0, T0 + 1_000_000], "i8"),
        lat=_column([52.52, 52.5201], "f8"),
        lon=_column([13.405, -13.4051], "f8"),
        speed_mps=_column([11.25, np.nan], "f4"),
        heading_deg=_column([0, 359.5], "f4"),
        accuracy_m=_column([4, 5], "f4"),
        speed_limit_mps=_column([13.875, np.nan], "f4"),
        odometer_m=_column([120345.5, 120356.7], "f8"),
        ignition=_column([1, UNKNOWN], "i1"),
        belt_buckled=_column([0, 1], "i1"),
    ),
    imu=ImuSamples(
        time_us=_column([T0, T0 + 40_000, T0 + 80_001], "i8"),
        accel_x_mps2=_column([0.5, -0.25, 0.125], "f4"),
        accel_y_mps2=_column([0, 1, 2], "f4"),
        accel_z_mps2=_column([9.75, 9.8, 9.875], "f4"),
        gyro_x_radps=_column([0, 0.5, np.nan], "f4"),
        gyro_y_radps=_column([0, 0.25, 1], "f4"),
        gyro_z_radps=_column([0, 0, -1], "f4"),
    ),
    rejected=(Rejection("imu", "not_finite", 2, '{"accel_x_mps2":null}'),),
)
FRAME = Frame(
    vehicle_id="van-7",
    device_id="van-7-device",
    boot_id="b",
    sequence=3,
    driver_id=None,
    camera=Camera.DRIVER,
    time_us=T0,
    speed_mps=12.3,
    received_us=T0 + 1,
    jpeg=b"\xff\xd8 not a picture \xff\xd9",
)
_SEEN = {name: _column([0.25, np.nan], dtype) for name, dtype in OBSERVATION_DTYPES.items() if dtype.kind == "f"}
OBSERVATIONS = ObservationBatch(
    vehicle_id="van-7",
    device_id="van-7-device",
    boot_id="b",
    sequence=4,
    driver_id="änna",
    received_us=T0 + 1,
    samples=ObservationSamples(
        time_us=_column([T0, T0 + 200_000], "i8"),
        face_found=_column([1, 0], "i1"),
        belt_buckled=_column([1, UNKNOWN], "i1"),
        **_SEEN,
    ),
    rejected=(Rejection("observations", "out_of_range", 1, '{"yawn":7}'),),
)


def same_samples(one, other) -> None:
    for f in fields(one):
        left, right = getattr(one, f.name), getattr(other, f.name)
        assert left.dtype == right.dtype, f.name
        np.testing.assert_array_equal(left, right, err_msg=f.name)


def same_batch(one: TelemetryBatch | ObservationBatch, other: TelemetryBatch | ObservationBatch) -> None:
    assert type(one) is type(other)
    streams = [f.name for f in fields(one) if f.name in ("gps", "imu", "samples")]
    for stream in streams:
        same_samples(getattr(one, stream), getattr(other, stream))
    rest = [f.name for f in fields(one) if f.name not in streams]
    assert [getattr(one, n) for n in rest] == [getattr(other, n) for n in rest]


def _with_header(payload: bytes, change) -> bytes:
    size = int.from_bytes(payload[:8], "little")
    header = orjson.loads(payload[8 : 8 + size])
    change(header)
    written = orjson.dumps(header)
    return len(written).to_bytes(8, "little") + written + payload[8 + size :]


def test_a_batch_comes_back_as_it_was():
    same_batch(codec.decode(codec.encode(TELEMETRY)), TELEMETRY)


def test_a_batch_without_samples_comes_back():
    empty = replace(TELEMETRY, gps=empty_gps(), imu=empty_imu(), driver_id=None, rejected=())
    same_batch(codec.decode(codec.encode(empty)), empty)


def test_observations_come_back_as_they_were():
    same_batch(codec.decode(codec.encode(OBSERVATIONS)), OBSERVATIONS)


def test_a_frame_comes_back_as_it_was():
    assert codec.decode(codec.encode(FRAME)) == FRAME
    assert codec.decode(codec.encode(replace(FRAME, speed_mps=None, driver_id="d"))).speed_mps is None
    for switch in (True, False):
        assert codec.decode(codec.encode(replace(FRAME, belt_switch=switch))).belt_switch is switch
    refused = replace(FRAME, jpeg=b"", rejected="not_jpeg")
    assert codec.decode(codec.encode(refused)) == refused


def test_arrays_are_aligned_views_of_the_message():
    for rows in (1, 3, 7):
        gps = GpsSamples(**{n: np.zeros(rows, t) for n, t in GPS_DTYPES.items()})
        batch = codec.decode(codec.encode(replace(TELEMETRY, gps=gps)))
        columns = [getattr(s, f.name) for s in (batch.gps, batch.imu) for f in fields(s)]
        assert all(c.flags.aligned and not c.flags.owndata for c in columns)


def test_slices_with_a_step_are_written_right():
    imu = ImuSamples(**{n: np.arange(10, dtype=t)[::2] for n, t in IMU_DTYPES.items()})
    same_samples(codec.decode(codec.encode(replace(TELEMETRY, imu=imu))).imu, imu)


def test_telemetry_of_version_1_decodes_for_ever():
    same_batch(codec.decode((PAYLOADS / "telemetry_1.bin").read_bytes()), TELEMETRY)


def test_observations_of_version_1_decode_for_ever_and_what_came_later_is_unknown():
    unknown = _column([np.nan, np.nan], "f8")
    samples = replace(OBSERVATIONS.samples, occlusion=unknown, glare=unknown)
    same_batch(codec.decode((PAYLOADS / "observations_1.bin").read_bytes()), replace(OBSERVATIONS, samples=samples))


def test_unknown_columns_are_passed_over_and_missing_optional_ones_are_unknown():
    batch = codec.decode((PAYLOADS / "telemetry_1_other_columns.bin").read_bytes())
    assert batch.driver_id is None
    assert batch.rejected == ()
    assert list(batch.gps.ignition) == [UNKNOWN, UNKNOWN]
    assert np.isnan(batch.gps.odometer_m).all()
    assert np.isnan(batch.imu.gyro_z_radps).all()
    np.testing.assert_array_equal(batch.gps.lat, TELEMETRY.gps.lat)
    np.testing.assert_array_equal(batch.imu.accel_x_mps2, TELEMETRY.imu.accel_x_mps2)


def test_a_frame_and_a_tick_of_version_1_decode_for_ever():
    assert codec.decode((PAYLOADS / "frame_1.bin").read_bytes()) == FRAME
    assert codec.decode_tick((PAYLOADS / "tick_1.bin").read_bytes()) == 1_782_892_800_123_456


def test_columns_of_another_width_are_converted():
    def shrink(header):
        header["imu_accel_x_mps2"] = header["gps_lat"] | {"shape": [2]}
        for name in [n for n in header if n.startswith("imu_") and n != "imu_accel_x_mps2"]:
            header.pop(name)
        header["imu_time_us"] = header["gps_time_us"]

    batch = codec.decode(_with_header(codec.encode(TELEMETRY), shrink))
    np.testing.assert_array_equal(batch.imu.accel_x_mps2, TELEMETRY.gps.lat.astype("f4"))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda h: h.pop("__metadata__"), "malformed"),
        (lambda h: h["__metadata__"].update(rumblestrip="telemetry/2"), "newer_version"),
        (lambda h: h["__metadata__"].update(rumblestrip="telemetry/x"), "newer_version"),
        (lambda h: h["__metadata__"].update(rumblestrip="poem/1"), "unknown_kind"),
        (lambda h: h["__metadata__"].update(vehicle_id=""), "malformed"),
        (lambda h: h["__metadata__"].update(sequence="many"), "malformed"),
        (lambda h: h["__metadata__"].update(vehicle_class="tank"), "malformed"),
        (lambda h: h["gps_lat"].update(data_offsets=[0, 10**9]), "malformed"),
        (lambda h: h["gps_lat"].update(data_offsets=[8, 0]), "malformed"),
        (lambda h: h["gps_lat"].update(data_offsets=[0, 7]), "malformed"),
        (lambda h: h["gps_lat"].update(data_offsets=[0, 8]), "malformed"),
        (lambda h: h["gps_lat"].update(dtype="BF16"), "malformed"),
        (lambda h: h.update(gps_lat=None), "malformed"),
    ],
)
def test_a_broken_message_says_why(change, reason):
    with pytest.raises(DecodeError) as caught:
        codec.decode(_with_header(codec.encode(TELEMETRY), change))
    assert caught.value.reason == reason


def test_a_message_is_no_tick_and_a_tick_no_message():
    with pytest.raises(DecodeError):
        codec.decode_tick(codec.encode(TELEMETRY))
    with pytest.raises(DecodeError):
        codec.decode(codec.encode_tick(T0))


@pytest.mark.parametrize("cut", [0, 1, 8, 9, 100, 1600])
def test_a_message_cut_short_is_refused(cut):
    with pytest.raises(DecodeError):
        codec.decode(codec.encode(TELEMETRY)[:cut])


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200) | st.binary(max_size=60).map(lambda b: len(b).to_bytes(8, "little") + b))
def test_garbage_is_a_decode_error_and_nothing_else(payload):
    with pytest.raises(DecodeError):
        codec.decode(payload)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 1500), st.integers(0, 255))
def test_one_changed_byte_is_read_or_refused(at, byte):
    payload = bytearray(codec.encode(TELEMETRY))
    payload[at % len(payload)] = byte
    try:
        message = codec.decode(bytes(payload))
    except DecodeError:
        return
    assert isinstance(message, TelemetryBatch)


def test_the_arrow_form_holds_every_sample():
    (batch,) = arrow_form.read_stream(arrow_form.write_batches([TELEMETRY, TELEMETRY]))
    assert batch.num_rows == 2
    for name in GPS_DTYPES:
        values = batch.column(f"gps_{name}")[1].values.to_numpy(zero_copy_only=False)
        np.testing.assert_array_equal(values, getattr(TELEMETRY.gps, name))
