"""The bus on Apache Kafka. The only file that knows kafka-python."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
import weakref
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent import futures
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import kafka
from kafka import errors
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.structs import OffsetAndMetadata, TopicPartition

from infra.bus.mailbox import Mailbox
from infra.bus.port import BusUnavailable, LaneLost, MessageTooLarge, Record, RecordsGone
from infra.contracts.topics import ALERTS, LANED_TOPICS, lane_of

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

# Producer. A batch is one request per lane: measured with 9 kB messages, see docs of `make bench`.
LINGER_MS = 5  # under load batches fill up meanwhile; an idle gateway answers this much later
BATCH_BYTES = 512_000
REQUEST_TIMEOUT_MS = 3_000
DELIVERY_TIMEOUT_MS = 5_000  # a gateway answers 503 after this; must exceed linger + request
METADATA_TIMEOUT_MS = 1_000  # sending to a topic that the broker does not have blocks this long
MAX_WAITING_BYTES = 256_000_000  # unacknowledged; more is refused. kafka-python itself has no bound
ENVELOPE_BYTES = 1_024  # a record's key, headers and lengths, generously
RECONNECT_S = 1.0

# Consumer. Brokers refuse sessions below 6 s (group.min.session.timeout.ms).
SESSION_TIMEOUT_MS = 10_000
MAX_POLL_INTERVAL_MS = 300_000  # a round of inference must fit in
FETCH_WAIT_MS = 100
SHORTEST_POLL_MS = 50  # a shorter poll never gets to join the group
DISPLAY_S = 5.0
CLOSE_MS = 3_000
ADMIN_TIMEOUT_MS = 10_000
PROBE_TIMEOUT_MS = 2_000

_TELLING = (
    errors.NoOffsetForPartitionError,
    errors.OffsetOutOfRangeError,
    errors.KafkaConfigurationError,
    errors.IllegalStateError,
)
_TOO_LARGE = (errors.MessageSizeTooLargeError, errors.RecordListTooLargeError)


class KafkaBus:
    """Topics ``telemetry``, ``frames`` and ``alerts`` of one fleet, under a prefix.

    Args:
        bootstrap: host:port, several separated by commas.
        lanes: partitions of every topic.
    """

    def __init__(
        self,
        bootstrap: str,
        lanes: int,
        topic_prefix: str = "",
        *,
        max_message_bytes: int = 5_000_000,
        retention_hours: int = 168,
        session_timeout_ms: int = SESSION_TIMEOUT_MS,
    ) -> None:
        self.lanes = lanes
        self.bootstrap = bootstrap.split(",")
        self.max_message_bytes = max_message_bytes
        self._prefix = topic_prefix
        self._retention_hours = retention_hours
        self._session_timeout_ms = session_timeout_ms
        self._lookup: Any = None  # a consumer without a group, for offsets
        self._lookup_lock = threading.Lock()

    def producer(self) -> KafkaProducer:
        return KafkaProducer(self)

    def consumer(self, group: str, topics: Sequence[str]) -> KafkaConsumer:
        return KafkaConsumer(self, group, topics, self._session_timeout_ms)

    def topic(self, name: str) -> str:
        """The topic's name at the broker."""
        return self._prefix + name

    def name(self, topic: str) -> str:
        return topic.removeprefix(self._prefix)

    def ensure_topics(self) -> None:
        """Raises ValueError where a topic has another number of partitions, BusUnavailable without a broker."""
        topics = [self.topic(name) for name in (*LANED_TOPICS, ALERTS)]
        with _typed(), _closing(kafka.KafkaAdminClient(**self._client(ADMIN_TIMEOUT_MS))) as admin:
            found = {topic["name"]: len(topic["partitions"]) for topic in admin.describe_topics()}
            missing = [topic for topic in topics if topic not in found]
            if missing:
                admin.create_topics({topic: self._new_topic() for topic in missing}, wait_for_metadata=True)
        for topic in topics:
            if found.get(topic, self.lanes) != self.lanes:
                raise ValueError(
                    f"topic {topic} has {found[topic]} partitions, and the setting lanes is {self.lanes}. "
                    "Vehicles would change lanes: see the README on changing the number of lanes."
                )

    def end_offsets(self, topic: str) -> Mapping[int, int]:
        return self._offsets(topic, lambda lookup, partitions: lookup.end_offsets(partitions))

    def start_offsets(self, topic: str) -> Mapping[int, int]:
        return self._offsets(topic, lambda lookup, partitions: lookup.beginning_offsets(partitions))

    def close(self) -> None:
        with self._lookup_lock:
            if self._lookup is not None:
                self._lookup.close()
                self._lookup = None

    def answers(self) -> bool:
        """Whether a broker answers within 2 s."""
        try:
            with _typed(), _closing(kafka.KafkaAdminClient(**self._client(PROBE_TIMEOUT_MS))) as admin:
                admin.describe_cluster()
        except BusUnavailable:
            return False
        return True

    def _client(self, timeout_ms: int) -> dict[str, Any]:
        return {
            "bootstrap_servers": self.bootstrap,
            "request_timeout_ms": timeout_ms,
            "bootstrap_timeout_ms": timeout_ms,
        }

    def _new_topic(self) -> dict[str, Any]:
        configs = {
            "max.message.bytes": str(self.max_message_bytes + ENVELOPE_BYTES),
            "retention.ms": str(self._retention_hours * 3_600_000),
            "message.timestamp.type": "CreateTime",
        }
        return {"num_partitions": self.lanes, "configs": configs}

    def _offsets(self, topic: str, read: Callable[[Any, list[TopicPartition]], Any]) -> Mapping[int, int]:
        partitions = [TopicPartition(self.topic(topic), lane) for lane in range(self.lanes)]
        with _typed(), self._lookup_lock:
            if self._lookup is None:
                self._lookup = kafka.KafkaConsumer(**self._client(ADMIN_TIMEOUT_MS), enable_auto_commit=False)
            return {partition.partition: offset for partition, offset in read(self._lookup, partitions).items()}


