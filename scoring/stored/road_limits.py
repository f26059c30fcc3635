"""Posted limits that the road told of trips, put where the messages told none, for rules tried on what was stored."""

from __future__ import annotations

from collections.abc import Sequence, Set
from datetime import datetime

import numpy as np
import pyarrow as pa
from sqlalchemy import Connection, text

from infra.contracts.telemetry import GpsSamples
from scoring.core.roads import Matched, filled, no_roads

_MATCHED = (
    "FROM trip_roads JOIN trip ON trip.trip_id = trip_roads.trip_id WHERE trip.vehicle_id = ANY(:vehicles) "
    "AND trip.start_at < :until AND trip.end_at >= :since AND trip_roads.limits_filled > 0"
)
_VEHICLES = text(f"SELECT DISTINCT trip.vehicle_id {_MATCHED}")
_LIMITS = text(f"SELECT trip_roads.limits {_MATCHED}")


def vehicles_with_road_limits(
    connection: Connection, vehicle_ids: Sequence[str], times: tuple[datetime, datetime]
) -> Set[str]:
    """Those of them that drove where only the road knew the limit."""
    asked = {"vehicles": list(vehicle_ids), "since": times[0], "until": times[1]}
    return set(connection.execute(_VEHICLES, asked).scalars())


def pack_limits(gps: GpsSamples, matched: Matched) -> bytes:
    """As ``trip_roads`` holds them: Arrow IPC, a row a fix."""
    table = pa.table(
        {
            "time_us": gps.time_us,
            "limit_mps": matched.limit_mps,
            "confidence": matched.confidence,
            "road": pa.array(matched.road).dictionary_encode(),
        }
    )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def fill_limits(
    connection: Connection, vehicle_id: str, times: tuple[datetime, datetime], gps: GpsSamples
) -> GpsSamples:
    """A vehicle's fixes between two times, with the limits that its trips' matches are believed in."""
    asked = {"vehicles": [vehicle_id], "since": times[0], "until": times[1]}
    return put_limits(gps, [pa.ipc.open_stream(row.limits).read_all() for row in connection.execute(_LIMITS, asked)])


def put_limits(gps: GpsSamples, tables: Sequence[pa.Table]) -> GpsSamples:
    """Fixes, in order of time, with these limits where the message has none.

    Args:
        tables: as ``trip_roads`` holds them, a row a fix, with ``time_us``, ``limit_mps`` and ``confidence``.
    """
    if not len(gps) or not tables:
        return gps
    matched = no_roads(len(gps))
    for table in tables:
        time_us = table["time_us"].to_numpy()
        at = np.minimum(np.searchsorted(gps.time_us, time_us), len(gps) - 1)
        same = gps.time_us[at] == time_us
        matched.limit_mps[at[same]] = table["limit_mps"].to_numpy()[same]
        matched.confidence[at[same]] = table["confidence"].to_numpy()[same]
    return filled(gps, matched)
