"""The step of the eyes, with scripted faces."""

import io
from dataclasses import replace

import pytest
from PIL import Image

from infra.clock import FixedClock
from infra.contracts.events import EventKind, event_id
from infra.contracts.frames import Camera
from infra.contracts.telemetry import Rejection
from infra.store.outputs import OBSERVATION_SCHEMA
from tests.unit.vision.stories import START_US, deliveries, drawn, final_events, frame, observed, run, scripted_step
from vision.lag import Lag
from vision.looking import Look
from vision.models import ScriptedFaces
from vision.service import RULES_VERSION, SILENCE_US, VisionStep

WIDE, SHUT, NOBODY = 220, 60, 0
AWAKE = [WIDE] * 320  # 64 s at 5 frames a second: the baseline is learned


def watch(levels, **changes):
    step = scripted_step()
    return run(step, step.prepare(deliveries([frame(i, drawn(level), **changes) for i, level in enumerate(levels)])))


def test_driver_who_nods_off_is_one_event_with_the_frame_that_fired_it():
    _, outputs = watch([*AWAKE, *[SHUT] * 20, *[WIDE] * 5])
    ((event, media),) = final_events(outputs).values()
    start_us = START_US + 64_000_000
    assert event.kind is EventKind.SLEEP
    assert event.event_id == event_id(RULES_VERSION, "van", EventKind.MICROSLEEP, start_us)
    assert (event.start_us, event.end_us) == (start_us, start_us + 3_800_000)
    assert (event.driver_id, event.speed_mps, event.peak_unit) == ("anna", 20.0, "s")
    assert event.peak == pytest.approx(3.8)
    assert 0 < event.confidence <= 1
    (path, time_us, _), (driver_path, _, content) = media
    assert str(event.event_id) in path
    assert driver_path.endswith("still-driver.jpg")
    assert time_us == start_us + 1_000_000, "the frame at which a closure became a microsleep"
    assert abs(Image.open(io.BytesIO(content)).getpixel((9, 9))[0] - SHUT) < 5


def test_each_telling_makes_the_scores_due():
    _, (outputs,) = watch([*AWAKE, *[SHUT] * 20, *[WIDE] * 5])
    assert len(outputs.events) == 3
    assert [(due.vehicle_id, due.driver_id, due.at_us) for due in outputs.score_due] == [
        ("van", "anna", event.start_us) for event in outputs.events
    ]


def test_every_drivers_frame_is_observed():
    _, (outputs,) = watch([*AWAKE, SHUT, NOBODY])
    rows = outputs.observations
    assert rows.schema == OBSERVATION_SCHEMA
    assert rows.num_rows == 322
    assert rows["eye_openness"][0].as_py() is None, "the baseline is not learned yet"
    assert rows["eye_openness"][319].as_py() == pytest.approx(1.0, abs=0.1)
    assert rows["eye_openness"][320].as_py() == 0.0
    assert rows["face_found"][-1].as_py() is False
    assert rows["eye_openness"][-1].as_py() is None
    assert outputs.counts["van", "frames"] == 322
    assert outputs.counts["van", "frames_no_face"] == 1


def test_other_cameras_are_counted_and_not_looked_at():
    def never(picture):
        raise AssertionError("a road frame was looked at")

    step = VisionStep(ScriptedFaces(never), 1_000_000)
    prepared = step.prepare(deliveries([frame(0, b"not even a jpeg", camera=Camera.ROAD)]))
    _, (outputs,) = run(step, prepared)
    (row,) = outputs.observations.to_pylist()
    assert (row["camera"], row["face_found"], row["record_offset"]) == ("road", False, 0), "where it lies, for clips"
    assert outputs.counts == {("van", "frames_other_camera"): 1}


@pytest.mark.parametrize(("size", "parts"), [((64, 64), [64, 6]), ((1200, 1024), [16, 16, 16, 16, 6])])
def test_of_large_pictures_fewer_are_held_at_once(size, parts):
    class Counting(ScriptedFaces):
        def find_faces(self, pictures):
            asked.append(len(pictures))
            return super().find_faces(pictures)

    asked = []
    step = VisionStep(Counting(), 2_000_000)
    prepared = step.prepare(deliveries([frame(i, drawn(WIDE, size)) for i in range(70)]))
    assert asked == parts
    assert all(isinstance(delivery.prepared, Look) for delivery in prepared)


def test_unusable_frame_is_a_dead_letter_without_its_picture_and_stops_nothing():
    step = scripted_step()
    frames = [frame(0, drawn(WIDE)), frame(1, b"GIF89a..."), frame(2, drawn(WIDE)[:100]), frame(3, drawn(WIDE))]
    _, (outputs,) = run(step, step.prepare(deliveries(frames)))
    assert [(letter.offset, letter.reason) for letter in outputs.dead_letters] == [
        (1, "frame_not_jpeg"),
        (2, "frame_broken"),
    ]
    assert all(letter.payload is None and letter.rows == 1 for letter in outputs.dead_letters)
    assert outputs.observations.num_rows == 2
    assert outputs.counts["van", "frames_unusable"] == 2


