"""Which of a vehicle's devices is recorded where several measure the same: for each stream, one leads. Pure.

A dashcam and a tracker both know where the vehicle is. Positions may come from one of them and accelerations from the
other. A stream's leader is the device whose last sample is the latest; the others' samples are left out, until one
measures later than ``QUIET_US`` after the leader's last. So the device heard first leads until it is silent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from infra.clock import SECOND_US
from infra.contracts.telemetry import Samples, TelemetryBatch, take
from ingest.core.seconds import Carry

QUIET_US = 10 * SECOND_US
"""Of the samples' own time. Judgement waits as long (``scoring.core.pipeline``)."""

Times = dict[str, int]
"""Device to the time of its last sample that was taken."""


class Leads:
    """The leaders of one vehicle while its messages are gone through in their order."""

    def __init__(self, carries: Mapping[str, Carry]) -> None:
        self._gps = {device: carry.gps_last_us for device, carry in carries.items() if carry.gps_last_us >= 0}
        self._imu = {device: carry.imu_last_us for device, carry in carries.items() if carry.imu_last_us >= 0}

    def admit(self, batch: TelemetryBatch, late: bool) -> TelemetryBatch:
        """What of the batch is to be recorded. A late one changes no lead."""
        gps = _admit(self._gps, batch.device_id, batch.gps, late)
        imu = _admit(self._imu, batch.device_id, batch.imu, late)
        return replace(batch, gps=gps, imu=imu)


def _admit(last_us: Times, device_id: str, samples: Samples, late: bool) -> Samples:
    if not len(samples):
        return samples
    leader = max(last_us, key=lambda device: (last_us[device], device), default=device_id)
    if leader != device_id:
        first = np.searchsorted(samples.time_us, last_us[leader] + QUIET_US, "right")
        samples = take(samples, slice(int(first), None))
    if len(samples) and not late:
        last_us[device_id] = int(samples.time_us[-1])
    return samples
