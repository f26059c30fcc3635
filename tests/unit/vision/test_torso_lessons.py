"""What the torso network is shown: things put into pictures, and what is kept from it. Without torch."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from tests.unit.vision.stories import CLIP
from vision.bodies import Bodies
from vision.frames import Picture
from vision.torso import COLOUR, KINDS, Torsos, Trained, read_calibration
from vision.torso_crops import FILL, GLANCE, STUDY
from vision.training import torso_augment, torso_held
from vision.training.torso_augment import CELLS, augment, closer, plain
from vision.training.torso_bare import mirror_half
from vision.training.torso_data import WIDE_PX, cut_examples
from vision.training.torso_folds import BARE_CAB, is_test, weigh
from vision.training.torso_held import Patch, cut_patches, paint_cigarette, paste
from vision.training.torso_packs import CIGARETTE, PHONE, STRAP, Labelled, There, read_rgb

NO, YES = There.NO, There.YES


@pytest.fixture(scope="module")
def bare():
    """A driver of whom all is known: no belt, no phone, no cigarette, no cup."""
    picture = Labelled("stock", "stock/1", CLIP / "000160.jpg", (True,) * 4, (NO,) * 4, cab="train")
    (example,) = cut_examples(picture, Bodies())
    return example


def of_cab(example, cab, belt):
    boxes = np.array([(100, 200, 300, 400)], np.float32) if belt is YES else np.zeros((0, 4), np.float32)
    kinds = np.full(len(boxes), STRAP)
    return replace(example, source="truck_cabs", cab=cab, boxes=boxes, kinds=kinds, there=(belt, NO, NO, NO))


def test_a_lesson_says_what_was_put_into_the_picture(bare):
    phone = Patch(np.full((60, 60, 3), 250, np.uint8), 0.3, False, True)
    lessons = [augment(bare, np.random.default_rng(seed), [phone]) for seed in range(60)]
    for kind in (STRAP, PHONE, CIGARETTE):
        shown = [lesson for lesson in lessons if lesson.there[kind] == YES]
        assert 3 < len(shown) < 45
        assert all(lesson.places[kind].any() for lesson in shown)
        assert not any(lesson.places[kind].any() for lesson in lessons if lesson.there[kind] == NO)


def test_a_closer_look_says_nothing_of_belts_nor_of_what_may_lie_outside_of_it(bare, monkeypatch):
    monkeypatch.setattr(torso_augment, "CLOSE_SHARE", 1.0)
    box = np.array([(100, 200, 300, 400)], np.float32)
    belted = replace(bare, boxes=box, kinds=np.array([STRAP]), there=(YES, YES, NO, NO))  # a phone, who knows where
    lessons = [augment(belted, np.random.default_rng(seed)) for seed in range(20)]
    assert {int(lesson.there[STRAP]) for lesson in lessons} == {There.UNKNOWN}
    assert not any(lesson.weights[STRAP].any() or lesson.places[STRAP].any() for lesson in lessons)
    assert {int(lesson.there[PHONE]) for lesson in lessons} == {There.UNKNOWN}
    smoking = [lesson for lesson in lessons if lesson.there[CIGARETTE] == YES]
    assert smoking
    assert all(lesson.places[CIGARETTE].any() for lesson in smoking)


class Asked:
    """In the torso network's place: keeps what it is asked."""

    def __init__(self):
        self.crops = []

    def run(self, _outputs, inputs):
        self.crops += list(inputs["crops"])
        return np.zeros((len(inputs["crops"]), len(KINDS))), np.zeros((len(inputs["crops"]), len(KINDS), CELLS, CELLS))


@pytest.mark.parametrize("views", [GLANCE, STUDY])
def test_every_view_is_the_same_in_training_as_in_service(bare, views):
    torsos, asked = Torsos(views), Asked()
    torsos._opened[COLOUR] = Trained(asked, read_calibration(COLOUR))
    torsos.measure([Picture(read_rgb(CLIP / "000160.jpg"))], [None])
    learned = [plain(bare, view) for view in views.wide] + [closer(bare, view) for view in views.close]
    assert len(asked.crops) == len(learned)
    for there, here in zip(asked.crops, learned, strict=True):
        assert np.abs(there - here.transpose(2, 0, 1) / 255).mean() < 3 / 255


