"""Stories of what drivers do in cabs, told in numbers. Times in seconds."""

from collections.abc import Iterator

import pytest

from infra.contracts.events import EventKind, Severity
from tests.unit.vision.numbers import (
    FAST_MPS,
    KNOWN,
    START_US,
    findings,
    glance,
    last_tellings,
    last_words,
    stretch,
    turned,
    watch,
)
from vision.core.driver import DriverState, Glance, change_driver, finish, has_open_event
from vision.core.rules.belt import GRACE_US
from vision.core.rules.gates import GATES_MPS
from vision.core.rules.shape import Sign
from vision.core.rules.table import make_rules
from vision.core.signals import BELT_WORN, CAMERA_UNFIT, DRINKING, GAZE_PITCH, GAZE_YAW, PHONE, SMOKING, YAWN

MPH = 0.44704
RATES = (5, 10, 30)
AHEAD = turned(0, 0)
LOW_YAWNS = (EventKind.YAWNING, Severity.LOW)


def yawn(at_s: float, lasts_s: float = 4.0, fps: float = 10, **more) -> list[Glance]:
    return stretch(at_s, at_s + lasts_s, 0.6, fps, numbers={YAWN: 0.9, **AHEAD}, **more)


def calm(start_s: float, end_s: float, fps: float = 10, **more) -> list[Glance]:
    return stretch(start_s, end_s, 1.0, fps, numbers={YAWN: 0.05, PHONE: 0.03, BELT_WORN: 0.97, **AHEAD}, **more)


def look(
    start_s: float, end_s: float, yaw_deg: float = 0, pitch_deg: float = 0, fps: float = 10, **more
) -> list[Glance]:
    return stretch(start_s, end_s, 1.0, fps, numbers=turned(yaw_deg, pitch_deg), **more)


def show(start_s: float, end_s: float, fps: float = 2.0, speed_mps: float | None = FAST_MPS, **numbers) -> list[Glance]:
    """Probabilities by their names, a look or two a second."""
    return stretch(start_s, end_s, 1.0, fps, speed_mps, numbers=numbers)


# --- yawning ------------------------------------------------------------------------------------------------


def yawns(count: int, apart_s: float, **more) -> list[Glance]:
    return [g for i in range(count) for g in [*yawn(i * apart_s, **more), *calm(i * apart_s + 4, (i + 1) * apart_s, 1)]]


@pytest.mark.parametrize(
    ("name", "frames", "told"),
    [
        ("two yawns in ten minutes", lambda: yawns(2, 60), []),
        ("three in three minutes", lambda: yawns(3, 60), [(EventKind.YAWNING, Severity.LOW)]),
        ("five in five minutes", lambda: yawns(5, 60), [(EventKind.YAWNING, Severity.MODERATE)]),
        ("three in an hour", lambda: [g for i in range(3) for g in yawn(i * 1000)], []),
        ("three words of a second", lambda: yawns_of(1.0), []),
        ("a mouth that hangs open for a minute", lambda: yawns_of(60.0), []),
        ("at one frame a second", lambda: yawns(3, 60, fps=1), [LOW_YAWNS]),
        ("while standing", lambda: yawns(3, 60, speed_mps=0.0), []),
    ],
)
def test_several_yawns_are_one_event(name, frames, told):
    found = [(f.kind, f.severity) for f in last_tellings(findings(frames()))]
    assert found == told, name


def yawns_of(lasts_s: float) -> list[Glance]:
    return [g for i in range(4) for g in [*yawn(i * 90, lasts_s), *calm(i * 90 + lasts_s, (i + 1) * 90)]]


def test_yawn_is_a_sign_once():
    frames = [*yawn(0, 3), *calm(3, 3.4), *yawn(3.4, 2), *calm(5.4, 9)]
    _, judged = watch(frames)
    assert [sign for judgement in judged for sign in judgement.signs] == [Sign.YAWN]


