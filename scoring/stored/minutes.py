"""The table of minutes beside exported rows: what each shows at most, and in which row groups its rows lie."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from infra.contracts.telemetry import Float64, Int64
from scoring.core.calm import MINUTE_US, Minutes, restless
from scoring.core.detectors.axes import AXES
from scoring.core.stored import Subject
from scoring.stored.source import Sought

TABLES = ("position", "motion")
GROUP_US = 10 * MINUTE_US
_SIGNALS = {source: tuple(f"{source}_{axis.word}_g" for axis in AXES) for source in ("gps", "felt")}
SCHEMA = pa.schema(
    [
        ("time", pa.timestamp("us", tz="UTC")),
        ("vehicle_id", pa.string()),
        ("mounting", pa.int64()),  # of which mounting the estimates felt_ are
        ("position_rows", pa.int32()),
        ("motion_rows", pa.int32()),
        ("position_group", pa.int32()),
        ("motion_group", pa.int32()),
        ("unsure", pa.bool_()),
        ("standing", pa.bool_()),
        *((name, pa.float32()) for name in ("over_mps", *_SIGNALS["gps"], *_SIGNALS["felt"])),
    ]
)


@dataclass(frozen=True, slots=True, eq=False)
class Day:
    """Minutes of the vehicles of a lane on a day. ``vehicle``: index among those asked for, -1 for others."""

    vehicle: Int64
    start_us: Int64
    restless: npt.NDArray[np.bool_]
    rows: Mapping[str, Int64]
    groups: Mapping[str, Int64]


def minutes_table(subject: Subject, minutes: Minutes, groups: Mapping[str, Int64]) -> pa.Table:
    """``groups``: of each minute, the row group in either table."""
    times = pa.array(minutes.start_us, pa.timestamp("us", tz="UTC"))
    ours = pa.nulls(len(minutes), pa.string()).fill_null(subject.vehicle_id)
    marks = [_mark(subject)] * len(minutes)
    whole = (minutes.fixes, minutes.seconds, groups["position"], groups["motion"], minutes.unsure, minutes.standing)
    extremes = np.concatenate([minutes.over_mps[None], minutes.gps_g, minutes.felt_g])
    columns = [times, ours, marks, *whole, *_rounded_up(extremes)]
    arrays = [pa.array(values, field.type) for values, field in zip(columns, SCHEMA, strict=True)]
    return pa.table(arrays, schema=SCHEMA)


def group_by_tens(start_us: Int64, rows: Int64) -> tuple[Int64, Int64]:
    """Of each minute the row group, from 0, and of each group its rows: what lies within the same ten minutes."""
    if not len(start_us):
        return rows, rows
    first = np.flatnonzero(np.diff(start_us // GROUP_US, prepend=-1))
    sizes = np.add.reduceat(rows, first)
    number = np.maximum(np.cumsum(sizes > 0) - 1, 0)
    return np.repeat(number, np.diff([*first, len(rows)])), sizes[sizes > 0]


def read_day(path: Path, subjects: Sequence[Subject], sought: Sought) -> Day:
    """And which of the minutes are not calm."""
    names = [*SCHEMA.names[:8], *_needed(sought)]
    with pq.ParquetFile(path, memory_map=True, pre_buffer=False) as file:
        table = file.read(names, use_threads=False)
    ids = pa.array([one.vehicle_id for one in subjects], pa.string())
    vehicle = pc.fill_null(pc.index_in(table["vehicle_id"], ids), -1).to_numpy().astype(np.int64)
    minutes = _minutes(table)
    return Day(
        vehicle,
        minutes.start_us,
        _restless(minutes, table["mounting"].to_numpy(), vehicle, subjects, sought),
        {"position": minutes.fixes, "motion": minutes.seconds},
        {name: table[f"{name}_group"].to_numpy().astype(np.int64) for name in TABLES},
    )


def _needed(sought: Sought) -> list[str]:
    wanted = {"standing": "idling", "over_mps": "speeding"}
    names = [name for name, kind in wanted.items() if kind in sought.kinds]
    return [*names, *_SIGNALS["gps"], *_SIGNALS["felt"]] if sought.motion else names


def _minutes(table: pa.Table) -> Minutes:
    """What was not read is calm; it is not asked for."""

    def column(name: str) -> Float64:
        known = name in table.column_names
        return table[name].to_numpy().astype(np.float64) if known else np.full(len(table), -np.inf)

    fixes, seconds = (table[f"{name}_rows"].to_numpy().astype(np.int64) for name in TABLES)
    return Minutes(
        start_us=table["time"].cast(pa.int64()).to_numpy(),
        fixes=fixes,
        seconds=seconds,
        unsure=table["unsure"].to_numpy(),
        standing=column("standing") > 0,
        over_mps=column("over_mps"),
        gps_g=np.stack([column(name) for name in _SIGNALS["gps"]]),
        felt_g=np.stack([column(name) for name in _SIGNALS["felt"]]),
    )


def _restless(
    minutes: Minutes, marks: Int64, vehicle: Int64, subjects: Sequence[Subject], sought: Sought
) -> npt.NDArray[np.bool_]:
    """Where motion was summed up for another mounting than is known now, nothing is calm."""
    found = np.zeros(len(minutes), np.bool_)
    sorts = [(one.vehicle_class, one.dense) for one in subjects]
    for sort in dict.fromkeys(sorts):
        own = np.array([*(other == sort for other in sorts), False])[vehicle]  # the last for -1
        found |= own & restless(minutes, sought.several, *sort, sought.kinds)
    if sought.motion:
        now = np.array([*(_mark(one) for one in subjects), 0])
        dense = np.array([*(one.dense for one in subjects), False])
        found |= dense[vehicle] & (now[vehicle] != marks)
    return found


def _mark(subject: Subject) -> int:
    """Tells mountings apart."""
    if subject.mounting is None:
        return 0
    return zlib.crc32(subject.mounting.astype("<f8").tobytes() + str(subject.since_us).encode())


def _rounded_up(values: Float64) -> npt.NDArray[Any]:
    """In single precision, and not below what it was."""
    single = values.astype(np.float32)
    return np.where(np.isfinite(single), np.nextafter(single, np.float32(np.inf)), single)
