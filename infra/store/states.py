"""Vehicle states as rows: many read with one SELECT, many written with one statement."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import orjson
from sqlalchemy import Connection, text

from infra.contracts.events import JsonObject


@dataclass(frozen=True, slots=True)
class StoredState:
    rules_version: str
    document: JsonObject


@dataclass(frozen=True, slots=True)
class StateRow:
    """A vehicle's state to be written. ``replaces`` is the other rules version that it was read from, if any."""

    vehicle_id: str
    lane: int
    document: bytes = field(repr=False)  # JSON
    wake_us: int | None = None
    replaces: str | None = None


_LOAD = text("""
    SELECT vehicle_id, rules_version, CAST(state AS text) FROM vehicle_state
    WHERE consumer_group = :group AND vehicle_id = ANY(CAST(:vehicles AS text[]))
    ORDER BY rules_version = :rules_version
""")
_WAKES = text("""
    SELECT lane, vehicle_id, min(wake_us) FROM vehicle_state
    WHERE consumer_group = :group AND lane = ANY(CAST(:lanes AS integer[])) AND wake_us IS NOT NULL
    GROUP BY lane, vehicle_id
""")
_SEPARATOR = b"\x1e"  # JSON never holds it bare. One long text is sent in half the time of an array of texts
_SAVE = text("""
    INSERT INTO vehicle_state (consumer_group, vehicle_id, rules_version, lane, state, wake_us)
    SELECT :group, vehicle_id, :rules_version, lane, CAST(state AS json), wake_us
    FROM unnest(
        CAST(:vehicles AS text[]), CAST(:lanes AS integer[]),
        string_to_array(CAST(:documents AS text), chr(30)), CAST(:wakes AS bigint[])
    ) AS new (vehicle_id, lane, state, wake_us)
    ON CONFLICT (consumer_group, vehicle_id, rules_version)
    DO UPDATE SET lane = excluded.lane, state = excluded.state, wake_us = excluded.wake_us
""")
_REPLACE = text("""
    DELETE FROM vehicle_state
    WHERE consumer_group = :group AND vehicle_id = ANY(CAST(:vehicles AS text[])) AND rules_version <> :rules_version
""")


def load_states(
    connection: Connection, group: str, rules_version: str, vehicles: Iterable[str]
) -> dict[str, StoredState]:
    """States of these vehicles; one of another rules version only where there is none of this one."""
    wanted = {"group": group, "rules_version": rules_version, "vehicles": list(vehicles)}
    rows = connection.execute(_LOAD, wanted)
    return {vehicle: StoredState(version, orjson.loads(state)) for vehicle, version, state in rows}


def load_wakes(connection: Connection, group: str, lanes: Iterable[int]) -> dict[int, dict[str, int]]:
    """Lane to the vehicles that want to be woken, each with the arrival time at which."""
    wakes: dict[int, dict[str, int]] = {lane: {} for lane in lanes}
    for lane, vehicle, wake_us in connection.execute(_WAKES, {"group": group, "lanes": list(wakes)}):
        wakes[lane][vehicle] = wake_us
    return wakes


def save_states(connection: Connection, group: str, rules_version: str, rows: Sequence[StateRow]) -> None:
    """Write the states, in the order of vehicles; a state of another rules version gives way."""
    rows = sorted(rows, key=lambda row: row.vehicle_id)
    whose = {"group": group, "rules_version": rules_version}
    replaced = [row.vehicle_id for row in rows if row.replaces is not None]
    if replaced:
        connection.execute(_REPLACE, whose | {"vehicles": replaced})
    connection.execute(
        _SAVE,
        whose
        | {
            "vehicles": [row.vehicle_id for row in rows],
            "lanes": [row.lane for row in rows],
            "documents": _SEPARATOR.join(row.document for row in rows).decode(),
            "wakes": [row.wake_us for row in rows],
        },
    )
