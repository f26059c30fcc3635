"""Bytes to messages and back. On the bus a message is one Arrow IPC stream with one record batch.

A telemetry batch is one row whose samples are list columns, so that one schema describes all of it and the
arrays come out without a copy. Columns are found by name: an unknown one is passed over, a missing optional
one reads as unknown, and what was written by an older version decodes for ever
(``tests/contract/payloads`` holds one of each).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any, TypeVar

import numpy as np
import orjson
import pyarrow as pa

from infra.contracts.frames import Camera, Frame
from infra.contracts.telemetry import (
    GPS_DTYPES,
    IMU_DTYPES,
    UNKNOWN,
    GpsSamples,
    ImuFrame,
    ImuSamples,
    Rejection,
    TelemetryBatch,
    VehicleClass,
)

VERSION = 1
_KIND = b"rumblestrip"  # schema metadata: "telemetry/1", "frame/1", "tick/1"

Message = TelemetryBatch | Frame
Samples = TypeVar("Samples", GpsSamples, ImuSamples)


class DecodeError(ValueError):
    """The bytes are not a message. ``reason`` is a short word for metrics and dead letters."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


def _sample_fields(prefix: str, dtypes: dict[str, np.dtype[Any]]) -> list[pa.Field]:
    return [pa.field(f"{prefix}_{name}", pa.list_(pa.from_numpy_dtype(t))) for name, t in dtypes.items()]


TELEMETRY_SCHEMA = pa.schema(
    [
        pa.field("vehicle_id", pa.string()),
        pa.field("device_id", pa.string()),
        pa.field("boot_id", pa.string()),
        pa.field("sequence", pa.int64()),
        pa.field("driver_id", pa.string()),
        pa.field("vehicle_class", pa.string()),
        pa.field("imu_frame", pa.string()),
        pa.field("received_us", pa.int64()),
        pa.field("rejected", pa.string()),  # JSON list of Rejection; null for none
        *_sample_fields("gps", GPS_DTYPES),
        *_sample_fields("imu", IMU_DTYPES),
    ],
    metadata={_KIND: f"telemetry/{VERSION}".encode()},
)

FRAME_SCHEMA = pa.schema(
    [
        pa.field("vehicle_id", pa.string()),
        pa.field("device_id", pa.string()),
        pa.field("boot_id", pa.string()),
        pa.field("sequence", pa.int64()),
        pa.field("driver_id", pa.string()),
        pa.field("camera", pa.string()),
        pa.field("time_us", pa.int64()),
        pa.field("speed_mps", pa.float64()),
        pa.field("received_us", pa.int64()),
        pa.field("jpeg", pa.binary()),
    ],
    metadata={_KIND: f"frame/{VERSION}".encode()},
)


TICK_SCHEMA = pa.schema([pa.field("sent_us", pa.int64())], metadata={_KIND: f"tick/{VERSION}".encode()})


def encode(message: Message) -> bytes:
    """The bytes of a message, in the newest version."""
    if isinstance(message, Frame):
        columns = [pa.array([getattr(message, f.name)], f.type) for f in FRAME_SCHEMA]
        return _stream(FRAME_SCHEMA, columns)
    return _stream(TELEMETRY_SCHEMA, _telemetry_columns(message))


def encode_tick(sent_us: int) -> bytes:
    """A record of no vehicle: it moves a lane's arrival time on where nothing else comes."""
    return _stream(TICK_SCHEMA, [pa.array([sent_us], pa.int64())])


def decode_tick(payload: bytes) -> int:
    """When the tick was sent. Raises DecodeError where the bytes are no tick."""
    batch = _read(payload)
    kind = (batch.schema.metadata or {}).get(_KIND, b"")
    if not kind.startswith(b"tick/") or batch.num_rows != 1 or "sent_us" not in batch.schema.names:
        raise DecodeError("unknown_kind", f"a record without a key is a tick; this one says {kind!r}")
    return int(batch.column("sent_us")[0].as_py())


def decode(payload: bytes) -> Message:
    """The message in the bytes.

    Raises:
        DecodeError: not Arrow, an unknown kind, a newer version, a column missing or of the wrong type.
    """
    batch = _read(payload)
    kind = (batch.schema.metadata or {}).get(_KIND, b"").decode(errors="replace")
    name, _, version = kind.partition("/")
    if name not in ("telemetry", "frame"):
        raise DecodeError("unknown_kind", f"schema metadata says {kind!r}")
    if not version.isdigit() or int(version) > VERSION:
        raise DecodeError("newer_version", f"{kind}, and this reader knows versions up to {VERSION}")
    if batch.num_rows != 1:
        raise DecodeError("wrong_shape", f"{batch.num_rows} rows where one is expected")
    try:
        return _telemetry(batch) if name == "telemetry" else _frame(batch)
    except (KeyError, ValueError, TypeError, AttributeError, pa.ArrowException) as error:
        raise DecodeError("malformed", f"{type(error).__name__}: {error}") from error


