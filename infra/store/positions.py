"""Where each group stands in each lane, and the fence: who moves a lane on must have seen it where it stands."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import orjson
from sqlalchemy import Connection, text


@dataclass(frozen=True, slots=True)
class Position:
    """A lane as a group last left it."""

    lane: int
    version: int = 0  # grows by one with every commit: the fence
    offsets: dict[str, int] = field(default_factory=dict)  # topic to next offset
    clocks: dict[str, int] = field(default_factory=dict)  # topic to the newest arrival time before that offset


_CREATE = text("""
    INSERT INTO lane_position (consumer_group, lane, version, offsets, clocks)
    SELECT :group, lane, 0, '{}', '{}' FROM unnest(CAST(:lanes AS integer[])) AS lane
    ON CONFLICT DO NOTHING
""")
_READ = text("""
    SELECT lane, version, offsets, clocks FROM lane_position
    WHERE consumer_group = :group AND lane = ANY(CAST(:lanes AS integer[]))
""")
# A zombie's UPDATE waits for the owner's lock, then finds another version and updates nothing. Rows are locked in
# the order of lanes, so that two workers that both believe in several lanes cannot lock each other out.
_MOVE = text("""
    WITH ours AS (
        SELECT lane FROM lane_position
        WHERE consumer_group = :group AND lane = ANY(CAST(:lanes AS integer[])) ORDER BY lane FOR UPDATE
    )
    UPDATE lane_position AS standing
    SET version = standing.version + 1, offsets = next.offsets, clocks = next.clocks
    FROM ours JOIN unnest(
        CAST(:lanes AS integer[]), CAST(:seen AS bigint[]),
        CAST(CAST(:offsets AS text[]) AS jsonb[]), CAST(CAST(:clocks AS text[]) AS jsonb[])
    ) AS next (lane, seen, offsets, clocks) USING (lane)
    WHERE standing.consumer_group = :group AND standing.lane = next.lane AND standing.version = next.seen
    RETURNING standing.lane
""")


def read_positions(connection: Connection, group: str, lanes: Iterable[int]) -> dict[int, Position]:
    """Where the group stands in these lanes; at the beginning of one it never saw."""
    wanted = {"group": group, "lanes": list(lanes)}
    connection.execute(_CREATE, wanted)
    return {row.lane: Position(*row) for row in connection.execute(_READ, wanted)}


def move_fence(connection: Connection, group: str, moved: Sequence[Position]) -> set[int]:
    """Put every lane at its new offsets, if it still has the version seen: the first statement of a transaction.

    Args:
        moved: the new offsets and clocks, with the version that was seen.

    Returns:
        Lanes that another worker has moved since. If there are any, roll back: what was folded from them is void.
    """
    rows = {
        "group": group,
        "lanes": [position.lane for position in moved],
        "seen": [position.version for position in moved],
        "offsets": [orjson.dumps(position.offsets).decode() for position in moved],
        "clocks": [orjson.dumps(position.clocks).decode() for position in moved],
    }
    kept = set(connection.scalars(_MOVE, rows))
    return {position.lane for position in moved} - kept
