"""From contours to openness, and what is learned of a driver."""

import numpy as np
import pytest

from vision.core.driver import DriverState, Glance, change_driver, follow, has_open_event
from vision.core.eyes import (
    BASELINE_RANGE,
    SHUT_RATIO,
    Baseline,
    is_learned,
    learn,
    measure_aspect_ratio,
    measure_openness,
    usual_aspect_ratio,
)
from vision.models import scripted_face

SECOND_US = 1_000_000


def eye(aspect_ratio: float, width_px: float = 24.0):
    return scripted_face(aspect_ratio, width_px).left_eye


def learned(aspect_ratio: float) -> Baseline:
    baseline = Baseline()
    for _ in range(240):
        baseline = learn(baseline, aspect_ratio, SECOND_US // 4)
    return baseline


def test_aspect_ratio_is_height_over_width():
    assert measure_aspect_ratio(eye(0.3), eye(0.3)) == pytest.approx(0.3)


def test_narrowed_eye_of_a_turned_head_weighs_little():
    assert measure_aspect_ratio(eye(0.25, 24), eye(0.6, 8)) == pytest.approx(0.285, abs=0.001)


@pytest.mark.parametrize("width_px", [0.0, 4.9])
def test_eyes_too_small_are_not_judged(width_px):
    assert measure_aspect_ratio(eye(0.3, width_px), eye(0.3, width_px)) is None


def test_broken_contour_is_not_judged():
    assert measure_aspect_ratio(eye(0.3), np.full((6, 2), np.nan)) is None


def test_baseline_takes_a_minute():
    baseline = Baseline()
    for second in range(60):
        assert not is_learned(baseline), second
        baseline = learn(baseline, 0.3, SECOND_US)
    assert is_learned(baseline)


@pytest.mark.parametrize("usual", [0.2, 0.25, 0.32])
def test_openness_is_relative_to_the_driver(usual):
    baseline = learned(usual)
    assert usual_aspect_ratio(baseline) == pytest.approx(usual, abs=0.015)
    assert measure_openness(baseline, usual_aspect_ratio(baseline)) == pytest.approx(1.0)
    assert measure_openness(baseline, SHUT_RATIO * usual_aspect_ratio(baseline)) == 0.0


def test_narrow_eyes_are_not_shut_eyes():
    """A fixed threshold of 0.2 calls this driver asleep all day."""
    assert measure_openness(learned(0.19), 0.19) > 0.8


def test_blinks_and_glances_do_not_move_the_baseline():
    baseline = Baseline()
    for i in range(600):
        baseline = learn(baseline, 0.1 if i % 6 == 0 else 0.3, SECOND_US // 10)
    assert usual_aspect_ratio(baseline) == pytest.approx(0.3, abs=0.015)


def test_driver_asleep_from_the_start_does_not_become_the_norm():
    assert usual_aspect_ratio(learned(0.08)) == BASELINE_RANGE[0]
    assert measure_openness(learned(0.08), 0.08) == 0.0


def test_baseline_follows_a_lasting_change():
    baseline = learned(0.25)
    for _ in range(1800):
        baseline = learn(baseline, 0.35, SECOND_US)
    assert usual_aspect_ratio(baseline) == pytest.approx(0.35, abs=0.015)


def drive(state: DriverState, ratios: list[float | None], speed_mps: float = 20.0):
    start_us = (state.last_us or 0) + 200_000
    seen = []
    for i, ratio in enumerate(ratios):
        state, judgement = follow(state, Glance(start_us + i * 200_000, speed_mps, ratio))
        seen.append((judgement, judgement.openness))
    return state, seen


def test_nothing_is_judged_before_the_baseline_is_learned():
    state, seen = drive(DriverState(), [0.05] * 100)
    assert all(openness is None for _, openness in seen)
    assert not has_open_event(state)


def test_standing_teaches_nothing():
    state, _ = drive(DriverState(), [0.3] * 400, speed_mps=0.0)
    assert state.baseline == Baseline()


def test_another_driver_is_learned_from_nothing():
    state, _ = change_driver(DriverState(), "anna")
    state, _ = drive(state, [0.3] * 400)
    assert change_driver(state, "anna")[0].baseline == state.baseline
    assert change_driver(state, None)[0].baseline == state.baseline, "a frame without a driver unlearns nothing"
    assert change_driver(state, "bert")[0].baseline == Baseline()


def test_change_of_driver_ends_the_event_of_the_first():
    state, _ = drive(DriverState("anna", "anna"), [0.3] * 400 + [0.05] * 8)
    assert has_open_event(state)
    after, ended = change_driver(state, "bert")
    assert len(ended.findings) == 1
    assert not has_open_event(after)
