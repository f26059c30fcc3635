"""What the recorder would have stored of samples: rows of positions and motion."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa

from infra.contracts.telemetry import GpsSamples, ImuSamples
from infra.store.outputs import POSITION_SCHEMA
from ingest.core.seconds import Carry, choose_positions, close_open, sum_seconds
from ingest.rows import motion_table, position_table
from scoring.core.stored import Motion, no_motion


def position_rows(vehicle_id: str, driver_id: str | None, gps: GpsSamples) -> pa.Table:
    if not len(gps):
        return POSITION_SCHEMA.empty_table()
    every, index, _ = choose_positions([[gps]], [Carry()])
    return position_table(every, index, np.zeros(len(index), np.int64), [vehicle_id], [driver_id])


def motion_rows(vehicle_id: str, imu: ImuSamples) -> pa.Table:
    finished, carries = sum_seconds([[imu]], [Carry()])
    parts = [finished, close_open(carries)[0]]
    return pa.concat_tables([motion_table(part, [vehicle_id], Counter()) for part in parts if len(part)])


def motion_of_samples(imu: ImuSamples) -> Motion:
    """The rows of motion as a replay reads them."""
    if not len(imu):
        return no_motion()
    rows = motion_rows("any", imu)
    three = lambda name: np.stack([rows[name.format(axis)].to_numpy().astype(np.float64) for axis in "xyz"])  # noqa: E731
    stats = (three(f"accel_{{}}_{stat}") for stat in ("mean", "rms", "min", "max"))
    return Motion(rows["time"].cast(pa.int64()).to_numpy(), *stats, three("gyro_{}_mean"))