# --- head ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fps", RATES)
@pytest.mark.parametrize(
    ("name", "pitch_deg", "lasts_s", "told"),
    [
        ("a look at the dashboard", -14, 2.0, []),
        ("a nod of agreement", -25, 0.6, []),
        ("head down", -25, 1.6, [(EventKind.HEAD_NOD, Severity.MODERATE)]),
        (
            "head down for long with open eyes is looking at something",
            -30,
            4.0,
            [(EventKind.DISTRACTION, Severity.HIGH)],
        ),
    ],
)
def test_head_that_drops(name, pitch_deg, lasts_s, told, fps):
    frames = [*look(0, 5, fps=fps), *look(5, 5 + lasts_s, 0, pitch_deg, fps), *look(5 + lasts_s, 30, fps=fps)]
    assert [(f.kind, f.severity) for f in last_tellings(findings(frames))] == told, name


@pytest.mark.parametrize("fps", RATES)
def test_quick_nod_while_the_eyes_close_is_a_head_nod_and_a_sign(fps):
    shut = stretch(5, 5.6, 0.05, fps, numbers=turned(0, -4))
    frames = [*look(0, 5, fps=fps), *shut, *look(5.6, 6.4, 0, -17, fps), *look(6.4, 30, fps=fps)]
    _, judged = watch(frames)
    assert {f.kind for j in judged for f in j.findings} == {EventKind.HEAD_NOD}
    assert [s for j in judged for s in j.signs if s is Sign.NOD] == [Sign.NOD]


def test_blink_before_a_glance_down_is_no_nod():
    blink = stretch(5, 5.2, 0.05, numbers=AHEAD)
    assert findings([*look(0, 5), *blink, *look(5.2, 6.0, 0, -17), *look(6.0, 12)]) == []


def test_lids_of_a_hanging_head_are_neither_open_nor_shut():
    hanging = stretch(5, 9, 0.05, numbers=turned(0, -30))
    told = last_words([*look(0, 5), *hanging, *look(9, 30)])
    assert EventKind.SLEEP not in told


def test_asleep_with_the_head_on_the_chest_is_a_nod_and_grows_critical():
    shut = stretch(5, 5.8, 0.05, numbers=AHEAD)
    frames = [*look(0, 5), *shut, *stretch(5.8, 13, 0.05, numbers=turned(0, -30)), *look(13, 30)]
    nods = [f for f in last_tellings(findings(frames)) if f.kind is EventKind.HEAD_NOD]
    assert [f.severity for f in nods] == [Severity.CRITICAL]


# --- distraction --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fps", [2, *RATES])
@pytest.mark.parametrize(
    ("name", "yaw_deg", "lasts_s", "told"),
    [
        ("a mirror", 40, 1.5, []),
        ("a long look aside", 40, 2.4, []),
        ("three seconds aside", 40, 3.6, [(EventKind.DISTRACTION, Severity.MODERATE)]),
        ("three seconds to the other side", -40, 3.6, [(EventKind.DISTRACTION, Severity.MODERATE)]),
        ("six seconds", 40, 6.0, [(EventKind.DISTRACTION, Severity.HIGH)]),
        ("a bend in the road", 15, 10.0, []),
    ],
)
def test_long_look_aside(name, yaw_deg, lasts_s, told, fps):
    frames = [*look(0, 5, fps=fps), *look(5, 5 + lasts_s, yaw_deg, fps=fps), *look(5 + lasts_s, 30, fps=fps)]
    assert [(f.kind, f.severity) for f in last_tellings(findings(frames))] == told, name


def glances(directions: list[tuple[float, float]], away_s: float, road_s: float) -> Iterator[Glance]:
    at_s = 0.0
    for yaw_deg, pitch_deg in directions:
        yield from look(at_s, at_s + road_s, fps=10)
        yield from look(at_s + road_s, at_s + road_s + away_s, yaw_deg, pitch_deg)
        at_s += road_s + away_s
    yield from look(at_s, at_s + 10)


