"""Telemetry as Arrow IPC, the form for dense streams over HTTP: one row a batch, samples as list columns."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import pyarrow as pa

from infra.contracts.codec import DecodeError
from infra.contracts.telemetry import GPS_DTYPES, IMU_DTYPES, GpsSamples, ImuSamples, TelemetryBatch

MEDIA_TYPE = "application/vnd.apache.arrow.stream"


def _sample_fields(prefix: str, dtypes: dict[str, np.dtype[Any]]) -> list[pa.Field]:
    return [pa.field(f"{prefix}_{name}", pa.list_(pa.from_numpy_dtype(t))) for name, t in dtypes.items()]


_SCALARS = [
    pa.field("boot_id", pa.string()),
    pa.field("sequence", pa.int64()),
    pa.field("driver_id", pa.string()),
    pa.field("imu_frame", pa.string()),
]
_SAMPLES = [*_sample_fields("gps", GPS_DTYPES), *_sample_fields("imu", IMU_DTYPES)]
SAMPLE_COLUMNS = frozenset(f.name for f in _SAMPLES)
TELEMETRY_SCHEMA = pa.schema([*_SCALARS, *_SAMPLES])
"""Column names a sender may use; optional ones may be left out, unknown ones are passed over."""


def write_batches(batches: Sequence[TelemetryBatch]) -> bytes:
    """The body of a request. Vehicle, device and class stay out: the gateway knows them by the token."""
    columns = [pa.array([getattr(b, f.name) for b in batches], f.type) for f in _SCALARS]
    columns += _lists([b.gps for b in batches]) + _lists([b.imu for b in batches])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, TELEMETRY_SCHEMA) as writer:
        writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=TELEMETRY_SCHEMA))
    return bytes(sink.getvalue())


def read_stream(payload: bytes) -> Iterator[pa.RecordBatch]:
    """The record batches of an Arrow IPC stream, checked: their offsets stay inside.

    Buffers that are compressed inside the stream are refused, for nothing would bound what they unpack to; so are
    dictionaries. Compress the stream as a whole.

    Raises:
        DecodeError: not such a stream.
    """
    try:
        messages = pa.ipc.MessageReader.open_stream(pa.py_buffer(payload))
        schema = pa.ipc.read_schema(messages.read_next_message())
        schema.names  # noqa: B018 - raises for names that are no UTF-8
        for message in messages:
            if message.type != "record batch":
                raise DecodeError("not_supported", f"a message of type {message.type!r}; send plain columns")
            if _is_compressed(message.metadata.to_pybytes()):
                raise DecodeError("not_supported", "compressed buffers; compress the whole body instead")
            batch = pa.ipc.read_record_batch(message, schema)
            batch.validate(full=True)
            yield batch
    except StopIteration as error:
        raise DecodeError("empty", "a stream without a schema") from error
    except (pa.ArrowException, OSError, ValueError, MemoryError, struct.error, TypeError) as error:
        raise DecodeError("not_arrow", str(error)[:200]) from error


_MESSAGE_HEADER, _BATCH_COMPRESSION = 2, 3  # places of fields in Message.fbs; pyarrow does not show them


def _is_compressed(metadata: bytes) -> bool:
    message: int = struct.unpack_from("<I", metadata)[0]
    header = _field(metadata, message, _MESSAGE_HEADER)
    batch = header + struct.unpack_from("<I", metadata, header)[0]
    return bool(_field(metadata, batch, _BATCH_COMPRESSION) != batch)


def _field(buffer: bytes, table: int, place: int) -> int:
    """Where a field of a flatbuffers table lies; the table itself where it is left out."""
    vtable = table - struct.unpack_from("<i", buffer, table)[0]
    at = 4 + 2 * place
    if vtable < 0 or at >= struct.unpack_from("<H", buffer, vtable)[0]:
        return table
    return int(table + struct.unpack_from("<H", buffer, vtable + at)[0])


def _lists(samples: Sequence[GpsSamples] | Sequence[ImuSamples]) -> list[pa.Array]:
    offsets = pa.array(np.cumsum([0, *map(len, samples)]), pa.int32())
    names = [f.name for f in fields(samples[0])]
    return [pa.ListArray.from_arrays(offsets, np.concatenate([getattr(s, n) for s in samples])) for n in names]
