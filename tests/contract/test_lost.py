"""An outage longer than the broker's retention: an operator lets workers go on after what is gone."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import Engine, select

from infra.bus.memory import MemoryBus
from infra.contracts.topics import FRAMES, TELEMETRY
from infra.runtime.lost import Gap, find_gaps, skip_gaps
from infra.store import tables
from infra.store.media import LocalMedia
from infra.store.positions import Position, move_fence, read_positions
from tests.contract.test_bus import NOW_US, key_in, send

GROUP, LANE = "scoring", 1


def stand(engine: Engine, offsets: dict[str, int]) -> None:
    """The group left its lane here."""
    with engine.begin() as connection:
        before = read_positions(connection, GROUP, [LANE])[LANE]
        assert not move_fence(connection, GROUP, [replace(before, offsets=offsets)])


def standing(engine: Engine) -> Position:
    with engine.begin() as connection:
        return read_positions(connection, GROUP, [LANE])[LANE]


def test_a_gap_leaves_a_dead_letter_and_shuts_out_who_had_the_lane(database: Engine, media: LocalMedia) -> None:
    bus = MemoryBus(4, begins={TELEMETRY: {LANE: 50}})
    send(bus, (TELEMETRY, key_in(LANE, 4), b"kept"))
    stand(database, {TELEMETRY: 20, FRAMES: 7})  # of frames nothing was ever sent on this bus: another broker's
    worker = standing(database)
    with database.connect() as connection:
        assert find_gaps(connection, bus) == [Gap(GROUP, FRAMES, LANE, 7, 0), Gap(GROUP, TELEMETRY, LANE, 20, 50)]
    gaps = skip_gaps(database, bus, media, NOW_US)
    assert sorted(gap.messages for gap in gaps) == [0, 30]
    assert standing(database).offsets == {TELEMETRY: 50, FRAMES: 0}
    with database.begin() as connection:
        assert move_fence(connection, GROUP, [worker]) == {LANE}
    assert skip_gaps(database, bus, media, NOW_US) == []
    letter = tables.dead_letter.c
    with database.connect() as connection:
        rows = connection.execute(select(letter.topic, letter.reason, letter.rows, letter.detail).order_by(letter.rows))
        assert [tuple(row) for row in rows] == [
            (FRAMES, "records_lost", 0, str(gaps[0])),
            (TELEMETRY, "records_lost", 30, str(gaps[1])),
        ]
    assert "made anew" in str(gaps[0])
