"""Time over the posted limit in bands. An unknown limit is not judged."""

from __future__ import annotations

import numpy as np

from infra.contracts.telemetry import Float32, Float64, Int64
from scoring.core.rules import SpeedingBand


def over_share(speed_mps: Float32, limit_mps: Float32) -> Float64:
    """How far over the limit, as a share of it: 0.1 is 10 % over. NaN where either is unknown."""
    limit = limit_mps.astype(np.float64)
    limit[~(limit > 0)] = np.nan
    return speed_mps.astype(np.float64) / limit - 1


def time_in_bands_us(share: Float64, step_us: Int64, bands: tuple[SpeedingBand, ...]) -> tuple[int, ...]:
    """Time in each band, from its start to the next one's; strictly over the limit for the first."""
    starts = [band.over_share for band in bands]
    above = [int(step_us[share > start].sum()) for start in starts]
    return tuple(a - b for a, b in zip(above, [*above[1:], 0], strict=True))
