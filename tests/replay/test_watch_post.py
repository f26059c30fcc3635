"""`watch --post` against the gateway, the bus and the eyes' worker: what the pictures themselves would have told."""

import hashlib

import pytest
from sqlalchemy import select
from typer.testing import CliRunner

from infra.clock import SystemClock
from infra.contracts.telemetry import VehicleClass
from infra.drives import open_drive
from infra.runtime.replay import Options, replay
from infra.store import tables
from ingest import devices
from ingest.service import build_gateway
from tests.contract.gateway import serve
from tests.replay.test_vision_worker import pump_dry, rows
from tests.unit.vision.stories import CLIP
from vision import service
from vision import watch as command
from vision.looking import Eyes, Look

DRIVE = CLIP.parent
PICTURES, NUMBERS = "sends-pictures", "sends-numbers"


LOOKS: dict[tuple[bytes, bool], Look] = {}


class OnceOnly(Eyes):
    """The real eyes, which look at the very same pixels once: at the device, and in the worker on every bus."""

    def look(self, pictures, faces=None, due=None):
        keys = [(hashlib.sha256(p.rgb).digest(), d) for p, d in zip(pictures, due, strict=True)]
        fresh = [i for i, key in enumerate(keys) if key not in LOOKS]
        looks = super().look([pictures[i] for i in fresh], due=[due[i] for i in fresh]) if fresh else []
        LOOKS.update(zip([keys[i] for i in fresh], looks, strict=True))
        return [LOOKS[key] for key in keys]


@pytest.fixture(autouse=True)
def real_eyes(monkeypatch):
    monkeypatch.setattr(command, "Eyes", OnceOnly)
    monkeypatch.setattr(service, "Eyes", OnceOnly)


@pytest.fixture
def url(settings, bus, database):
    gateway = build_gateway(settings, bus, database)
    yield from serve(gateway)


def post(url, *more):
    done = CliRunner().invoke(command.watch_app, [str(DRIVE), "--post", url, *more])
    assert done.exit_code == 0, done.output
    return done.output


def told(database, table, order, without):
    """Rows by vehicle, without what differs from one vehicle to the next."""
    found = {PICTURES: [], NUMBERS: []}
    with database.connect() as connection:
        for row in connection.execute(select(table).order_by(order)).mappings():
            found[row["vehicle_id"]].append({name: row[name] for name in row if name not in without})
    return found


def test_numbers_of_a_device_are_the_events_that_its_pictures_would_have_been(
    bus, database, settings, media, url, monkeypatch
):
    monkeypatch.setenv("RUMBLESTRIP_DATA_DIR", str(settings.data_dir))
    token = devices.register(database, PICTURES, VehicleClass.PASSENGER)
    replay([open_drive(DRIVE)], url, lambda _: token, settings.data_dir / "replay", SystemClock(), Options())
    monkeypatch.setenv("RUMBLESTRIP_REPLAY_TOKEN", devices.register(database, NUMBERS, VehicleClass.PASSENGER))
    assert "posted 235 observations in 9 batches" in post(url, "--vehicle", NUMBERS)
    worker = service.build(settings, bus, database, media)
    pump_dry(worker)

    events = told(database, tables.safety_event, tables.safety_event.c.start_at, ("vehicle_id", "event_id"))
    assert {"head_nod", "microsleep"} <= {event["kind"] for event in events[PICTURES]}
    assert events[NUMBERS] == events[PICTURES]
    seen = told(database, tables.observation, tables.observation.c.time, ("vehicle_id", "record_offset"))
    assert len(seen[NUMBERS]) == 235
    assert seen[NUMBERS] == seen[PICTURES]
    shown = {row["event_id"] for row in rows(database, tables.event_media)}
    by_vehicle = {row["event_id"]: row["vehicle_id"] for row in rows(database, tables.safety_event)}
    assert {by_vehicle[event] for event in shown} == {PICTURES}

    assert "posted 0 observations in 0 batches; 9 batches sent in an earlier run" in post(url)
    for journal in (settings.data_dir / "replay").glob("*.json"):
        journal.unlink()  # a device that forgot what it sent
    assert "posted 235 observations in 9 batches" in post(url)
    pump_dry(worker)
    worker.close()
    assert told(database, tables.observation, tables.observation.c.time, ("vehicle_id", "record_offset")) == seen
    counts = {(row["vehicle_id"], row["word"]): row["total"] for row in rows(database, tables.stream_count)}
    assert counts[NUMBERS, "duplicate"] == 9
    assert (NUMBERS, "missing") not in counts
