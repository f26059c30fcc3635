"""The gateway on a real socket, with a real registry."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from infra.bus.memory import MemoryBus
from infra.clock import FixedClock
from infra.contracts.telemetry import VehicleClass
from infra.settings import Settings
from infra.store import registry
from infra.store.registry import UnknownVehicle, hash_token
from ingest import auth, devices, examples
from ingest.service import build_gateway
from tests.contract.gateway import NOW_US, serve


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(NOW_US)


@pytest.fixture
def url(database, clock) -> Iterator[str]:
    gateway = build_gateway(Settings(gateway_port=0, max_body_bytes=100_000), MemoryBus(4), database, clock)
    yield from serve(gateway)


def post(url, token, **request):
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    return httpx.post(f"{url}/v1/telemetry", headers=headers, timeout=20, **request)


def test_a_registered_device_is_let_in_until_it_is_revoked(url, database, clock):
    token = devices.register(database, "van-7", VehicleClass.HEAVY_DUTY)
    assert post(url, token, json=examples.TELEMETRY_BODY).json()["accepted"] == {"gps": 2, "imu": 3}
    assert devices.revoke(database, "van-7-device")
    clock.value += auth.FRESH_US
    response = post(url, token, json=examples.TELEMETRY_BODY)
    assert (response.status_code, response.json()["reason"]) == (401, "unknown_token")


def test_a_body_streamed_without_an_announced_length_is_cut_off_at_the_limit(url, database):
    token = devices.register(database, "van-7", VehicleClass.PASSENGER)
    sent = []

    def endless():
        for n in range(1000):
            sent.append(n)
            yield b"x" * 10_000

    response = post(url, token, content=endless())
    assert (response.status_code, response.json()["reason"]) == (413, "too_large")


def test_the_gateway_is_ready_with_its_broker_and_database(url):
    assert httpx.get(f"{url}/readyz").json() == {"status": "ready"}
    assert httpx.get(f"{url}/docs").status_code == 200


def test_only_the_hash_of_a_token_is_kept(database):
    token = devices.register(database, "van-7", VehicleClass.PASSENGER)
    with database.connect() as connection:
        kept = connection.exec_driver_sql("SELECT * FROM device").mappings().one()
        assert registry.find_by_hash(connection, [hash_token(token), "x"]).keys() == {kept["token_hash"]}
    assert token not in str(dict(kept))


def test_a_new_token_ends_the_old_one(database):
    old = devices.register(database, "van-7", VehicleClass.PASSENGER)
    new = devices.register(database, "van-7", VehicleClass.HEAVY_DUTY)
    with database.connect() as connection:
        (identity,) = registry.find_by_hash(connection, map(hash_token, (old, new))).values()
    assert (old != new, identity.vehicle_class) == (True, VehicleClass.HEAVY_DUTY)


def test_a_token_needs_a_registered_vehicle(database):
    with database.begin() as connection, pytest.raises(UnknownVehicle, match="van-9"):
        registry.issue_token(connection, "d", "van-9")


def test_devices_and_drivers_are_listed_and_renamed(database):
    devices.register(database, "van-7", VehicleClass.PASSENGER)
    devices.register(database, "van-7", VehicleClass.PASSENGER, "second")
    assert devices.revoke(database, "second")
    assert not devices.revoke(database, "second")
    with database.begin() as connection:
        registry.add_driver(connection, "anna", "Anna")
        registry.add_driver(connection, "anna", "Anna B.")
        listed = registry.list_devices(connection)
        assert connection.exec_driver_sql("SELECT name FROM driver").scalars().all() == ["Anna B."]
    assert [(d.identity.device_id, d.revoked_at is None) for d in listed] == [("second", False), ("van-7-device", True)]