@pytest.mark.parametrize(
    ("name", "directions", "away_s", "road_s", "told"),
    [
        ("a screen again and again", [(35, 0)] * 9, 1.8, 0.8, 1),
        ("a phone in the lap again and again", [(0, -25)] * 12, 1.1, 0.8, 1),
        ("with two seconds of road in between", [(35, 0)] * 9, 1.8, 2.4, 0),
        ("mirrors in turn before a change of lane", [(40, 0), (-30, 5), (20, 12), (40, 0), (-30, 5)] * 2, 1.2, 0.8, 0),
        ("four glances at a screen", [(35, 0)] * 4, 1.8, 0.8, 0),
    ],
)
def test_short_looks_that_add_up(name, directions, away_s, road_s, told):
    found = last_tellings(findings(glances(directions, away_s, road_s)))
    assert [f.kind for f in found] == [EventKind.DISTRACTION] * told, name
    assert all(f.evidence["way"] == "repeated" and f.peak >= 10 for f in found)


def test_around_corners_drivers_look_aside():
    assert findings(look(0, 8, 50, speed_mps=15 * MPH)) == []


def test_face_lost_while_turning_is_turned_further():
    frames = [*look(0, 5), *look(5, 5.6, 45), *stretch(5.6, 9, None, face_found=False), *look(9, 30)]
    assert last_words(frames) == [EventKind.DISTRACTION]


def test_eyes_that_stay_on_the_road_excuse_a_turned_head_and_eyes_alone_can_leave_it():
    def eyes(start_s, end_s, head_deg, eyes_deg):
        gaze = {GAZE_YAW: 2.0 + eyes_deg, GAZE_PITCH: 2.0}
        return stretch(start_s, end_s, numbers=turned(head_deg, 0) | gaze)

    assert findings([*eyes(0, 5, 0, 0), *eyes(5, 10, 28, -25), *eyes(10, 20, 0, 0)]) == []
    assert last_words([*eyes(0, 5, 0, 0), *eyes(5, 10, 15, 25), *eyes(10, 20, 0, 0)]) == [EventKind.DISTRACTION]


def test_before_the_neutral_pose_is_known_nobody_is_distracted():
    assert findings(look(0, 8, 40), DriverState()) == []


def test_neutral_pose_is_learned_while_driving():
    state, _ = watch(look(0, 65, 20, -10), DriverState())
    _, judged = watch([*look(65, 70, 20, -10), *look(70, 75, 62, -10)], state)
    assert abs(judged[0].turn.yaw_deg) < 3
    assert [f.kind for j in judged for f in j.findings][:1] == [EventKind.DISTRACTION]


# --- hands --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fps", [1, 2, 30])
@pytest.mark.parametrize(
    ("name", "signal", "lasts_s", "told"),
    [
        ("a hand at the ear", PHONE, 1.0, []),
        ("a phone for three seconds", PHONE, 3.2, [EventKind.PHONE_USE]),
        ("a call", PHONE, 30.0, [EventKind.PHONE_USE]),
        ("a cigarette", SMOKING, 20.0, [EventKind.SMOKING]),
        ("a cup", DRINKING, 4.2, [EventKind.DRINKING]),
    ],
)
def test_something_in_the_hand(name, signal, lasts_s, told, fps):
    at_s, until_s = 10.0, 10.0 + lasts_s
    frames = [
        *show(0, at_s, fps, **{signal: 0.05}),
        *show(at_s, until_s, fps, **{signal: 0.92}),
        *show(until_s, until_s + 4, fps, **{signal: 0.05}),
        *show(until_s + 4, until_s + 130, 1, **{signal: 0.05}),
    ]
    found = last_tellings(findings(frames))
    assert [f.kind for f in found] == told, name
    for finding in found:
        assert finding.start_us == START_US + at_s * 1e6
        assert finding.end_us == pytest.approx(START_US + until_s * 1e6, abs=1e6 * max(1.5 / fps, 0.55))


