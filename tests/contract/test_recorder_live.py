"""Gateway to bus to recorder to database: what was sent is what is stored, repeated messages once."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import httpx
import numpy as np
import pytest
from sqlalchemy import text

from infra.clock import FixedClock
from infra.contracts import arrow_form
from infra.contracts.telemetry import VehicleClass
from ingest import devices
from ingest.gateway import build_app
from ingest.service import build_recorder
from tests.contract.gateway import NOW_US
from tests.property.test_recorder_laws import SECOND, T0, batch, gps_at, imu_at


@pytest.fixture
def token(database) -> str:
    return devices.register(database, "v", VehicleClass.PASSENGER, "d")


def send(app, token, bodies) -> list[int]:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": arrow_form.MEDIA_TYPE}

    async def ask():
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://g", headers=headers
        ) as client:
            return [(await client.post("/v1/telemetry", content=body)).status_code for body in bodies]

    return asyncio.run(ask())


def body(sequence: int) -> bytes:
    start = T0 + sequence * 10 * SECOND
    imu = imu_at(start + 40_000 * np.arange(250))
    spoiled = replace(imu, accel_x_mps2=np.where(np.arange(250) == 7, np.nan, imu.accel_x_mps2))
    whole = batch(spoiled, gps_at(start + SECOND * np.arange(10)))
    return arrow_form.write_batches([replace(whole, sequence=sequence)])


def test_what_was_sent_is_stored_once_and_refusals_are_on_record(settings, database, bus, media, token):
    app = build_app(settings, database, bus, FixedClock(NOW_US + 60 * SECOND))
    assert send(app, token, [body(0), body(1), body(1), body(2), body(0)]) == [202] * 5
    worker = build_recorder(settings, bus, database, media)
    deadline = time.monotonic() + 60
    totals: dict[str, int] = {}
    while totals.get("messages", 0) + totals.get("duplicate", 0) < 5:
        assert time.monotonic() < deadline, totals
        worker.pump(0.2)
        with database.connect() as connection:
            totals = {word: int(n) for word, n in connection.execute(text("SELECT word, total FROM stream_count"))}
    worker.close()
    app.state.producer.close()
    assert (totals["gps_samples"], totals["imu_samples"], totals["imu_rejected"]) == (30, 3 * 249, 3)
    assert totals["motion_samples"] == 3 * 249
    with database.connect() as connection:
        rows = connection.execute(text("SELECT count(*), sum(samples) FROM motion")).one()
        positions = connection.execute(text("SELECT count(*), count(DISTINCT time) FROM position")).one()
        letters = connection.execute(text("SELECT reason, sum(rows) FROM dead_letter GROUP BY 1")).all()
    assert tuple(rows) == (30, 747)
    assert tuple(positions) == (30, 30)
    assert [tuple(r) for r in letters] == [("imu_missing_value", 3)]
