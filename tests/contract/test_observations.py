"""Numbers instead of pictures, at the door: what is taken of a batch, what is not, and how often it counts."""

from __future__ import annotations

import copy
import gzip
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.contracts.observations import MEASURED, OBSERVATION_DTYPES
from ingest import examples
from ingest.core.validate import OBSERVATION_RANGES
from tests.contract.gateway import IDENTITY, METRICS_TOKEN, NOW_US, House
from tests.contract.test_gateway import FUZZ, JSON, is_problem, send, values
from vision.core import signals

NOW_MS = NOW_US // 1000


def changed(**parts) -> dict:
    """The example, with parts of it replaced; a dict goes into its columns."""
    body = copy.deepcopy(examples.OBSERVATIONS_BODY)
    for name, value in parts.items():
        body[name] = body[name] | value if isinstance(value, dict) else value
    return body


def post(house, body, *, headers=JSON, **request):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return send(house, "/v1/observations", content=content, headers=headers, **request)


def seen(**columns) -> dict:
    return changed(observations=columns)


def only(observations) -> dict:
    return {"boot_id": "b", "sequence": 4, "observations": observations}


def test_columns_are_the_numbers_of_the_eyes_and_each_has_a_range():
    assert set(MEASURED) == {value for name, value in vars(signals).items() if name.isupper()}
    assert OBSERVATION_RANGES.keys() == OBSERVATION_DTYPES.keys() - {"time_us"}


def test_the_example_of_the_documentation_is_taken_as_it_is():
    house = House()
    response = post(house, examples.OBSERVATIONS_BODY)
    assert (response.status_code, response.json()) == (202, {"accepted": 3, "rejected": [], "reordered": 0})
    (batch,) = house.published("frames")
    assert (batch.vehicle_id, batch.device_id, batch.driver_id) == (IDENTITY.vehicle_id, IDENTITY.device_id, "anna")
    assert (batch.boot_id, batch.sequence, batch.received_us, batch.rejected) == ("2026-07-01-a", 4, NOW_US, ())
    given = examples.OBSERVATIONS_BODY["observations"]
    assert set(given) == OBSERVATION_DTYPES.keys() - {"time_us"} | {"time_ms"}, "the example shows every column"
    assert (batch.samples.time_us // 1000).tolist() == given["time_ms"]
    assert batch.samples.belt_buckled.tolist() == [1, 1, -1]
    for name in ("aspect_ratio", "picture_hash", *MEASURED):
        np.testing.assert_array_equal(getattr(batch.samples, name), np.array(given[name], float), err_msg=name)


def test_only_a_time_and_whether_there_is_a_face_are_needed():
    house = House()
    body = only({"time_ms": [NOW_MS], "face_found": [False]})
    assert post(house, gzip.compress(json.dumps(body).encode()), headers=JSON | {"Content-Encoding": "gzip"}).json()
    (batch,) = house.published("frames")
    assert np.isnan(batch.samples.speed_mps[0])
    assert post(house, {"boot_id": "b", "sequence": 1}).status_code == 202, "a heartbeat"
    assert post(house, {"batches": [body | {"sequence": 2}, body | {"sequence": 3}]}).json()["accepted"] == 2


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"eye_closed": [0.01, 1.01, None]}, "out_of_range"),
        ({"yawn": [0.01, -0.1, None]}, "out_of_range"),
        ({"head_yaw_deg": [12, 181, None]}, "out_of_range"),
        ({"sharpness": [1, 2e6, 1]}, "out_of_range"),
        ({"aspect_ratio": [0.3, -1, 0.2]}, "out_of_range"),
        ({"speed_mps": [20, 141, 20]}, "out_of_range"),
        ({"face_found": [True, None, False]}, "missing_value"),
        ({"face_found": [True, 2, False]}, "out_of_range"),
        ({"time_ms": [1782892800000, None, 1782892800400]}, "missing_value"),
        ({"time_ms": [1782892800000, NOW_MS + 86_400_001, 1782892800400]}, "too_far_ahead"),
        ({"time_ms": [1782892800000, NOW_MS - 366 * 86_400_000 - 1, 1782892800400]}, "too_far_behind"),
        ({"time_ms": [1782892800000, 1782892800000, 1782892800400]}, "repeated_time"),
    ],
)
def test_a_bad_row_is_left_out_named_and_travels_as_a_refusal(columns, reason):
    house = House()
    response = post(house, seen(**columns))
    assert response.status_code == 202, response.text
    named = {"batch": 0, "stream": "observations", "reason": reason, "rows": 1, "first_index": 1}
    assert (response.json()["accepted"], response.json()["rejected"]) == (2, [named])
    (batch,) = house.published("frames")
    assert [(r.stream, r.reason, r.rows) for r in batch.rejected] == [("observations", reason, 1)]
    assert len(batch.samples) == 2


