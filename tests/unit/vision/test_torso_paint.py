"""Things painted before chests."""

import numpy as np

from vision.training.torso_paint import paint_belt, paint_other

SHOULDERS = np.array([(70, 120), (160, 120)], np.float32)
CHEST = np.s_[120:210, 70:160]


def painted(paint, grey=False):
    rgb, content = np.full((224, 224, 3), 90, np.uint8), np.ones((224, 224), np.float32)
    return [paint(rgb, SHOULDERS, np.random.default_rng(seed), grey, content) for seed in range(60)]


def test_a_belt_crosses_the_chest_and_its_mask_says_where():
    for rgb, where in painted(paint_belt):
        assert where[CHEST].sum() > 200
        assert (rgb[where == 0] == 90).mean() > 0.9, "beside the belt there is its shadow, and no more"


def test_other_things_are_as_thin_as_belts_and_often_before_the_chest():
    shares = [(np.abs(rgb.astype(int) - 90).max(axis=2) > 10).mean() for rgb in painted(paint_other)]
    assert max(shares) < 0.35
    before = [(np.abs(rgb[CHEST].astype(int) - 90).max(axis=2) > 10).any() for rgb in painted(paint_other)]
    assert np.mean(before) > 0.6


def test_in_infrared_everything_painted_is_grey():
    for rgb in painted(paint_other, grey=True):
        assert (rgb[..., 0] == rgb[..., 1]).all()
        assert (rgb[..., 1] == rgb[..., 2]).all()
