"""How good a picture is, and whether anybody could be judged by it: a head without a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vision.core.quality import measure_quality
from vision.core.signals import CAMERA_UNFIT, CONTRAST, GLARE, LIGHT, OCCLUSION, SHARPNESS
from vision.frames import Picture
from vision.models import Face


class PictureQuality:
    """A head (see ``vision.models.Head``): a sixth of the face mesh's time (1.3 ms beside 8.1,
    on a busy core, of 416×416 pixels), with a face or without."""

    name = "quality"
    seldom = False

    def measure(self, pictures: Sequence[Picture], faces: Sequence[Face | None]) -> Sequence[Mapping[str, float]]:
        return [_measure(picture) for picture, _ in zip(pictures, faces, strict=True)]

    def close(self) -> None:
        """Holds nothing."""


def _measure(picture: Picture) -> dict[str, float]:
    quality = measure_quality(picture.grey)
    return {
        LIGHT: quality.light,
        CONTRAST: quality.contrast,
        SHARPNESS: quality.sharpness,
        OCCLUSION: 1 - quality.edges,
        GLARE: quality.clipped,
        CAMERA_UNFIT: float(quality.is_unfit),
    }
