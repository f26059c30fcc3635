"""Clips of events, re-read from the bus: once in effect, whatever dies, and of whatever the log still keeps."""

import io
from itertools import pairwise

import av
import pytest
from sqlalchemy import text

from infra.clock import to_us
from infra.contracts.events import EventKind, SafetyEvent, Severity, event_id
from infra.contracts.frames import Camera
from infra.contracts.signal_trace import MOST_BYTES, load_trace
from infra.contracts.topics import FRAMES
from infra.runtime.worker import Worker
from infra.store import outputs, tables
from tests.replay.test_vision_worker import publish, pump_dry, rows
from tests.unit.vision.stories import MAX_PIXELS, START_US, drawn, frame, scripted_step
from vision.clips import MOST_FPS, ClipMaker, choose_frames
from vision.footage import FootageMaker
from vision.spots import ScriptedSpots

AWAKE, SHUT = [220] * 320, [60] * 20  # at 5 frames a second
AFTER = [220] * 40


@pytest.fixture
def slept(bus, database, settings, media):
    """A driver slept for 4 s, and the vision worker has told it."""
    publish(bus, [*enumerate(frame(i, drawn(level)) for i, level in enumerate([*AWAKE, *SHUT, *AFTER]))])
    worker = Worker(scripted_step(), bus, database, settings, media)
    pump_dry(worker)
    worker.close()
    (event,) = rows(database, tables.safety_event)
    return event


@pytest.fixture
def maker(bus, media):
    return FootageMaker(bus, media, ClipMaker(ScriptedSpots(), MAX_PIXELS), lease_s=0.0)


def clips(database, media):
    found = {r["shows_driver"]: r["path"] for r in rows(database, tables.event_media) if r["kind"] == "clip"}
    return {shows: media.read(path) for shows, path in found.items()}


def drain(maker, engine):
    while maker(engine):
        pass


def frames_of(clip: bytes) -> list[tuple[float, float]]:
    """Time in s and mean brightness of each picture."""
    with av.open(io.BytesIO(clip)) as container:
        assert container.streams.video[0].codec_context.name == "h264"
        return [(float(p.time), float(p.to_ndarray(format="gray").mean())) for p in container.decode(video=0)]


def test_an_event_gets_one_clip_of_the_seconds_around_it_and_the_signal_that_fired_it(slept, database, media, maker):
    drain(maker, database)
    made = clips(database, media)
    assert set(made) == {False, True}
    pictures = frames_of(made[True])
    length_s = (slept["end_at"] - slept["start_at"]).total_seconds() + 10
    assert pictures[0][0] == 0
    assert pictures[-1][0] == pytest.approx(length_s + 0.2, abs=0.01), "the last picture stands for a while"
    assert all(later - sooner == pytest.approx(0.2, abs=0.001) for (sooner, _), (later, _) in pairwise(pictures))
    shut = [time for time, level in pictures if level < 100]
    assert (shut[0], shut[-1]) == pytest.approx((5.0, 8.8), abs=0.01)
    assert rows(database, tables.footage_due) == []

    (kept,) = rows(database, tables.event_signal)
    trace = load_trace(kept["samples"])
    assert len(kept["samples"]) <= MOST_BYTES
    assert (trace.fired.signal, trace.fired.below) == ("eye_openness", True)
    low = trace.columns["time_us"][trace.columns["eye_openness"] <= trace.fired.threshold]
    assert (low[0], low[-1]) == (to_us(slept["start_at"]), to_us(slept["end_at"]))


def test_a_maker_that_dies_before_its_commit_leaves_one_clip_all_the_same(slept, database, media, bus):
    class Dies(FootageMaker):
        def _finish(self, connection, job, made):
            super()._finish(connection, job, made)
            raise KeyboardInterrupt

    spots = ScriptedSpots()
    with pytest.raises(KeyboardInterrupt):
        Dies(bus, media, ClipMaker(spots, MAX_PIXELS), lease_s=0.0)(database)
    assert clips(database, media) == {}, "nothing is listed that was not committed"
    drain(FootageMaker(bus, media, ClipMaker(spots, MAX_PIXELS)), database)
    drain(FootageMaker(bus, media, ClipMaker(spots, MAX_PIXELS)), database)
    assert set(clips(database, media)) == {False, True}
    assert len(list(media.root.rglob("*.mp4"))) == 2


