"""Device health: how dense and how trustworthy a device's samples were, and what was refused because of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from infra.contracts.telemetry import GpsSamples, ImuSamples, Int64
from scoring.core.rules import G_MPS2, SECOND_US

_GAP_US = 10 * SECOND_US
_WILD_MPS2 = 16 * G_MPS2  # the full scale of the sensors in use
_STUCK_SAMPLES = 50  # at 25 Hz two seconds: noise alone changes a live sensor's last bit sooner


@dataclass(frozen=True, slots=True)
class Health:
    """Rates in Hz (median spacing; None without samples); counts of samples; ``refused``: reasons and how often."""

    gps_hz: float | None
    imu_hz: float | None
    gps_gaps: int
    imu_gaps: int
    imu_not_a_number: int
    imu_wild: int
    imu_stuck: int
    gps_nowhere: int
    gps_without_speed: int
    refused: Mapping[str, int] = field(default_factory=dict)


def examine(gps: GpsSamples, imu: ImuSamples, counts: Mapping[str, int]) -> Health:
    """Look at all samples of a device at once."""
    accel = np.stack([imu.accel_x_mps2, imu.accel_y_mps2, imu.accel_z_mps2])
    finite = np.isfinite(accel)
    return Health(
        gps_hz=_rate_hz(gps.time_us),
        imu_hz=_rate_hz(imu.time_us),
        gps_gaps=_gaps(gps.time_us),
        imu_gaps=_gaps(imu.time_us),
        imu_not_a_number=int((~finite).any(axis=0).sum()),
        imu_wild=int((np.abs(np.where(finite, accel, 0)) > _WILD_MPS2).any(axis=0).sum()),
        imu_stuck=max(_stuck(row) for row in accel),
        gps_nowhere=int((~np.isfinite(gps.lat) | ~np.isfinite(gps.lon)).sum()),
        gps_without_speed=int(np.isnan(gps.speed_mps).sum()),
        refused=dict(sorted(counts.items())),
    )


def _rate_hz(time_us: Int64) -> float | None:
    if len(time_us) < 2:
        return None
    steps_us = np.diff(time_us)
    steps_us = steps_us[steps_us > 0]  # rows of one time are one sample, told again
    return round(SECOND_US / float(np.median(steps_us)), 2) if len(steps_us) else None


def _gaps(time_us: Int64) -> int:
    return int((np.diff(time_us) > _GAP_US).sum())


def _stuck(values: npt.NDArray[np.float32]) -> int:
    """Samples in runs of one value, longer than a live sensor makes; what is no number is counted elsewhere."""
    values = values[np.isfinite(values)]
    if len(values) < _STUCK_SAMPLES:
        return 0
    starts = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]]))
    lengths = np.diff(np.concatenate([starts, [len(values)]]))
    return int(lengths[lengths >= _STUCK_SAMPLES].sum())
