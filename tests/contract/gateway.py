"""A gateway in memory for tests: a fixed clock, one registered device, a bus to look into."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterable, Iterator, Mapping

import httpx
from PIL import Image
from sqlalchemy import create_engine

from infra.bus.memory import MemoryBus
from infra.clock import FixedClock
from infra.contracts.codec import Message, decode
from infra.contracts.telemetry import VehicleClass
from infra.contracts.topics import lane_of
from infra.settings import Settings
from infra.store.registry import Identity, hash_token
from ingest.gateway import build_app

NOW_US = 1_782_892_805_000_000
TOKEN = "rs_" + "a" * 43
IDENTITY = Identity("van-7-device", "van-7", VehicleClass.LIGHT_DUTY)
NOWHERE = "postgresql+psycopg://nobody@127.0.0.1:1/none?connect_timeout=1"


class Lookup:
    """The registry as a dict; counts how often it was asked."""

    def __init__(self) -> None:
        self.known = {hash_token(TOKEN): IDENTITY}
        self.asked: list[list[str]] = []
        self.away = False

    def __call__(self, hashes: Iterable[str]) -> Mapping[str, Identity]:
        self.asked.append(list(hashes))
        if self.away:
            raise ConnectionError("no database here")
        return {h: self.known[h] for h in self.asked[-1] if h in self.known}


METRICS_TOKEN = "prometheus"


def serve(gateway) -> Iterator[str]:
    """The address of a gateway that runs in a thread of its own until the generator goes on."""
    address = gateway.bind()
    thread = threading.Thread(target=gateway.run)
    thread.start()
    yield address
    gateway.stop()
    thread.join(20)
    assert not thread.is_alive()


class House:
    """The app with everything around it."""

    def __init__(self, bus=None, **changes) -> None:
        self.bus = bus or MemoryBus(4)
        self.clock, self.lookup = FixedClock(NOW_US), Lookup()
        self.engine = create_engine(NOWHERE)
        self.app = build_app(
            Settings(**{"metrics_token": METRICS_TOKEN} | changes), self.engine, self.bus, self.clock, self.lookup
        )

    def client(self, token: str | None = TOKEN) -> httpx.AsyncClient:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url="http://gateway", headers=headers)

    def published(self, topic: str = "telemetry") -> list[Message]:
        lane = lane_of(IDENTITY.vehicle_id, 4)
        return [decode(record.value) for record in self.bus.log(topic)[lane]]


def jpeg(width: int = 64, height: int = 48, kind: str = "JPEG") -> bytes:
    sink = io.BytesIO()
    Image.new("RGB", (width, height)).save(sink, kind)
    return sink.getvalue()