def test_a_pasted_piece_of_something_else_is_no_phone(bare):
    other = Patch(np.full((60, 60, 3), 250, np.uint8), 0.3, False, False)
    assert not any(augment(bare, np.random.default_rng(seed), [other]).there[PHONE] for seed in range(20))


def test_nothing_is_put_into_the_bars_beside_a_picture():
    rgb, content = np.full((224, 224, 3), 60, np.uint8), np.ones((224, 224), np.float32)
    content[120:] = 0
    mouth, random = np.array([112.0, 118.0], np.float32), np.random.default_rng(2)
    smoking, _ = paint_cigarette(rgb, mouth, 90.0, random, True, content)
    calling, box = paste(rgb, Patch(np.full((50, 40, 3), 200, np.uint8), 0.5, True, True), mouth, 90.0, random, content)
    for crop in (smoking, calling):
        assert (crop[120:] == 60).all()
        assert (crop[:120] != 60).any()
    assert box[0] < mouth[0] < box[2]


def test_patches_are_half_phones_half_other_things(bare):
    box = np.array([(150, 150, 250, 260)], np.float32)
    calling = replace(bare, boxes=box, kinds=np.array([PHONE]), there=(NO, YES, NO, NO))
    patches = cut_patches([calling, bare], np.random.default_rng(0))
    assert sorted(patch.phone for patch in patches) == [False, True]
    assert cut_patches([bare], np.random.default_rng(0)) == []


def test_other_hands_are_pasted_as_no_phones(bare):
    calling = replace(bare, boxes=np.array([(150, 150, 250, 260)] * 8, np.float32), kinds=np.full(8, PHONE))
    crop = bare.crop.copy()
    cv2.circle(crop, (300, 350), 12, (255, 0, 0), -1)
    waving = replace(bare, crop=crop, hands=np.array([(300, 350)], np.float32))
    patches = cut_patches([replace(calling, there=(NO, YES, NO, NO)), waving], np.random.default_rng(0))
    hands = [patch for patch in patches if reds(patch.rgb)]
    assert len(hands) >= 4
    assert not any(patch.phone for patch in hands)


def test_a_patch_ends_where_the_picture_does(bare):
    crop = np.full_like(bare.crop, 90)
    crop[200:230], crop[230:] = 0, FILL  # a bar, and what lies below the picture
    box = np.array([(150, 120, 250, 260)], np.float32)
    calling = replace(bare, crop=crop, boxes=box, kinds=np.array([PHONE]), there=(NO, YES, NO, NO))
    (phone, *_) = cut_patches([calling, bare], np.random.default_rng(0))
    assert phone.rgb.shape == (80, 100, 3)
    assert (phone.rgb == 90).all()


def test_a_hand_at_an_ear_is_pasted_beside_an_ear(monkeypatch):
    monkeypatch.setattr(torso_held, "KEPT_SHARE", 1.0)
    patch = Patch(np.full((50, 40, 3), 200, np.uint8), 0.5, False, True, np.array([0.6, -0.3], np.float32))
    rgb, content = np.full((224, 224, 3), 60, np.uint8), np.ones((224, 224), np.float32)
    boxes = [
        paste(rgb, patch, np.array([112.0, 112.0]), 100.0, np.random.default_rng(seed), content)[1]
        for seed in range(30)
    ]
    middles = np.array([(box[:2] + box[2:]) / 2 - 112 for box in boxes])
    assert np.abs(np.abs(middles[:, 0]) - 60).max() < 25
    assert np.abs(middles[:, 1] + 30).max() < 25
    assert {-1.0, 1.0} == set(np.sign(middles[:, 0]))


def reds(rgb):
    """How much there is of a red strap."""
    return int((rgb[..., 0].astype(int) - rgb[..., 1] > 100).sum())


