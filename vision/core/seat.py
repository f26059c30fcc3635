"""Whose face is the driver's, where a picture shows several, and whether two are the same person's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

NEAR = 1.5
"""A face whose centre is within so many widths of where the driver's usually is may be the driver's: leaning over
moves a head by about its own width, the passenger's seat is three or more away."""


@dataclass(frozen=True, slots=True)
class Box:
    """In shares of the picture's width and height; may reach outside of it."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def area(self) -> float:
        return max(0.0, self.right - self.left) * max(0.0, self.bottom - self.top)


def choose_driver(faces: Sequence[Box]) -> int | None:
    """Which of these faces is the driver's, the largest: a camera faces the driver, and is nearer to them than to
    anybody else. None where there is none."""
    return max(range(len(faces)), key=lambda i: faces[i].area, default=None)


def is_near(face: Box, usual: Box, widths: float) -> bool:
    """Whether the centres are at most so many widths and heights of the usual face apart."""
    return _distance(face, usual) <= widths


def _distance(face: Box, usual: Box) -> float:
    """Between the centres, in widths and heights of the usual face."""
    width, height = max(usual.right - usual.left, 1e-6), max(usual.bottom - usual.top, 1e-6)
    across = (face.left + face.right - usual.left - usual.right) / 2 / width
    down = (face.top + face.bottom - usual.top - usual.bottom) / 2 / height
    return float((across**2 + down**2) ** 0.5)