def _stream(schema: pa.Schema, columns: list[pa.Array]) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))
    return bytes(sink.getvalue())


def _telemetry_columns(batch: TelemetryBatch) -> list[pa.Array]:
    rejected = (
        orjson.dumps([[r.stream, r.reason, r.rows, r.example] for r in batch.rejected]).decode()
        if batch.rejected
        else None
    )
    scalars = {name: getattr(batch, name, None) for name in TELEMETRY_SCHEMA.names[:8]} | {"rejected": rejected}
    columns = [pa.array([scalars[name]], TELEMETRY_SCHEMA.field(name).type) for name in TELEMETRY_SCHEMA.names[:9]]
    for samples in (batch.gps, batch.imu):
        offsets = pa.array([0, len(samples)], pa.int32())
        columns += [pa.ListArray.from_arrays(offsets, pa.array(getattr(samples, f.name))) for f in fields(samples)]
    return columns


def read_stream(payload: bytes) -> Iterator[pa.RecordBatch]:
    """The record batches of an Arrow IPC stream. Raises DecodeError."""
    try:
        yield from pa.ipc.open_stream(pa.py_buffer(payload))
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        raise DecodeError("not_arrow", str(error)[:200]) from error


def _read(payload: bytes) -> pa.RecordBatch:
    try:
        return pa.ipc.open_stream(pa.py_buffer(payload)).read_next_batch()
    except StopIteration as error:
        raise DecodeError("empty", "a stream without a record batch") from error
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        raise DecodeError("not_arrow", str(error)[:200]) from error


def _telemetry(batch: pa.RecordBatch) -> TelemetryBatch:
    index = {name: i for i, name in enumerate(batch.schema.names)}

    def scalar(name: str) -> Any:
        return batch.column(index[name])[0].as_py()

    rejected = orjson.loads(scalar("rejected") or b"[]")
    return TelemetryBatch(
        vehicle_id=_text(scalar("vehicle_id"), "vehicle_id"),
        device_id=_text(scalar("device_id"), "device_id"),
        boot_id=_text(scalar("boot_id"), "boot_id"),
        sequence=int(scalar("sequence")),
        driver_id=scalar("driver_id"),
        vehicle_class=VehicleClass(scalar("vehicle_class")),
        imu_frame=ImuFrame(scalar("imu_frame")),
        received_us=int(scalar("received_us")),
        gps=_samples(GpsSamples, "gps", GPS_DTYPES, batch, index),
        imu=_samples(ImuSamples, "imu", IMU_DTYPES, batch, index),
        rejected=tuple(Rejection(*row) for row in rejected),
    )


def _frame(batch: pa.RecordBatch) -> Frame:
    row = {name: batch.column(i)[0].as_py() for i, name in enumerate(batch.schema.names)}
    return Frame(
        vehicle_id=_text(row["vehicle_id"], "vehicle_id"),
        device_id=_text(row["device_id"], "device_id"),
        boot_id=_text(row["boot_id"], "boot_id"),
        sequence=int(row["sequence"]),
        driver_id=row.get("driver_id"),
        camera=Camera(row["camera"]),
        time_us=int(row["time_us"]),
        speed_mps=row.get("speed_mps"),
        received_us=int(row["received_us"]),
        jpeg=bytes(row["jpeg"]),
    )


def _samples(
    kind: type[Samples],
    prefix: str,
    dtypes: dict[str, np.dtype[Any]],
    batch: pa.RecordBatch,
    index: dict[str, int],
) -> Samples:
    columns: dict[str, Any] = {}
    for name, dtype in dtypes.items():
        position = index.get(f"{prefix}_{name}")
        if position is not None:
            values = batch.column(position).flatten().to_numpy(zero_copy_only=False)
            columns[name] = values.astype(dtype, copy=False)
    rows = len(columns["time_us"])
    for name, dtype in dtypes.items():
        filled = columns.setdefault(name, np.full(rows, UNKNOWN if dtype.kind == "i" else np.nan, dtype))
        if len(filled) != rows:
            raise ValueError(f"{prefix}_{name} has {len(filled)} values, {prefix}_time_us has {rows}")
    return kind(**columns)


def _text(value: object, name: str) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name} is missing")
    return value
