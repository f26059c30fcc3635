"""Puts a tick into every lane now and then, so that waiting ends and wake-ups come where nothing else does."""

from __future__ import annotations

import asyncio
import logging

from infra.bus.port import BusUnavailable, Producer
from infra.clock import Clock
from infra.contracts.codec import encode_tick
from infra.contracts.topics import LANED_TOPICS

logger = logging.getLogger(__name__)


class Ticker:
    """A task of the gateway's loop, or of any other. Several of them do no harm: more ticks come."""

    def __init__(self, producer: Producer, lanes: int, clock: Clock, tick_s: float) -> None:
        self._producer = producer
        self._lanes = lanes
        self._clock = clock
        self._tick_s = tick_s

    async def run(self) -> None:
        """Tick until cancelled; while the broker is away, not."""
        while True:
            try:
                await self.tick()
            except BusUnavailable as error:
                logger.warning("no tick: %s", error)
            await asyncio.sleep(self._tick_s)

    async def tick(self) -> None:
        """One tick into every lane of every laned topic. Raises BusUnavailable."""
        now_us = self._clock.now_us()
        value = encode_tick(now_us)
        places = [(topic, lane) for topic in LANED_TOPICS for lane in range(self._lanes)]
        sent = [self._producer.publish_to_lane(topic, lane, value, now_us) for topic, lane in places]
        outcomes = await asyncio.gather(*sent, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
