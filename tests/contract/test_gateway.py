"""Every answer of the gateway, and what is on the bus after it."""

from __future__ import annotations

import asyncio
import copy
import gzip
import json
import re

import anyio
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra.bus.port import BusUnavailable, MessageTooLarge
from infra.contracts import arrow_form
from ingest import auth, door, examples
from tests.contract.gateway import IDENTITY, METRICS_TOKEN, NOW_US, TOKEN, House, jpeg
from tests.contract.test_codec import TELEMETRY, same_samples

JSON = {"Content-Type": "application/json"}
ARROW = {"Content-Type": arrow_form.MEDIA_TYPE}
JPEG = {"Content-Type": "image/jpeg"}
META = {"camera": "driver", "time_ms": NOW_US // 1000, "sequence": 0, "boot_id": "b"}
BODY = json.dumps(examples.TELEMETRY_BODY).encode()


def changed(**parts) -> dict:
    """The example, with parts of it replaced; a dict goes into its stream."""
    body = copy.deepcopy(examples.TELEMETRY_BODY)
    for name, value in parts.items():
        body[name] = body[name] | value if isinstance(value, dict) and name in body else value
    return body


def send(house, path, *, token=TOKEN, method="POST", **request):
    async def ask():
        async with house.client(token) as client:
            return await client.request(method, path, **request)

    return asyncio.run(ask())


def post(house, body, **request):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return send(house, "/v1/telemetry", content=content, headers=JSON | request.pop("headers", {}), **request)


def zstd(data: bytes) -> bytes:
    return pa.Codec("zstd").compress(data, asbytes=True)


def is_problem(response, status, reason, field=None):
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    told = response.json()
    assert told["status"] == status
    assert told["type"].endswith(reason)
    assert {"title", "detail"} <= set(told)
    assert (told["reason"], told.get("field")) == (reason, field)
    return told


# --- telemetry that is taken ------------------------------------------------------------------------------------


def test_the_example_of_the_documentation_is_taken():
    house = House()
    response = post(house, examples.TELEMETRY_BODY)
    assert (response.status_code, response.json()["accepted"]) == (202, {"gps": 2, "imu": 3})
    (message,) = house.published()
    assert (message.vehicle_id, message.device_id) == (IDENTITY.vehicle_id, IDENTITY.device_id)
    assert (message.vehicle_class, message.received_us) == (IDENTITY.vehicle_class, NOW_US)
    assert (message.boot_id, message.sequence, message.driver_id) == ("2026-07-01-a", 12, "anna")
    assert message.gps.time_us.tolist() == [1_782_892_800_000_000, 1_782_892_801_000_000]
    assert message.gps.ignition.tolist() == [1, 1]
    assert message.gps.belt_buckled.tolist() == [1, -1]
    assert np.isnan(message.gps.accuracy_m[1])
    assert message.imu.accel_z_mps2.tolist() == pytest.approx([9.8, 9.79, 9.82])


def test_arrow_brings_every_value_unchanged():
    house = House()
    body = arrow_form.write_batches([TELEMETRY])
    response = send(house, "/v1/telemetry", content=body, headers=ARROW)
    assert response.json()["accepted"] == {"gps": 2, "imu": 3}
    same_samples(house.published()[0].gps, TELEMETRY.gps)
    same_samples(house.published()[0].imu, TELEMETRY.imu)


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("zstd", zstd), ("identity", bytes)])
@pytest.mark.parametrize("form", ["json", "arrow"])
def test_each_form_comes_in_each_encoding(form, encoding, pack):
    house = House()
    plain = BODY if form == "json" else arrow_form.write_batches([TELEMETRY])
    headers = (JSON if form == "json" else ARROW) | {"Content-Encoding": encoding}
    response = send(house, "/v1/telemetry", content=pack(plain), headers=headers)
    assert response.json()["accepted"] == {"gps": 2, "imu": 3}


def test_a_gzip_body_of_several_members_is_read_whole():
    body = gzip.compress(BODY[:100]) + gzip.compress(BODY[100:])
    assert post(House(), body, headers={"Content-Encoding": "gzip"}).status_code == 202


