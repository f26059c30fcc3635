"""Seat belt, phone, cigarette and cup, seen on the driver's torso: a head (see ``vision.models.Head``).

Two networks: one finds the driver's shoulders and face, the other looks at a square around them, and once more, closer,
at the head and the hands near it. Where there is no chest in the picture, nothing is said about the belt.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from typing import Any

import numpy as np
import numpy.typing as npt

from vision.bodies import Bodies, Body
from vision.core.signals import BELT_WORN, DRINKING, PHONE, SMOKING
from vision.frames import Picture, Rgb
from vision.models import Face
from vision.networks import lay_planes, open_network
from vision.torso_crops import (
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

CLOSE_SHARES = np.array([0, 0.25, 0.5, 0], np.float32)
"""Of the closer look in each answer. A phone may be in the lap, which it does not show."""

WEIGHTS, CALIBRATION = "torso.onnx", "torso.json"

Floats = npt.NDArray[np.float32]
Box = tuple[float, float, float, float]
"""left, top, right, bottom"""


@dataclass(frozen=True, slots=True, eq=False)
class Torso:
    """What one picture shows. ``boxes`` are where things were seen, by kind, in pixels of the picture."""

    body: Body
    chest_share: float
    probabilities: Mapping[str, float]
    boxes: Mapping[str, Box]


class Torsos:
    """On ONNX Runtime, one thread: about 32 ms a picture, so it is asked seldom (see ``core.cadence``)."""

    name = "torso"
    seldom = True

    def __init__(self, views: Views = GLANCE) -> None:
        self._bodies, self._views = Bodies(), views

    def measure(self, pictures: Sequence[Picture], _faces: Sequence[Face | None]) -> Sequence[Mapping[str, float]]:
        """Faces are not asked for: people are found by their bodies. Empty where nobody is found."""
        return [torso.probabilities if torso else {} for torso in self.look(pictures)]

    def look(self, pictures: Sequence[Picture]) -> list[Torso | None]:
        """The same with the places where something was seen, for overlays."""
        found = [self._bodies.find_driver(picture) for picture in pictures]
        return [self._look(picture, body) if body else None for picture, body in zip(pictures, found, strict=True)]

    def close(self) -> None:
        self._bodies.close()
        self.__dict__.pop("_network", None)

    def _look(self, picture: Picture, body: Body) -> Torso:
        """One picture after the other: a batch gains nothing on one core and takes its memory."""
        square = place_square(body, *_size(picture))
        logits, cells = self._run(picture.rgb, square, self._views.wide)
        if close := place_close(body, square):
            logits = join_looks(logits, self._run(picture.rgb, close, self._views.close)[0])
        return self._answer(body, picture, square, logits, cells)

    def _run(self, rgb: Rgb, square: Square, views: Sequence[View]) -> tuple[Floats, Floats]:
        """Logits, of all views the mean; cells of the first."""
        cut = cache(lambda place: lay_planes(cut_torso(rgb, place)))  # once for a view and its mirror image
        crops = [cut(place_view(square, view))[:, :, :: -1 if view.mirrored else 1] for view in views]
        logits, cells = self._network.run(None, {"crops": np.stack(crops)})
        return logits.mean(axis=0), cells[0]

    def _answer(self, body: Body, picture: Picture, square: Square, logits: Floats, cells: Floats) -> Torso:
        share = torso_share(body, picture.rgb.shape[0])
        calibrated = self._calibration.apply(logits)
        named = dict(zip(SIGNALS, map(float, calibrated), strict=True))
        if share < self._calibration.least_chest_share:
            del named[BELT_WORN]
        return Torso(body, share, named, _find_boxes(cells, place_view(square, self._views.wide[0])))

    @cached_property
    def _network(self) -> Any:
        return open_network(WEIGHTS)

    @cached_property
    def _calibration(self) -> Calibration:
        return read_calibration()


@dataclass(frozen=True, slots=True)
class Calibration:
    """From logits to probabilities that held on people never trained on: ``slopes`` and ``offsets``, one a kind."""

    slopes: Floats
    offsets: Floats
    least_chest_share: float

    def apply(self, logits: Floats) -> Floats:
        return np.asarray(1 / (1 + np.exp(-(logits * self.slopes + self.offsets))), np.float32)


def join_looks(wide: Floats, close: Floats) -> Floats:
    """Logits (..., kinds) of both looks as one answer."""
    return wide + CLOSE_SHARES * (close - wide)


def read_calibration() -> Calibration:
    told = json.loads(files("vision").joinpath("weights", CALIBRATION).read_text())["calibration"]
    slopes, offsets = (np.array(told[name], np.float32) for name in ("slopes", "offsets"))
    return Calibration(slopes, offsets, told["least_chest_share"])


def _find_boxes(cells: Floats, square: Square) -> dict[str, Box]:
    """Around the cells in which each thing is more likely than not; absent where there is none."""
    px = square.side / cells.shape[-1]
    found = {}
    for kind, one in zip(KINDS, cells > 0, strict=True):
        rows, columns = np.flatnonzero(one.any(axis=1)), np.flatnonzero(one.any(axis=0))
        if len(rows):
            left, top = square.left + columns[0] * px, square.top + rows[0] * px
            right, bottom = square.left + (columns[-1] + 1) * px, square.top + (rows[-1] + 1) * px
            found[kind] = (float(left), float(top), float(right), float(bottom))
    return found


def _size(picture: Picture) -> tuple[int, int]:
    height, width = picture.rgb.shape[:2]
    return width, height
