"""Numbers of a head become events of the worker's step, and its gates are the fleet's."""

import io

from PIL import Image

from infra.contracts.events import EventKind
from tests.unit.vision.stories import MAX_PIXELS, deliveries, drawn, final_events, frame, run
from vision.core.rules.table import make_rules
from vision.models import ScriptedFaces
from vision.service import VisionStep


class Scripted:
    """A head that says the same of every picture."""

    name = "scripted"
    seldom = False

    def __init__(self, **numbers):
        self.numbers = numbers

    def measure(self, pictures, faces):
        return [self.numbers for _ in pictures]

    def close(self):
        """Holds nothing."""


def drive(head, jpeg=None, rules=None, **changes):
    step = VisionStep(ScriptedFaces(), MAX_PIXELS, [head], **({} if rules is None else {"rules": rules}))
    frames = [frame(i, jpeg or drawn(220), fps=2.0, **changes) for i in range(80)]
    state, outputs = run(step, step.prepare(deliveries(frames)), range(0, 80, 7))
    return step, state, {event.kind: event for event, _ in final_events(outputs).values()}


def test_belt_and_phone_are_events_of_the_step():
    _, _, events = drive(Scripted(belt_worn=0.05, phone=0.95))
    assert set(events) == {EventKind.NO_SEAT_BELT, EventKind.PHONE_USE}
    assert events[EventKind.NO_SEAT_BELT].evidence["seen_by"] == "camera"


def test_vehicles_own_switch_is_asked():
    _, _, events = drive(Scripted(), belt_switch=False)
    assert events[EventKind.NO_SEAT_BELT].evidence["seen_by"] == "belt switch"
    assert drive(Scripted(belt_worn=0.2), belt_switch=True)[2] == {}


def test_gates_are_the_fleets():
    slow = {"speed_mps": 8.0}
    assert drive(Scripted(belt_worn=0.05), **slow)[2] == {}
    rules = make_rules({EventKind.NO_SEAT_BELT: 5.0})
    assert set(drive(Scripted(belt_worn=0.05), rules=rules, **slow)[2]) == {EventKind.NO_SEAT_BELT}


def test_camera_that_hangs_is_said():
    sink = io.BytesIO()
    Image.linear_gradient("L").save(sink, "JPEG")
    _, _, events = drive(Scripted(), sink.getvalue())
    assert events[EventKind.CAMERA_OBSTRUCTED].evidence["reason"] == "frozen"