class KafkaProducer:
    """Connects in the background, so that a gateway starts and answers 503 while the broker is away."""

    def __init__(self, bus: KafkaBus) -> None:
        self._bus = bus
        self._closed = threading.Event()
        self._mailboxes: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Mailbox] = weakref.WeakKeyDictionary()
        self._waiting_bytes = 0
        self._connect()

    def publish(self, topic: str, key: str, value: bytes, arrived_us: int) -> Awaitable[None]:
        return self._publish(topic, lane_of(key, self._bus.lanes), key, value, arrived_us)

    def publish_to_lane(self, topic: str, lane: int, value: bytes, arrived_us: int) -> Awaitable[None]:
        return self._publish(topic, lane, "", value, arrived_us)

    def ready(self) -> bool:
        """Asks the broker: call it off the event loop."""
        return self._connection.done() and self._bus.answers()

    def close(self) -> None:
        self._closed.set()
        if self._connection.done() and self._connection.exception() is None:
            self._connection.result().close(timeout=CLOSE_MS / 1000)

    def _publish(self, topic: str, lane: int, key: str, value: bytes, arrived_us: int) -> Awaitable[None]:
        if self._connection.done():
            return self._send(topic, lane, key, value, arrived_us)
        return asyncio.ensure_future(self._send_later(topic, lane, key, value, arrived_us))

    async def _send_later(self, topic: str, lane: int, key: str, value: bytes, arrived_us: int) -> None:
        connected = asyncio.shield(asyncio.wrap_future(self._connection))
        try:
            await asyncio.wait_for(connected, DELIVERY_TIMEOUT_MS / 1000)
        except TimeoutError as error:
            raise BusUnavailable(f"no broker at {','.join(self._bus.bootstrap)}") from error
        await self._send(topic, lane, key, value, arrived_us)

    def _send(self, topic: str, lane: int, key: str, value: bytes, arrived_us: int) -> asyncio.Future[None]:
        mailbox = self._mailbox(asyncio.get_running_loop())
        acknowledged = mailbox.loop.create_future()
        if self._waiting_bytes > MAX_WAITING_BYTES:
            acknowledged.set_exception(BusUnavailable(f"{self._waiting_bytes} bytes wait for the broker"))
            return acknowledged
        if len(value) > self._bus.max_message_bytes:
            acknowledged.set_exception(MessageTooLarge(f"{len(value)} bytes; at most {self._bus.max_message_bytes}"))
            return acknowledged
        settle = partial(mailbox.put, acknowledged, len(value))
        self._waiting_bytes += len(value)
        try:
            # kafka-python takes a key of no bytes for a key
            sent = self._connection.result().send(
                self._bus.topic(topic), value, key.encode(), partition=lane, timestamp_ms=arrived_us // 1000
            )
        except errors.KafkaError as error:
            settle(error)
        else:
            sent.add_both(settle)
        return acknowledged

    def _mailbox(self, loop: asyncio.AbstractEventLoop) -> Mailbox:
        mailbox = self._mailboxes.get(loop)
        if mailbox is None:
            mailbox = self._mailboxes[loop] = Mailbox(loop, self._settled)
        return mailbox

    def _settled(self, size: int, error: Exception | None) -> Exception | None:
        self._waiting_bytes -= size
        if error is None:
            return None
        if not isinstance(error, (errors.RetriableError, *_TOO_LARGE)) and self._connection.done():
            # An idempotent producer that has lost its place stays lost: take a new one.
            logger.error("the producer failed and is replaced", exc_info=error)
            self._connect(replaced=self._connection.result())
        return _as_ours(error)

    def _connect(self, replaced: Any = None) -> None:
        self._connection: futures.Future[Any] = futures.Future()
        arguments = (self._connection, replaced)
        threading.Thread(target=self._try_to_connect, args=arguments, daemon=True, name="kafka-connect").start()

    def _try_to_connect(self, connection: futures.Future[Any], replaced: Any) -> None:
        if replaced is not None:
            replaced.close(timeout=0)
        while not self._closed.is_set():
            try:
                client = kafka.KafkaProducer(**self._settings())
                for name in (*LANED_TOPICS, ALERTS):  # so that sending need not wait for metadata, in the loop
                    client.partitions_for(self._bus.topic(name))
            except errors.KafkaError as error:
                logger.warning("no broker at %s: %r", ",".join(self._bus.bootstrap), error)
                self._closed.wait(RECONNECT_S)
            else:
                connection.set_result(client)
                return

    def _settings(self) -> dict[str, Any]:
        return self._bus._client(REQUEST_TIMEOUT_MS) | {
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


class _Listener(kafka.ConsumerRebalanceListener):  # type: ignore[misc]
    """Hears of rebalances on kafka-python's I/O loop, where it must not wait: it takes a note, and no more."""

    def __init__(self) -> None:
        self.told: tuple[int, frozenset[TopicPartition]] = (0, frozenset())

    def on_partitions_revoked(self, _revoked: object) -> None:
        self.told = (self.told[0], frozenset())

    def on_partitions_lost(self, _lost: object) -> None:
        self.told = (self.told[0], frozenset())

    def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        self.told = (self.told[0] + 1, frozenset(assigned))


class KafkaConsumer:
    """A member of a group. One thread uses it."""

    def __init__(self, bus: KafkaBus, group: str, topics: Sequence[str], session_timeout_ms: int) -> None:
        self._bus = bus
        self._topics = [bus.topic(name) for name in topics]
        self._listener = _Listener()
        self._sought: dict[int, int] = {}  # lane to the generation in which it was sought
        self._shown: dict[TopicPartition, OffsetAndMetadata] = {}
        self._show_at = 0.0
        with _typed():
            self._client = kafka.KafkaConsumer(
                bootstrap_servers=bus.bootstrap,
                group_id=bus.topic(group),
                enable_auto_commit=False,
                auto_offset_reset="none",
                partition_assignment_strategy=[RangePartitionAssignor],
                session_timeout_ms=session_timeout_ms,
                heartbeat_interval_ms=session_timeout_ms // 4,
                max_poll_interval_ms=MAX_POLL_INTERVAL_MS,
                fetch_max_wait_ms=FETCH_WAIT_MS,
                default_offset_commit_callback=_note_commit,
                allow_auto_create_topics=False,
                metrics_enabled=False,
            )
            self._client.subscribe(topics=self._topics, listener=self._listener)

    def poll(self, timeout_s: float, limit: int) -> Sequence[Record]:
        """Raises RecordsGone, and BusUnavailable where the broker turns us away."""
        self._show()
        try:
            with _typed():
                polled = self._client.poll(max(int(timeout_s * 1000), SHORTEST_POLL_MS), limit)
        except errors.NoOffsetForPartitionError:
            return []  # newly assigned, and nothing to go by: the caller seeks
        except errors.OffsetOutOfRangeError as error:
            return self._out_of_range(error.args[0])
        owned = self.assigned()
        return [
            Record(
                self._bus.name(partition.topic),
                partition.partition,
                record.offset,
                record.key.decode() if record.key else "",
                record.value or b"",
                record.timestamp * 1000,
            )
            for partition, records in polled.items()
            if partition.partition in owned
            for record in records
        ]

    def assigned(self) -> Mapping[int, int]:
        generation, partitions = self._listener.told
        lanes = {partition.partition for partition in partitions}
        return {
            lane: generation
            for lane in sorted(lanes)
            if all(TopicPartition(topic, lane) in partitions for topic in self._topics)
        }

    def seek(self, lane: int, offsets: Mapping[str, int]) -> None:
        generation = self.assigned().get(lane)
        if generation is None:
            raise LaneLost(f"lane {lane}")
        for topic in self._topics:
            partition, offset = TopicPartition(topic, lane), offsets.get(self._bus.name(topic))
            try:
                if offset is None:
                    self._client.seek_to_beginning(partition)
                else:
                    self._client.seek(partition, offset)
            except (ValueError, AssertionError, KeyError) as error:  # as kafka-python says: not assigned
                raise LaneLost(f"lane {lane}") from error
        self._sought[lane] = generation

    def commit_for_display(self, lane: int, offsets: Mapping[str, int]) -> None:
        """Noted, and sent along every 5 s."""
        for name, offset in offsets.items():
            self._shown[TopicPartition(self._bus.topic(name), lane)] = OffsetAndMetadata(offset, "", -1)

    def close(self) -> None:
        """Leave the group, so that others take the lanes over at once."""
        self._client.close(autocommit=False, timeout_ms=CLOSE_MS)

    def _show(self) -> None:
        now = time.monotonic()
        if now < self._show_at or not self._shown:
            return
        self._show_at = now + DISPLAY_S
        owned = self.assigned()
        offsets = {partition: at for partition, at in self._shown.items() if partition.partition in owned}
        self._shown = {}
        if offsets:
            self._client.commit_async(offsets)

    def _out_of_range(self, wanted: Mapping[TopicPartition, int]) -> Sequence[Record]:
        """Only a place that the caller chose is its trouble; where Kafka began by itself does not matter."""
        owned = self.assigned()
        for partition, offset in wanted.items():
            if self._sought.get(partition.partition) == owned.get(partition.partition):
                kept = self._bus.start_offsets(self._bus.name(partition.topic))[partition.partition]
                raise RecordsGone(
                    f"{partition.topic}/{partition.partition}: offset {offset} is wanted, the broker keeps {kept} and "
                    "later. Records were lost to retention, or the topic was made anew."
                )
        return []


def _note_commit(_offsets: object, outcome: object) -> None:
    if isinstance(outcome, Exception):
        logger.info("offsets not shown at the broker: %r", outcome)


def _as_ours(error: Exception) -> Exception:
    ours = MessageTooLarge(str(error)) if isinstance(error, _TOO_LARGE) else BusUnavailable(repr(error))
    ours.__cause__ = error
    return ours


@contextmanager
def _typed() -> Iterator[None]:
    """Kafka's errors as the port's, but for those that say more."""
    try:
        yield
    except _TELLING:
        raise
    except errors.KafkaError as error:
        raise _as_ours(error) from error


@contextmanager
def _closing(client: Result) -> Iterator[Result]:
    try:
        yield client
    finally:
        client.close()  # type: ignore[attr-defined]