def test_several_batches_come_in_one_request():
    house = House()
    batches = [changed(sequence=n) for n in range(3)]
    assert post(house, {"batches": batches}).json()["accepted"] == {"gps": 6, "imu": 9}
    assert [m.sequence for m in house.published()] == [0, 1, 2]
    body = arrow_form.write_batches([TELEMETRY, TELEMETRY])
    assert send(house, "/v1/telemetry", content=body, headers=ARROW).json()["accepted"] == {"gps": 4, "imu": 6}


@pytest.mark.parametrize(
    ("times", "expected_us"),
    [
        ([1782892800000.25, 1782892801000], [1_782_892_800_000_250, 1_782_892_801_000_000]),
        (["2026-07-01T10:00:00.000250+02:00", "2026-07-01T08:00:01Z"], [1_782_892_800_000_250, 1_782_892_801_000_000]),
    ],
)
def test_times_are_fractional_milliseconds_or_iso_8601(times, expected_us):
    house = House()
    assert post(house, changed(gps={"time_ms": times})).status_code == 202
    assert house.published()[0].gps.time_us.tolist() == expected_us


def test_unknown_fields_are_passed_over_and_optional_columns_may_be_left_out():
    gps = {"time_ms": [1782892800000], "lat": [52.5], "lon": [13.4], "altitude_m": [34]}
    body = {"boot_id": "b", "sequence": 0, "firmware": "1.2", "gps": gps}
    house = House()
    assert post(house, body).json()["accepted"] == {"gps": 1, "imu": 0}
    assert np.isnan(house.published()[0].gps.speed_mps[0])


def test_a_heartbeat_without_samples_keeps_the_sequence():
    house = House()
    assert post(house, {"boot_id": "b", "sequence": 3}).status_code == 202
    assert house.published()[0].sequence == 3


def test_what_phones_and_receivers_say_for_unknown_is_unknown():
    gps = {"speed_mps": [-1, 5], "heading_deg": [-1, 360], "accuracy_m": [-1, 3], "speed_limit_mps": [0, 13.9]}
    house = House()
    assert post(house, changed(gps=gps)).json()["accepted"]["gps"] == 2
    read = house.published()[0].gps
    assert np.isnan([read.speed_mps[0], read.heading_deg[0], read.accuracy_m[0], read.speed_limit_mps[0]]).all()
    assert read.heading_deg[1] == 0


# --- rows that are not taken ------------------------------------------------------------------------------------

NOW_MS = NOW_US // 1000


@pytest.mark.parametrize(
    ("stream", "columns", "reason"),
    [
        ("gps", {"lat": [None, 52.5]}, "missing_value"),
        ("gps", {"time_ms": [None, 1782892801000]}, "missing_value"),
        ("imu", {"accel_y_mps2": [0, None, 0]}, "missing_value"),
        ("gps", {"lat": [90.1, 52.5]}, "out_of_range"),
        ("gps", {"lon": [-180.1, 13.4]}, "out_of_range"),
        ("gps", {"speed_mps": [141, 10]}, "out_of_range"),
        ("gps", {"heading_deg": [361, 10]}, "out_of_range"),
        ("gps", {"ignition": [7, True]}, "out_of_range"),
        ("gps", {"lat": [0, 52.5], "lon": [0, 13.4]}, "no_fix"),
        ("imu", {"accel_x_mps2": [0, 401, 0]}, "out_of_range"),
        ("imu", {"gyro_x_radps": [0, -80, 0]}, "out_of_range"),
        ("imu", {"accel_x_mps2": [0, 1e300, 0]}, "not_finite"),
        ("gps", {"time_ms": [NOW_MS + 86_400_001, 1782892801000]}, "too_far_ahead"),
        ("gps", {"time_ms": [NOW_MS - 366 * 86_400_000 - 1, 1782892801000]}, "too_far_behind"),
        ("gps", {"time_ms": [1782892800000, 1782892800000]}, "repeated_time"),
        ("gps", {"time_ms": [1e300, 1782892801000]}, "missing_value"),
    ],
)
def test_a_bad_row_is_left_out_named_and_travels_as_a_refusal(stream, columns, reason):
    house = House()
    response = post(house, changed(**{stream: columns}))
    assert response.status_code == 202, response.text
    (refused,) = response.json()["rejected"]
    assert (refused["stream"], refused["reason"], refused["rows"]) == (stream, reason, 1)
    (message,) = house.published()
    assert [(r.stream, r.reason, r.rows) for r in message.rejected] == [(stream, reason, 1)]
    assert len(message.gps) + len(message.imu) == 4
    assert "time_us" in message.rejected[0].example


