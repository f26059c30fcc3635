"""/healthz, /readyz and /metrics: for whatever looks after this process."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import SecretStr
from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError

from infra.bus.port import Producer
from ingest.problems import Problem

READY_WAIT_S = 3.0


def router(engine: Engine, producer: Producer, metrics_token: SecretStr | None) -> APIRouter:
    """The routes, bound to what they look at. Without a token nobody sees the counters."""
    routes = APIRouter(tags=["health"])

    @routes.get("/healthz", summary="Whether the process runs")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @routes.get("/readyz", summary="Whether requests can be served now")
    async def readyz() -> dict[str, str]:
        """503 names what is away: the broker or the database."""
        broker, database = await asyncio.gather(_answers(producer.ready), _answers(lambda: _select(engine)))
        if not (broker and database):
            away = " and ".join(name for name, up in (("broker", broker), ("database", database)) if not up)
            raise Problem(503, "not_ready", f"Away: {away}.", retry_after_s=5, broker=broker, database=database)
        return {"status": "ready"}

    @routes.get("/metrics", summary="Counters, for Prometheus", include_in_schema=False)
    def metrics(request: Request) -> Response:
        _ask(request, metrics_token)
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return routes


def _ask(request: Request, token: SecretStr | None) -> None:
    if token is None:
        raise Problem(401, "no_metrics_token", "Set RUMBLESTRIP_METRICS_TOKEN, start again, and send it.")
    sent = request.headers.get("authorization", "").encode()
    if not hmac.compare_digest(sent, b"Bearer " + token.get_secret_value().encode()):
        raise Problem(401, "unknown_token", "Send Authorization: Bearer and the metrics token.", field="Authorization")


async def _answers(probe: Callable[[], bool]) -> bool:
    try:
        async with asyncio.timeout(READY_WAIT_S):
            return await asyncio.to_thread(probe)
    except (OSError, TimeoutError, SQLAlchemyError):  # StoreUnavailable and BusUnavailable are ConnectionErrors
        return False


def _select(engine: Engine) -> bool:
    with engine.connect() as connection:
        return connection.execute(text("SELECT 1")).scalar() == 1
