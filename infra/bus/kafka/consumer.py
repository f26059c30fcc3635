"""A member of a consumer group on Kafka."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import kafka
from kafka import errors
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.structs import OffsetAndMetadata, TopicPartition

from infra.bus.kafka.failures import open_client, typed
from infra.bus.port import LaneLost, Record, RecordsGone

if TYPE_CHECKING:
    from infra.bus.kafka import KafkaBus

logger = logging.getLogger(__name__)

# Consumer. Brokers refuse sessions below 6 s (group.min.session.timeout.ms).
SESSION_TIMEOUT_MS = 10_000
MAX_POLL_INTERVAL_MS = 300_000  # a round of inference must fit in
FETCH_WAIT_MS = 250  # a device gathers 10 s before it sends: a quarter second more buys batches, and spares the broker
FETCH_MIN_BYTES = 500_000
SHORTEST_POLL_MS = 50  # a shorter poll never gets to join the group
DISPLAY_S = 5.0
CLOSE_MS = 3_000
METADATA_AGE_MS = 10_000
"""A leader that lacked a topic's metadata when it shared out the lanes sees the topic, and shares out anew, after this
long at the latest; kafka-python's own five minutes were seen to pass with nobody at work."""


class _Listener(kafka.ConsumerRebalanceListener):  # type: ignore[misc]
    """Hears of rebalances on kafka-python's I/O loop, where it must not wait: it takes a note, and no more."""

    def __init__(self) -> None:
        self.told: tuple[int, frozenset[TopicPartition]] = (0, frozenset())
        self.joined = False

    def on_partitions_revoked(self, _revoked: object) -> None:
        self.told, self.joined = (self.told[0], frozenset()), False

    def on_partitions_lost(self, _lost: object) -> None:
        self.told, self.joined = (self.told[0], frozenset()), False

    def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        self.told, self.joined = (self.told[0] + 1, frozenset(assigned)), True


class KafkaConsumer:
    """A member of a group. One thread uses it."""

    def __init__(self, bus: KafkaBus, group: str, topics: Sequence[str], session_timeout_ms: int) -> None:
        self._bus = bus
        self._topics = [bus.topic(name) for name in topics]
        self._listener = _Listener()
        self._sought: dict[int, int] = {}  # lane to the generation in which it was sought
        self._shown: dict[TopicPartition, OffsetAndMetadata] = {}
        self._show_at = 0.0
        with typed():
            self._client = open_client(
                kafka.KafkaConsumer,
                bootstrap_servers=bus.bootstrap,
                group_id=bus.topic(group),
                enable_auto_commit=False,
                auto_offset_reset="none",
                partition_assignment_strategy=[RangePartitionAssignor],
                session_timeout_ms=session_timeout_ms,
                heartbeat_interval_ms=session_timeout_ms // 4,
                max_poll_interval_ms=MAX_POLL_INTERVAL_MS,
                metadata_max_age_ms=METADATA_AGE_MS,
                fetch_max_wait_ms=FETCH_WAIT_MS,
                fetch_min_bytes=FETCH_MIN_BYTES,
                default_offset_commit_callback=_note_commit,
                allow_auto_create_topics=False,
                metrics_enabled=False,
            )
            # kafka-python 3.0.12 forgets that it wants the metadata of newly subscribed topics when an older request
            # for metadata is on its way. As the group's leader it then gives nobody any lane, for up to 5 min.
            for topic in self._topics:
                self._client.partitions_for_topic(topic)
            self._client.subscribe(topics=self._topics, listener=self._listener)

    def poll(self, timeout_s: float, limit: int) -> Sequence[Record]:
        """Raises RecordsGone, and BusUnavailable where the broker turns us away."""
        self._show()
        self._keep_rejoining()
        try:
            with typed():
                polled = self._client.poll(max(int(timeout_s * 1000), SHORTEST_POLL_MS), limit)
        except errors.NoOffsetForPartitionError:
            return []  # newly assigned, and nothing to go by: the caller seeks
        except errors.OffsetOutOfRangeError as error:
            return self._out_of_range(error.args[0])
        owned = self.assigned()
        return [
            as_record(self._bus.name(partition.topic), record)
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

    def joined(self) -> bool:
        return self._listener.joined

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

    def _keep_rejoining(self) -> None:
        """Ask again for what was begun and did not end within a poll.

        kafka-python 3.0.12 rejoins when a leader's metadata changed, and holds this need for met as soon as the leader
        has shared out the lanes anew: if that is after the poll's end, no poll takes up the answer, and nobody works
        (Kafka's own client did the same: KAFKA-9815). Seen in 3 of 24 starts of a fresh broker with four groups.
        """
        coordinator = self._client._coordinator
        if coordinator.rejoining:
            coordinator.request_rejoin()

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
            generation = owned.get(partition.partition)
            if generation is not None and self._sought.get(partition.partition) == generation:
                kept = self._bus.start_offsets(self._bus.name(partition.topic))[partition.partition]
                raise RecordsGone(
                    f"{partition.topic}/{partition.partition}: offset {offset} is wanted, the broker keeps {kept} and "
                    "later. Records were lost to retention, or the topic was made anew. See `rumblestrip topics`; "
                    "`rumblestrip topics --skip-lost` goes on without them."
                )
        return []


def as_record(topic: str, record: Any) -> Record:
    """kafka-python's record as the port's. ``topic`` is the name without its prefix."""
    key = record.key.decode() if record.key else ""
    return Record(topic, record.partition, record.offset, key, record.value or b"", record.timestamp * 1000)


def _note_commit(_offsets: object, outcome: object) -> None:
    if isinstance(outcome, Exception):
        logger.info("offsets not shown at the broker: %r", outcome)
