"""What the API's description shows of bodies and answers. ``tests/contract`` sends these very examples."""

from __future__ import annotations

from typing import Any

TELEMETRY_BODY: dict[str, Any] = {
    "version": 1,
    "boot_id": "2026-07-01-a",
    "sequence": 12,
    "driver_id": "anna",
    "imu_frame": "vehicle",
    "gps": {
        "time_ms": [1782892800000, 1782892801000],
        "lat": [52.52, 52.5201],
        "lon": [13.405, 13.405],
        "speed_mps": [11.1, 11.3],
        "heading_deg": [0.0, 359.5],
        "accuracy_m": [4.0, None],
        "speed_limit_mps": [13.9, 13.9],
        "odometer_m": [120345.0, 120356.2],
        "ignition": [True, True],
        "belt_buckled": [True, None],
    },
    "imu": {
        "time_ms": [1782892800000, 1782892800040, 1782892800080],
        "accel_x_mps2": [0.1, 0.12, 0.09],
        "accel_y_mps2": [0.0, -0.01, 0.02],
        "accel_z_mps2": [9.8, 9.79, 9.82],
        "gyro_x_radps": [0.0, 0.0, 0.001],
        "gyro_y_radps": [0.0, 0.0, 0.0],
        "gyro_z_radps": [0.002, 0.002, 0.001],
    },
}

TELEMETRY_ANSWER: dict[str, Any] = {
    "accepted": {"gps": 2, "imu": 2},
    "rejected": [{"batch": 0, "stream": "imu", "reason": "not_finite", "rows": 1, "first_index": 1}],
    "reordered": 0,
}

OBSERVATIONS_BODY: dict[str, Any] = {
    "version": 1,
    "boot_id": "2026-07-01-a",
    "sequence": 4,
    "driver_id": "anna",
    "observations": {
        "time_ms": [1782892800000, 1782892800200, 1782892800400],
        "face_found": [True, True, False],
        "speed_mps": [24.6, 24.6, 24.7],
        "belt_buckled": [True, True, None],
        "aspect_ratio": [0.281, 0.043, None],
        "picture_hash": [2889614527, 1204419881, 3320511202],
        "eye_closed_left": [0.02, 0.97, None],
        "eye_closed_right": [0.01, 0.98, None],
        "eye_closed": [0.01, 0.98, None],
        "head_yaw_deg": [12.1, 12.3, None],
        "head_pitch_deg": [-4.0, -6.2, None],
        "head_roll_deg": [0.4, 0.5, None],
        "gaze_yaw_deg": [1.5, None, None],
        "gaze_pitch_deg": [-2.0, None, None],
        "mouth_open": [0.02, 0.02, None],
        "yawn": [0.01, 0.01, None],
        "belt_worn": [0.96, None, 0.95],
        "phone": [0.02, None, 0.03],
        "smoking": [0.01, None, 0.01],
        "drinking": [0.01, None, 0.02],
        "light": [0.41, 0.41, 0.40],
        "contrast": [0.22, 0.22, 0.21],
        "sharpness": [310.5, 305.2, 298.0],
        "occlusion": [0.10, 0.10, 0.13],
        "glare": [0.02, 0.02, 0.02],
        "camera_unfit": [0, 0, 0],
    },
}

OBSERVATIONS_ANSWER: dict[str, Any] = {
    "accepted": 2,
    "rejected": [{"batch": 0, "stream": "observations", "reason": "out_of_range", "rows": 1, "first_index": 1}],
    "reordered": 0,
}

FRAMES_ANSWER: dict[str, Any] = {"accepted": 1, "rejected": []}

PROBLEM: dict[str, Any] = {
    "type": "urn:rumblestrip:problem:units_suspected",
    "title": "Unprocessable Entity",
    "status": 422,
    "detail": "imu.accel_x_mps2: the accelerations have a median norm of 1.00, as if they were in g: "
    "send m/s² (multiply by 9.80665).",
    "reason": "units_suspected",
    "field": "imu.accel_x_mps2",
}

_MEANINGS = {
    "400": "The body cannot be read",
    "401": "No token, or one unknown or revoked (a revocation is noticed within 15 s)",
    "403": "The body names another vehicle or device than the token's",
    "408": "The body did not come in time; send the same again",
    "413": "Too large: body, decompressed body, rows, frames or pixels",
    "415": "Another media type or encoding than those taken here",
    "422": "Read, and nothing in it can be used; names the field and the reason",
    "429": "Too many requests of this device; see Retry-After",
    "503": "The broker or the database is away; see Retry-After and send the same again",
}


def _responses(answer: dict[str, Any]) -> dict[str, Any]:
    taken = {"202": {"description": "The broker has it", "content": {"application/json": {"example": answer}}}}
    problem = {"application/problem+json": {"schema": {"type": "object"}, "example": PROBLEM}}
    return taken | {status: {"description": text, "content": problem} for status, text in _MEANINGS.items()}


def _query(name: str, required: bool, text: str, example: object) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": required, "description": text, "example": example, "schema": {}}


_ENCODINGS = {
    "name": "Content-Encoding",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "enum": ["gzip", "zstd"]},
}

_ARROW_TEXT = (
    "One row a batch in the layout of `infra.contracts.arrow_form.TELEMETRY_SCHEMA`: boot_id, sequence, driver_id and "
    "imu_frame as scalars; gps_time_us, gps_lat, …, imu_time_us, imu_accel_x_mps2, … as lists."
)


def _batches(example: dict[str, Any]) -> dict[str, Any]:
    """A JSON body of batches."""
    return {
        "schema": {"type": "object", "required": ["boot_id", "sequence"]},
        "examples": {
            "one": {"summary": "One batch", "value": example},
            "several": {"summary": "Several batches", "value": {"batches": [example]}},
        },
    }


TELEMETRY: dict[str, Any] = {
    "security": [{"device": []}],
    "parameters": [_ENCODINGS],
    "requestBody": {
        "required": True,
        "content": {
            "application/json": _batches(TELEMETRY_BODY),
            "application/vnd.apache.arrow.stream": {
                "schema": {"type": "string", "format": "binary", "description": _ARROW_TEXT}
            },
        },
    },
    "responses": _responses(TELEMETRY_ANSWER),
}

OBSERVATIONS: dict[str, Any] = {
    "security": [{"device": []}],
    "parameters": [_ENCODINGS],
    "requestBody": {"required": True, "content": {"application/json": _batches(OBSERVATIONS_BODY)}},
    "responses": _responses(OBSERVATIONS_ANSWER),
}

FRAMES: dict[str, Any] = {
    "security": [{"device": []}],
    "parameters": [
        _query("camera", False, "driver, road or cabin", "driver"),
        _query("time_ms", False, "Milliseconds since 1970 UTC; or time, ISO 8601 with an offset", 1782892800000),
        _query("sequence", False, "Counts up by one per frame and camera from 0 at each boot", 7),
        _query("boot_id", False, "The same as with telemetry", "2026-07-01-a"),
        _query("speed_mps", False, "Speed at this instant, if known", 12.5),
        _query("driver_id", False, "If known", "anna"),
        _query("belt_buckled", False, "The vehicle's own belt switch at this instant, if known", True),
    ],
    "requestBody": {
        "required": True,
        "content": {
            "image/jpeg": {"schema": {"type": "string", "format": "binary"}},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["meta", "files"],
                    "properties": {
                        "meta": {"type": "string", "description": "A JSON list, an object for each file"},
                        "files": {"type": "array", "items": {"type": "string", "format": "binary"}},
                    },
                }
            },
        },
    },
    "responses": _responses(FRAMES_ANSWER),
}
