"""Reads what ``parquet.export`` has written: the row groups around minutes that are not calm, or all of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from infra.clock import to_us
from infra.contracts.telemetry import GPS_DTYPES, UNKNOWN, Int64, VehicleClass
from scoring.core.calm import MINUTE_US, inside, stretches
from scoring.core.rules import SECOND_US
from scoring.core.stored import Subject, Telemetry, no_motion
from scoring.stored.database import gps_of, motion_columns, motion_of
from scoring.stored.minutes import TABLES, Day, read_day
from scoring.stored.parquet import MINUTES, VEHICLES, days, file_of
from scoring.stored.source import Sought, Span

Columns = dict[str, npt.NDArray[Any]]
_FLAGS = frozenset(name for name, dtype in GPS_DTYPES.items() if dtype == np.int8)
_BETWEEN_US = 3600 * SECOND_US  # of vehicles on one axis of time


class ArchiveError(ValueError):
    """Files that do not belong together; the message says which."""


class Archive:
    """A folder that ``export`` has written."""

    def __init__(self, root: Path, lanes: Sequence[int] | None = None) -> None:
        self._root = root
        self._lanes = lanes

    @cached_property
    def subjects(self) -> Mapping[str, Subject]:
        return {row["vehicle_id"]: _subject(row) for row in self._vehicles}

    @property
    def lanes(self) -> list[int]:
        """Those that there are files of."""
        found = sorted(int(path.name.partition("=")[2]) for path in (self._root / "position").glob("lane=*"))
        return found if self._lanes is None else [lane for lane in found if lane in self._lanes]

    def parts(self, _span: Span) -> Sequence[Sequence[str]]:
        """Lane by lane: all vehicles of one are in memory at once."""
        found = [[row["vehicle_id"] for row in self._vehicles if row["lane"] == lane] for lane in self.lanes]
        return [part for part in found if part]

    def telemetry(self, span: Span, vehicle_ids: Sequence[str], sought: Sought) -> Iterator[Telemetry]:
        """An export without minutes, or with days that lack them, is read whole."""
        wanted = set(vehicle_ids)
        for lane in self.lanes:
            own = [row["vehicle_id"] for row in self._vehicles if row["lane"] == lane and row["vehicle_id"] in wanted]
            if own:
                yield from _Lane(self._root, lane, span, sought, [self.subjects[one] for one in own]).telemetry()

    @cached_property
    def _vehicles(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = pq.read_table(self._root / VEHICLES).to_pylist()
        return rows


@contextmanager
def opened_archive(root: Path) -> Iterator[Archive]:
    yield Archive(root)


@dataclass(slots=True)
class _Lane:
    """What is read at once. Vehicles are laid out one after the other, and their rows told apart by that time."""

    root: Path
    lane: int
    span: Span
    sought: Sought
    subjects: Sequence[Subject]

    def telemetry(self) -> Iterator[Telemetry]:
        summed = None if self.sought.whole else self._summed()
        fixes = self._of_vehicles("position", self.sought.positions_of(self.subjects), summed)
        names = motion_columns([one for one in self.subjects if one.mounting is not None])
        moved = self._of_vehicles("motion", names, summed) if self.sought.motion else [None] * len(self.subjects)
        for subject, ours, theirs in zip(self.subjects, fixes, moved, strict=True):
            if len(ours["time_us"]):
                motion = no_motion() if theirs is None or subject.mounting is None else motion_of(theirs)
                yield Telemetry(subject, gps_of(ours), motion)

    def _summed(self) -> dict[date, Day] | None:
        paths = {day: file_of(self.root, MINUTES, self.lane, day) for day in self._days}
        there = {day for day in self._days for name in TABLES if file_of(self.root, name, self.lane, day).exists()}
        if not all(paths[day].exists() for day in there):
            return None
        return {day: read_day(paths[day], self.subjects, self.sought) for day in sorted(there)}

    @property
    def _days(self) -> list[date]:
        return days(*self.span.read)

    @property
    def _first_us(self) -> int:
        return to_us(self.span.read[0])

    @property
    def _length_us(self) -> int:
        return to_us(self.span.read[1]) - self._first_us

    def _laid(self, vehicle: Int64, time_us: Int64 | int) -> Int64:
        """One vehicle after the other on a single axis."""
        return vehicle * (self._length_us + _BETWEEN_US) + time_us - self._first_us

    def _of_vehicles(self, table: str, names: Sequence[str], summed: Mapping[date, Day] | None) -> list[Columns]:
        parts = self._whole(table, names) if summed is None else self._picked(table, names, summed)
        found = [part for part in parts if len(part["time_us"])]
        if not found:
            return [_no_rows(names)] * len(self.subjects)
        rows = {name: np.concatenate([part[name] for part in found]) for name in found[0]}
        order = np.argsort(rows["laid_us"], kind="stable")  # days come in order, and so stay
        ends = [self._laid(np.array(vehicle), self._first_us) for vehicle in range(len(self.subjects) + 1)]
        bounds = np.searchsorted(rows["laid_us"][order], ends).tolist()
        return [{name: values[order[a:b]] for name, values in rows.items()} for a, b in pairwise(bounds)]

    def _whole(self, table: str, names: Sequence[str]) -> Iterator[Columns]:
        ids = pa.array([one.vehicle_id for one in self.subjects], pa.string())
        for path in (file_of(self.root, table, self.lane, day) for day in self._days):
            if path.exists():
                columns = ["vehicle_id", "time", *names]
                rows = pq.read_table(path, columns=columns, partitioning=None, memory_map=True)
                vehicle = pc.fill_null(pc.index_in(rows["vehicle_id"], ids), -1).to_numpy().astype(np.int64)
                yield self._kept(rows, names, vehicle, None)

    def _picked(self, table: str, names: Sequence[str], summed: Mapping[date, Day]) -> Iterator[Columns]:
        restless = [self._laid(day.vehicle, day.start_us)[day.restless] for day in summed.values()]
        if not restless:
            return
        times = stretches(np.sort(np.concatenate(restless)), MINUTE_US)
        for day, own in summed.items():
            start_us = self._laid(own.vehicle, own.start_us)
            begun = np.searchsorted(times[:, 0], start_us + MINUTE_US)
            touched = begun > np.searchsorted(times[:, 1], start_us, side="right")
            touched &= (own.vehicle >= 0) & (own.rows[table] > 0)
            if touched.any():
                rows, vehicle = _row_groups(file_of(self.root, table, self.lane, day), table, names, own, touched)
                yield self._kept(rows, names, vehicle, times)

    def _kept(self, rows: pa.Table, names: Sequence[str], vehicle: Int64, times: Int64 | None) -> Columns:
        """Rows of the vehicles asked for, within the span, and within the stretches."""
        time_us = rows["time"].cast(pa.int64()).to_numpy()
        laid_us = self._laid(vehicle, time_us)
        since_us = time_us - self._first_us
        keep = (vehicle >= 0) & (since_us >= 0) & (since_us < self._length_us)
        if times is not None:
            keep &= inside(times, laid_us)
        columns = {"time_us": time_us, "laid_us": laid_us} | {name: _numbers(rows[name], name) for name in names}
        return {name: values[keep] for name, values in columns.items()}


def _row_groups(
    path: Path, table: str, names: Sequence[str], own: Day, touched: npt.NDArray[np.bool_]
) -> tuple[pa.Table, Int64]:
    """The row groups in which these minutes lie, and of each row the vehicle."""
    groups, counts = own.groups[table], own.rows[table]
    with pq.ParquetFile(path, memory_map=True, pre_buffer=False) as file:
        if file.metadata.num_rows != counts.sum():
            raise ArchiveError(f"{path} and its minutes are not of one export: export this day again")
        chosen = np.zeros(file.metadata.num_row_groups, np.bool_)
        chosen[groups[touched]] = True
        rows = file.read_row_groups(np.flatnonzero(chosen).tolist(), ["time", *names], use_threads=False)
    read = np.flatnonzero(counts)
    read = read[chosen[groups[read]]]
    return rows, np.repeat(own.vehicle[read], counts[read])


def _no_rows(names: Sequence[str]) -> Columns:
    return {name: np.empty(0, np.int64 if name == "time_us" else np.float64) for name in ("time_us", *names)}


def _numbers(column: pa.ChunkedArray, name: str) -> npt.NDArray[Any]:
    if name in _FLAGS:
        column = pc.fill_null(column, UNKNOWN)
    values: npt.NDArray[Any] = column.to_numpy()  # null becomes NaN
    return values


def _subject(row: dict[str, Any]) -> Subject:
    mounting = None if row["mounting"] is None else np.array(row["mounting"]).reshape(3, 3)
    return Subject(row["vehicle_id"], VehicleClass(row["vehicle_class"]), mounting, row["since_us"], row["imu_hz"])
