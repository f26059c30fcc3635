"""One example made new: shifted, turned, squeezed, cut off, greyed, darkened, blurred, with a belt, a phone or a
cigarette put in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from vision.frames import Rgb
from vision.torso import KINDS
from vision.torso_crops import CLOSE_SIDE, CROP_PX, FILL, SIDE_IN_SHOULDERS, Square, View, cut_torso, place_view
from vision.training.torso_bare import mirror_half
from vision.training.torso_data import WIDE_PX, WIDE_SHARE, Example
from vision.training.torso_held import Patch, choose_place, paint_cigarette, paste
from vision.training.torso_packs import CIGARETTE, PHONE, STRAP, There
from vision.training.torso_paint import find_content, measure_shoulders, paint_belt, paint_other

PAINTED_SHARE = 0.5
OTHER_SHARE = 0.3
PASTED_SHARE = 0.3
LIT_SHARE = 0.25
HELD_SHARE = 0.35
"""Of painted cigarettes, those somewhere near the face or chest rather than at the lips."""

GREY_SHARE = 0.5
BARS_SHARE = 0.2
MOST_BAR = 0.14
"""Of the picture's height, black above and below, where recorders print the time."""

CUT_SHARE, HIDDEN_SHARE = 0.2, 0.3
CLOSE_SHARE = 0.35
"""Of lessons, the closer look at head and hands: see ``vision.torso_crops.place_close``."""

LEAST_LEFT = 0.35
"""Of a thing's area; of less it is not said that it can be seen."""

NOTHING_LEFT = 0.02

LEAST_PUT_PX = 40
LEAST_STRAP = 0.02
"""Of the crop: of a strap whose box shows less it is not said that it can be seen."""

CELLS = CROP_PX // 8
_BOX_SURENESS = np.array([0.3, 1.0, 1.0, 0.6], np.float32)
"""By kind. A strap lies across its box, and not everywhere in it."""

Maps = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Lesson:
    """What the network is shown and asked. ``crop`` is (CROP_PX, CROP_PX, 3); ``there`` (kinds,) of the whole picture.

    ``places`` and ``weights`` are (kinds, CELLS, CELLS): where it is, and how sure that is; 0 for not known.
    """

    crop: Rgb
    there: npt.NDArray[np.int64]
    places: Maps
    weights: Maps


def plain(example: Example, view: View) -> Rgb:
    """The crop as it is looked at in service."""
    side = WIDE_PX / WIDE_SHARE
    return _see(example, np.full(2, WIDE_PX / 2, np.float32), side, view)


def closer(example: Example, view: View) -> Rgb:
    """The closer look at somebody whose mouth was found."""
    return _see(example, example.mouth, WIDE_PX / WIDE_SHARE * CLOSE_SIDE, view)


def to_grey(rgb: Rgb) -> Rgb:
    return np.repeat(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)


def _see(example: Example, middle: Maps, side: float, view: View) -> Rgb:
    left, top = (middle - side / 2).tolist()
    crop = cut_torso(example.crop, place_view(Square(left, top, side, side / SIDE_IN_SHOULDERS), view))
    return crop[:, ::-1] if view.mirrored else crop


@dataclass(eq=False)
class Scene:
    """A crop while things are put into it. ``places`` and ``known`` as in a lesson, in pixels of the crop; ``areas``
    how much of every kind the wide crop shows."""

    crop: Rgb
    shoulders: Maps
    mouth: Maps
    content: Maps
    there: npt.NDArray[np.int64]
    known: npt.NDArray[np.bool_]
    places: Maps
    areas: list[float]
    grey: bool

    @property
    def wide(self) -> float:
        return measure_shoulders(self.shoulders)

    def is_without(self, kind: int) -> bool:
        return bool(self.known[kind] and self.there[kind] == There.NO and not self.areas[kind])

    def put(self, kind: int, where: Maps) -> None:
        """(CROP_PX, CROP_PX), 0 to 1. What came to lie outside of the picture is not in it."""
        seen = where * self.content
        if seen.sum() >= LEAST_PUT_PX:
            self.places[kind], self.there[kind], self.areas[kind] = seen, There.YES, float(where.sum())


