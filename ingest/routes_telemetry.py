"""POST /v1/telemetry: batches of samples, as JSON or Arrow IPC."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from infra.contracts import topics
from infra.contracts.arrow_form import MEDIA_TYPE as ARROW
from infra.contracts.telemetry import TelemetryBatch
from infra.store.registry import Identity
from ingest import examples
from ingest.batches import JSON, Batches, answer
from ingest.core.normalise import Judged, RawBatch, judge
from ingest.door import Door
from ingest.forms import from_arrow, from_json

PATH = "/v1/telemetry"
_BATCHES = Batches(PATH, {JSON: from_json, ARROW: from_arrow}, judge)


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
            read = await _BATCHES.read(request, door, identity, received_us, door.settings.max_batch_rows)
            await door.publish(topics.TELEMETRY, [_message(raw, taken, identity, received_us) for raw, taken in read])
            judged = [taken for _, taken in read]
            accepted = {"gps": sum(len(j.gps) for j in judged), "imu": sum(len(j.imu) for j in judged)}
            return answer(judged, accepted, accepted)

    return routes


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
