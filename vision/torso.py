"""Seat belt, phone, cigarette and cup, seen on the driver's torso: a head (see ``vision.models.Head``).

One network finds the driver's shoulders and face, another looks at a square around them, and once more, closer, at the
head and the hands near it. Where there is no chest in the picture, nothing is said about the belt.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from vision.bodies import Bodies, Body
from vision.core.signals import BELT_WORN, DRINKING, PHONE, SMOKING
from vision.frames import Picture, Rgb
from vision.models import Face
from vision.networks import lay_planes, open_network
from vision.torso_crops import (
    CROP_PX,
    GLANCE,
    Square,
    View,
    Views,
    cut_torso,
    place_close,
    place_square,
    place_view,
    torso_share,
)

KINDS = ("strap", "phone", "cigarette", "cup")
"""What the network looks for; the names of its answers follow."""

SIGNALS = (BELT_WORN, PHONE, SMOKING, DRINKING)

HELD = slice(1, 4)
"""Of the kinds, those that a hand holds."""

CLOSE_SHARES = np.array([0, 0.25, 0.5, 0], np.float32)
"""Of the closer look in each answer. A phone may be in the lap, which it does not show."""

COLOUR, INFRARED = "torso", "torso_infrared"
"""Two networks of one make, one for each kind of camera, after which the files of their weights and calibration are
named: the one that tells colours best is not the best of those trained for infrared (see their cards)."""

COLOURED, MOST_COLOURED = 16, 0.03
"""A pixel has a colour where its channels lie so far apart, of 255; of an infrared picture at most so many have, which
recorders print into it. Of 150 infrared pictures none has, of 300 from colour cameras .04 at least."""

Floats = npt.NDArray[np.float32]


class Torsos:
    """On ONNX Runtime, one thread: about 32 ms a picture, so it is asked seldom (see ``core.cadence``)."""

    name = "torso"
    seldom = True

    def __init__(self, views: Views = GLANCE) -> None:
        self._bodies, self._views = Bodies(), views
        self._opened: dict[str, Trained] = {}

    def measure(self, pictures: Sequence[Picture], _faces: Sequence[Face | None]) -> Sequence[Mapping[str, float]]:
        """Faces are not asked for: people are found by their bodies. Empty where nobody is found."""
        found = [self._bodies.find_driver(picture) for picture in pictures]
        return [self._look(picture.rgb, body) if body else {} for picture, body in zip(pictures, found, strict=True)]

    def close(self) -> None:
        self._bodies.close()
        self._opened.clear()

    def _look(self, rgb: Rgb, body: Body) -> Mapping[str, float]:
        """One picture after the other: a batch gains nothing on one core and takes its memory."""
        height, width = rgb.shape[:2]
        square = place_square(body, width, height)
        trained = self._open(INFRARED if is_infrared(rgb) else COLOUR)
        logits = _run(trained, rgb, square, self._views.wide)
        if close := place_close(body, square):
            logits = join_looks(logits, _run(trained, rgb, close, self._views.close))
        probabilities = trained.calibration.apply(let_compete(logits))
        named = dict(zip(SIGNALS, map(float, probabilities), strict=True))
        if torso_share(body, square.shoulders_px, height) < trained.calibration.least_chest_share:
            del named[BELT_WORN]
        return named

    def _open(self, name: str) -> Trained:
        if name not in self._opened:
            self._opened[name] = Trained(open_network(f"{name}.onnx"), read_calibration(name))
        return self._opened[name]


@dataclass(frozen=True, slots=True)
class Calibration:
    """From logits to probabilities that held on people never trained on: ``slopes`` and ``offsets``, one a kind."""

    slopes: Floats
    offsets: Floats
    least_chest_share: float

    def apply(self, logits: Floats) -> Floats:
        return np.asarray(1 / (1 + np.exp(-(logits * self.slopes + self.offsets))), np.float32)


@dataclass(frozen=True, eq=False)
class Trained:
    """A network, and what makes probabilities of its logits."""

    network: Any
    calibration: Calibration


def is_infrared(rgb: Rgb) -> bool:
    """Whether a picture has no colours, as those of infrared cameras."""
    red, green, blue = (rgb[::16, ::16, channel] for channel in range(3))
    spread = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
    return bool(np.count_nonzero(spread > COLOURED) < MOST_COLOURED * spread.size)


def join_looks(wide: Floats, close: Floats) -> Floats:
    """Logits (..., kinds) of both looks as one answer."""
    return wide + CLOSE_SHARES * (close - wide)


def let_compete(logits: Floats) -> Floats:
    """Logits (..., kinds) in which phone, cigarette and cup compete: each against the others and an empty hand, which
    is 0, as a softmax has it. A hand holds one thing, and a smoker's looks much like a caller's."""
    odds = np.exp(logits[..., HELD])
    others = odds.sum(axis=-1, keepdims=True) - odds
    competing = logits.copy()
    competing[..., HELD] -= np.log1p(others)
    return competing


def read_calibration(name: str) -> Calibration:
    told = json.loads(files("vision").joinpath("weights", f"{name}.json").read_text())["calibration"]
    slopes, offsets = (np.array(told[name], np.float32) for name in ("slopes", "offsets"))
    return Calibration(slopes, offsets, told["least_chest_share"])


def _run(trained: Trained, rgb: Rgb, square: Square, views: Sequence[View]) -> Floats:
    """Logits, of all views the mean."""
    cut = cache(lambda place: cut_torso(rgb, place))  # once for a view and its mirror image
    crops = np.empty((len(views), 3, CROP_PX, CROP_PX), np.float32)
    for planes, view in zip(crops, views, strict=True):
        crop = cut(place_view(square, view))
        lay_planes(cv2.flip(crop, 1) if view.mirrored else crop, out=planes)
    logits, _cells = trained.network.run(None, {"crops": crops})
    return np.asarray(logits.mean(axis=0), np.float32)
