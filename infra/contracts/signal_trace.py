"""The numbers of every frame around an event, as they are kept with it: Arrow IPC, compressed, a few kB."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt
import orjson
import pyarrow as pa

MOST_BYTES = 20_000
TIME = "time_us"
_FIRED = b"fired"


@dataclass(frozen=True, slots=True)
class Fired:
    """What an event of a kind goes by: a number of each frame, and the threshold that it crossed."""

    signal: str
    threshold: float | None
    below: bool = False  # crossed downwards


@dataclass(frozen=True, slots=True, eq=False)
class SignalTrace:
    """``columns`` has ``time_us`` and, per signal, values with NaN where nothing was measured."""

    columns: Mapping[str, npt.NDArray[Any]]
    fired: Fired | None = None


def dump_trace(times_us: Sequence[int], values: Mapping[str, Sequence[float | None]], fired: Fired | None) -> bytes:
    """At most ``MOST_BYTES``: of a longer trace every second row is kept, every fourth, and so on. Signals without a
    value are left out, and all but the one that fired where even that is too much."""
    known = {name: column for name, column in values.items() if any(value is not None for value in column)}
    for names in (list(known), [name for name in known if fired and name == fired.signal]):
        for step in (1, 2, 4, 8, 16):
            columns = {TIME: pa.array(times_us[::step], pa.int64())}
            columns |= {name: pa.array(known[name][::step], pa.float32()) for name in names}
            content = _write(pa.table(columns), fired)
            if len(content) <= MOST_BYTES:
                return content
    return content


def load_trace(content: bytes) -> SignalTrace:
    table = pa.ipc.open_stream(content).read_all()
    columns = {name: table[name].to_numpy(zero_copy_only=False) for name in table.schema.names}
    kept = (table.schema.metadata or {}).get(_FIRED)
    return SignalTrace(columns, Fired(**orjson.loads(kept)) if kept else None)


def _write(table: pa.Table, fired: Fired | None) -> bytes:
    metadata = {_FIRED: orjson.dumps(fired)} if fired else None
    table = table.replace_schema_metadata(metadata)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())