def test_long_call_is_one_event_told_once_a_minute():
    told = findings([*show(0, 1200, 1, **{PHONE: 0.9}), *show(1200, 1220, 1, **{PHONE: 0.05})])
    assert len(last_tellings(told)) == 1
    assert 15 <= len(told) <= 25
    assert [f.ends for f in told] == [False] * (len(told) - 1) + [True]


def test_single_looks_that_disagree_do_not_cut_a_call():
    flicker = [g for i in range(20) for g in show(10 + i, 11 + i, 2, **{PHONE: 0.2 if i % 5 == 4 else 0.95})]
    assert len(last_tellings(findings([*show(0, 10, **{PHONE: 0.05}), *flicker, *show(30, 60, **{PHONE: 0.05})]))) == 1


def test_doubtful_looks_do_not_add_up():
    assert findings(show(0, 200, **{PHONE: 0.6, SMOKING: 0.6, DRINKING: 0.6, BELT_WORN: 0.35})) == []


@pytest.mark.parametrize(
    ("kind", "numbers"),
    [
        (EventKind.PHONE_USE, {PHONE: 0.9}),
        (EventKind.SMOKING, {SMOKING: 0.9}),
        (EventKind.DRINKING, {DRINKING: 0.9}),
        (EventKind.NO_SEAT_BELT, {BELT_WORN: 0.1}),
    ],
)
def test_each_kind_has_its_speed(kind, numbers):
    gate = GATES_MPS[kind]
    assert findings(show(0, 60, speed_mps=gate - 0.1, **numbers)) == []
    assert last_words(show(0, 60, speed_mps=gate + 0.1, **numbers)) == [kind]
    assert last_words(show(0, 60, speed_mps=None, **numbers)) == [kind]


def test_fleet_may_set_its_own_speeds():
    slow = make_rules({EventKind.NO_SEAT_BELT: 10 / 3.6})
    frames = show(0, 60, speed_mps=12 / 3.6, **{BELT_WORN: 0.1})
    assert [f.kind for f in findings(frames, rules=slow)][:1] == [EventKind.NO_SEAT_BELT]
    with pytest.raises(ValueError, match="speeding"):
        make_rules({EventKind.SPEEDING: 3.0})


# --- belt ---------------------------------------------------------------------------------------------------


def belt(start_s, end_s, worn, speed_mps=FAST_MPS, switch=None, fps=1.0):
    numbers = {} if worn is None else {BELT_WORN: worn}
    return stretch(start_s, end_s, 1.0, fps, speed_mps, numbers=numbers, belt_switch=switch)


def town(minutes: int) -> list[Glance]:
    return [
        g
        for i in range(minutes)
        for g in [*belt(60 * i, 60 * i + 40, 0.05), *belt(60 * i + 40, 60 * i + 60, 0.05, speed_mps=0.0)]
    ]


def flapping_speed() -> list[Glance]:
    return [g for i in range(300) for g in belt(i, i + 1, 0.05, speed_mps=(26 if i % 2 else 24) * MPH)]


def flapping_vote() -> list[Glance]:
    return [g for i in range(10) for g in [*belt(60 * i, 60 * i + 40, 0.05), *belt(60 * i + 40, 60 * i + 60, 0.95)]]


@pytest.mark.parametrize(
    ("name", "frames", "told"),
    [
        ("worn", lambda: belt(0, 600, 0.95), 0),
        ("put on within the time of grace", lambda: [*belt(0, 15, 0.05), *belt(15, 600, 0.95)], 0),
        ("put on when the grace is over", lambda: [*belt(0, 20, 0.05), *belt(20, 600, 0.55)], 1),
        ("put on a second before", lambda: [*belt(0, 19, 0.05), *belt(19, 600, 0.55)], 0),
        ("not worn", lambda: belt(0, 60, 0.05), 1),
        ("looked at every four seconds", lambda: belt(0, 120, 0.05, fps=0.25), 1),
        ("not worn in the yard", lambda: belt(0, 600, 0.05, 20 * MPH), 0),
        ("a probability on the fence", lambda: belt(0, 600, 0.45), 0),
        ("unsure all the time", lambda: belt(0, 600, 0.5), 0),
        ("a quarter of an hour with a red light every minute", lambda: town(15), 1),
        ("speed that flaps around the gate", flapping_speed, 1),
        ("a vote that flaps", flapping_vote, 1),
        ("switch open, camera blind", lambda: belt(0, 60, None, switch=False), 1),
        ("switch open, camera unsure", lambda: belt(0, 60, 0.5, switch=False), 1),
        ("switch open, belt plainly seen", lambda: belt(0, 60, 0.97, switch=False), 0),
        ("switch closed, camera unsure", lambda: belt(0, 60, 0.25, switch=True), 0),
        ("switch closed behind the back", lambda: belt(0, 60, 0.01, switch=True), 1),
    ],
)
def test_seat_belt(name, frames, told):
    assert last_words(frames()) == [EventKind.NO_SEAT_BELT] * told, name


