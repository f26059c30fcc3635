"""The last seconds of a vehicle's samples, kept in its state: small, exact, the same after JSON as before."""

from __future__ import annotations

import base64
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from infra.contracts.events import JsonObject
from infra.contracts.telemetry import Float32, Float64, ImuSamples, Int64

Int16 = npt.NDArray[np.int16]
Bool = npt.NDArray[np.bool_]

ACCEL_LSB_MPS2 = 0.005  # half a milli-g: what a +-16 g sensor of 16 bits resolves
GYRO_LSB_RADPS = 0.001  # 0.06 deg/s
_LSB = np.array([[ACCEL_LSB_MPS2]] * 3 + [[GYRO_LSB_RADPS]] * 3)
_PER_LSB = 1 / _LSB
MISSING = -32768  # NaN and infinite
_LARGEST = 32767
_TICK_US = 1_000  # IMU times are kept to the millisecond


@dataclass(frozen=True, slots=True, eq=False)
class ImuRing:
    """IMU samples as the sensor's own integers: ``counts`` is (6, n), rows ax ay az gx gy gz.

    Integers make every sum exact, so that a mean does not depend on where a stream was cut.
    """

    time_us: Int64
    counts: Int16

    def __len__(self) -> int:
        return len(self.time_us)


@dataclass(frozen=True, slots=True, eq=False)
class FixRing:
    """Accepted GPS fixes, in time order. Speed and heading may be NaN."""

    time_us: Int64
    lat: Float64
    lon: Float64
    speed_mps: Float32
    heading_deg: Float32

    def __len__(self) -> int:
        return len(self.time_us)


def no_imu() -> ImuRing:
    return ImuRing(np.empty(0, np.int64), np.empty((6, 0), np.int16))


def no_fixes() -> FixRing:
    f8, f4 = np.empty(0), np.empty(0, np.float32)
    return FixRing(np.empty(0, np.int64), f8, f8, f4, f4)


def quantise(imu: ImuSamples, after_us: int) -> tuple[ImuRing, int]:
    """Samples later than ``after_us`` in rising order as integers, and how many were not."""
    time_us = imu.time_us // _TICK_US * _TICK_US
    columns = np.empty((6, len(imu)))
    for row, f in enumerate(fields(imu)[1:]):
        columns[row] = getattr(imu, f.name)
    known = np.isfinite(columns)
    columns *= _PER_LSB
    np.rint(columns, out=columns)
    np.clip(columns, -_LARGEST, _LARGEST, out=columns)
    if not known.all():
        columns[~known] = MISSING
    ring = ImuRing(time_us, columns.astype(np.int16))
    rising = _rising(time_us, after_us)
    if rising is None:
        return ring, 0
    return ImuRing(time_us[rising], np.ascontiguousarray(ring.counts[:, rising])), int((~rising).sum())


def _rising(time_us: Int64, after_us: int) -> Bool | None:
    """Which samples are newer than all before them; None for all."""
    if not len(time_us) or (time_us[0] > after_us and (np.diff(time_us) > 0).all()):
        return None
    before = np.maximum.accumulate(np.concatenate([[after_us], time_us[:-1]]))
    return time_us > before


def join_imu(left: ImuRing, right: ImuRing) -> ImuRing:
    if not len(right) or not len(left):
        return left if not len(right) else right
    counts = np.concatenate([left.counts, right.counts], axis=1)
    return ImuRing(np.concatenate([left.time_us, right.time_us]), counts)


def join_fixes(left: FixRing, right: FixRing) -> FixRing:
    if not len(right) or not len(left):
        return left if not len(right) else right
    return FixRing(*(np.concatenate([getattr(left, f.name), getattr(right, f.name)]) for f in fields(FixRing)))


def imu_since(ring: ImuRing, time_us: int) -> ImuRing:
    """From a time on, and at least the last: what comes next follows it, however long after."""
    first = _since(ring.time_us, time_us)
    return ImuRing(ring.time_us[first:].copy(), ring.counts[:, first:].copy()) if first else ring


def fixes_since(ring: FixRing, time_us: int) -> FixRing:
    """From a time on, and at least the last: the way to the next one is driven, however long it takes."""
    first = _since(ring.time_us, time_us)
    return FixRing(*(column.copy() for column in _fix_columns(ring, first))) if first else ring


def _since(times_us: Int64, time_us: int) -> int:
    return min(int(np.searchsorted(times_us, time_us)), max(len(times_us) - 1, 0))


def fixes_from(ring: FixRing, first: int) -> FixRing:
    return FixRing(*_fix_columns(ring, first))


def _fix_columns(ring: FixRing, first: int) -> list[npt.NDArray[Any]]:
    return [getattr(ring, name)[first:] for name in _FIX_COLUMNS]


def trace_bytes(ring: ImuRing, start_us: int, end_us: int) -> bytes | None:
    """Arrow IPC of the columns of ImuSamples between two times; None where there are no samples."""
    first, last = np.searchsorted(ring.time_us, [start_us, end_us + 1])
    if first == last:
        return None
    counts = ring.counts[:, first:last]
    values = np.where(counts == MISSING, np.nan, counts * _LSB).astype(np.float32)
    names = [f.name for f in fields(ImuSamples)]
    table = pa.table(dict(zip(names, [ring.time_us[first:last], *values], strict=True)))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


# --- JSON: times as ticks since the first, everything in base64 of little-endian columns ------------------


def dump_imu(ring: ImuRing) -> JsonObject | None:
    if not len(ring):
        return None
    ticks = ((ring.time_us - ring.time_us[0]) // _TICK_US).astype("<u4")
    small = ticks.astype("<u2") if ticks[-1] < 65_536 else ticks
    has_gyro = bool((ring.counts[3:] != MISSING).any())
    counts = ring.counts if has_gyro else ring.counts[:3]
    return {"start_us": int(ring.time_us[0]), "ms": _pack(small), "wide": small is ticks, "counts": _pack(counts)}


def load_imu(state: Any) -> ImuRing:
    if state is None:
        return no_imu()
    ticks = _unpack(state["ms"], "<u4" if state["wide"] else "<u2").astype(np.int64)
    counts = _unpack(state["counts"], "<i2").reshape(-1, len(ticks))
    if len(counts) == 3:
        counts = np.concatenate([counts, np.full_like(counts, MISSING)])
    return ImuRing(state["start_us"] + ticks * _TICK_US, counts)


_FIX_COLUMNS = {"time_us": "<i8", "lat": "<f8", "lon": "<f8", "speed_mps": "<f4", "heading_deg": "<f4"}


def dump_fixes(ring: FixRing) -> JsonObject | None:
    return {name: _pack(getattr(ring, name)) for name in _FIX_COLUMNS} if len(ring) else None


def load_fixes(state: Any) -> FixRing:
    if state is None:
        return no_fixes()
    return FixRing(**{name: _unpack(state[name], dtype) for name, dtype in _FIX_COLUMNS.items()})


def _pack(values: npt.NDArray[Any]) -> str:
    return base64.b64encode(values.tobytes()).decode()


def _unpack(text: str, dtype: str) -> npt.NDArray[Any]:
    return np.frombuffer(base64.b64decode(text), dtype)
