"""Laws of the eyes, on made-up streams."""

from dataclasses import replace
from functools import cache
from itertools import pairwise

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.contracts.events import EventKind
from tests.unit.vision.numbers import KNOWN, findings, glance, last_tellings
from tests.unit.vision.numbers import START_US as STORY_START_US
from tests.unit.vision.stories import MAX_PIXELS, deliveries, drawn, final_events, frame, observed, run, scripted_step
from vision.core import signals
from vision.core.cadence import SELDOM
from vision.core.driver import DriverState, Glance, dump_state, follow, load_state
from vision.models import ScriptedFaces
from vision.service import VisionStep

LEARNED = 320
NAMES = [value for name, value in vars(signals).items() if name.isupper()]


@cache
def prepared(pattern: tuple[tuple[int, int], ...]):
    """A minute to learn from, then stretches of (level, frames); two vehicles."""
    levels = [220] * LEARNED + [level for level, count in pattern for _ in range(count)]
    frames = [
        frame(i, drawn(level), vehicle=vehicle, driver_id="anna" if i < LEARNED + 40 else "bert")
        for i, level in enumerate(levels)
        for vehicle in ("van", "bus")
    ]
    return scripted_step().prepare(deliveries(frames))


def words(outputs):
    """Everything but where the stream was cut."""
    rows = [row for part in outputs if part.observations is not None for row in part.observations.to_pylist()]
    counts: dict = {}
    for part in outputs:
        for key, count in part.counts.items():
            counts[key] = counts.get(key, 0) + count
    due = [due for part in outputs for due in part.score_due]
    return final_events(outputs), rows, {key: count for key, count in counts.items() if count}, due


PATTERNS = st.lists(st.tuples(st.sampled_from([0, 60, 90, 140, 220]), st.integers(1, 25)), min_size=1, max_size=6).map(
    tuple
)


@settings(max_examples=12, deadline=None)
@given(PATTERNS, st.data())
def test_any_split_gives_the_same_events_rows_and_states(pattern, data):
    stream = prepared(pattern)
    cuts = data.draw(st.lists(st.integers(2 * LEARNED - 40, len(stream)), max_size=8))
    step = scripted_step()
    whole, split = run(step, stream), run(step, stream, cuts)
    assert split[0] == whole[0]
    assert words(split[1]) == words(whole[1])
    numbers = step.prepare(observed(stream, cuts))
    sent = run(step, numbers, data.draw(st.lists(st.integers(0, len(numbers)), max_size=3)))
    assert sent[0] == whole[0]
    assert unseen(words(sent[1])) == unseen(words(whole[1]))


def unseen(said):
    """What is the same whether the pictures came or only the numbers."""
    events, rows, counts, due = said
    kept = sorted((row | {"record_offset": None} for row in rows), key=lambda row: (row["vehicle_id"], row["time"]))
    renamed = {(vehicle, word.replace("observations", "frames")): n for (vehicle, word), n in counts.items()}
    told = {key: replace(event, media=()) for key, (event, _) in events.items()}
    return told, kept, renamed, sorted(due, key=str)


def test_frame_by_frame_gives_the_same_as_at_once():
    stream = prepared(((60, 40), (220, 5), (60, 9), (0, 3), (60, 9), (220, 3)))
    step = scripted_step()
    whole, split = run(step, stream), run(step, stream, range(1, len(stream)))
    assert split[0] == whole[0]
    assert words(split[1]) == words(whole[1])
    assert len(final_events(whole[1])) >= 2


class Torso:
    """A seldom head whose numbers are the picture's brightness; counts what it was shown."""

    name, seldom = "torso", True

    def __init__(self):
        self.shown = 0

    def measure(self, pictures, faces):
        self.shown += len(pictures)
        return [dict.fromkeys(SELDOM, float(picture.rgb.mean()) / 255) for picture in pictures]

    def close(self):
        """Holds nothing."""


PICTURE = st.tuples(
    st.integers(-400, 1500), st.sampled_from([0, 90, 220]), st.sampled_from(["whole"] * 5 + ["broken", "late"])
)
CLOCK_BACK = st.just((-11_000, 220, "whole"))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.one_of(PICTURE, PICTURE, PICTURE, CLOCK_BACK), min_size=1, max_size=60), st.data())
def test_seldom_head_says_the_same_under_any_split(steps, data):
    """Frames out of order, unreadable, late, after a clock that was set back: what is looked at in one batch and not in
    another does not count in either."""
    head, at_ms, stream = Torso(), 0, []
    step = VisionStep(ScriptedFaces(), MAX_PIXELS, [head])
    for i, (step_ms, level, how) in enumerate(steps):
        at_ms += step_ms
        jpeg = drawn(level) if how != "broken" else drawn(level)[:100]
        made = frame(i, jpeg, time_us=STORY_START_US + at_ms * 1000, driver_id="anna" if i % 20 else "bert")
        stream += deliveries([made], late=how == "late")
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=8))
    parts = [step.prepare(stream[begin:end]) for begin, end in pairwise([0, *sorted(cuts), len(stream)])]
    whole, split = run(step, step.prepare(stream)), run(step, [d for part in parts for d in part], cuts)
    assert split[0] == whole[0]
    assert words(split[1]) == words(whole[1])


