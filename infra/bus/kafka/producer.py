"""Appends to Kafka from an event loop, and outlives the broker's absences."""

from __future__ import annotations

import asyncio
import logging
import threading
import weakref
from collections.abc import Awaitable
from concurrent import futures
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import kafka
from kafka import errors

from infra.bus.kafka.failures import TOO_LARGE, as_ours, open_client
from infra.bus.kafka.mailbox import Mailbox
from infra.bus.port import BusUnavailable, MessageTooLarge
from infra.contracts.topics import ALERTS, LANED_TOPICS, lane_of

if TYPE_CHECKING:
    from infra.bus.kafka import KafkaBus

logger = logging.getLogger(__name__)

LINGER_MS = 10  # under load batches fill up meanwhile; an idle gateway answers this much later
BATCH_BYTES = 512_000  # of one lane; with the default of 16 kB a batch holds one message of 10 s
REQUEST_TIMEOUT_MS = 3_000
DELIVERY_TIMEOUT_MS = 4_500  # must exceed linger + request
PATIENCE_S = 5.0  # a gateway answers 503 after this. kafka-python expires nothing while it waits for a producer id
METADATA_TIMEOUT_MS = 1_000  # sending to a topic that the broker does not have blocks this long
MAX_WAITING_BYTES = 256_000_000  # unacknowledged; more is refused. kafka-python itself has no bound
ENVELOPE_BYTES = 1_024  # a record's key, headers and lengths, generously
RECONNECT_S = 1.0
CLOSE_S = 3.0


@dataclass(eq=False, slots=True)
class _Link:
    """A client that reached the broker."""

    client: Any
    waiting_bytes: int = 0


_Letter = tuple[_Link, int]
"""The link a message went by, and its size."""


