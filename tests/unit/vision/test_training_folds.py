"""Figures must be honest before networks can be."""

import numpy as np
import pytest

from vision.training.folds import measure_auc, measure_interval, spread_groups


@pytest.mark.parametrize(
    ("name", "scores", "states", "auc"),
    [
        ("perfect", [0.1, 0.2, 0.8, 0.9], [0, 0, 1, 1], 1.0),
        ("turned round", [0.9, 0.8, 0.2, 0.1], [0, 0, 1, 1], 0.0),
        ("says nothing", [0.5, 0.5, 0.5, 0.5], [0, 0, 1, 1], 0.5),
        ("one pair of four wrong", [0.1, 0.6, 0.5, 0.9], [0, 0, 1, 1], 0.75),
        ("one class only", [0.1, 0.2], [0, 0], None),
    ],
)
def test_auc_is_the_share_of_pairs_in_order(name, scores, states, auc):
    assert measure_auc(np.array(scores, np.float32), np.array(states)) == auc, name


def test_group_is_never_split_and_sources_are_spread():
    groups = [f"cab/{i % 7}" for i in range(70)] + [f"eye/{i % 4}" for i in range(400)]
    fold_of = spread_groups(groups, 4)
    assert set(fold_of) == set(groups)
    assert sorted(fold_of[f"eye/{i}"] for i in range(4)) == [0, 1, 2, 3]
    assert {fold_of[f"cab/{i}"] for i in range(7)} == {0, 1, 2, 3}


def test_interval_holds_the_figure_and_is_wider_for_fewer_groups():
    random = np.random.default_rng(3)
    states = np.tile([0, 1], 200)
    scores = (states + random.normal(0, 0.8, 400)).astype(np.float32)
    auc = measure_auc(scores, states)
    many = measure_interval(scores, states, [str(i // 4) for i in range(400)])
    few = measure_interval(scores, states, [str(i // 80) for i in range(400)])
    assert many[0] < auc < many[1]
    assert few[0] <= auc <= few[1]
