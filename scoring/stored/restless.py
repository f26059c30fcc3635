"""Which pieces of a span are not calm, as the database tells without giving the rows away.

TimescaleDB filters its compressed columns many values at a time: 0.4 to 0.7 ms for 14,400 rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from psycopg import sql
from sqlalchemy import Connection

from infra.clock import to_us
from infra.contracts.events import EventKind
from infra.contracts.telemetry import Int64, VehicleClass
from infra.store.engine import driver_of
from scoring.core.calm import MINUTE_US, least_g, restless, sum_up
from scoring.core.detectors.axes import AXES
from scoring.core.detectors.idling import STANDING_MPS
from scoring.core.rules import G_MPS2, SECOND_US
from scoring.core.stored import Subject, Telemetry
from scoring.core.window import FORWARD
from scoring.stored.source import Sought, Span

PIECE_US = 10 * SECOND_US
_ROUNDED = 1 - 1e-6  # a column's values are of single precision
_PIECES = sql.SQL(
    "SELECT vehicle_id, date_bin('10 seconds', time, '2000-01-01 00:00:00+00') FROM {table} "
    "WHERE vehicle_id = ANY(%s) AND time >= %s AND time < %s AND ({condition}) GROUP BY 1, 2"
)
# A speed that is not known is told by the positions.
_OVER = "speed_mps > speed_limit_mps OR (speed_mps IS NULL AND speed_limit_mps IS NOT NULL)"
_STANDING = f"ignition = 1 AND (speed_mps < {STANDING_MPS} OR speed_mps IS NULL OR speed_mps = 'NaN')"


class Restless:
    """Reads on the caller's connection."""

    def __init__(self, connection: Connection, span: Span, sought: Sought) -> None:
        self._connection, self._span, self._sought = connection, span, sought

    def of(self, subjects: Sequence[Subject]) -> dict[str, Int64]:
        """Beginnings of pieces of ``PIECE_US``, in order. A vehicle that is not there must be read whole: its
        harshness is judged by GPS, from one fix to the next."""
        told = [one for one in subjects if one.dense or not self._sought.motion]
        found: dict[str, list[int]] = {one.vehicle_id: [] for one in told}
        for table, ids, condition in self._questions(told):
            for vehicle_id, start in self._ask(table, ids, condition):
                found[vehicle_id].append(start)
        return {vehicle_id: np.unique(np.array(starts, np.int64)) for vehicle_id, starts in found.items()}

    def _questions(self, subjects: Sequence[Subject]) -> Iterator[tuple[str, list[str], sql.Composable]]:
        kinds = self._sought.kinds
        wanted = [c for kind, c in ((EventKind.SPEEDING, _OVER), (EventKind.IDLING, _STANDING)) if kind in kinds]
        if wanted and subjects:
            yield "position", [one.vehicle_id for one in subjects], sql.SQL(" OR ".join(f"({c})" for c in wanted))
        for vehicle_class in VehicleClass:
            ids = [one.vehicle_id for one in subjects if one.straight and one.vehicle_class is vehicle_class]
            if self._sought.motion and ids:
                yield "motion", ids, self._loud(vehicle_class)

    def _loud(self, vehicle_class: VehicleClass) -> sql.Composable:
        """Seconds whose extremes reach a level: an estimate is never larger."""
        conditions = []
        for axis in AXES:
            if axis.kind in self._sought.kinds:
                level = least_g(self._sought.several, vehicle_class, axis, dense=True) * G_MPS2
                column = f"accel_{'x' if axis.row == FORWARD else 'y'}_{'max' if axis.sign > 0 else 'min'}"
                compared = sql.SQL("{} >= {}" if axis.sign > 0 else "{} <= {}")
                conditions.append(compared.format(sql.Identifier(column), sql.Literal(axis.sign * level * _ROUNDED)))
        return sql.SQL(" OR ").join(conditions)

    def _ask(self, table: str, ids: list[str], condition: sql.Composable) -> list[tuple[str, int]]:
        query = _PIECES.format(table=sql.Identifier(table), condition=condition)
        rows = driver_of(self._connection).execute(query, (ids, *self._span.read)).fetchall()
        return [(vehicle_id, to_us(start)) for vehicle_id, start in rows]


def felt(one: Telemetry, sought: Sought, restless_us: Int64) -> Int64:
    """With the pieces in which the rows of motion, all of them read, show something."""
    minutes = sum_up(one, 0)
    subject, kinds = one.subject, sought.kinds - {EventKind.SPEEDING, EventKind.IDLING}
    found = minutes.start_us[restless(minutes, sought.several, subject.vehicle_class, subject.dense, kinds)]
    pieces = (found[:, None] + np.arange(0, MINUTE_US, PIECE_US)).ravel()
    return np.union1d(pieces, restless_us)
