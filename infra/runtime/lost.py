"""What topics hold, and which messages the broker threw away before a group had read them: going on without them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from sqlalchemy import Connection, Engine, text

from infra.bus.port import Bus
from infra.clock import SystemClock
from infra.contracts.topics import ALERTS, LANED_TOPICS
from infra.store import outputs
from infra.store.media import MediaStore
from infra.store.outputs import DeadLetter, Outputs
from infra.store.positions import move_fence, read_positions

REASON = "records_lost"

_POSITIONS = text("SELECT consumer_group, lane, offsets FROM lane_position ORDER BY consumer_group, lane")


@dataclass(frozen=True, slots=True)
class Gap:
    """A lane of a topic in which a group cannot read on from where it stands."""

    group: str
    topic: str
    lane: int
    wanted: int  # the offset that the group would read next
    kept: int  # the oldest that the broker has

    @property
    def messages(self) -> int:
        """How many are missing; 0 where nobody can say, since the topic was made anew."""
        return max(self.kept - self.wanted, 0)

    def __str__(self) -> str:
        missing = f"{self.messages:,} messages are missing" if self.messages else "the topic was made anew"
        return f"{self.group}: {self.topic}/{self.lane}, offset {self.wanted} is wanted, {self.kept} kept: {missing}"


class Busy(RuntimeError):
    """Somebody moved a lane meanwhile: try again."""


def find_gaps(connection: Connection, bus: Bus) -> list[Gap]:
    """Where retention was shorter than an outage, or a topic was made anew. Asks the broker."""
    rows = connection.execute(_POSITIONS).all()
    topics = {topic for row in rows for topic in row.offsets}
    begins, ends = ({topic: ask(topic) for topic in topics} for ask in (bus.start_offsets, bus.end_offsets))
    return [gap for row in rows for gap in _gaps(row.consumer_group, row.lane, row.offsets, begins, ends)]


def _gaps(
    group: str,
    lane: int,
    offsets: Mapping[str, int],
    begins: Mapping[str, Mapping[int, int]],
    ends: Mapping[str, Mapping[int, int]],
) -> Iterator[Gap]:
    for topic, wanted in offsets.items():
        begin, end = begins[topic].get(lane), ends[topic].get(lane)
        if begin is not None and end is not None and not begin <= wanted <= end:
            yield Gap(group, topic, lane, wanted, begin)


def tell_kept(bus: Bus, say: Callable[[str], object]) -> None:
    """Say how many messages every topic holds."""
    for topic in (*LANED_TOPICS, ALERTS):
        begin, end = bus.start_offsets(topic), bus.end_offsets(topic)
        held = sum(end[lane] - begin.get(lane, 0) for lane in end)
        say(f"{topic:<12} {len(end):>4} partitions {held:>12,} messages kept")


def tell_gaps(engine: Engine, bus: Bus, media: MediaStore | None, say: Callable[[str], object]) -> None:
    """Say what is missing; with a media store, skip it."""
    if media is None:
        with engine.connect() as connection:
            gaps = find_gaps(connection, bus)
    else:
        gaps = skip_gaps(engine, bus, media, SystemClock().now_us())
    for gap in gaps:
        say(f"{'lost' if media is None else 'skipped'}  {gap}")
    if gaps and media is None:
        say("Workers stop at these. To go on without them: rumblestrip topics --skip-lost")
    if not gaps and media is not None:
        say("Nothing was lost.")


def skip_gaps(engine: Engine, bus: Bus, media: MediaStore, now_us: int) -> list[Gap]:
    """Let every group go on with the oldest message that is kept, and keep a dead letter for each gap: all or nothing.

    Raises:
        Busy: a worker was at work in one of these lanes.
    """
    with engine.begin() as connection:
        gaps = find_gaps(connection, bus)
        for group in sorted({gap.group for gap in gaps}):
            _skip(connection, [gap for gap in gaps if gap.group == group], media, now_us)
    return gaps


def _skip(connection: Connection, gaps: list[Gap], media: MediaStore, now_us: int) -> None:
    group = gaps[0].group
    standing = read_positions(connection, group, {gap.lane for gap in gaps})
    for gap in gaps:
        before = standing[gap.lane]
        standing[gap.lane] = replace(before, offsets={**before.offsets, gap.topic: gap.kept})
    if lanes := move_fence(connection, group, list(standing.values())):
        raise Busy(f"{group}: a worker moved lanes {sorted(lanes)} meanwhile; nothing was changed: try again")
    letters = [DeadLetter(gap.topic, gap.lane, gap.wanted, "", REASON, str(gap), gap.messages, now_us) for gap in gaps]
    outputs.write(connection, Outputs(dead_letters=letters), media, group)