def test_rows_in_disorder_are_sorted_and_counted():
    house = House()
    response = post(house, changed(imu={"time_ms": [1782892800080, 1782892800000, 1782892800040]}))
    assert (response.json()["reordered"], response.json()["rejected"]) == (1, [])
    assert house.published()[0].imu.accel_x_mps2.tolist() == pytest.approx([0.12, 0.09, 0.1])


def test_a_batch_without_a_good_row_is_refused_and_still_keeps_the_sequence():
    house = House()
    body = {"boot_id": "b", "sequence": 5, "gps": {"time_ms": [NOW_MS, NOW_MS], "lat": [99, 98], "lon": [1, 100]}}
    is_problem(post(house, body), 422, "out_of_range", "gps")
    (message,) = house.published()
    assert (message.sequence, len(message.gps), message.rejected[0].rows) == (5, 0, 2)


# --- batches that are refused -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "reason", "field"),
    [
        (changed(imu={"accel_x_mps2": [1, 2]}), "wrong_length", "imu.accel_x_mps2"),
        (changed(gps={"lat": ["52", 52.5]}), "wrong_type", "gps.lat"),
        (changed(gps={"lat": 52.5}), "wrong_type", "gps.lat"),
        (changed(gps={"lat": [[52.5], [52.5]]}), "wrong_type", "gps.lat"),
        (changed(gps={"ignition": ["on", "off"]}), "wrong_type", "gps.ignition"),
        (changed(gps={"time_ms": ["2026-07-01T10:00:00", "2026-07-01T10:00:01"]}), "wrong_type", "gps.time_ms"),
        (changed(gps={"time_ms": [True, 1782892801000]}), "wrong_type", "gps.time_ms"),
        (changed(gps=None) | {"gps": {"time_ms": [NOW_MS]}}, "wrong_length", "gps.lat"),
        (changed(gps={"lat": [120, 121], "lon": [52, 53]}), "units_suspected", "gps.lat"),
        (changed(gps=7), "wrong_type", "gps"),
        (changed(boot_id=None), "wrong_type", "boot_id"),
        (changed(boot_id="a\u0000b"), "wrong_type", "boot_id"),
        (changed(boot_id="b" * 200), "wrong_type", "boot_id"),
        (changed(sequence=-1), "wrong_type", "sequence"),
        (changed(sequence=1.5), "wrong_type", "sequence"),
        (changed(sequence=True), "wrong_type", "sequence"),
        (changed(driver_id=7), "wrong_type", "driver_id"),
        (changed(imu_frame="moon"), "unknown_word", "imu_frame"),
        (changed(version=2), "unknown_version", "version"),
        ({"batches": []}, "no_batch", "batches"),
        ({"batches": 3}, "wrong_type", "batches"),
        ([1, 2], "wrong_type", "batches"),
    ],
)
def test_a_mistake_in_the_form_is_422_and_names_the_field(body, reason, field):
    is_problem(post(House(), body), 422, reason, field)


def steady(values):
    times = [NOW_MS - 10_000 + 40 * n for n in range(len(values[0]))]
    unknown = {f"gyro_{axis}_radps": [None] * len(times) for axis in "xyz"}
    return (
        {"time_ms": times} | unknown | dict(zip(("accel_x_mps2", "accel_y_mps2", "accel_z_mps2"), values, strict=True))
    )