def test_a_belt_that_is_hidden_for_a_while_does_not_draw_an_event_out():
    frames = [*belt(0, 25, 0.05), *belt(25, 55, 0.9), *belt(55, 63, 0.05), *belt(63, 120, 0.97)]
    (told,) = last_tellings(findings(frames))
    assert told.end_us - START_US <= 26_000_000


def test_belt_is_told_after_the_grace_and_ends_when_it_is_put_on():
    _, judged = watch([*belt(0, 100, 0.05), *belt(100, 200, 0.95)])
    told = [(i, f) for i, judgement in enumerate(judged) for f in judgement.findings]
    assert told[0][0] == GRACE_US / 1e6
    last_at, last = told[-1]
    assert last.ends
    assert 100 < last_at < 160
    assert last.end_us == pytest.approx(START_US + 99e6, abs=1e6)
    assert (last.severity, last.evidence["belt_switch"]) == (Severity.MODERATE, "unknown")


# --- camera -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fps", [1, *RATES])
@pytest.mark.parametrize(
    ("reason", "more"),
    [
        ("unfit", {"openness": None, "numbers": {CAMERA_UNFIT: 1.0}, "face_found": False}),
        ("nobody", {"openness": None, "face_found": False}),
        ("frozen", {"picture_hash": 7}),
    ],
)
def test_camera_that_shows_nothing_is_said_within_ten_seconds(reason, more, fps):
    _, judged = watch([*stretch(0, 5, fps=fps), *stretch(5, 65, fps=fps, **more), *stretch(65, 180, fps=fps)])
    told = [(i / fps, f) for i, judgement in enumerate(judged) for f in judgement.findings]
    assert {f.kind for _, f in told} == {EventKind.CAMERA_OBSTRUCTED}
    assert 5 < told[0][0] <= 15
    assert len(last_tellings([f for _, f in told])) == 1
    assert told[-1][1].evidence["reason"] == reason
    assert told[-1][1].end_us == pytest.approx(START_US + 65e6, abs=2.1e6 / fps)


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("an empty seat of a parked vehicle", {"openness": None, "face_found": False, "speed_mps": 0.0}),
        ("an empty seat of who knows", {"openness": None, "face_found": False, "speed_mps": None}),
        ("a covered camera of a parked vehicle", {"numbers": {CAMERA_UNFIT: 1.0}, "speed_mps": 0.0}),
    ],
)
def test_parked_vehicle_owes_nobody_a_picture(name, more):
    assert findings(stretch(0, 60, **more)) == [], name


def test_nothing_is_judged_by_an_unfit_picture():
    unfit = {CAMERA_UNFIT: 1.0, PHONE: 0.99, BELT_WORN: 0.01, **turned(60, 0)}
    assert set(last_words(stretch(0, 60, 0.05, numbers=unfit))) == {EventKind.CAMERA_OBSTRUCTED}


# --- drowsiness ---------------------------------------------------------------------------------------------


def slow_eyes(start_s: float, end_s: float, share: float) -> list[Glance]:
    """Closures of 0.9 s, so that this share of time is shut."""
    frames, at_s = [], start_s
    while at_s < end_s:
        frames += [*stretch(at_s, at_s + 0.9, 0.05, numbers=AHEAD), *calm(at_s + 0.9, at_s + 0.9 / share)]
        at_s += 0.9 / share
    return frames


