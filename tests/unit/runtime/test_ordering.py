"""Stories of one device's messages: what comes when, and what is passed on."""

from __future__ import annotations

import pytest

from infra.bus.port import Record
from infra.contracts.frames import Camera
from infra.contracts.topics import FRAMES, TELEMETRY
from infra.runtime.ordering import BOOTS_KEPT, GAPS_KEPT, Limits, Order
from tests.chaos.ledger import frame, telemetry

WINDOW_S = 120
LIMITS = Limits(WINDOW_S * 1_000_000, max_held_bytes=1_000)


class Story:
    """Plays arrivals (boot, sequence, second) to an order, and notes what comes out."""

    def __init__(self) -> None:
        self.order = Order()
        self.offset = 0

    def arrive(self, boot: str, sequence: int, at_s: int, size: int = 1) -> list[str]:
        message = telemetry("bus", sequence, boot)
        record = Record(TELEMETRY, 0, self.offset, "bus", bytes(size), at_s * 1_000_000)
        self.names = {**getattr(self, "names", {}), self.offset: f"{boot}:{sequence}"}
        self.offset += 1
        passed = self.order.release(TELEMETRY, at_s * 1_000_000)
        passed += self.order.accept(record, message, at_s * 1_000_000, LIMITS)
        return [self.names[p.record.offset] + (" late" if p.late else "") for p in passed]

    def wait_until(self, at_s: int) -> list[str]:
        return [self.names[p.record.offset] for p in self.order.release(TELEMETRY, at_s * 1_000_000)]

    @property
    def counts(self) -> dict[str, int]:
        return dict(+self.order.counts)


STORIES = {
    "in order": (["a0@0", "a1@1", "a2@2"], ["a:0", "a:1", "a:2"], {}),
    "two swapped": (["a0@0", "a2@1", "a1@2"], ["a:0", "a:1", "a:2"], {}),
    "the first one comes last": (["a2@0", "a1@1", "a0@2"], ["a:0", "a:1", "a:2"], {}),
    "a retry": (["a0@0", "a1@1", "a0@2", "a1@3"], ["a:0", "a:1"], {"duplicate": 2}),
    "a retry of one that waits": (["a0@0", "a2@1", "a2@2", "a1@3"], ["a:0", "a:1", "a:2"], {"duplicate": 1}),
    "one is lost": (["a0@0", "a2@1", "a3@130"], ["a:0", "a:2", "a:3"], {"missing": 1}),
    "and comes after all": (
        ["a0@0", "a2@1", "a3@130", "a1@131", "a1@132"],
        ["a:0", "a:2", "a:3", "a:1 late"],
        {"missing": 1, "late": 1, "duplicate": 1},
    ),
    "a device that joins in the middle": (
        ["a500@0", "a501@1", "a502@121"],
        ["a:500", "a:501", "a:502"],
        {"missing": 500},
    ),
    "the one that waits longest decides": (
        ["a0@0", "a7@1", "a5@60", "a8@122"],
        ["a:0", "a:5", "a:7", "a:8"],
        {"missing": 5},
    ),
    "it starts again": (["a0@0", "a1@1", "b0@2", "b1@3"], ["a:0", "a:1", "b:0", "b:1"], {}),
    "it starts again while something waits": (["a0@0", "a2@1", "b0@2"], ["a:0", "a:2", "b:0"], {"missing": 1}),
    "the last words of a boot that is over": (["a0@0", "b0@1", "a1@2"], ["a:0", "b:0", "a:1 late"], {"late": 1}),
    "a retry from a boot that is over": (["a0@0", "b0@1", "a0@2"], ["a:0", "b:0"], {"duplicate": 1}),
}


@pytest.mark.parametrize(("arrivals", "passed", "counts"), STORIES.values(), ids=STORIES.keys())
def test_stories(arrivals: list[str], passed: list[str], counts: dict[str, int]) -> None:
    story = Story()
    heard = []
    for arrival in arrivals:
        sequence, _, at_s = arrival[1:].partition("@")
        heard += story.arrive(arrival[0], int(sequence), int(at_s))
    assert heard == passed
    assert story.counts == counts


def test_a_lane_that_moves_on_ends_the_wait_without_the_device() -> None:
    story = Story()
    story.arrive("a", 0, 0)
    assert story.arrive("a", 2, 10) == []
    assert story.order.due_us(TELEMETRY) == (10 + WINDOW_S) * 1_000_000
    assert story.wait_until(10 + WINDOW_S - 1) == []
    assert story.wait_until(10 + WINDOW_S) == ["a:2"]
    assert story.order.due_us(TELEMETRY) is None


def test_cameras_of_a_device_count_for_themselves() -> None:
    order = Order()
    for offset, camera in enumerate((Camera.DRIVER, Camera.ROAD)):
        record = Record(FRAMES, 0, offset, "bus", b"", 0)
        assert [p.record for p in order.accept(record, frame("bus", 0, camera=camera), 0, LIMITS)] == [record]


def test_what_is_held_is_bounded_in_bytes() -> None:
    story = Story()
    story.arrive("a", 0, 0)
    assert story.arrive("a", 2, 1, size=600) == []
    assert story.arrive("a", 4, 2, size=600) == ["a:2"], "the wait for 1 ends early"
    assert story.counts == {"missing": 1}
    assert story.arrive("a", 1, 3) == ["a:1 late"]


def test_a_gap_too_many_is_forgotten_and_its_late_comer_dropped() -> None:
    story = Story()
    for number in range(GAPS_KEPT + 1):
        story.arrive("a", 2 * number + 1, 1000 * number)
    story.wait_until(10**9)
    assert story.arrive("a", 0, 10**6) == []
    assert story.arrive("a", 2, 10**6) == ["a:2 late"]


def test_boots_are_remembered_for_a_while() -> None:
    story = Story()
    for number in range(BOOTS_KEPT):
        assert story.arrive(f"boot{number}", 0, number)
    assert story.arrive("boot0", 0, 100) == []
    story.arrive("one more", 0, 101)
    assert story.arrive("boot0", 0, 102) == ["boot0:0"], "forgotten, and taken for a new one"


def test_a_clone_does_not_touch_its_original() -> None:
    story = Story()
    for sequence in (0, 2, 5):
        story.arrive("a", sequence, sequence)
    kept = story.order.clone()
    story.wait_until(10**6)
    story.arrive("a", 3, 10**6)
    assert [list(stream.held) for stream in kept.streams.values()] == [[2, 5]]
    assert [stream.boots[0].next for stream in kept.streams.values()] == [1]
    assert [stream.boots[0].gaps for stream in kept.streams.values()] == [[]]
