"""A demo drive on the bus becomes trips, events, traces and scores, through the worker and the real database."""

import asyncio
from dataclasses import replace
from pathlib import Path

import numpy as np
from sqlalchemy import select

from infra.contracts import topics
from infra.contracts.codec import encode
from infra.contracts.telemetry import empty_gps, empty_imu
from infra.drives import open_drive
from infra.runtime.parcels import telemetry_batches
from infra.store import tables
from scoring.service import build
from tests.unit.scoring.road import START_US, Leg, batches, drive

DEMO = Path(__file__).parents[2] / "infra" / "demo"
TEN_MINUTES_US = 600_000_000


def publish(bus, messages):
    async def send():
        producer = bus.producer()
        await asyncio.gather(
            *(producer.publish(topics.TELEMETRY, m.vehicle_id, encode(m), arrived_us) for arrived_us, m in messages)
        )
        producer.close()

    asyncio.run(send())


def pump_dry(worker):
    while worker.pump(0.5) or not worker.settled:
        pass


def rows(engine, table):
    with engine.connect() as connection:
        return connection.execute(select(table)).mappings().all()


def test_a_real_drive_ends_with_its_score(bus, database, settings, media):
    recorded = open_drive(DEMO / "omaha-31")
    messages = telemetry_batches(recorded, "boot", 0)
    publish(bus, [(START_US + i, message) for i, message in enumerate(messages)])
    worker = build(settings, bus, database, media)
    pump_dry(worker)
    worker.close()
    (trip,) = rows(database, tables.trip)
    (event,) = rows(database, tables.safety_event)
    assert (trip["status"], trip["driver_id"]) == ("ended", recorded.manifest.driver_id)
    assert trip["start_at"] < event["start_at"] < trip["end_at"]
    assert [row["event_id"] for row in rows(database, tables.event_trace)] == [event["event_id"]]
    scores = {row["scope"]: (row["value"], row["state"], row["events"]) for row in rows(database, tables.score)}
    assert scores == dict.fromkeys(("trip", "driver_day", "vehicle_day"), (75.94, "too_little_driving", 1))
    assert rows(database, tables.score_due) == []


def test_silence_ends_what_a_device_left_open(bus, database, settings, media):
    """Another vehicle of the lane speaks ten minutes later: time has passed there."""
    messages = list(batches(drive(Leg(10, 0.15), Leg(50), Leg(1.5, -0.75), Leg(4))))
    later = replace(messages[0], gps=empty_gps(), imu=empty_imu(), vehicle_id=_neighbour(messages[0], settings.lanes))
    worker = build(settings, bus, database, media)
    publish(bus, [(START_US + i, message) for i, message in enumerate(messages)])
    pump_dry(worker)
    assert [row["status"] for row in rows(database, tables.trip)] == ["open"]
    publish(bus, [(START_US + 2 * TEN_MINUTES_US, later)])
    pump_dry(worker)
    worker.close()
    assert [row["status"] for row in rows(database, tables.trip)] == ["ended"]
    assert [row["kind"] for row in rows(database, tables.safety_event)] == ["harsh_brake"]
    assert len(rows(database, tables.event_trace)) == 1
    assert {(row["formula"], row["events"]) for row in rows(database, tables.score)} == {("expected-risk-1", 1)}


def _neighbour(batch, lanes):
    lane = topics.lane_of(batch.vehicle_id, lanes)
    return next(f"van-{n}" for n in np.arange(2, 99).tolist() if topics.lane_of(f"van-{n}", lanes) == lane)