def augment(example: Example, random: np.random.Generator, patches: Sequence[Patch] = ()) -> Lesson:
    """The same example, never the same twice. ``patches`` are what may be pasted into it."""
    close = example.has_mouth and random.random() < CLOSE_SHARE
    scene = _move(mirror_half(example, random), random, close)
    if not close:
        _put_belt(scene, random)
    if example.has_mouth:
        _put_held(scene, patches, random)
    if random.random() < BARS_SHARE:
        _cover(scene, random)
    sure = np.where(scene.places > 0, _BOX_SURENESS[:, None, None], scene.known[:, None, None]).astype(np.float32)
    return _cut_off(Lesson(scene.crop, scene.there, scene.places, sure), scene.areas, random, example.grey)


def _move(example: Example, random: np.random.Generator, close: bool) -> Scene:
    """Shifted, turned, squeezed, mirrored. A closer look says nothing of belts, nor of what may lie outside of it."""
    matrix = _matrix(random, example.mouth if close else None)
    crop = cv2.warpAffine(example.crop, matrix, (CROP_PX, CROP_PX), flags=cv2.INTER_LINEAR, borderValue=(FILL,) * 3)
    wide = find_content(example.crop)
    content = np.asarray(cv2.warpAffine(wide, matrix, (CROP_PX, CROP_PX)), np.float32)
    places, areas = _draw_boxes(example, matrix, wide)
    there = np.array(example.there, np.int64)
    if 0 < areas[STRAP] < LEAST_STRAP * CROP_PX**2:
        there[STRAP] = There.UNKNOWN
    points = np.vstack([example.shoulders, example.mouth]) @ matrix[:, :2].T + matrix[:, 2]
    shoulders, mouth = points[:2].astype(np.float32), points[2].astype(np.float32)
    known = np.array(example.known)
    if close:
        there[(there == There.YES) & (np.array(areas) == 0)] = There.UNKNOWN
        there[STRAP], known[STRAP], places[STRAP], areas[STRAP] = There.UNKNOWN, False, 0, 0.0
    return Scene(np.asarray(crop), shoulders, mouth, content, there, known, places * content, areas, example.grey)


def _put_belt(scene: Scene, random: np.random.Generator) -> None:
    """Where none is, nor may be: something long and thin, a belt, or both."""
    bare = scene.known[STRAP] and scene.there[STRAP] != There.YES and not scene.areas[STRAP]
    if bare and random.random() < OTHER_SHARE:
        scene.crop = paint_other(scene.crop, scene.shoulders, random, scene.grey, scene.content)
    if bare and random.random() < PAINTED_SHARE:
        scene.crop, where = paint_belt(scene.crop, scene.shoulders, random, scene.grey, scene.content)
        scene.put(STRAP, where)


def _put_held(scene: Scene, patches: Sequence[Patch], random: np.random.Generator) -> None:
    """A phone, or a piece of something else; a cigarette."""
    if patches and scene.is_without(PHONE) and random.random() < PASTED_SHARE:
        _paste(scene, patches[random.integers(len(patches))], random)
    if scene.is_without(CIGARETTE) and random.random() < LIT_SHARE:
        held = random.random() < HELD_SHARE
        place = choose_place(scene.mouth, scene.wide, random) if held else scene.mouth
        scene.crop, box = paint_cigarette(scene.crop, place, scene.wide, random, scene.grey, scene.content)
        scene.put(CIGARETTE, _fill(box))


def _cover(scene: Scene, random: np.random.Generator) -> None:
    """Bars at the upper and lower edge of the picture; what lies under them is not seen."""
    inside = scene.content > 0.5
    rows = np.flatnonzero(inside.any(axis=1))
    above, below = (random.uniform(0, MOST_BAR, 2) * len(rows)).astype(int)
    barred = np.concatenate([rows[:above], rows[len(rows) - below :]])
    scene.crop = scene.crop.copy()
    scene.crop[barred] *= ~inside[barred][..., None]
    scene.places[:, barred] = 0


