"""Stories of eyes over time. Times in seconds; the rules see microseconds."""

from dataclasses import replace

import pytest

from infra.contracts.events import EventKind, Severity
from tests.unit.vision.numbers import KNOWN, START_US, findings, glance, last_words, stretch, watch
from vision.core import signals
from vision.core.driver import Glance, follow
from vision.core.rules.shape import Sign

OPEN, SHUT, SQUINT = 1.0, 0.05, 0.45
NAMES = [value for name, value in vars(signals).items() if name.isupper()]


@pytest.mark.parametrize(
    ("name", "shut_s", "fps", "expected"),
    [
        ("a blink", 0.2, 10, []),
        ("a long blink is a sign, not an event", 0.8, 10, []),
        ("just under a second", 1.0, 10, []),  # 10 frames span 0.9 s
        ("a second", 1.1, 10, [EventKind.MICROSLEEP]),
        ("almost three seconds", 2.9, 10, [EventKind.MICROSLEEP]),
        ("three seconds", 3.1, 10, [EventKind.SLEEP]),
        ("six seconds", 6.2, 10, [EventKind.UNRESPONSIVE]),
        ("a second at 30 frames a second", 1.1, 30, [EventKind.MICROSLEEP]),
        ("a second and a half at 2", 1.5, 2, [EventKind.MICROSLEEP]),
        ("two seconds at 1: a microsleep cannot be seen", 3.0, 1, []),
        ("three seconds at 1: a sleep can", 4.0, 1, [EventKind.SLEEP]),
        ("six seconds at 1", 7.0, 1, [EventKind.UNRESPONSIVE]),
        ("twelve seconds at one frame in two seconds: nothing can be said", 12.0, 0.5, []),
    ],
)
def test_shut_eyes_become_one_event_of_the_longest_kind_reached(name, shut_s, fps, expected):
    samples = [
        *stretch(0, 4, OPEN, fps),
        *stretch(4, 4 + shut_s, SHUT, fps),
        *stretch(4 + shut_s, 10 + shut_s, OPEN, fps),
    ]
    assert last_words(samples) == expected, name


def test_sleep_is_told_at_each_level_and_at_its_end_under_one_start():
    told = findings([*stretch(0, 1, OPEN), *stretch(1, 8.1, SHUT), *stretch(8.1, 9, OPEN)])
    assert [f.kind for f in told] == [
        EventKind.MICROSLEEP,
        EventKind.SLEEP,
        EventKind.UNRESPONSIVE,
        EventKind.UNRESPONSIVE,
    ]
    assert {f.start_us for f in told} == {START_US + 1_000_000}
    assert {f.family for f in told} == {EventKind.MICROSLEEP}
    assert [f.opens for f in told] == [True, False, False, False]
    assert [f.peak for f in told] == [1.0, 3.0, 6.0, 7.0]
    assert [f.severity for f in told] == [Severity.MODERATE, Severity.HIGH, Severity.CRITICAL, Severity.CRITICAL]


def test_event_is_told_by_the_frame_that_crosses_the_threshold():
    _, judged = watch([*stretch(0, 1, OPEN), *stretch(1, 3, SHUT)])
    first = next(i for i, judgement in enumerate(judged) if judgement.findings)
    assert first == 10 + 10  # eyes shut from frame 10 on, and one second later


def test_blink_train_of_an_awake_driver_is_no_event():
    samples: list[Glance] = []
    for minute_part in range(60):  # 3 minutes, a blink of 0.2 s every 3 s: PERCLOS 6.7 %
        at = minute_part * 3.0
        samples += [*stretch(at, at + 2.8, OPEN), *stretch(at + 2.8, at + 3.0, SHUT)]
    _, judged = watch(samples)
    assert [f for j in judged for f in j.findings] == []
    assert judged[-1].perclos == pytest.approx(0.067, abs=0.01)


def test_squint_of_a_yawn_is_no_closure():
    assert findings([*stretch(0, 2, OPEN), *stretch(2, 7, SQUINT), *stretch(7, 9, OPEN)]) == []


def test_noise_at_the_threshold_does_not_cut_a_closure():
    noisy = stretch(1, 3, SHUT)
    noisy[8] = glance(1.8, 0.27)
    assert last_words([*stretch(0, 1, OPEN), *noisy, *stretch(3, 4, OPEN)]) == [EventKind.MICROSLEEP]


def test_one_open_frame_cuts_a_closure():
    shut = stretch(1, 2.6, SHUT)
    shut[8] = glance(1.8, OPEN)
    assert findings([*stretch(0, 1, OPEN), *shut, *stretch(2.6, 4, OPEN)]) == []


@pytest.mark.parametrize(
    ("name", "gap_s", "expected"),
    [
        ("three frames lost", 0.4, [EventKind.MICROSLEEP]),
        ("a second lost: the eyes may have been open", 1.0, []),
        ("two seconds lost", 2.0, []),
    ],
)
def test_gap_in_the_middle_breaks_a_closure(name, gap_s, expected):
    samples = [
        *stretch(0, 1, OPEN),
        *stretch(1, 1.7, SHUT),
        *stretch(1.7 + gap_s, 2.4 + gap_s, SHUT),
        *stretch(2.4 + gap_s, 3 + gap_s, OPEN),
    ]
    assert last_words(samples) == expected, name


