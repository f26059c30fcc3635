"""What all routes share: who is asking, and handing messages to the broker within a bounded time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fastapi import Request

from infra.bus.port import BusUnavailable, MessageTooLarge, Producer
from infra.clock import Clock
from infra.contracts import codec
from infra.settings import Settings
from infra.store.registry import Identity
from ingest.auth import Tokens
from ingest.core.validate import TimeWindow
from ingest.problems import Problem
from ingest.quota import Quota

ACKNOWLEDGE_WAIT_S = 10.0
RETRY_AFTER_S = 5


@dataclass(frozen=True, slots=True)
class Door:
    """Everything a request needs. One for each app."""

    settings: Settings
    tokens: Tokens
    quota: Quota
    producer: Producer
    clock: Clock

    @asynccontextmanager
    async def admitted(self, request: Request) -> AsyncIterator[Identity]:
        """Who is asking, before a byte of the body is read. Raises Problem 401, 429 or 503."""
        identity = await self.tokens.identify(request)
        self.quota.spend(identity.device_id, self.clock.now_us())
        with self.quota.place(identity.device_id):
            yield identity

    def window(self, received_us: int) -> TimeWindow:
        """Times that are believed of what came at this instant."""
        behind_s, ahead_s = self.settings.max_behind_s, self.settings.max_ahead_s
        return TimeWindow(received_us - int(behind_s * 1e6), received_us + int(ahead_s * 1e6))

    async def publish(self, topic: str, messages: Sequence[codec.Message]) -> None:
        """Return when the broker has all of them. Raises Problem 413 or 503; the device then sends all again,
        and what had arrived is dropped as repeated."""
        try:
            sent = [self.producer.publish(topic, m.vehicle_id, codec.encode(m), m.received_us) for m in messages]
            async with asyncio.timeout(ACKNOWLEDGE_WAIT_S):
                await (asyncio.gather(*sent) if len(sent) > 1 else sent[0])
        except (BusUnavailable, TimeoutError) as error:
            detail = "The broker does not acknowledge now; nothing is lost, send the same again."
            raise Problem(503, "broker_away", detail, retry_after_s=RETRY_AFTER_S) from error
        except MessageTooLarge as error:
            raise Problem(413, "message_too_large", f"{error}; send smaller batches.") from error