def _paste(scene: Scene, patch: Patch, random: np.random.Generator) -> None:
    if patch.grey and not scene.grey:  # it would give itself away
        return
    rgb = to_grey(patch.rgb) if scene.grey else patch.rgb
    scene.crop, box = paste(scene.crop, replace(patch, rgb=rgb), scene.mouth, scene.wide, random, scene.content)
    if patch.phone:
        scene.put(PHONE, _fill(box))


def _fill(box: Maps) -> Maps:
    left, top, right, bottom = np.clip(box, 0, CROP_PX).astype(int).tolist()
    where = np.zeros((CROP_PX, CROP_PX), np.float32)
    where[top:bottom, left:right] = 1
    return where


def _draw_boxes(example: Example, matrix: npt.NDArray[np.float64], content: Maps) -> tuple[Maps, list[float]]:
    """(kinds, CROP_PX, CROP_PX), and by kind how much of the boxes the wide crop shows, in the same pixels."""
    places, areas = np.zeros((len(KINDS), CROP_PX, CROP_PX), np.float32), [0.0] * len(KINDS)
    grown = abs(float(np.linalg.det(matrix[:, :2])))
    for kind, (left, top, right, bottom) in zip(example.kinds.tolist(), example.boxes, strict=True):
        corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom)])
        moved = corners @ matrix[:, :2].T + matrix[:, 2]
        cv2.fillPoly(places[kind], [np.round(moved).astype(np.int32)], 1.0)
        seen = content[max(int(top), 0) : int(bottom) + 1, max(int(left), 0) : int(right) + 1]
        areas[kind] += max(float(seen.sum()), 1.0) * grown
    return places, areas


def _cut_off(lesson: Lesson, areas: list[float], random: np.random.Generator, grey: bool) -> Lesson:
    """Perhaps the chest is cut off; what cannot be seen is not said to be there. Then what the camera does to it."""
    crop, there, places = lesson.crop, lesson.there.copy(), lesson.places
    bottom = _choose_bottom(places[STRAP], random)
    crop[bottom:], places[:, bottom:] = random.choice([0, FILL]), 0
    for kind, area in enumerate(areas):
        if area:
            there[kind] = _still(there[kind], float(places[kind].sum()) / area)
    small = np.stack([_shrink(one) for one in places])
    sure = np.stack([_shrink(one) for one in lesson.weights])
    return Lesson(_spoil(crop, random, grey), there, (small > 0.2).astype(np.float32), sure)


def _choose_bottom(strap: Maps, random: np.random.Generator) -> int:
    """Where the picture ends. Sometimes just above the strap: the same cab, driver and light, and no belt to be
    seen. Without this a network learns which cab it is."""
    rows = np.flatnonzero((strap > 0.2).any(axis=1))
    if len(rows) and rows[0] > CROP_PX * 0.45 and random.random() < HIDDEN_SHARE:
        return int(rows[0])
    return int(CROP_PX * random.uniform(0.6, 0.95)) if random.random() < CUT_SHARE else CROP_PX


def _still(there: int, left_share: float) -> int:
    """Nothing of it is seen: it is not there. A little: nobody can say."""
    if left_share > LEAST_LEFT:
        return there
    return There.NO if left_share < NOTHING_LEFT else There.UNKNOWN


def _shrink(image: Maps) -> Maps:
    return np.asarray(cv2.resize(image, (CELLS, CELLS), interpolation=cv2.INTER_AREA), np.float32)


def _matrix(random: np.random.Generator, mouth: Maps | None) -> npt.NDArray[np.float64]:
    """From the wide crop to the network's, around their middles, or closer and around the mouth."""
    scale = CROP_PX / (WIDE_PX / WIDE_SHARE) * np.exp(random.normal(0, 0.12))
    scale /= 1.0 if mouth is None else CLOSE_SIDE
    squeeze = np.exp(random.normal(0, 0.08))
    angle = np.radians(random.normal(0, 6))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    flip = np.diag([random.choice([-1.0, 1.0]), 1.0])
    linear = turn @ flip @ np.diag([scale * squeeze, scale / squeeze])
    middle = np.full(2, WIDE_PX / 2) if mouth is None else mouth
    shift = CROP_PX / 2 + random.normal(0, 0.06 * CROP_PX, 2) - linear @ middle
    return np.column_stack([linear, shift])