def test_accelerations_in_g_are_refused_with_what_to_do():
    rng = np.random.default_rng(3)
    parked = [rng.normal(mean, 0.02, 250).tolist() for mean in (0, 0, 1)]
    house = House()
    told = is_problem(post(house, changed(imu=steady(parked))), 422, "units_suspected", "imu.accel_x_mps2")
    assert "multiply by 9.80665" in told["detail"]
    assert {(r.stream, r.reason) for r in house.published()[0].rejected} == {
        ("imu", "units_suspected"),
        ("gps", "batch_refused"),
    }


def test_accelerations_without_gravity_are_not_taken_for_g():
    rng = np.random.default_rng(3)
    driving = [rng.normal(0, 0.6, 250).tolist() for _ in range(3)]
    assert post(House(), changed(imu=steady(driving))).status_code == 202


@pytest.mark.parametrize(("factor", "word"), [(3.6, "km/h"), (2.237, "mph")])
def test_speeds_in_another_unit_are_refused_with_what_to_do(factor, word):
    north = 52.5 + np.arange(10) * 15 / 111_195
    gps = {
        "time_ms": [NOW_MS - 10_000 + 1000 * n for n in range(10)],
        "lat": north.tolist(),
        "lon": [13.4] * 10,
        "speed_mps": [15 * factor] * 10,
    }
    body = {"boot_id": "b", "sequence": 0, "gps": gps}
    told = is_problem(post(House(), body), 422, "units_suspected", "gps.speed_mps")
    assert word in told["detail"]
    gps["speed_mps"] = [15.0] * 10
    assert post(House(), body).status_code == 202


@pytest.mark.parametrize("content", [b"", b"{", b"nonsense", b'{"a": NaN}', b"\xff\xfe"])
def test_what_is_not_json_is_400(content):
    is_problem(post(House(), content), 400, "not_json")


@pytest.mark.parametrize("content", [b"", b"nonsense" * 9, b"\xff\xff\xff\xff\xff\xff\xff\x7f"])
def test_what_is_not_arrow_is_400_or_422(content):
    response = send(House(), "/v1/telemetry", content=content, headers=ARROW)
    assert response.status_code in (400, 422), response.text


@pytest.mark.parametrize(
    ("columns", "status", "field"),
    [
        ({"gps_lat": pa.array([1.0])}, 422, "gps_lat"),
        ({"gps_lat": pa.array([["x", "y"]])}, 422, "gps.lat"),
        ({"gps_lat": pa.array([[1.0]])}, 422, "gps.lat"),
        ({"sequence": pa.array([None], pa.int64())}, 422, "sequence"),
        ({"vehicle_id": pa.array(["another"])}, 403, "vehicle_id"),
    ],
)
def test_arrow_columns_of_another_shape_are_named(columns, status, field):
    base = {
        "boot_id": pa.array(["b"]),
        "sequence": pa.array([0]),
        "gps_time_us": pa.array([[NOW_US, NOW_US + 1]]),
        "gps_lat": pa.array([[52.0, 52.1]]),
        "gps_lon": pa.array([[13.0, 13.1]]),
    }
    table = pa.table(base | columns)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    response = send(House(), "/v1/telemetry", content=sink.getvalue().to_pybytes(), headers=ARROW)
    assert (response.status_code, response.json()["field"]) == (status, field)


def test_arrow_that_hides_a_bomb_in_its_buffers_is_400():
    table = pa.table({"boot_id": ["b"], "sequence": [0], "gps_time_us": [[0] * 3_000_000]})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table)
    response = send(House(), "/v1/telemetry", content=sink.getvalue().to_pybytes(), headers=ARROW)
    assert "compressed" in is_problem(response, 400, "not_arrow")["detail"]


def test_nulls_in_arrow_columns_are_unknown_or_missing():
    table = pa.table(
        {
            "boot_id": ["b"],
            "sequence": [0],
            "gps_time_us": [[NOW_US, None, NOW_US + 2]],
            "gps_lat": [[52.0, 52.1, None]],
            "gps_lon": [[13.0, 13.1, 13.2]],
            "gps_speed_mps": pa.array([[None, 1, 2]], pa.list_(pa.int64())),
            "gps_ignition": pa.array([[True, None, False]]),
        }
    )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    house = House()
    response = send(house, "/v1/telemetry", content=sink.getvalue().to_pybytes(), headers=ARROW)
    assert response.json()["accepted"]["gps"] == 1, response.text
    (message,) = house.published()
    assert (np.isnan(message.gps.speed_mps[0]), message.gps.ignition[0]) == (True, 1)