def test_lost_face_is_a_gap_not_an_open_eye():
    samples = [*stretch(0, 1, OPEN), *stretch(1, 1.6, SHUT), *stretch(1.6, 1.9, None), *stretch(1.9, 2.5, SHUT)]
    assert last_words([*samples, *stretch(2.5, 3, OPEN)]) == [EventKind.MICROSLEEP]
    assert findings([*stretch(0, 1, OPEN), *stretch(1, 9, None), *stretch(9, 10, OPEN)]) == []


def test_uneven_frames_are_judged_by_time():
    shut_s = [1.0, 1.03, 1.06, 1.5, 1.52, 1.9, 2.4, 2.45, 2.5]
    samples = [glance(t, SHUT) for t in shut_s]
    told = findings([*stretch(0, 1, OPEN), *samples, *stretch(2.55, 3, OPEN)])
    assert told[-1].kind is EventKind.MICROSLEEP
    assert told[-1].peak == pytest.approx(1.5)


@pytest.mark.parametrize(("speed_mps", "judged"), [(0.0, False), (2.2, False), (2.3, True), (None, True)])
def test_shut_eyes_are_judged_above_five_mph_and_where_the_speed_is_unknown(speed_mps, judged):
    told = findings([*stretch(0, 4, SHUT, speed_mps=speed_mps), *stretch(4, 5, OPEN, speed_mps=speed_mps)])
    assert bool(told) is judged


def test_stopping_ends_a_closure_where_it_was_last_seen():
    told = findings([*stretch(0, 2, SHUT), *stretch(2, 10, SHUT, speed_mps=0.0)])
    assert [f.kind for f in told] == [EventKind.MICROSLEEP] * 2
    assert told[-1].end_us == START_US + 1_900_000


def test_long_blink_is_noted_once():
    _, judged = watch([*stretch(0, 1, OPEN), *stretch(1, 1.8, SHUT), *stretch(1.8, 3, OPEN)])
    assert [j.signs for j in judged].count((Sign.LONG_BLINK,)) == 1


def test_rate_too_low_for_a_microsleep_is_said():
    assert [j.too_sparse for j in watch(stretch(0, 4, OPEN, fps=1))[1]] == [False, True, True, True]
    assert not any(j.too_sparse for j in watch(stretch(0, 4, OPEN, fps=2))[1])


def drowsy_minutes(share: float, minutes: float, start_s: float = 0.0) -> list[Glance]:
    """Slow closures of 0.9 s, spread so that this share of time is shut."""
    samples: list[Glance] = []
    at, period_s = start_s, 0.9 / share if share else 5.0
    while at < start_s + minutes * 60:
        shut_s = 0.9 if share else 0.0
        samples += [*stretch(at, at + shut_s, SHUT), *stretch(at + shut_s, at + period_s, OPEN)]
        at += period_s
    return samples


@pytest.mark.parametrize(
    ("share", "told"),
    [(0.06, 0), (0.12, 0), (0.2, 1)],
    ids=["alert", "caution is not yet an event", "drowsy"],
)
def test_perclos_over_fifteen_percent_is_one_drowsiness_event(share, told):
    drowsy = [f for f in findings(drowsy_minutes(share, 3)) if f.kind is EventKind.DROWSINESS]
    assert len({f.start_us for f in drowsy}) == told
    assert all(f.peak >= 0.15 for f in drowsy)


def test_drowsiness_holds_until_perclos_is_below_eight_percent():
    samples = [*drowsy_minutes(0.2, 2), *drowsy_minutes(0.11, 3, 120), *drowsy_minutes(0.0, 4, 300)]
    drowsy = [f for f in findings(samples) if f.kind is EventKind.DROWSINESS]
    assert len({f.start_us for f in drowsy}) == 1
    assert [f.opens for f in drowsy] == [True] + [False] * (len(drowsy) - 1)
    assert 300 <= (drowsy[-1].end_us - START_US) / 1e6 <= 340


def test_perclos_needs_most_of_a_minute_and_enough_frames():
    assert all(j.perclos is None for j in watch(stretch(0, 35, OPEN))[1])
    assert watch(stretch(0, 45, OPEN))[1][-1].perclos == 0.0
    assert all(j.perclos is None for j in watch(stretch(0, 300, SHUT, fps=1))[1])


def test_perclos_is_the_same_at_any_rate():
    pattern = [(0.0, 2.5, OPEN), (2.5, 3.0, SHUT)]
    for fps in (4, 10, 30):
        samples = [s for i in range(30) for a, b, o in pattern for s in stretch(3 * i + a, 3 * i + b, o, fps)]
        assert watch(samples)[1][-1].perclos == pytest.approx(1 / 6, abs=0.01), fps


def test_clock_a_little_back_is_left_out_and_far_back_begins_afresh():
    state, _ = watch([*stretch(0, 5, OPEN), *stretch(5, 5.6, SHUT)])
    unchanged, a_little = follow(state, glance(4, OPEN))
    assert a_little.out_of_order
    assert unchanged == state
    afresh, far = follow(state, glance(-86_400, OPEN))
    assert far.out_of_order
    assert afresh == replace(KNOWN, baseline=state.baseline, last_us=START_US - 86_400_000_000)


def test_numbers_out_of_range_do_no_harm():
    odd = [float("nan"), float("inf"), -5.0, 1e9]
    speeds = [float("nan"), -1.0, 1e9, None]
    named = [dict(zip(NAMES, odd[i:] + odd * 8, strict=False)) for i in range(4)]
    every = [Glance(START_US + i * 100_000, speeds[i % 4], odd[i % 4], named[i % 4]) for i in range(400)]
    assert all(finding.peak >= 0 for finding in findings(every))
