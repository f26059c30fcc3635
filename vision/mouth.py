"""How far the mouth is open, and the probability of a yawn, from the face mesh: a head with three learned weights.

Shape rather than pixels: it does not know colour from infrared, and is judged in microseconds. See the card.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib.resources import files

from vision.core.mouth import YawnScale, measure_shape, measure_yawn
from vision.core.signals import MOUTH_OPEN, YAWN
from vision.frames import Picture
from vision.models import Face

WEIGHTS = "yawn.json"


class Mouths:
    """A head (see ``vision.models.Head``): a five-hundredth of the face mesh's time."""

    name = "mouth"
    seldom = False

    def measure(self, pictures: Sequence[Picture], faces: Sequence[Face | None]) -> Sequence[Mapping[str, float]]:
        """Empty where no mesh was found: a mouth that is not seen is not said to be shut."""
        return [self._measure(face) for _, face in zip(pictures, faces, strict=True)]

    def close(self) -> None:
        """Holds nothing but three numbers."""

    def _measure(self, face: Face | None) -> dict[str, float]:
        shape = None if face is None or face.mesh is None else measure_shape(face.mesh)
        return {} if shape is None else {MOUTH_OPEN: float(shape[0]), YAWN: measure_yawn(shape, self._scale)}

    @cached_property
    def _scale(self) -> YawnScale:
        learned = json.loads(files("vision").joinpath("weights", WEIGHTS).read_text())
        first, second, third = learned["weights"]
        return YawnScale((first, second, third), learned["bias"])