@pytest.mark.parametrize(
    ("name", "frames", "level"),
    [
        ("alert", lambda: calm(0, 120), 0),
        ("caution alone", lambda: slow_eyes(0, 120, 0.12), 1),
        ("drowsy by PERCLOS", lambda: slow_eyes(0, 120, 0.2), 3),
        ("caution and three yawns", lambda: [*yawns(3, 30), *slow_eyes(90, 200, 0.12)], 2),
        ("three yawns alone", lambda: yawns(3, 30), 1),
    ],
)
def test_drowsiness_level_counts_kinds_of_signs(name, frames, level):
    _, judged = watch(frames())
    assert max(judgement.drowsiness_level for judgement in judged) == level, name
    drowsy = {f.kind for j in judged for f in j.findings} & {EventKind.DROWSINESS}
    assert bool(drowsy) is (level >= 2)


# --- all of them --------------------------------------------------------------------------------------------


def test_rates_too_low_are_said_by_kind():
    _, judged = watch(calm(0, 10, fps=1))
    assert EventKind.MICROSLEEP in judged[-1].unseen
    assert EventKind.DISTRACTION not in judged[-1].unseen
    _, judged = watch(calm(0, 20, fps=0.25))
    assert {EventKind.SLEEP, EventKind.DISTRACTION, EventKind.PHONE_USE} <= set(judged[-1].unseen)


def test_change_of_driver_ends_everything_and_the_one_who_comes_back_is_known():
    unfit = show(0, 40, **{PHONE: 0.9, BELT_WORN: 0.05})
    state, _ = watch(unfit)
    assert has_open_event(state)
    berts, ended = change_driver(state, "bert")
    assert {f.kind for f in ended.findings} == {EventKind.PHONE_USE, EventKind.NO_SEAT_BELT}
    assert all(f.ends for f in ended.findings)
    assert not has_open_event(berts)
    assert berts.baseline.learned_us == 0
    annas, _ = change_driver(berts, "anna")
    assert (annas.baseline, annas.neutral) == (state.baseline, state.neutral)


def test_finish_leaves_what_was_learned():
    state, _ = watch(show(0, 40, **{PHONE: 0.9}))
    after, ended = finish(state)
    assert [f.kind for f in ended.findings] == [EventKind.PHONE_USE]
    assert (after.baseline, dict(after.rules)) == (state.baseline, {})


def test_awake_driver_is_quiet():
    """Blinks, mirrors, talk, a sip, the dashboard: nothing of it is an event."""
    frames: list[Glance] = []
    for minute in range(3):
        at_s = minute * 60.0
        frames += calm(at_s, at_s + 20)
        frames += stretch(at_s + 20, at_s + 20.2, 0.05, numbers=AHEAD)
        frames += look(at_s + 20.2, at_s + 21.4, 42)
        frames += calm(at_s + 21.4, at_s + 30)
        frames += look(at_s + 30, at_s + 31.2, -35, 4)
        frames += calm(at_s + 31.2, at_s + 40)
        frames += stretch(at_s + 40, at_s + 41, numbers={YAWN: 0.6, DRINKING: 0.7, **AHEAD})
        frames += look(at_s + 41, at_s + 42.5, 0, -14)
        frames += calm(at_s + 42.5, at_s + 60)
    assert findings(frames, KNOWN) == []


def test_frame_out_of_order_and_a_frame_twice_change_nothing():
    frames = show(0, 30, **{PHONE: 0.9, BELT_WORN: 0.1})
    doubled = [g for each in frames for g in (each, each, glance((each.time_us - START_US) / 1e6 - 0.3, 0.0))]
    plain, again = watch(frames), watch(doubled)
    assert again[0] == plain[0]
    assert [f for j in again[1] for f in j.findings] == [f for j in plain[1] for f in j.findings]
