"""POST /v1/telemetry: batches of samples, as JSON or Arrow IPC."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any

import orjson
from fastapi import APIRouter, Request, Response

from infra.contracts import topics
from infra.contracts.arrow_form import MEDIA_TYPE as ARROW
from infra.contracts.telemetry import TelemetryBatch
from infra.metrics import GATEWAY_BYTES, GATEWAY_REJECTED, GATEWAY_SAMPLES
from infra.settings import Settings
from infra.store.registry import Identity
from ingest import examples
from ingest.body import decompress, read_body
from ingest.core.normalise import Judged, RawBatch, judge
from ingest.core.validate import TimeWindow
from ingest.door import Door
from ingest.forms import Owner, from_arrow, from_json
from ingest.problems import Problem

PATH = "/v1/telemetry"
JSON = "application/json"
_FORMS = {JSON: from_json, ARROW: from_arrow}

INLINE_BYTES = 100_000
"""A larger body is decoded in a thread: it would hold up everybody else for milliseconds."""

_BYTES = GATEWAY_BYTES.labels(PATH)
_TAKEN = {stream: GATEWAY_SAMPLES.labels(stream) for stream in ("gps", "imu")}

Decoded = tuple[list[RawBatch], list[Judged]]


def router(door: Door) -> APIRouter:
    """The route, bound to its door."""
    routes = APIRouter(tags=["telemetry"])

    @routes.post(PATH, status_code=202, summary="Send batches of samples", openapi_extra=examples.TELEMETRY)
    async def post_telemetry(request: Request) -> Response:
        """Samples of GPS and IMU, in columns. Answered when the broker has them.

        Bad rows are left out and named in the answer. Send every batch with the next `sequence`, starting from 0
        at each boot; send a batch again, unchanged, after 408, 429, 503 or no answer; drop it after any other 4xx.
        """
        async with door.admitted(request) as identity:
            received_us = door.clock.now_us()
            form = _form(request)
            body = await read_body(request, door.settings.max_body_bytes)
            _BYTES.inc(len(body))
            encoding = request.headers.get("content-encoding", "")
            decode = partial(_decode, form, body, encoding, identity, limits=door.settings, received_us=received_us)
            raws, judged = decode() if len(body) < INLINE_BYTES else await asyncio.to_thread(decode)
            batches = [_message(r, j, identity, received_us) for r, j in zip(raws, judged, strict=True)]
            await door.publish(topics.TELEMETRY, batches)
            _count(judged)
            return _answer(judged)

    return routes


def _form(request: Request) -> Any:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    form = _FORMS.get(media_type)
    if form is None:
        detail = f"Content-Type {media_type or 'none'!r}: send {JSON} or {ARROW}."
        raise Problem(415, "unknown_media_type", detail[:300], field="Content-Type")
    return form


def _decode(
    form: Any, body: bytes, encoding: str, identity: Identity, *, limits: Settings, received_us: int
) -> Decoded:
    plain = decompress(body, encoding, limits.max_decoded_bytes)
    raws = form(plain, Owner(identity.vehicle_id, identity.device_id), limits.max_batch_rows)
    window = TimeWindow(
        oldest_us=received_us - int(limits.max_behind_s * 1e6), newest_us=received_us + int(limits.max_ahead_s * 1e6)
    )
    return raws, [judge(raw, window) for raw in raws]


def _message(raw: RawBatch, judged: Judged, identity: Identity, received_us: int) -> TelemetryBatch:
    """Also for a batch of which nothing is taken: its refusals are recorded, and its sequence leaves no hole."""
    return TelemetryBatch(
        vehicle_id=identity.vehicle_id,
        device_id=identity.device_id,
        boot_id=raw.boot_id,
        sequence=raw.sequence,
        driver_id=raw.driver_id,
        vehicle_class=identity.vehicle_class,
        imu_frame=raw.imu_frame,
        received_us=received_us,
        gps=judged.gps,
        imu=judged.imu,
        rejected=tuple(r.as_rejection() for r in judged.refused),
    )


def _count(judged: Sequence[Judged]) -> None:
    _TAKEN["gps"].inc(sum(len(j.gps) for j in judged))
    _TAKEN["imu"].inc(sum(len(j.imu) for j in judged))
    for refusal in (r for j in judged for r in j.refused):
        GATEWAY_REJECTED.labels(refusal.stream, refusal.reason).inc(refusal.rows)


def _answer(judged: Sequence[Judged]) -> Response:
    rejected = [
        {"batch": i, "stream": r.stream, "reason": r.reason, "rows": r.rows, "first_index": r.first_index}
        for i, j in enumerate(judged)
        for r in j.refused
    ]
    if rejected and not any(j.rows for j in judged):
        raise _nothing_taken(judged, rejected)
    accepted = {"gps": sum(len(j.gps) for j in judged), "imu": sum(len(j.imu) for j in judged)}
    body = {"accepted": accepted, "rejected": rejected, "reordered": sum(j.reordered for j in judged)}
    return Response(orjson.dumps(body), 202, media_type=JSON)


def _nothing_taken(judged: Sequence[Judged], rejected: list[dict[str, Any]]) -> Problem:
    fault = next((j.fault for j in judged if j.fault), None)
    if fault:
        field = f"{fault.stream}.{fault.column.removeprefix(fault.stream + '_')}"
        return Problem(422, fault.reason, f"{field}: {fault.hint}.", field=field, rejected=rejected)
    first = rejected[0]
    detail = f"No row can be used: {first['reason']} in {first['stream']}, from row {first['first_index']}."
    return Problem(422, first["reason"], detail, field=first["stream"], rejected=rejected)