class KafkaProducer:
    """Connects in the background, so that a gateway starts and answers 503 while the broker is away.

    After a failure the client is replaced: kafka-python 3.0.12, idempotent, was seen to stay mute for good after
    a broker that froze for longer than the delivery timeout. What the old one had in flight may still arrive, so a
    retry can be a second copy; devices number their messages for that.
    """

    def __init__(self, bus: KafkaBus) -> None:
        self._bus = bus
        self._closed = threading.Event()
        self._mailboxes: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Mailbox[_Letter]]
        self._mailboxes = weakref.WeakKeyDictionary()
        self._connection: futures.Future[_Link] = futures.Future()
        self._connect(None)

    def publish(self, topic: str, key: str, value: bytes, arrived_us: int) -> Awaitable[None]:
        return self._publish(topic, lane_of(key, self._bus.lanes), key, value, arrived_us)

    def publish_to_lane(self, topic: str, lane: int, value: bytes, arrived_us: int) -> Awaitable[None]:
        return self._publish(topic, lane, "", value, arrived_us)

    def ready(self) -> bool:
        """Asks the broker, for up to 2 s: call it off the event loop."""
        return self._connection.done() and self._bus.answers()

    def close(self) -> None:
        """Send what is waiting, for up to 3 s."""
        self._closed.set()
        if self._connection.done():
            _close(self._connection.result(), CLOSE_S)

    def settled(self, letter: _Letter, error: Exception | None) -> Exception | None:
        """See Mailbox."""
        link, size = letter
        link.waiting_bytes -= size
        if error is None:
            return None
        if not isinstance(error, TOO_LARGE):
            self._replace(link, error)
        return as_ours(error)

    def given_up(self, letter: _Letter) -> None:
        """See Mailbox."""
        self._replace(letter[0], "it did not acknowledge in time")

    # --- sending ---

    def _publish(self, topic: str, lane: int, key: str, value: bytes, arrived_us: int) -> Awaitable[None]:
        if self._connection.done():
            return self._send(topic, lane, key, value, arrived_us)
        return asyncio.ensure_future(self._send_later(topic, lane, key, value, arrived_us))

    async def _send_later(self, topic: str, lane: int, key: str, value: bytes, arrived_us: int) -> None:
        connected = asyncio.shield(asyncio.wrap_future(self._connection))
        try:
            await asyncio.wait_for(connected, PATIENCE_S)
        except TimeoutError as error:
            raise BusUnavailable(f"no broker at {','.join(self._bus.bootstrap)}") from error
        await self._publish(topic, lane, key, value, arrived_us)

    def _send(self, topic: str, lane: int, key: str, value: bytes, arrived_us: int) -> asyncio.Future[None]:
        link = self._connection.result()
        mailbox = self._mailbox(asyncio.get_running_loop())
        letter = (link, len(value))
        acknowledged = mailbox.expect(letter)
        if refusal := self._refusal(link, len(value)):
            acknowledged.set_exception(refusal)
            return acknowledged
        settle = partial(mailbox.put, acknowledged, letter)
        link.waiting_bytes += len(value)
        try:
            sent = link.client.send(
                self._bus.topic(topic), value, key.encode(), partition=lane, timestamp_ms=arrived_us // 1000
            )
        except errors.KafkaError as error:
            settle(error)
        else:
            sent.add_both(settle)
        return acknowledged

    def _refusal(self, link: _Link, size: int) -> Exception | None:
        if size > self._bus.max_message_bytes:
            return MessageTooLarge(f"{size} bytes; at most {self._bus.max_message_bytes}")
        if link.waiting_bytes > MAX_WAITING_BYTES:
            return BusUnavailable(f"{link.waiting_bytes} bytes wait for the broker")
        return None

    def _mailbox(self, loop: asyncio.AbstractEventLoop) -> Mailbox[_Letter]:
        mailbox = self._mailboxes.get(loop)
        if mailbox is None:
            mailbox = self._mailboxes[loop] = Mailbox(loop, self, PATIENCE_S)
        return mailbox

    # --- connecting ---

    def _replace(self, link: _Link, why: object) -> None:
        """Once, however many messages fail with it."""
        if self._closed.is_set() or not self._connection.done() or self._connection.result() is not link:
            return
        logger.error("the producer is replaced: %s", why)
        self._connection = futures.Future()
        self._connect(link)

    def _connect(self, replaced: _Link | None) -> None:
        arguments = (self._connection, replaced)
        threading.Thread(target=self._try_to_connect, args=arguments, daemon=True, name="kafka-connect").start()

    def _try_to_connect(self, connection: futures.Future[_Link], replaced: _Link | None) -> None:
        if replaced is not None:
            _close(replaced, 0)
        while not self._closed.is_set():
            try:
                client = open_client(kafka.KafkaProducer, **self._settings())
                for name in (*LANED_TOPICS, ALERTS):  # so that sending need not wait for metadata, in the loop
                    client.partitions_for(self._bus.topic(name))
            except errors.KafkaError as error:
                logger.warning("no broker at %s: %r", ",".join(self._bus.bootstrap), error)
                self._closed.wait(RECONNECT_S)
            else:
                connection.set_result(_Link(client))
                return

    def _settings(self) -> dict[str, Any]:
        return self._bus.client(REQUEST_TIMEOUT_MS) | {
            "metrics_enabled": False,
            "enable_idempotence": True,
            "acks": "all",
            "linger_ms": LINGER_MS,
            "batch_size": BATCH_BYTES,
            "max_request_size": self._bus.max_message_bytes + ENVELOPE_BYTES,
            "delivery_timeout_ms": DELIVERY_TIMEOUT_MS,
            "max_block_ms": METADATA_TIMEOUT_MS,
            "allow_auto_create_topics": False,
        }


def _close(link: _Link, timeout_s: float) -> None:
    try:
        link.client.close(timeout=timeout_s)
    except errors.KafkaError as error:
        logger.warning("the producer had messages left that the broker did not take: %r", error)
