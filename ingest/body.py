"""Request bodies, bounded while they come in and while they are decompressed."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncGenerator, AsyncIterator

import pyarrow as pa
from fastapi import Request

from ingest.problems import Problem

_GZIP = 16 + zlib.MAX_WBITS
BODY_WAIT_S = 60.0  # 4 MB at 0.5 Mbit/s; a body that trickles holds its memory for no longer


async def read_body(request: Request, limit: int) -> bytes:
    """The body as sent. Raises Problem 413 as soon as it is known to be over the limit."""
    return b"".join([chunk async for chunk in bounded(request, limit)])


async def bounded(request: Request, limit: int) -> AsyncGenerator[bytes, None]:
    """The chunks of the body, up to a limit in bytes and in time. Raises Problem 413 or 408."""
    announced = request.headers.get("content-length", "0")
    if announced.isascii() and announced.isdigit() and int(announced[:20]) > limit:
        raise _too_large(limit)
    size, chunks = 0, aiter(request.stream())
    give_up = asyncio.get_running_loop().time() + BODY_WAIT_S
    while chunk := await _next(chunks, give_up):
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        yield chunk


async def _next(chunks: AsyncIterator[bytes], give_up: float) -> bytes:
    """The next chunk; empty at the end."""
    try:
        async with asyncio.timeout_at(give_up):
            return await anext(chunks, b"")
    except TimeoutError as error:
        detail = f"The body did not come within {BODY_WAIT_S:.0f} s; send smaller batches."
        raise Problem(408, "too_slow", detail) from error


def decompress(body: bytes, encoding: str, limit: int) -> bytes:
    """The body after its Content-Encoding. Never makes more than ``limit`` + 1 bytes.

    Raises Problem 413 (a bomb), 415 (an encoding not known here), 400 (broken).
    """
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return body
    if encoding not in ("gzip", "x-gzip", "zstd"):
        raise Problem(
            415,
            "unknown_encoding",
            f"Content-Encoding {encoding!r}: send gzip, zstd or none.",
            field="Content-Encoding",
        )
    try:
        plain = _unzstd(body, limit + 1) if encoding == "zstd" else _gunzip(body, limit + 1)
    except (zlib.error, OSError, EOFError, pa.ArrowException) as error:
        raise Problem(400, "broken_compression", f"The body is not whole {encoding}: {error}"[:300]) from error
    if len(plain) > limit:
        raise Problem(413, "too_large_decompressed", f"The body is over {limit} bytes when decompressed.")
    return plain


def _gunzip(body: bytes, most: int) -> bytes:
    parts, room = [], most
    while body and room > 0:  # a gzip file may have several members
        member = zlib.decompressobj(_GZIP)
        parts.append(member.decompress(body, room))
        room -= len(parts[-1])
        if not member.eof and room > 0:
            raise EOFError("it ends too early")
        body = member.unused_data
    return b"".join(parts)


def _unzstd(body: bytes, most: int) -> bytes:
    with pa.CompressedInputStream(pa.BufferReader(body), "zstd") as stream:
        return bytes(stream.read(most))


def _too_large(limit: int) -> Problem:
    return Problem(413, "too_large", f"The body is over {limit} bytes; send smaller batches.")