def test_while_one_holds_an_event_another_leaves_it_alone(slept, database, media, bus):
    class Halts(FootageMaker):
        def _make(self, job):
            other = FootageMaker(bus, media, ClipMaker(ScriptedSpots(), MAX_PIXELS))
            assert other(database) == 0
            return super()._make(job)

    assert Halts(bus, media, ClipMaker(ScriptedSpots(), MAX_PIXELS))(database) == 1
    assert set(clips(database, media)) == {False, True}


@pytest.mark.bus("memory")
def test_frames_that_are_gone_leave_a_shorter_clip_or_the_still_alone(slept, database, media, bus, maker):
    (lane,) = [lane for lane, end in bus.end_offsets(FRAMES).items() if end]
    del bus.log(FRAMES)[lane][:330]
    bus._begins[FRAMES, lane] = 330
    drain(maker, database)
    assert len(frames_of(clips(database, media)[True])) == 35 + 1, "to 5 s after its end"
    with database.begin() as connection:
        connection.execute(text("DELETE FROM event_media WHERE kind = 'clip'"))
        connection.execute(text("INSERT INTO footage_due (event_id) SELECT event_id FROM safety_event"))
    bus.log(FRAMES)[lane].clear()
    bus._begins[FRAMES, lane] = 380
    drain(maker, database)
    assert {row["kind"] for row in rows(database, tables.event_media)} == {"still"}
    assert rows(database, tables.footage_due) == []


def test_an_event_at_whose_end_the_camera_stopped_waits_and_is_then_made_of_what_there_is(
    bus, database, settings, media, maker
):
    publish(bus, [*enumerate(frame(i, drawn(level)) for i, level in enumerate([*AWAKE, *SHUT, 220]))])
    worker = Worker(scripted_step(), bus, database, settings, media)
    pump_dry(worker)
    worker.close()
    assert maker(database) == 0, "frames of after it may be on their way"
    with database.begin() as connection:
        connection.execute(text("UPDATE footage_due SET told_at = told_at - interval '5 seconds'"))
    assert maker(database) == 1
    assert set(clips(database, media)) == {False, True}
    (due,) = {row["look_at"] for row in rows(database, tables.footage_due)}
    assert due, "it will be looked at again, for frames that come later"


def test_a_driving_event_gets_clips_of_every_camera_that_saw_it(bus, database, settings, media, maker):
    cameras = (Camera.DRIVER, Camera.ROAD)
    seen = [frame(i // 2, drawn(200), camera=cameras[i % 2], boot_id=cameras[i % 2]) for i in range(300)]
    publish(bus, [*enumerate(seen)])
    worker = Worker(scripted_step(), bus, database, settings, media)
    pump_dry(worker)
    worker.close()
    start_us = START_US + 12_000_000
    where = (start_us, start_us + 1_000_000, None, None, 20.0, 0.8, "g", 0.9, "rules")
    key = event_id("rules", "van", EventKind.HARSH_BRAKE, start_us)
    brake = SafetyEvent(key, "van", "anna", EventKind.HARSH_BRAKE, Severity.HIGH, *where)
    with database.begin() as connection:
        outputs.write(connection, outputs.Outputs(events=[brake]), media, "scoring")
    drain(maker, database)
    names = {row["path"].rpartition("/")[2] for row in rows(database, tables.event_media)}
    assert names == {"clip-driver.mp4", "clip-driver-driver.mp4", "clip-road.mp4"}


def test_fast_cameras_are_thinned_and_slow_ones_are_not():
    fast = choose_frames([i * 33_333 for i in range(900)])
    assert len(fast) <= 300
    assert choose_frames([i * 500_000 for i in range(20)]) == list(range(20))
    half = choose_frames([i * 33_333 for i in range(60)])
    assert len(half) == pytest.approx(2 * MOST_FPS, abs=1)
