"""POST /v1/observations: what a device's own eyes saw, as numbers instead of pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request, Response

from infra.contracts import topics
from infra.contracts.observations import OBSERVATION_DTYPES, ObservationBatch, ObservationSamples
from infra.store.registry import Identity
from ingest import examples
from ingest.batches import JSON, Batches, answer
from ingest.core.normalise import Fault
from ingest.core.observed import STREAM, JudgedObservations, RawObservations, empty_observations, judge
from ingest.core.validate import UNKNOWN_COLUMN
from ingest.door import Door
from ingest.forms import Owner, read_documents, read_place, read_stream_columns

PATH = "/v1/observations"

_COLUMNS = frozenset(OBSERVATION_DTYPES) - {"time_us"} | {"time_ms"}


def router(door: Door) -> APIRouter:
    """The route, bound to its door."""
    routes = APIRouter(tags=["observations"])

    @routes.post(PATH, status_code=202, summary="Send numbers instead of pictures", openapi_extra=examples.OBSERVATIONS)
    async def post_observations(request: Request) -> Response:
        """What a device saw of its driver, a row a picture, in columns, as `rumblestrip watch --post` sends it. They
        are judged as the pictures would be; no footage comes of them. Answered when the broker has them.

        Bad rows are left out and named in the answer; a column of an unknown name refuses its batch. `sequence` counts
        up by one per batch from 0 at each boot, apart from those of telemetry and frames. Send a batch again,
        unchanged, after 408, 429, 503 or no answer; drop it after any other 4xx.
        """
        async with door.admitted(request) as identity:
            received_us = door.clock.now_us()
            read = await _BATCHES.read(request, door, identity, received_us, door.settings.max_observations)
            await door.publish(topics.FRAMES, [_message(raw, taken, identity, received_us) for raw, taken in read])
            judged = [taken for _, taken in read]
            rows = sum(taken.rows for taken in judged)
            return answer(judged, {STREAM: rows}, rows)

    return routes


def from_json(body: bytes, owner: Owner, max_rows: int) -> list[RawObservations]:
    """Batches of a JSON body: one object, or a list of them under "batches".

    Raises Problem 400, 403, 413 or 422; a column that cannot be read, or of an unknown name, becomes a fault.
    """
    found = read_documents(body, {STREAM: OBSERVATION_DTYPES}, max_rows)
    return [_batch(document, owner) for document in found]


_BATCHES = Batches(PATH, {JSON: from_json}, judge)


def _batch(document: Mapping[str, Any], owner: Owner) -> RawObservations:
    place, given = read_place(document, owner), document.get(STREAM)
    samples, fault = read_stream_columns(STREAM, given, ObservationSamples, OBSERVATION_DTYPES)
    unknown = sorted(set(given) - _COLUMNS) if isinstance(given, dict) else []
    if unknown and fault is None:
        hint = f"no such number; there are {', '.join(sorted(_COLUMNS))}"
        fault = Fault(STREAM, unknown[0][:100], UNKNOWN_COLUMN, hint, len(samples))
    return RawObservations(*place, samples if fault is None else empty_observations(), fault)


def _message(
    raw: RawObservations, judged: JudgedObservations, identity: Identity, received_us: int
) -> ObservationBatch:
    """Also for a batch of which nothing is taken: its refusals are recorded, and its sequence leaves no hole."""
    return ObservationBatch(
        vehicle_id=identity.vehicle_id,
        device_id=identity.device_id,
        boot_id=raw.boot_id,
        sequence=raw.sequence,
        driver_id=raw.driver_id,
        received_us=received_us,
        samples=judged.samples,
        rejected=tuple(r.as_rejection() for r in judged.refused),
    )
