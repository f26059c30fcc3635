"""Device health: how dense and how trustworthy a device's samples were, and what was refused because of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from infra.contracts.telemetry import GpsSamples, ImuSamples, Int64
from scoring.core.fixes import haversine_m
from scoring.core.rules import G_MPS2, SECOND_US

_GAP_US = 10 * SECOND_US
_WILD_MPS2 = 16 * G_MPS2  # the full scale of the sensors in use
PULSE_HZ = 8.0  # slower samples show neither an impact nor a swing
_DEAD_US = 5 * SECOND_US
_DEAD_SHARE, _WANDER_MPS = 0.75, 5.0  # of the speed that is said; what positions of a parked vehicle add up to
_STUCK_SAMPLES = 50  # at 25 Hz two seconds: noise alone changes a live sensor's last bit sooner


@dataclass(frozen=True, slots=True)
class Health:
    """Rates in Hz (median spacing; None without samples); counts of samples; ``refused``: reasons and how often.

    ``gps_dead_s``: seconds of a speed that stands still for 5 s and more while the positions go faster or slower.
    """

    gps_hz: float | None
    imu_hz: float | None
    gps_gaps: int
    imu_gaps: int
    imu_not_a_number: int
    imu_wild: int
    imu_stuck: int
    gps_nowhere: int
    gps_without_speed: int
    gps_dead_s: float = 0.0
    refused: Mapping[str, int] = field(default_factory=dict)

    @property
    def not_judged(self) -> list[str]:
        """Kinds of events that such an accelerometer cannot show."""
        if self.imu_hz is None:
            return ["crash", "near_crash", "rollover", "swerve"]
        return ["crash", "near_crash", "swerve"] if self.imu_hz < PULSE_HZ else []


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
        gps_dead_s=_dead_s(gps),
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


def _dead_s(gps: GpsSamples) -> float:
    """Of stretches of one and the same speed that the positions contradict; those of a receiver without any tell
    nothing."""
    known = np.isfinite(gps.speed_mps) & np.isfinite(gps.lat) & np.isfinite(gps.lon)
    time_us, speed, lat, lon = (column[known] for column in (gps.time_us, gps.speed_mps, gps.lat, gps.lon))
    way_m = np.concatenate([[0.0], np.cumsum(haversine_m(lat[:-1], lon[:-1], lat[1:], lon[1:]))])
    if len(speed) < 2 or not way_m[-1] > 0:
        return 0.0
    first = np.flatnonzero(np.concatenate([[True], speed[1:] != speed[:-1]]))
    last = np.concatenate([first[1:] - 1, [len(speed) - 1]])
    lasted_us = time_us[last] - time_us[first]
    seconds = np.maximum(lasted_us, 1) / SECOND_US
    apart_m = haversine_m(lat[first], lon[first], lat[last], lon[last])
    slower = (way_m[last] - way_m[first]) / seconds < _DEAD_SHARE * speed[first]
    faster = apart_m / seconds > speed[first] + _WANDER_MPS
    return round(float(lasted_us[(lasted_us >= _DEAD_US) & (slower | faster)].sum()) / SECOND_US, 1)


def _stuck(values: npt.NDArray[np.float32]) -> int:
    """Samples in runs of one value, longer than a live sensor makes; what is no number is counted elsewhere."""
    values = values[np.isfinite(values)]
    if len(values) < _STUCK_SAMPLES:
        return 0
    starts = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]]))
    lengths = np.diff(np.concatenate([starts, [len(values)]]))
    return int(lengths[lengths >= _STUCK_SAMPLES].sum())
