"""What the routes of batches share: a body read and decoded beside the event loop, and what is said of each row."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import orjson
from fastapi import Request, Response

from infra.metrics import GATEWAY_BYTES, GATEWAY_REJECTED, GATEWAY_SAMPLES
from infra.store.registry import Identity
from ingest.body import decompress, read_body
from ingest.core.normalise import Fault
from ingest.core.validate import Refusal, TimeWindow
from ingest.door import Door
from ingest.forms import Owner
from ingest.problems import Problem

JSON = "application/json"

INLINE_BYTES = 100_000
"""A larger body is decoded in a thread: it would hold up everybody else for milliseconds."""

Form = TypeVar("Form")
Raw = TypeVar("Raw")
Verdict = TypeVar("Verdict")


class Judged(Protocol):
    """What became of a batch."""

    @property
    def refused(self) -> Sequence[Refusal]: ...

    @property
    def reordered(self) -> int: ...

    @property
    def fault(self) -> Fault | None: ...

    @property
    def rows(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Batches(Generic[Raw, Verdict]):
    """How a route reads batches: forms by media type, each with the most rows that it takes, and what checks one."""

    path: str
    forms: Mapping[str, Callable[[bytes, Owner, int], list[Raw]]]
    judge: Callable[[Raw, TimeWindow], Verdict]

    async def read(
        self, request: Request, door: Door, identity: Identity, received_us: int, most_rows: int
    ) -> list[tuple[Raw, Verdict]]:
        """Each batch of the body, with what is taken of it. Raises Problem."""
        form = _form(request, self.forms)
        body = await read_body(request, door.settings.max_body_bytes)
        GATEWAY_BYTES.labels(self.path).inc(len(body))
        encoding = request.headers.get("content-encoding", "")

        def work() -> list[tuple[Raw, Verdict]]:
            plain = decompress(body, encoding, door.settings.max_decoded_bytes)
            raws = form(plain, Owner(identity.vehicle_id, identity.device_id), most_rows)
            return [(raw, self.judge(raw, door.window(received_us))) for raw in raws]

        return work() if len(body) < INLINE_BYTES else await asyncio.to_thread(work)


def answer(judged: Sequence[Judged], taken: Mapping[str, int], accepted: object) -> Response:
    """The answer to batches that the broker has, which are counted. Raises Problem 422 where no row was taken.

    Args:
        taken: rows by stream.
        accepted: the same in the answer's words.
    """
    for stream, rows in taken.items():
        GATEWAY_SAMPLES.labels(stream).inc(rows)
    for refusal in (r for j in judged for r in j.refused):
        GATEWAY_REJECTED.labels(refusal.stream, refusal.reason).inc(refusal.rows)
    rejected = [
        {"batch": i, "stream": r.stream, "reason": r.reason, "rows": r.rows, "first_index": r.first_index}
        for i, j in enumerate(judged)
        for r in j.refused
    ]
    if rejected and not any(j.rows for j in judged):
        raise _nothing_taken(judged, rejected)
    body = {"accepted": accepted, "rejected": rejected, "reordered": sum(j.reordered for j in judged)}
    return Response(orjson.dumps(body), 202, media_type=JSON)


def _form(request: Request, forms: Mapping[str, Form]) -> Form:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    form = forms.get(media_type)
    if form is None:
        detail = f"Content-Type {media_type or 'none'!r}: send {' or '.join(forms)}."
        raise Problem(415, "unknown_media_type", detail[:300], field="Content-Type")
    return form


def _nothing_taken(judged: Sequence[Judged], rejected: list[dict[str, Any]]) -> Problem:
    fault = next((j.fault for j in judged if j.fault), None)
    if fault:
        field = f"{fault.stream}.{fault.column.removeprefix(fault.stream + '_')}"
        return Problem(422, fault.reason, f"{field}: {fault.hint}.", field=field, rejected=rejected)
    first = rejected[0]
    detail = f"No row can be used: {first['reason']} in {first['stream']}, from row {first['first_index']}."
    return Problem(422, first["reason"], detail, field=first["stream"], rejected=rejected)