def _spoil(crop: Rgb, random: np.random.Generator, grey: bool) -> Rgb:
    """As cheap, old, night and infrared cameras do."""
    if grey or random.random() < GREY_SHARE:
        crop = to_grey(crop) if grey else _to_infrared(crop, random)
        crop = _vignette(crop, random) if random.random() < 0.4 else crop
    crop = _light(crop, random)
    if random.random() < 0.3:
        crop = _blur(crop, random)
    if random.random() < 0.3:
        crop = _coarsen(crop, random)
    return np.ascontiguousarray(crop)


def _to_infrared(rgb: Rgb, random: np.random.Generator) -> Rgb:
    """Grey, mostly of the red: skin is bright in infrared, and what is blue dark."""
    shares = random.uniform((0.2, 0.0, -0.5), (1.3, 0.8, 0.3))
    flat = np.clip(rgb.astype(np.float32) @ (shares / max(shares.sum(), 0.3)).astype(np.float32), 0, 255)
    return np.repeat(flat.astype(np.uint8)[..., None], 3, axis=2)


def _light(crop: Rgb, random: np.random.Generator) -> Rgb:
    """Brightness, contrast, gamma and colour by one table a channel."""
    levels = np.arange(256) / 255
    gamma, gain, lift = np.exp(random.normal(0, 0.35)), np.exp(random.normal(0, 0.2)), random.normal(0, 0.04)
    tint = np.exp(random.normal(0, 0.05, 3)) if random.random() < 0.5 else np.ones(3)
    tables = [np.clip((levels**gamma * gain * share + lift) * 255, 0, 255).astype(np.uint8) for share in tint]
    return np.stack([table[crop[..., i]] for i, table in enumerate(tables)], axis=2)


def _vignette(crop: Rgb, random: np.random.Generator) -> Rgb:
    """An infrared lamp lights the middle."""
    x, y = random.uniform(0.3, 0.7, 2) * CROP_PX
    reach = random.uniform(0.45, 1.1) * CROP_PX
    ys, xs = np.ogrid[:CROP_PX, :CROP_PX]
    lamp = np.exp(-((xs - x) ** 2 + (ys - y) ** 2) / reach**2)
    return np.asarray(np.clip(crop * (0.25 + 1.0 * lamp[..., None]), 0, 255), np.uint8)


def _blur(crop: Rgb, random: np.random.Generator) -> Rgb:
    if random.random() < 0.5:
        return np.asarray(cv2.GaussianBlur(crop, (0, 0), random.uniform(0.5, 2.0)), np.uint8)
    length = int(random.integers(3, 9))
    kernel = np.zeros((length, length), np.float32)
    kernel[length // 2] = 1 / length
    turned = kernel if random.random() < 0.5 else kernel.T
    return np.asarray(cv2.filter2D(crop, -1, turned), np.uint8)


def _coarsen(crop: Rgb, random: np.random.Generator) -> Rgb:
    """Few pixels, noise, strong compression."""
    px = int(CROP_PX * random.uniform(0.35, 0.9))
    small = cv2.resize(crop, (px, px), interpolation=cv2.INTER_AREA).astype(np.float32)
    small += _noise(random, px) * random.uniform(0, 10)
    coded, jpeg = cv2.imencode(
        ".jpg", np.clip(small, 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, int(random.integers(25, 90))]
    )
    if not coded:
        raise ValueError("a crop could not be compressed")
    large = cv2.resize(cv2.imdecode(jpeg, cv2.IMREAD_COLOR), (CROP_PX, CROP_PX), interpolation=cv2.INTER_LINEAR)
    return np.asarray(large, np.uint8)


def _noise(random: np.random.Generator, px: int) -> Maps:
    return random.standard_normal((px, px, 1), np.float32)
