"""Every detector there is. One small file each; this table is what the pipeline runs."""

from __future__ import annotations

from scoring.core.detectors import (
    crash,
    harsh,
    harsh_gps,
    idling,
    max_speed,
    near_crash,
    night,
    rollover,
    speeding,
    swerve,
)
from scoring.core.detectors.port import Accepted, Detector, Refused, View

DETECTORS: tuple[Detector, ...] = (
    *harsh.detectors(),
    *harsh_gps.detectors(),
    *near_crash.detectors(),
    *swerve.detectors(),
    *crash.detectors(),
    *rollover.detectors(),
    *speeding.detectors(),
    *max_speed.detectors(),
    *idling.detectors(),
    *night.detectors(),
)
BY_NAME = {detector.name: detector for detector in DETECTORS}

__all__ = ["BY_NAME", "DETECTORS", "Accepted", "Detector", "Refused", "View"]