# --- who is asking ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/v1/telemetry", "/v1/frames"])
@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (None, "no_token"),
        ("Basic abc", "no_token"),
        ("Bearer", "unknown_token"),
        ("Bearer nonsense", "unknown_token"),
        ("Bearer rs_" + "b" * 43, "unknown_token"),
    ],
)
def test_no_token_or_an_unknown_one_is_401(path, header, reason):
    headers = {"Authorization": header} if header else {}
    response = send(House(), path, token=None, content=b"x" * 10, headers=headers)
    is_problem(response, 401, reason, "Authorization")
    assert response.headers["www-authenticate"] == "Bearer"


def test_a_body_that_names_another_vehicle_is_403():
    told = is_problem(post(House(), changed(vehicle_id="van-8")), 403, "not_yours", "vehicle_id")
    assert "van-7" in told["detail"]
    assert post(House(), changed(vehicle_id="van-7", device_id="van-7-device")).status_code == 202


def test_tokens_are_remembered_and_a_revocation_is_noticed_in_time():
    house = House()
    assert [post(house, BODY).status_code for _ in range(3)] == [202] * 3
    assert len(house.lookup.asked) == 1
    house.lookup.known.clear()
    house.clock.value += auth.FRESH_US
    is_problem(post(house, BODY), 401, "unknown_token", "Authorization")


def test_unknown_tokens_share_queries():
    house = House()

    async def burst():
        async with house.client() as client:
            asked = [client.post("/v1/telemetry", headers={"Authorization": f"Bearer rs_{n:043d}"}) for n in range(200)]
            return await asyncio.gather(*asked)

    assert {r.status_code for r in asyncio.run(burst())} == {401}
    assert len(house.lookup.asked) <= 20


def test_without_the_registry_known_devices_go_on_and_others_wait():
    house = House()
    assert post(house, BODY).status_code == 202
    house.lookup.away = True
    house.clock.value += auth.FRESH_US
    assert post(house, BODY).status_code == 202
    stranger = post(house, BODY, token="rs_" + "c" * 43)
    is_problem(stranger, 503, "registry_away")
    assert int(stranger.headers["retry-after"]) > 0
    house.clock.value += auth.GRACE_US
    is_problem(post(house, BODY), 503, "registry_away")


def test_too_many_requests_of_a_device_are_429_until_the_minute_ends():
    house = House(requests_per_minute=2)
    assert [post(house, BODY).status_code for _ in range(2)] == [202, 202]
    response = post(house, BODY)
    is_problem(response, 429, "too_many_requests")
    wait_s = int(response.headers["retry-after"])
    assert 1 <= wait_s <= 61
    house.clock.value += wait_s * 1_000_000
    assert post(house, BODY).status_code == 202


# --- bounds -----------------------------------------------------------------------------------------------------


def test_a_body_that_is_announced_too_large_is_413_unread():
    is_problem(post(House(max_body_bytes=1000), b"x" * 1001), 413, "too_large")


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("zstd", zstd)])
def test_a_bomb_is_413_and_never_unpacked_whole(encoding, pack):
    bomb = pack(b"0" * 20_000_000)
    house = House(max_decoded_bytes=1_000_000)
    is_problem(post(house, bomb, headers={"Content-Encoding": encoding}), 413, "too_large_decompressed")


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("zstd", zstd)])
@pytest.mark.parametrize("spoil", [lambda b: b[:-9], lambda b: b"nonsense", lambda b: b[:20] + b"\x00" + b[21:]])
def test_broken_compression_is_400(encoding, pack, spoil):
    body = spoil(pack(BODY))
    assert post(House(), body, headers={"Content-Encoding": encoding}).status_code == 400


def test_too_many_rows_are_413():
    is_problem(post(House(max_batch_rows=4), BODY), 413, "too_many_rows")
    body = arrow_form.write_batches([TELEMETRY])
    response = send(House(max_batch_rows=4), "/v1/telemetry", content=body, headers=ARROW)
    is_problem(response, 413, "too_many_rows")