@pytest.mark.parametrize(
    ("body", "reason", "field", "published"),
    [
        (seen(eyes_closed=[0, 0, 0]), "unknown_column", "observations.eyes_closed", 1),
        (seen(time_us=[1, 2, 3]), "unknown_column", "observations.time_us", 1),
        (seen(phone=[0.1, 0.2]), "wrong_length", "observations.phone", 1),
        (seen(phone="no"), "wrong_type", "observations.phone", 1),
        (seen(phone=["no", 0.2, 0.1]), "wrong_type", "observations.phone", 1),
        (seen(face_found=["yes", "no", "no"]), "wrong_type", "observations.face_found", 1),
        (seen(time_ms=[1782892800, 1782892801, 1782892802]), "units_suspected", "observations.time_ms", 1),
        (seen(yawn=[2, 2, 2]), "out_of_range", "observations", 1),
        (only({"time_ms": [NOW_MS]}), "wrong_length", "observations.face_found", 1),
        (only(7), "wrong_type", "observations", 0),
        (changed(sequence=-1), "wrong_type", "sequence", 0),
        (changed(version=2), "unknown_version", "version", 0),
    ],
)
def test_a_mistake_in_the_form_is_422_names_the_field_and_keeps_the_sequence(body, reason, field, published):
    house = House()
    is_problem(post(house, body), 422, reason, field)
    batches = house.published("frames")
    assert len(batches) == published
    assert all(len(b.samples) == 0 and b.sequence == 4 and b.rejected[0].reason == reason for b in batches)


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"1e999"])
def test_a_number_that_json_does_not_know_is_400(number):
    body = json.dumps(seen(yawn=[0.5, 0.25, None])).encode().replace(b"0.25", number)
    is_problem(post(House(), body), 400, "not_json")


def test_bounds_tokens_and_quota_are_those_of_the_other_routes():
    is_problem(post(House(max_observations=2), examples.OBSERVATIONS_BODY), 413, "too_many_rows")
    is_problem(post(House(max_observations=1), b"[" + b"[]," * 200_000 + b"[]]"), 413, "too_many_rows")
    is_problem(post(House(max_body_bytes=1_000), b"x" * 1_001), 413, "too_large")
    bomb = gzip.compress(b"0" * 2_000_000)
    small = House(max_decoded_bytes=1_000_000)
    is_problem(post(small, bomb, headers=JSON | {"Content-Encoding": "gzip"}), 413, "too_large_decompressed")
    is_problem(post(House(), b"x", headers={"Content-Type": "text/csv"}), 415, "unknown_media_type", "Content-Type")
    unknown = post(House(), examples.OBSERVATIONS_BODY, token="rs_" + "b" * 43)
    is_problem(unknown, 401, "unknown_token", "Authorization")
    is_problem(post(House(), changed(vehicle_id="van-8")), 403, "not_yours", "vehicle_id")
    busy = House(requests_per_minute=1)
    post(busy, examples.OBSERVATIONS_BODY)
    is_problem(post(busy, examples.OBSERVATIONS_BODY), 429, "too_many_requests")


@FUZZ
@given(st.dictionaries(st.sampled_from(["time_ms", "face_found", "yawn", "picture_hash", "x"]), values) | values)
def test_odd_columns_never_fail_the_gateway(columns):
    assert post(House(), only(columns)).status_code < 500


def test_the_route_is_described_with_its_example_and_counted():
    house = House()
    post(house, examples.OBSERVATIONS_BODY)
    described = send(house, "/openapi.json", method="GET", token=None).json()["paths"]["/v1/observations"]["post"]
    sent = described["requestBody"]["content"]["application/json"]["examples"]["one"]["value"]
    assert sent == examples.OBSERVATIONS_BODY
    assert {"202", "401", "413", "422", "429", "503"} <= set(described["responses"])
    metrics = send(house, "/metrics", method="GET", token=METRICS_TOKEN).text
    assert 'rumblestrip_gateway_requests_total{route="/v1/observations",status="202"}' in metrics
    assert 'rumblestrip_gateway_samples_total{stream="observations"}' in metrics