def test_seldom_head_looks_at_the_first_picture_of_each_half_second():
    head = Torso()
    step = VisionStep(ScriptedFaces(), MAX_PIXELS, [head])
    stream = deliveries([frame(i, drawn(220), fps=30.0) for i in range(300)])
    parts = [step.prepare(stream[at : at + 50]) for at in range(0, 300, 50)]
    _, outputs = run(step, [d for part in parts for d in part], range(0, 300, 50))
    _, rows, _, _ = words(outputs)
    counted = [i for i, row in enumerate(rows) if row["phone"] is not None]
    assert counted == list(range(0, 300, 15))
    assert len(counted) <= head.shown <= len(counted) + 6  # and the first of each batch


NUMBERS = st.one_of(st.none(), st.floats(0, 1.5), st.floats(allow_nan=True, allow_infinity=True))
NAMED = st.dictionaries(st.sampled_from(NAMES), st.one_of(st.floats(0, 1), st.floats(-90, 90), st.floats()), max_size=6)
GLANCES = st.lists(
    st.tuples(st.integers(-2_000_000, 3_000_000), NUMBERS, NUMBERS, NAMED, st.booleans(), st.integers(0, 2)),
    max_size=80,
)


@settings(max_examples=200, deadline=None)
@given(GLANCES)
def test_rules_hold_for_any_numbers(steps):
    state, now_us = KNOWN, 1_700_000_000_000_000
    for step_us, ratio, speed, numbers, face, switch in steps:
        now_us += step_us
        state, judgement = follow(state, Glance(now_us, speed, ratio, numbers, face, (None, True, False)[switch]))
        assert judgement.perclos is None or 0 <= judgement.perclos <= 1
        for finding in judgement.findings:
            assert finding.start_us <= finding.end_us
            assert finding.peak >= 0
            assert 0 <= finding.confidence <= 1


@settings(max_examples=100)
@given(st.lists(st.tuples(st.integers(1, 700_000), st.one_of(st.none(), st.floats(0, 0.6))), max_size=400))
def test_state_to_json_to_state_is_identity(steps):
    state, now_us = DriverState("anna", "anna"), 1_700_000_000_000_000
    for step_us, ratio in steps:
        now_us += step_us
        state, _ = follow(state, Glance(now_us, 20.0, ratio))
    assert load_state(orjson.loads(orjson.dumps(dump_state(state)))) == state


CLOSURES = st.lists(st.tuples(st.integers(0, 20), st.integers(2, 45)), min_size=1, max_size=5)


@settings(max_examples=20, deadline=None)
@given(CLOSURES)
def test_five_and_thirty_frames_a_second_give_the_same_closures_within_a_frame(stretches):
    """Eyes open for 2 s and a bit, then shut for so many tenths: the slow camera sees the same, 0.2 s coarser."""
    spans, at_s = [], 0.0
    for more, tenths in stretches:
        at_s += 2.0 + more / 10
        spans.append((at_s, at_s + tenths / 10))
        at_s += tenths / 10
    closures = {fps: _closures(spans, at_s + 3, fps) for fps in (5, 30)}
    for start_s, end_s in spans:
        if end_s - start_s >= 1.5:  # at 5 a second a closure of 1.4 s may be seen for 1.0 s
            assert all(any(abs(seen[0] - start_s) <= 0.2 for seen in closures[fps]) for fps in closures)
    for fast, slow in ((f, s) for f in closures[30] for s in closures[5] if abs(f[0] - s[0]) <= 0.2):
        assert abs(fast[1] - slow[1]) <= 0.2 + 1e-6
    assert all(any(abs(f[0] - s[0]) <= 0.2 for f in closures[30]) for s in closures[5])


def _closures(spans, until_s, fps):
    """(start, end) in seconds of every closure that was told."""
    shut = [any(a <= i / fps < b for a, b in spans) for i in range(int(until_s * fps))]
    told = last_tellings(findings(glance(i / fps, 0.05 if is_shut else 1.0) for i, is_shut in enumerate(shut)))
    eyes = [f for f in told if f.family is EventKind.MICROSLEEP]
    return [((f.start_us - STORY_START_US) / 1e6, (f.end_us - STORY_START_US) / 1e6) for f in eyes]


def test_state_with_everything_open_survives_json():
    state, now_us = DriverState("anna", "anna"), 1_700_000_000_000_000
    for i in range(1500):
        now_us += 100_000
        state, _ = follow(state, Glance(now_us, 20.0, 0.08 if i > 1000 and i % 50 > 30 else 0.3))
    assert state.rules["closures"].closure is not None
    assert state.rules["drowsiness"].episode is not None
    data = orjson.dumps(dump_state(state))
    assert load_state(orjson.loads(data)) == state
    assert len(data) < 3_000
