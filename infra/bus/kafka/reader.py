"""Reads a stretch of a lane again, outside of any group."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import kafka
from kafka.structs import TopicPartition

from infra.bus.kafka.consumer import as_record
from infra.bus.kafka.failures import open_client, typed
from infra.bus.port import BusUnavailable, Record

if TYPE_CHECKING:
    from infra.bus.kafka import KafkaBus

TIMEOUT_MS = 10_000
POLL_MS = 500
MOST_RECORDS = 50  # a poll's: frames are large, and most may be other vehicles'
SILENCE_S = 15.0  # a broker that has what was asked for, and sends none of it, is away


class LogReader:
    """One consumer without a group, opened at the first reading. One thread uses it."""

    def __init__(self, bus: KafkaBus) -> None:
        self._bus = bus
        self._client: Any = None

    def read(self, topic: str, lane: int, start: int, end: int) -> Iterator[Record]:
        """See ``infra.bus.port.Bus.read``."""
        begin = max(start, self._bus.start_offsets(topic)[lane])
        end = min(end, self._bus.end_offsets(topic)[lane])
        if begin >= end:
            return
        partition = TopicPartition(self._bus.topic(topic), lane)
        with typed():
            client = self._open()
            client.assign([partition])
            client.seek(partition, begin)
        give_up = time.monotonic() + SILENCE_S
        while (records := self._poll(partition)) or self._position(partition) < end:
            if records:
                give_up = time.monotonic() + SILENCE_S
            elif time.monotonic() > give_up:
                raise BusUnavailable(f"{topic}/{lane}: nothing came of offsets {begin} to {end}")
            for record in records:
                if record.offset >= end:
                    return
                yield as_record(topic, record)

    def close(self) -> None:
        if self._client is not None:
            self._client.close(autocommit=False)
            self._client = None

    def _open(self) -> Any:
        if self._client is None:
            self._client = open_client(
                kafka.KafkaConsumer,
                **self._bus.client(TIMEOUT_MS),
                enable_auto_commit=False,
                auto_offset_reset="earliest",  # retention may pass over where we stand
                allow_auto_create_topics=False,
                metrics_enabled=False,
            )
        return self._client

    def _poll(self, partition: TopicPartition) -> list[Any]:
        with typed():
            return list(self._client.poll(POLL_MS, MOST_RECORDS).get(partition, ()))

    def _position(self, partition: TopicPartition) -> int:
        with typed():
            return int(self._client.position(partition))
