"""What the recorder found, as the Arrow tables that the store copies in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from infra.contracts.telemetry import UNKNOWN, GpsSamples
from infra.store.outputs import MOTION_SCHEMA, POSITION_SCHEMA, CountKey
from ingest.core.seconds import AXES, COUNT, GRID, LEAST, MOST, SECOND_US, SQUARES, SUM, Seconds

_MOST_SAMPLES = 32_767  # what the column holds; a second with more is no accelerometer's
_FLAGS = ("ignition", "belt_buckled")
_REQUIRED = ("lat", "lon")

Int64 = npt.NDArray[np.int64]


def position_table(
    gps: GpsSamples, index: Int64, source: Int64, vehicles: Sequence[str], drivers: Sequence[str | None]
) -> pa.Table:
    """Rows of POSITION_SCHEMA: samples at ``index``, which came with the batch ``source``."""
    columns = {
        "time": pa.array(gps.time_us[index]).cast(pa.timestamp("us", tz="UTC")),
        "vehicle_id": pa.array(vehicles, pa.string()).take(pa.array(source)),
        "driver_id": pa.array(drivers, pa.string()).take(pa.array(source)),
    }
    for name in POSITION_SCHEMA.names[3:]:
        values = getattr(gps, name)[index]
        unknown = values == UNKNOWN if name in _FLAGS else np.isnan(values)
        columns[name] = pa.array(values, mask=None if name in _REQUIRED else unknown)
    return _table(columns, POSITION_SCHEMA)


def motion_table(seconds: Seconds, vehicles: Sequence[str], counts: Counter[CountKey]) -> pa.Table:
    """Rows of MOTION_SCHEMA; ``vehicles`` by stream. Adds the samples that went into them to ``counts``."""
    columns = {
        "time": pa.array(seconds.second_s * SECOND_US).cast(pa.timestamp("us", tz="UTC")),
        "vehicle_id": pa.array(vehicles, pa.string()).take(pa.array(seconds.stream)),
        "samples": pa.array(np.minimum(seconds.samples, _MOST_SAMPLES)),
    }
    for axis, name in enumerate(AXES):
        columns |= _statistics(name.rsplit("_", 1)[0], seconds.tally[:, axis])
    put_in = np.zeros(len(vehicles), np.int64)
    np.add.at(put_in, seconds.stream, seconds.samples)
    for vehicle, samples in zip(vehicles, put_in.tolist(), strict=True):
        counts[vehicle, "motion_samples"] += samples
    return _table(columns, MOTION_SCHEMA)


def _statistics(axis: str, tally: Int64) -> dict[str, pa.Array]:
    """Mean, min, max and rms of one axis; null where every sample was unknown."""
    missing = tally[COUNT] == 0
    count = np.maximum(tally[COUNT], 1)
    values = {
        "mean": tally[SUM] / (count * GRID),
        "min": tally[LEAST] / GRID,
        "max": tally[MOST] / GRID,
        "rms": np.sqrt(tally[SQUARES] / count) / GRID,
    }
    mask = missing if missing.any() else None
    return {f"{axis}_{word}": pa.array(v.astype(np.float32), mask=mask) for word, v in values.items()}


def _table(columns: dict[str, Any], schema: pa.Schema) -> pa.Table:
    return pa.table([columns[field.name].cast(field.type) for field in schema], schema=schema)
