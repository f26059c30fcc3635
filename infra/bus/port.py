"""What a bus is: a log of lanes that producers append to and groups of consumers share.

``infra.bus.memory`` and ``infra.bus.kafka`` are the two; ``tests/contract/test_bus.py`` holds both to this text.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


class BusUnavailable(ConnectionError):
    """The broker cannot be reached or did not acknowledge in time. Try again later; nothing is known to be lost."""


class MessageTooLarge(ValueError):
    """The broker does not take a message of this size."""


class LaneLost(Exception):
    """The consumer no longer owns the lane it acted on."""


class RecordsGone(LookupError):
    """The log no longer holds the offsets that the group wants to read next: retention was shorter than an outage."""


@dataclass(frozen=True, slots=True)
class Record:
    """One message as the bus holds it."""

    topic: str
    lane: int
    offset: int
    key: str  # the vehicle
    value: bytes = field(repr=False)
    arrived_us: int  # the record's time stamp, whole milliseconds: part of the log, the same on every reading


class Producer(Protocol):
    def publish(self, topic: str, key: str, value: bytes, arrived_us: int) -> Awaitable[None]:
        """Append to the key's lane; done when the broker has it (acks=all).

        Call from a running event loop. Raises BusUnavailable or MessageTooLarge when awaited.
        """

    def publish_to_lane(self, topic: str, lane: int, value: bytes, arrived_us: int) -> Awaitable[None]:
        """As ``publish``, for a record that belongs to no vehicle (a tick): its key is empty."""

    def ready(self) -> bool:
        """Whether the broker answers now."""

    def close(self) -> None: ...


class Consumer(Protocol):
    """A member of a group. One lane (partition n of every topic asked for) is always assigned as a whole."""

    def poll(self, timeout_s: float, limit: int) -> Sequence[Record]:
        """Records of owned lanes, in order within (topic, lane). Also keeps the membership alive.

        Never returns a record of a lane that ``assigned`` does not list.
        """

    def assigned(self) -> Mapping[int, int]:
        """Owned lanes, each with a generation that grows whenever the lane was (re)assigned to this member.

        A lane whose generation is new to the caller must be sought before its records are used: the records
        polled until then come from wherever the bus began and are to be thrown away.
        """

    def joined(self) -> bool:
        """Whether the group has said which lanes are this member's; they may be none.

        Not so before its first word, nor while it shares the lanes out anew: no lane in ``assigned`` then says nothing.
        """

    def seek(self, lane: int, offsets: Mapping[str, int]) -> None:
        """Read on from these offsets (topic to next offset; a topic left out starts at its beginning).

        Raises LaneLost when the lane is not owned any more.
        """

    def commit_for_display(self, lane: int, offsets: Mapping[str, int]) -> None:
        """Tell the broker how far this group is, for lag displays alone. Best effort; the database is the truth."""

    def close(self) -> None: ...


class Bus(Protocol):
    """Makes producers and consumers; knows the topics."""

    lanes: int

    def producer(self) -> Producer: ...

    def consumer(self, group: str, topics: Sequence[str]) -> Consumer: ...

    def ensure_topics(self) -> None:
        """Create the topics that are missing, with the right number of lanes. Raises when one has another number."""

    def end_offsets(self, topic: str) -> Mapping[int, int]:
        """Lane to the offset that the next record will get."""

    def start_offsets(self, topic: str) -> Mapping[int, int]:
        """Lane to the oldest offset still kept."""

    def read(self, topic: str, lane: int, start: int, end: int) -> Iterator[Record]:
        """Records with offsets from ``start`` up to, not including, ``end``, read again outside of any group.

        What retention has taken, and what is not there yet, is left out: it may be all of it. One reader at a time.
        Raises BusUnavailable.
        """

    def close(self) -> None: ...
