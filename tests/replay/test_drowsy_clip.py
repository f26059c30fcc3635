"""The demo's acted clip through the real face mesh: 235 frames of one driver, awake and nodding off.

Frames carry no time; they are shown at 2 a second here. One person in one car: this says that the parts work
together, and nothing about accuracy on other people.
"""

import pytest

from infra.contracts.events import EventKind
from tests.unit.vision.stories import CLIP, CLIP_FIRST, CLIP_FPS, START_US, deliveries, final_events, frame, run
from vision.eye_state import EyeStates
from vision.models import MediapipeFaces
from vision.service import VisionStep

SHUT_BY_EYE = [(226, 229), (256, 260)]  # frames of the clip in which both eyes are shut, seen by eye
FIRST_DROWSY = 226  # after the baseline is learned


@pytest.fixture(scope="module")
def watched():
    step = VisionStep(MediapipeFaces(), 4_200_000, [EyeStates()])
    names = sorted(path.name for path in CLIP.iterdir())
    frames = [frame(i, (CLIP / name).read_bytes(), fps=CLIP_FPS) for i, name in enumerate(names)]
    prepared = step.prepare(deliveries(frames))
    step.close()
    return step, prepared


def clip_frame(time_us: int) -> int:
    return CLIP_FIRST + round((time_us - START_US) / 1e6 * CLIP_FPS)


def test_shut_eyes_of_the_clip_are_microsleeps_and_nothing_else_is(watched):
    step, prepared = watched
    _, outputs = run(step, prepared, range(0, len(prepared), 20))
    events = [event for event, _ in final_events(outputs).values()]
    closures = [event for event in events if event.kind is not EventKind.DROWSINESS]
    assert [(clip_frame(e.start_us), clip_frame(e.end_us)) for e in closures] == SHUT_BY_EYE
    assert {event.kind for event in closures} == {EventKind.MICROSLEEP}
    assert all(clip_frame(event.start_us) >= FIRST_DROWSY for event in events)


def test_awake_part_of_the_clip_fires_nothing(watched):
    """The same frames without the drowsy ones, so that an hour of awake driving would be as quiet."""
    step, prepared = watched
    awake = [d for d in prepared if d.prepared.aspect_ratio and not _labelled_drowsy(clip_frame(d.message.time_us))]
    looped = [delivery for _ in range(4) for delivery in awake]
    again = [type(d)(d.record, frame(i, d.message.jpeg, fps=CLIP_FPS), False, d.prepared) for i, d in enumerate(looped)]
    _, outputs = run(step, again)
    assert len(again) > 400
    assert final_events(outputs) == {}


def test_face_is_found_in_most_frames(watched):
    _, prepared = watched
    assert sum(d.prepared.face_found for d in prepared) / len(prepared) > 0.85


# The publisher's labels of frames 31 to 265: runs called drowsy (head down, eyes shut, yawning)
_DROWSY = (
    "44-45 47-48 54-72 76-78 81-82 89-89 98-104 114-118 127-131 135-135 149-161 165-166 173-173 179-179 189-196 "
    "216-216 219-220 226-253 255-265"
)


def _labelled_drowsy(number: int) -> bool:
    runs = (part.split("-") for part in _DROWSY.split())
    return any(int(first) <= number <= int(last) for first, last in runs)