def test_too_many_batches_are_413():
    is_problem(post(House(), {"batches": [{}] * 1001}), 413, "too_many_batches", "batches")


def test_other_media_types_and_encodings_are_415():
    response = send(House(), "/v1/telemetry", content=BODY, headers={"Content-Type": "text/csv"})
    is_problem(response, 415, "unknown_media_type", "Content-Type")
    is_problem(post(House(), BODY, headers={"Content-Encoding": "br"}), 415, "unknown_encoding", "Content-Encoding")


# --- frames -----------------------------------------------------------------------------------------------------


def post_frame(house, still, **meta):
    return send(house, "/v1/frames", content=still, headers=JPEG, params=META | meta)


def post_frames(house, metas, stills):
    files = [("files", (f"{n}.jpg", still, "image/jpeg")) for n, still in enumerate(stills)]
    return send(house, "/v1/frames", data={"meta": json.dumps(metas)}, files=files)


def test_a_frame_is_published_as_it_came():
    house = House()
    assert post_frame(house, jpeg(), speed_mps=12.5, driver_id="anna").json() == examples.FRAMES_ANSWER
    (frame,) = house.published("frames")
    assert (frame.camera, frame.time_us, frame.sequence, frame.speed_mps) == ("driver", NOW_US, 0, 12.5)
    assert (frame.jpeg, frame.driver_id, frame.received_us) == (jpeg(), "anna", NOW_US)


@pytest.mark.parametrize(("sent", "switch"), [(True, True), (0, False), (None, None)])
def test_a_frame_may_say_whether_the_belt_is_buckled(sent, switch):
    house = House()
    assert post_frames(house, [META | {"belt_buckled": sent}], [jpeg()]).status_code == 202
    assert post_frame(house, jpeg(), sequence=1, **({} if sent is None else {"belt_buckled": sent})).status_code == 202
    assert [frame.belt_switch for frame in house.published("frames")] == [switch, switch]
    assert post_frame(house, jpeg(), sequence=2, belt_buckled="maybe").json()["field"] == "belt_buckled"


def test_frames_that_cannot_be_used_are_left_out_and_named():
    house = House()
    metas = [META | {"sequence": n} for n in range(4)]
    response = post_frames(house, metas, [jpeg(), jpeg()[:-40], jpeg(kind="PNG"), jpeg()])
    assert (response.status_code, response.json()["accepted"]) == (202, 2)
    assert [(r["index"], r["reason"]) for r in response.json()["rejected"]] == [(1, "truncated"), (2, "not_jpeg")]
    assert [(f.sequence, f.rejected) for f in house.published("frames")] == [
        (0, None),
        (1, "truncated"),
        (2, "not_jpeg"),
        (3, None),
    ], "no hole, or the last would be held back for the late window"


@pytest.mark.parametrize(
    ("still", "meta", "status", "reason", "field"),
    [
        (b"", {}, 422, "empty", "files"),
        (jpeg(kind="PNG"), {}, 415, "not_jpeg", "files"),
        (jpeg(kind="GIF"), {}, 415, "not_jpeg", "files"),
        (b"nonsense", {}, 415, "not_jpeg", "files"),
        (b"\xff\xd8nonsense", {}, 422, "broken_image", "files"),
        (jpeg()[:-30], {}, 422, "truncated", "files"),
        (jpeg(2000, 2200), {}, 413, "too_many_pixels", "files"),
        (jpeg(), {"camera": "roof"}, 422, "unknown_word", "camera"),
        (jpeg(), {"sequence": "x"}, 422, "wrong_type", "sequence"),
        (jpeg(), {"sequence": -1}, 422, "wrong_type", "sequence"),
        (jpeg(), {"boot_id": ""}, 422, "wrong_type", "boot_id"),
        (jpeg(), {"time_ms": "soon"}, 422, "wrong_type", "time_ms"),
        (jpeg(), {"time_ms": "nan"}, 422, "missing_value", "time_ms"),
        (jpeg(), {"time_ms": NOW_MS + 10**8}, 422, "too_far_ahead", "time_ms"),
        (jpeg(), {"time_ms": 0}, 422, "too_far_behind", "time_ms"),
        (jpeg(), {"speed_mps": "fast"}, 422, "wrong_type", "speed_mps"),
        (jpeg(), {"speed_mps": 500}, 422, "out_of_range", "speed_mps"),
        (jpeg(), {"vehicle_id": "van-8"}, 403, "not_yours", "vehicle_id"),
    ],
)
def test_a_frame_that_cannot_be_used_says_why_and_leaves_no_hole_in_its_sequence(still, meta, status, reason, field):
    house = House()
    is_problem(post_frame(house, still, **meta), status, reason, field)
    found = [(f.sequence, f.camera, f.rejected, f.jpeg, f.time_us) for f in house.published("frames")]
    place_unknown = field in ("camera", "sequence", "boot_id", "vehicle_id")
    assert found == ([] if place_unknown else [(0, "driver", reason, b"", NOW_US)])