def test_a_belt_in_a_cab_is_taken_off_or_doubled(bare):
    left, right = bare.shoulders[:, 0].min(), bare.shoulders[:, 0].mean() - 5
    top, bottom = bare.shoulders[:, 1].mean() - 30, bare.shoulders[:, 1].mean() + 60
    crop = bare.crop.copy()
    ends = [tuple(np.round(end).astype(int).tolist()) for end in ((left + 6, top + 6), (right - 6, bottom - 6))]
    cv2.line(crop, *ends, (255, 0, 0), 8)
    box = np.array([(left, top, right, bottom)], np.float32)
    belted = replace(of_cab(bare, "cab01", YES), crop=crop, boxes=box)
    seen = [mirror_half(belted, np.random.default_rng(seed)) for seed in range(60)]
    taken, doubled = [one for one in seen if not len(one.boxes)], [one for one in seen if len(one.boxes) == 2]
    assert len(taken) > 10
    assert all(one.there[STRAP] is NO and reds(one.crop) < 0.05 * reds(crop) for one in taken)
    assert len(doubled) > 3
    assert all(one.there[STRAP] is YES and reds(one.crop) > 1.5 * reds(crop) for one in doubled)
    assert all(one is belted for one in seen if len(one.boxes) == 1)


def test_a_belt_is_left_on_outside_of_the_cabs_and_where_no_half_is_bare(bare):
    everywhere = of_cab(bare, "cab01", YES)
    whole = np.array([(0, 0, WIDE_PX, WIDE_PX)], np.float32)
    for one in (bare, replace(everywhere, source="strap_web"), replace(everywhere, boxes=whole)):
        assert all(mirror_half(one, np.random.default_rng(seed)) is one for seed in range(20))


def test_belted_cabs_are_drawn_less_often_and_the_last_people_never(bare):
    belted, unbelted, stock = of_cab(bare, "cab01", YES), of_cab(bare, BARE_CAB, NO), bare
    drawn = weigh([belted, unbelted, stock])
    assert drawn[0] == pytest.approx(drawn[1] / 2)
    assert not is_test(bare)
    assert is_test(replace(bare, cab="test"))
    assert [is_test(replace(bare, source="parked", cab=person)) for person in ("a", "b")] == [False, True]


def test_a_strap_of_which_hardly_anything_is_left_teaches_nothing_about_belts(bare):
    sliver = of_cab(bare, "cab04", YES)
    sliver = replace(sliver, source="strap_web", boxes=np.array([(200, 214, 216, 230)], np.float32))
    seen = {int(augment(sliver, np.random.default_rng(seed)).there[STRAP]) for seed in range(12)}
    assert YES not in seen


def test_bars_hide_what_lies_under_them_and_nothing_beside_the_picture(bare, monkeypatch):
    monkeypatch.setattr(torso_augment, "MOST_BAR", 0.4)
    scene = torso_augment._move(bare, np.random.default_rng(3), close=False)
    scene.crop, scene.content = np.full_like(scene.crop, 90), np.ones_like(scene.content)
    scene.content[:, :50] = 0
    scene.places[PHONE] = 1
    torso_augment._cover(scene, np.random.default_rng(5))
    black = (scene.crop == 0).all(axis=2)
    rows = black[:, 50:].all(axis=1)
    assert 0 < rows.sum() < 0.8 * len(rows)
    assert not black[:, :50].any()
    assert not scene.places[PHONE][rows].any()
    assert scene.places[PHONE][~rows].all()


def test_colours_made_infrared_are_grey_and_mostly_of_the_red():
    red, blue = (np.full((8, 8, 3), colour, np.uint8) for colour in ((200, 60, 60), (60, 60, 200)))
    lit = [[torso_augment._to_infrared(rgb, np.random.default_rng(seed)) for rgb in (red, blue)] for seed in range(40)]
    assert all((grey == grey[..., :1]).all() for pair in lit for grey in pair)
    assert np.mean([skin.mean() > cloth.mean() for skin, cloth in lit]) > 0.9
