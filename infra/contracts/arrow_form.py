"""Telemetry as Arrow IPC, the form for dense streams over HTTP: one row a batch, samples as list columns."""

from __future__ import annotations

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
    """The record batches of an Arrow IPC stream. Raises DecodeError."""
    try:
        yield from pa.ipc.open_stream(pa.py_buffer(payload))
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        raise DecodeError("not_arrow", str(error)[:200]) from error


def _lists(samples: Sequence[GpsSamples] | Sequence[ImuSamples]) -> list[pa.Array]:
    offsets = pa.array(np.cumsum([0, *map(len, samples)]), pa.int32())
    names = [f.name for f in fields(samples[0])]
    return [pa.ListArray.from_arrays(offsets, np.concatenate([getattr(s, n) for s in samples])) for n in names]
