"""POST /v1/frames: stills of the vehicle's cameras, one or many."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

import orjson
from fastapi import APIRouter, Request, Response
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from infra.contracts import topics
from infra.contracts.frames import Frame
from infra.metrics import GATEWAY_BYTES
from ingest import examples
from ingest.body import bounded, read_body
from ingest.door import Door
from ingest.problems import Problem
from ingest.stills import Limits, read_frame, stand_in

PATH = "/v1/frames"
_BYTES = GATEWAY_BYTES.labels(PATH)
_META_BYTES = 1_000_000

Sent = tuple[Mapping[str, Any], bytes | Problem]


def router(door: Door) -> APIRouter:
    """The route, bound to its door."""
    routes = APIRouter(tags=["frames"])

    @routes.post(PATH, status_code=202, summary="Send one still or many", openapi_extra=examples.FRAMES)
    async def post_frames(request: Request) -> Response:
        """A JPEG with its metadata in the query, or a form: `meta`, a JSON list, and as many `files` in its order.

        Answered when the broker has them. Frames that cannot be used are left out and named in the answer; drop
        them: their sequence numbers are used up.
        """
        async with door.admitted(request) as identity:
            received_us = door.clock.now_us()
            limits = Limits(door.settings.max_frame_pixels, door.window(received_us), received_us)
            frames: list[Frame] = []  # and what stands in for those refused
            rejected: list[Problem] = []
            sent = await _sent(request, door)
            for index, (meta, jpeg) in enumerate(sent):
                try:
                    frames.append(read_frame(meta, jpeg, identity, limits))
                except Problem as problem:
                    problem.more["index"] = index
                    rejected.append(problem)
                    instead = stand_in(meta, identity, limits, problem)
                    frames += [instead] if instead else []
            if frames:
                await door.publish(topics.FRAMES, frames)
            if len(rejected) == len(sent):
                raise rejected[0]
            return _answer(len(sent) - len(rejected), rejected)

    return routes


async def _sent(request: Request, door: Door) -> Sequence[Sent]:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if request.headers.get("content-encoding", "identity") != "identity":
        raise Problem(
            415, "unknown_encoding", "A JPEG is compressed already: send it as it is.", field="Content-Encoding"
        )
    if media_type == "multipart/form-data":
        return await _form(request, door)
    if media_type != "image/jpeg":
        detail = f"Content-Type {media_type or 'none'!r}: send image/jpeg, or multipart/form-data with meta and files."
        raise Problem(415, "unknown_media_type", detail[:300], field="Content-Type")
    try:
        body: bytes | Problem = await read_body(request, door.settings.max_body_bytes)
    except Problem as problem:
        if problem.status != 413:  # of any other the device tries again, with the same sequence
            raise
        body = problem
    _BYTES.inc(len(body) if isinstance(body, bytes) else 0)
    return [(dict(request.query_params), body)]


async def _form(request: Request, door: Door) -> Sequence[Sent]:
    most = door.settings.max_frames
    body = _counted(bounded(request, door.settings.max_body_bytes))
    parser = MultiPartParser(request.headers, body, max_files=most, max_fields=10, max_part_size=_META_BYTES)
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError, ValueError) as error:
        message = getattr(error, "message", str(error))
        status, reason = (413, "too_many_frames") if "Too many files" in message else (400, "not_multipart")
        raise Problem(status, reason, f"The form cannot be read: {message}"[:300]) from error
    try:
        files = [f for f in form.getlist("files") if isinstance(f, UploadFile)]
        metas = _metas(form.get("meta"))
        if len(metas) != len(files) or not files:
            detail = f"meta describes {len(metas)} frames, and there are {len(files)} files."
            raise Problem(422, "wrong_length", detail, field="meta")
        return [(meta, await file.read()) for meta, file in zip(metas, files, strict=True)]
    finally:
        await form.close()


def _metas(part: object) -> list[Mapping[str, Any]]:
    try:
        metas = orjson.loads(part if isinstance(part, str) else b"")
    except orjson.JSONDecodeError as error:
        raise Problem(422, "not_json", "meta is a JSON list with an object for each file.", field="meta") from error
    if not isinstance(metas, list) or not all(isinstance(m, dict) for m in metas):
        raise Problem(422, "wrong_type", "meta is a JSON list with an object for each file.", field="meta")
    return metas


async def _counted(chunks: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    async for chunk in chunks:
        _BYTES.inc(len(chunk))
        yield chunk


def _answer(accepted: int, rejected: Sequence[Problem]) -> Response:
    named = [
        {"index": p.more["index"], "reason": p.reason, "detail": p.detail, "field": p.field, "status": p.status}
        for p in rejected
    ]
    return Response(orjson.dumps({"accepted": accepted, "rejected": named}), 202, media_type="application/json")
