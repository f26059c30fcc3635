"""An outage longer than the broker's retention: workers stop and say so, and an operator lets them go on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from kafka import KafkaAdminClient
from kafka.structs import TopicPartition
from sqlalchemy import Engine, func, select

from infra.bus.kafka import KafkaBus
from infra.bus.memory import MemoryBus
from infra.contracts.topics import FRAMES, TELEMETRY
from infra.runtime.lost import Gap, find_gaps, skip_gaps
from infra.settings import Settings
from infra.store import tables
from infra.store.media import LocalMedia
from infra.store.positions import Position, move_fence, read_positions
from tests.contract.test_bus import NOW_US, key_in, send
from tests.processes import Process, call, wait_for_no_lag

GROUP, LANE = "scoring", 1


def stand(engine: Engine, offsets: dict[str, int]) -> None:
    """The group left its lane here."""
    with engine.begin() as connection:
        before = read_positions(connection, GROUP, [LANE])[LANE]
        assert not move_fence(connection, GROUP, [replace(before, offsets=offsets)])


def standing(engine: Engine) -> Position:
    with engine.begin() as connection:
        return read_positions(connection, GROUP, [LANE])[LANE]


@contextmanager
def at_work(settings: Settings, folder: Path) -> Iterator[Process]:
    worker = Process(settings, folder / "worker.log", "run", GROUP)
    try:
        yield worker
    finally:
        worker.kill()


@pytest.mark.bus("kafka")
@pytest.mark.timeout(180)
def test_a_worker_stops_at_messages_that_are_gone_and_goes_on_when_it_is_told_to(
    bus: KafkaBus, database: Engine, settings: Settings, tmp_path: Path
) -> None:
    send(bus, *[(TELEMETRY, key_in(LANE, bus.lanes), b"%d" % n) for n in range(10)])
    admin = KafkaAdminClient(bootstrap_servers=bus.bootstrap)
    admin.delete_records({TopicPartition(bus.topic(TELEMETRY), LANE): 6})
    admin.close()
    stand(database, {TELEMETRY: 2})

    said = "offset 2 is wanted, 6 kept: 4 messages are missing"
    for _ in range(2):  # and stops again when it is started again
        with at_work(settings, tmp_path) as worker:
            assert worker.wait(60.0) == 1
    told = (tmp_path / "worker.log").read_text()
    assert told.count("offset 2 is wanted, the broker keeps 6 and later") == 2
    assert "`rumblestrip topics --skip-lost` goes on without them" in told
    asked = call(settings, "topics")
    assert said in asked
    assert "rumblestrip topics --skip-lost" in asked
    assert standing(database).offsets == {TELEMETRY: 2}

    assert said in call(settings, "topics", "--skip-lost")
    assert "Nothing was lost" in call(settings, "topics", "--skip-lost")
    with at_work(settings, tmp_path) as worker:
        wait_for_no_lag(bus, database, {GROUP: [TELEMETRY]}, [worker], 60.0)
        assert worker.stop() == 0
    reason = tables.dead_letter.c.reason
    with database.connect() as connection:
        letters = connection.execute(select(reason, func.count()).group_by(reason).order_by(reason))
        assert [tuple(row) for row in letters] == [("not_a_message", 4), ("records_lost", 1)]


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
