"""Whether a picture can be judged at all: its light, contrast, sharpness, and how much of it shows any edge."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Grey = npt.NDArray[np.uint8]

WIDTH_PX = 320
ROWS, COLUMNS = 6, 8

EDGE = 8.0
"""Grey levels per pixel, at ``WIDTH_PX``, from which something is taken for an edge: a sensor's noise in the dark gives
up to 6."""

SHARP = 24.0
"""Steepest edge that lenses out of focus by a hundredth of the picture's width, or more, still give."""

LEAST_EDGES = 0.3
"""Share of the picture's parts that show an edge. The least of 1,254 frames of infrared cabs, day and night, is 0.48,
of 3,700 others 0.50; a picture of which four fifths are covered has 0.25 at most."""

LEAST_SHARP = 0.1
"""Share of the parts that show a sharp edge. A clock or logo printed into a covered picture takes up to a tenth. The
least of the same frames is 0.21."""

WHITE = 250
CLIPPED, CLIPPED_EDGES = 0.6, 0.55
"""Blinded: so much is white, and no more than so much shows edges."""


@dataclass(frozen=True, slots=True)
class Quality:
    """Shares of 1, but ``sharpness``: variance of the Laplacian at ``WIDTH_PX``."""

    light: float
    contrast: float
    sharpness: float
    edges: float  # parts of the picture with an edge
    sharp: float  # parts with a sharp one
    clipped: float  # pixels that are white

    @property
    def is_unfit(self) -> bool:
        """Covered, black, blinded or out of focus: nobody could be judged by such a picture."""
        blinded = self.clipped > CLIPPED and self.edges < CLIPPED_EDGES
        return blinded or self.edges < LEAST_EDGES or self.sharp < LEAST_SHARP


def measure_quality(grey: Grey) -> Quality:
    """Of a picture of any size, (height, width)."""
    height = max(round(grey.shape[0] * WIDTH_PX / grey.shape[1]), ROWS)
    small = np.asarray(cv2.resize(grey, (WIDTH_PX, height), interpolation=cv2.INTER_AREA), np.uint8)
    steepest = _steepest_by_part(small)
    mean, deviation = cv2.meanStdDev(small)
    return Quality(
        light=float(mean[0, 0]) / 255,
        contrast=float(deviation[0, 0]) / 255,
        sharpness=_variance(cv2.Laplacian(small, cv2.CV_16S)),
        edges=float((steepest > EDGE).mean()),
        sharp=float((steepest > SHARP).mean()),
        clipped=np.count_nonzero(small >= WHITE) / small.size,
    )


def _steepest_by_part(small: Grey) -> npt.NDArray[np.float32]:
    """(ROWS, COLUMNS) grey levels per pixel along the steeper axis. Sobel's operator averages noise away."""
    across, down = cv2.spatialGradient(small)
    slope = np.maximum(np.abs(across), np.abs(down))
    rows = slope.shape[0] // ROWS * ROWS
    by_row = slope[:rows].reshape(ROWS, rows // ROWS, WIDTH_PX).max(axis=1)
    return np.asarray(by_row.reshape(ROWS, COLUMNS, -1).max(axis=2) / 8, np.float32)


def _variance(values: npt.NDArray[np.int16]) -> float:
    """By whole sums: a third of the time of ``cv2.meanStdDev``."""
    mean = cv2.sumElems(values)[0] / values.size
    return float(cv2.norm(values, cv2.NORM_L2SQR) / values.size - mean**2)
