"""The door: an HTTP app that authenticates, validates, normalises and publishes."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from functools import partial

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from sqlalchemy import Engine
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from infra.bus.port import Bus
from infra.clock import Clock
from infra.metrics import GATEWAY_REQUESTS, GATEWAY_SECONDS
from infra.settings import Settings
from infra.store import registry
from infra.store.registry import Identity
from ingest import problems, routes_frames, routes_health, routes_observations, routes_telemetry
from ingest.auth import Lookup, Tokens
from ingest.door import Door
from ingest.quota import Quota

_DESCRIPTION = "Telemetry, dashcam frames and observations of a fleet. Errors are RFC 9457 problem details, everywhere."
_SENT_TO = (routes_telemetry, routes_frames, routes_observations)
_PATHS = frozenset({*(routes.PATH for routes in _SENT_TO), "/healthz", "/readyz", "/metrics"})


def build_app(settings: Settings, engine: Engine, bus: Bus, clock: Clock, lookup: Lookup | None = None) -> FastAPI:
    """The app. Serve it anywhere that speaks ASGI; it opens one producer on the bus.

    Args:
        lookup: token hashes to identities; by default the registry in the database.
    """
    producer = bus.producer()
    tokens = Tokens(lookup or partial(_look_up, engine), clock)
    door = Door(settings, tokens, Quota(settings.requests_per_minute), producer, clock)
    app = FastAPIOffline(
        redoc_url=None,
        title="Rumblestrip gateway",
        version="1",
        description=_DESCRIPTION,
        swagger_ui_parameters={"validatorUrl": None},  # else a badge is asked for at swagger.io
    )
    app.state.producer = producer
    for routes in _SENT_TO:
        app.include_router(routes.router(door))
    app.include_router(routes_health.router(engine, producer, settings.metrics_token))
    problems.install(app)
    app.add_middleware(Meter)
    _describe_token(app)
    return app


def _look_up(engine: Engine, hashes: Iterable[str]) -> Mapping[str, Identity]:
    with engine.connect() as connection:
        return registry.find_by_hash(connection, hashes)


class Meter:
    """Counts and times every answer, by route. Plain ASGI: Starlette's base class costs as much as a request."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        route = scope["path"] if scope["path"] in _PATHS else "other"

        async def count(message: Message) -> None:
            if message["type"] == "http.response.start":
                GATEWAY_REQUESTS.labels(route, str(message["status"])).inc()
                GATEWAY_SECONDS.labels(route).observe(time.perf_counter() - began)
            await send(message)

        await self._app(scope, receive, count)


def _describe_token(app: FastAPI) -> None:
    schema = app.openapi()  # built once, and kept by the app
    schemes = schema.setdefault("components", {}).setdefault("securitySchemes", {})
    schemes["device"] = {"type": "http", "scheme": "bearer", "description": "`rumblestrip devices add VEHICLE`"}