def test_frames_are_bounded_in_bytes_and_number():
    house = House(max_body_bytes=1000)
    is_problem(post_frame(house, b"\xff" * 1001), 413, "too_large")
    assert [(f.sequence, f.rejected) for f in house.published("frames")] == [(0, "too_large")]
    house = House(max_frames=2)
    is_problem(post_frames(house, [META] * 3, [jpeg()] * 3), 413, "too_many_frames")
    is_problem(post_frames(House(max_body_bytes=1000), [META], [jpeg()]), 413, "too_large")


def test_a_form_whose_parts_do_not_fit_is_422():
    is_problem(post_frames(House(), [META], [jpeg(), jpeg()]), 422, "wrong_length", "meta")
    is_problem(post_frames(House(), "x", [jpeg()]), 422, "wrong_type", "meta")
    response = send(House(), "/v1/frames", data={"meta": "{"}, files=[("files", ("a", jpeg(), "image/jpeg"))])
    is_problem(response, 422, "not_json", "meta")


def test_a_form_that_cannot_be_read_is_400():
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    is_problem(send(House(), "/v1/frames", content=b"nonsense", headers=headers), 400, "not_multipart")
    headers = {"Content-Type": "multipart/form-data"}
    is_problem(send(House(), "/v1/frames", content=b"nonsense", headers=headers), 400, "not_multipart")


def test_frames_of_other_types_or_compressed_are_415():
    response = send(House(), "/v1/frames", content=jpeg(), headers={"Content-Type": "image/png"}, params=META)
    is_problem(response, 415, "unknown_media_type", "Content-Type")
    response = send(House(), "/v1/frames", content=jpeg(), headers=JPEG | {"Content-Encoding": "gzip"}, params=META)
    is_problem(response, 415, "unknown_encoding", "Content-Encoding")


# --- when something is away -------------------------------------------------------------------------------------


class BrokenBus:
    """Its producer fails in a given way."""

    def __init__(self, error=None) -> None:
        self.error = error

    def producer(self):
        return self

    async def publish(self, *_):
        if self.error:
            raise self.error
        await anyio.sleep(60)

    def ready(self):
        return False

    def close(self):
        """Nothing is open."""


def test_a_broker_that_is_away_or_silent_is_503(monkeypatch):
    monkeypatch.setattr(door, "ACKNOWLEDGE_WAIT_S", 0.05)
    for bus in (BrokenBus(BusUnavailable("down")), BrokenBus()):
        response = post(House(bus), BODY)
        is_problem(response, 503, "broker_away")
        assert int(response.headers["retry-after"]) > 0
        assert post_frame(House(bus), jpeg()).status_code == 503


def test_a_message_that_the_broker_does_not_take_is_413():
    is_problem(post(House(BrokenBus(MessageTooLarge("6 MB"))), BODY), 413, "message_too_large")


def test_a_bug_is_500_and_tells_nothing_of_the_inside():
    response = post(House(BrokenBus(RuntimeError("secret"))), BODY)
    is_problem(response, 500, "internal")
    assert "secret" not in response.text


