"""Frames on the bus become rows and a still in the media store, through the worker and the real database."""

import asyncio
import io

from PIL import Image
from sqlalchemy import select

from infra.contracts.codec import encode
from infra.runtime.worker import Worker
from infra.store import tables
from tests.unit.vision.stories import START_US, drawn, frame, scripted_step
from vision.service import build

LEVELS = [*[220] * 320, *[60] * 20, *[220] * 5]


def publish(bus, frames):
    async def send():
        producer = bus.producer()
        await asyncio.gather(*(producer.publish("frames", f.vehicle_id, encode(f), START_US + i) for i, f in frames))
        producer.close()

    asyncio.run(send())


def rows(engine, table):
    with engine.connect() as connection:
        return connection.execute(select(table)).mappings().all()


def pump_dry(worker):
    while worker.pump(0.5) or not worker.settled:
        pass


def test_driver_who_nods_off_is_in_the_inbox_with_a_still(bus, database, settings, media):
    frames = [frame(i, drawn(level)) for i, level in enumerate(LEVELS)]
    broken = frame(len(frames), b"\x89PNG")
    publish(bus, [*enumerate([*frames, broken])])
    worker = Worker(scripted_step(), bus, database, settings.model_copy(update={"worker_batch": 40}), media)
    pump_dry(worker)
    worker.close()

    (event,) = rows(database, tables.safety_event)
    assert (event["kind"], event["severity"], event["driver_id"]) == ("sleep", "high", "anna")
    assert (event["end_at"] - event["start_at"]).total_seconds() == 3.8
    assert event["review_state"] == "needs_review"
    blurred, shown = sorted(rows(database, tables.event_media), key=lambda row: row["shows_driver"])
    assert {row["event_id"] for row in (blurred, shown)} == {event["event_id"]}
    assert [row["shows_driver"] for row in (blurred, shown)] == [False, True]
    assert Image.open(io.BytesIO(media.read(blurred["path"]))).size == (64, 64)
    assert len(rows(database, tables.observation)) == len(frames)
    assert [letter["reason"] for letter in rows(database, tables.dead_letter)] == ["frame_not_jpeg"]
    assert {due["driver_id"] for due in rows(database, tables.score_due)} == {"anna"}
    counts = {row["word"]: row["total"] for row in rows(database, tables.stream_count)}
    assert counts["frames"] == len(frames)
    assert counts["frames_unusable"] == 1


def test_build_gives_the_eyes_worker(bus, database, settings, media):
    worker = build(settings, bus, database, media)
    pump_dry(worker)
    worker.close()