def test_numbers_of_a_device_are_the_same_event_without_any_footage():
    step = scripted_step()
    pictures = step.prepare(deliveries([frame(i, drawn(level)) for i, level in enumerate([*AWAKE, *[SHUT] * 20])]))
    (sent,) = observed(pictures)
    refused = replace(sent.message, rejected=[Rejection("observations", "out_of_range", 2, "{}")])
    _, (outputs,) = run(step, step.prepare([replace(sent, message=refused)]))
    _, before = run(step, pictures)
    ((event, media),) = final_events([outputs]).values()
    assert (event, media) == (next(iter(final_events(before).values()))[0], [])
    assert set(outputs.observations["record_offset"].to_pylist()) == {None}, "there is nothing to make a clip of"
    assert [(letter.reason, letter.rows) for letter in outputs.dead_letters] == [("observations_out_of_range", 2)]
    assert outputs.counts["van", "observations"] == 340
    assert outputs.counts["van", "observations_refused"] == 2


@pytest.mark.parametrize("camera", list(Camera))
def test_frame_that_the_gateway_refused_is_a_dead_letter_with_its_reason_and_is_not_judged(camera):
    step = scripted_step()
    refused = frame(1, b"", camera=camera, rejected="not_jpeg", driver_id=None)
    frames = [frame(0, drawn(WIDE)), refused, frame(2, drawn(WIDE))]
    state, (outputs,) = run(step, step.prepare(deliveries(frames)))
    (letter,) = outputs.dead_letters
    assert (letter.offset, letter.reason, letter.rows) == (1, "frame_not_jpeg", 1)
    undisturbed, _ = run(step, step.prepare(deliveries([frames[0], frames[2]])))
    assert state == undisturbed
    assert outputs.observations.num_rows == 2


def test_late_frame_is_observed_and_changes_nothing():
    step = scripted_step()
    state, _ = run(step, step.prepare(deliveries([frame(i, drawn(level)) for i, level in enumerate(AWAKE)])))
    late = step.prepare(deliveries([frame(10, drawn(SHUT))], late=True))
    folded = step.fold({"van": step.load(state["van"])}, late, {})
    assert step.dump(folded.states["van"]) == state["van"]
    assert folded.outputs.observations["eye_openness"][0].as_py() == 0.0
    assert folded.outputs.observations["perclos"][0].as_py() is None
    assert not folded.outputs.events


def test_camera_that_falls_silent_does_not_leave_an_event_open():
    step = scripted_step()
    frames = [frame(i, drawn(level)) for i, level in enumerate([*AWAKE, *[SHUT] * 8])]
    prepared = step.prepare(deliveries(frames))
    folded = step.fold({"van": step.load(None)}, prepared, {})
    due_us = prepared[-1].record.arrived_us + SILENCE_US
    assert folded.wake_us == {"van": due_us}
    woken = step.fold(folded.states, [], {"van": due_us})
    (ended,) = woken.outputs.events
    assert ended.end_us == frames[-1].time_us
    assert ended.event_id == folded.outputs.events[0].event_id
    assert not step.fold(woken.states, [], {"van": due_us}).outputs.events


def test_vehicles_are_kept_apart():
    step = scripted_step()
    levels = [*AWAKE, *[SHUT] * 8, *[WIDE] * 5]
    awake = [frame(i, drawn(WIDE), vehicle="awake") for i in range(len(levels))]
    asleep = [frame(i, drawn(level), vehicle="asleep") for i, level in enumerate(levels)]
    mixed = [f for pair in zip(awake, asleep, strict=True) for f in pair]
    _, outputs = run(step, step.prepare(deliveries(mixed)))
    assert {event.vehicle_id for event, _ in final_events(outputs).values()} == {"asleep"}


def test_further_head_adds_its_numbers():
    class Belt:
        name = "belt"
        seldom = False
        closed = False

        def measure(self, pictures, faces):
            return [{"belt_worn_probability": 0.9} if face else {} for face in faces]

        def close(self):
            self.closed = True

    belt = Belt()
    step = VisionStep(ScriptedFaces(), 1_000_000, [belt])
    prepared = step.prepare(deliveries([frame(0, drawn(WIDE)), frame(1, drawn(NOBODY))]))
    assert [look.signals for look in prepared_looks(prepared)] == [{"belt_worn_probability": 0.9}, {}]
    step.close()
    assert belt.closed


def prepared_looks(prepared) -> list[Look]:
    return [delivery.prepared for delivery in prepared]


def test_fold_without_prepare_is_an_error_not_a_guess():
    step = scripted_step()
    with pytest.raises(TypeError, match="prepare"):
        run(step, deliveries([frame(0, drawn(WIDE))]))


def test_eyes_that_lag_skip_the_oldest_frames_and_judge_the_rest():
    stream = deliveries([frame(i, drawn(WIDE)) for i in range(100)])  # a millisecond from arrival to arrival
    clock = FixedClock(stream[-1].record.arrived_us + 60_000_000)
    step = VisionStep(ScriptedFaces(), 1_000_000, lag=Lag(clock, 60_000_000 + 39_000))
    _, (outputs,) = run(step, step.prepare(stream))
    assert outputs.counts == {("van", "frames_skipped"): 60, ("van", "frames"): 40}
    rows = outputs.observations.to_pylist()
    assert [row["record_offset"] for row in rows] == list(range(100)), "clips find every frame"
    assert [row["face_found"] for row in rows] == [False] * 60 + [True] * 40
    assert outputs.dead_letters == []
