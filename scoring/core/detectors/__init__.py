"""Every detector there is. One small file each; this table is what the pipeline runs."""

from __future__ import annotations

from scoring.core.detectors import harsh, harsh_gps, idling, near_crash, speeding
from scoring.core.detectors.port import Accepted, Detector, Refused, View

DETECTORS: tuple[Detector, ...] = (
    *harsh.detectors(),
    *harsh_gps.detectors(),
    *near_crash.detectors(),
    *speeding.detectors(),
    *idling.detectors(),
)
BY_NAME = {detector.name: detector for detector in DETECTORS}

__all__ = ["BY_NAME", "DETECTORS", "Accepted", "Detector", "Refused", "View"]
