"""The bus on Apache Kafka. This package alone knows kafka-python."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import kafka
from kafka.structs import TopicPartition

from infra.bus.kafka.consumer import SESSION_TIMEOUT_MS, KafkaConsumer
from infra.bus.kafka.failures import open_client, typed
from infra.bus.kafka.producer import ENVELOPE_BYTES, KafkaProducer
from infra.bus.kafka.reader import LogReader
from infra.bus.port import BusUnavailable, Record
from infra.contracts.topics import ALERTS, LANED_TOPICS

Result = TypeVar("Result")

ADMIN_TIMEOUT_MS = 10_000
PROBE_TIMEOUT_MS = 2_000


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
        self._reader: LogReader | None = None

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
        with typed(), _closing(open_client(kafka.KafkaAdminClient, **self.client(ADMIN_TIMEOUT_MS))) as admin:
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

    def read(self, topic: str, lane: int, start: int, end: int) -> Iterator[Record]:
        if self._reader is None:
            self._reader = LogReader(self)
        return self._reader.read(topic, lane, start, end)

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        with self._lookup_lock:
            if self._lookup is not None:
                self._lookup.close()
                self._lookup = None

    def answers(self) -> bool:
        """Whether a broker answers within 2 s."""
        try:
            with typed(), _closing(open_client(kafka.KafkaAdminClient, **self.client(PROBE_TIMEOUT_MS))) as admin:
                admin.describe_cluster()
        except BusUnavailable:
            return False
        return True

    def client(self, timeout_ms: int) -> dict[str, Any]:
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
        with typed(), self._lookup_lock:
            if self._lookup is None:
                self._lookup = open_client(
                    kafka.KafkaConsumer, **self.client(ADMIN_TIMEOUT_MS), enable_auto_commit=False
                )
            return {partition.partition: offset for partition, offset in read(self._lookup, partitions).items()}


@contextmanager
def _closing(client: Result) -> Iterator[Result]:
    try:
        yield client
    finally:
        client.close()  # type: ignore[attr-defined]