def test_readiness_names_what_is_away():
    told = is_problem(send(House(BrokenBus()), "/readyz", method="GET"), 503, "not_ready")
    assert (told["broker"], told["database"]) == (False, False)


def test_the_process_says_that_it_lives_and_counts():
    house = House()
    post(house, BODY)
    assert send(house, "/healthz", method="GET", token=None).json() == {"status": "ok"}
    metrics = send(house, "/metrics", method="GET", token=METRICS_TOKEN).text
    assert 'rumblestrip_gateway_requests_total{route="/v1/telemetry",status="202"}' in metrics
    assert 'rumblestrip_gateway_samples_total{stream="imu"}' in metrics


@pytest.mark.parametrize(
    ("set_to", "sent"), [(None, None), (None, ""), ("right", None), ("right", "wrong"), ("right", TOKEN)]
)
def test_counters_are_for_prometheus_alone(set_to, sent):
    reason, field = ("unknown_token", "Authorization") if set_to else ("no_metrics_token", None)
    is_problem(send(House(metrics_token=set_to), "/metrics", method="GET", token=sent), 401, reason, field)


def test_other_paths_and_methods_are_problems_too():
    is_problem(send(House(), "/v1/nothing"), 404, "not_found")
    response = send(House(), "/v1/telemetry", method="GET")
    is_problem(response, 405, "method_not_allowed")
    assert response.headers["allow"] == "POST"


def test_the_api_describes_itself_with_examples():
    described = send(House(), "/openapi.json", method="GET", token=None).json()
    told = described["paths"]["/v1/telemetry"]["post"]
    assert told["requestBody"]["content"]["application/json"]["examples"]["one"]["value"] == examples.TELEMETRY_BODY
    assert {"202", "401", "413", "422", "429", "503"} <= set(told["responses"])
    assert described["components"]["securitySchemes"]["device"]["scheme"] == "bearer"


def test_the_description_is_read_without_asking_another_host():
    page = send(House(), "/docs", method="GET", token=None).text
    assert not re.findall(r"https?://|['\"]//", page)
    assert '"validatorUrl": null' in page, "the badge of swagger.io"
    for named in re.findall(r"""(?:src|href)=["']([^"']+)""", page):
        served = send(House(), named, method="GET", token=None)
        assert served.status_code == 200
        assert len(served.content) > 1_000


# --- garbage ----------------------------------------------------------------------------------------------------

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
names = st.sampled_from(["time_ms", "lat", "lon", "speed_mps", "ignition", "accel_x_mps2", "accel_y_mps2", "x"])
documents = st.fixed_dictionaries(
    {"boot_id": values | st.just("b"), "sequence": values | st.just(1)},
    optional={"gps": st.dictionaries(names, values) | values, "imu": st.dictionaries(names, values), "version": values},
)
FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@FUZZ
@given(documents | values)
def test_odd_documents_never_fail_the_gateway(document):
    assert post(House(), json.dumps(document).encode()).status_code < 500


@FUZZ
@given(st.integers(0, 4000), st.binary(min_size=1, max_size=8))
def test_arrow_with_changed_bytes_never_fails_the_gateway(at, noise):
    body = bytearray(arrow_form.write_batches([TELEMETRY]))
    at %= len(body)
    body[at : at + len(noise)] = noise
    assert send(House(), "/v1/telemetry", content=bytes(body), headers=ARROW).status_code < 500


@FUZZ
@given(st.binary(max_size=300), st.sampled_from(["gzip", "zstd", ""]), st.sampled_from([JSON, ARROW]))
def test_garbage_never_fails_the_gateway(body, encoding, kind):
    response = send(House(), "/v1/telemetry", content=body, headers=kind | {"Content-Encoding": encoding})
    assert 400 <= response.status_code < 500


@FUZZ
@given(st.integers(0, 700), st.binary(min_size=1, max_size=8))
def test_stills_with_changed_bytes_never_fail_the_gateway(at, noise):
    still = bytearray(jpeg())
    still[at % len(still) :][: len(noise)] = noise
    still[at % len(still) : at % len(still) + len(noise)] = noise
    assert post_frame(House(), bytes(still)).status_code < 500
