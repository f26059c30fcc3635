"""Publishes what transactions left in the outbox: at least once, in order."""

from __future__ import annotations

import asyncio

import orjson
from sqlalchemy import Connection, Engine, text

from infra.bus.port import Bus, Producer
from infra.clock import Clock, to_datetime
from infra.runtime.worker import transaction

MOST_ROWS = 500

# One publisher at a time; a second one finds nothing and comes again.
_LOCK = text("SELECT pg_try_advisory_xact_lock(hashtext('rumblestrip outbox'))")
_UNSENT = text("""
    SELECT outbox_id, topic, key, CAST(payload AS text) FROM outbox
    WHERE sent_at IS NULL ORDER BY outbox_id LIMIT :most
""")
_SENT = text("UPDATE outbox SET sent_at = :now WHERE outbox_id = ANY(CAST(:sent AS bigint[]))")


class Outbox:
    """A chore: give it to a worker, or call it from a task. The payload on the bus is JSON with ``outbox_id``,
    by which a reader drops what comes twice."""

    def __init__(self, bus: Bus, clock: Clock) -> None:
        self._bus = bus
        self._clock = clock
        self._producer: Producer | None = None

    def __call__(self, engine: Engine) -> int:
        """Publish what is there, and mark it sent once the broker has all of it.

        Returns:
            Rows published.

        Raises:
            BusUnavailable: the broker did not take everything. Nothing is marked; all of it is sent again.
        """
        with transaction(engine) as connection:
            rows = self._unsent(connection)
            if rows:
                asyncio.run(self._publish(rows))
                now = to_datetime(self._clock.now_us())
                connection.execute(_SENT, {"now": now, "sent": [row[0] for row in rows]})
        return len(rows)

    def _unsent(self, connection: Connection) -> list[tuple[int, str, str, str]]:
        if not connection.scalar(_LOCK):
            return []
        return [(row[0], row[1], row[2], row[3]) for row in connection.execute(_UNSENT, {"most": MOST_ROWS})]

    async def _publish(self, rows: list[tuple[int, str, str, str]]) -> None:
        producer = self._producer = self._producer or self._bus.producer()
        now_us = self._clock.now_us()
        sent = [
            producer.publish(topic, key, orjson.dumps({"outbox_id": number, "payload": orjson.loads(payload)}), now_us)
            for number, topic, key, payload in rows
        ]
        outcomes = await asyncio.gather(*sent, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
