"""A batch of telemetry: columns of GPS and IMU samples of one device, as they travel on the bus."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

UNKNOWN = -1
"""Stands in ignition and belt columns for: the device does not report it."""

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]
Int8 = npt.NDArray[np.int8]


class ImuFrame(StrEnum):
    """Whose axes the accelerations are in.

    ``VEHICLE`` is ISO 8855: x forward, y left, z up; gravity may or may not have been removed from z.
    ``DEVICE`` is the sensor's own, at any angle; ``PHONE`` the same. ``EARTH`` is that of the compass: x east,
    y north, z up (or x north, y east, z down). ``UNKNOWN`` is treated as ``DEVICE``, until that fails.
    """

    VEHICLE = "vehicle"
    DEVICE = "device"
    PHONE = "phone"
    EARTH = "earth"
    UNKNOWN = "unknown"


class VehicleClass(StrEnum):
    """Thresholds of harsh events go by class. The gateway stamps it from the registry of vehicles."""

    PASSENGER = "passenger"
    LIGHT_DUTY = "light_duty"
    HEAVY_DUTY = "heavy_duty"


@dataclass(frozen=True, slots=True, eq=False)
class GpsSamples:
    """Columns of one length n, in time order. NaN (or ``UNKNOWN``) where the device does not report a value."""

    time_us: Int64  # microseconds since 1970 UTC
    lat: Float64  # degrees, WGS 84
    lon: Float64
    speed_mps: Float32
    heading_deg: Float32  # clockwise from north
    accuracy_m: Float32
    speed_limit_mps: Float32  # posted limit where the device knows it
    odometer_m: Float64
    ignition: Int8  # 1 on, 0 off, UNKNOWN
    belt_buckled: Int8  # the vehicle's own belt switch: 1, 0, UNKNOWN

    def __len__(self) -> int:
        return len(self.time_us)


@dataclass(frozen=True, slots=True, eq=False)
class ImuSamples:
    """Columns of one length n, in time order. Gyro columns are NaN where the device has none."""

    time_us: Int64
    accel_x_mps2: Float32
    accel_y_mps2: Float32
    accel_z_mps2: Float32
    gyro_x_radps: Float32
    gyro_y_radps: Float32
    gyro_z_radps: Float32

    def __len__(self) -> int:
        return len(self.time_us)


@dataclass(frozen=True, slots=True)
class Rejection:
    """Rows of a batch that the gateway did not take, and why. Travels with the good rows, so that the
    recorder can write the dead letter in the same transaction."""

    stream: str  # "gps" or "imu"
    reason: str  # a word of ingest.core.validate
    rows: int
    example: str  # the first such row as JSON, cut to 500 characters


@dataclass(frozen=True, slots=True, eq=False)
class TelemetryBatch:
    """What a device sent at once. (device, boot, sequence) identifies it: a retry repeats all three."""

    vehicle_id: str
    device_id: str
    boot_id: str
    sequence: int  # counts up by one per batch from 0 at each boot
    driver_id: str | None
    vehicle_class: VehicleClass
    imu_frame: ImuFrame
    received_us: int  # when the gateway took it
    gps: GpsSamples
    imu: ImuSamples
    rejected: Sequence[Rejection] = field(default=())


_FLOAT32, _FLOAT64, _INT64, _INT8 = np.dtype("f4"), np.dtype("f8"), np.dtype("i8"), np.dtype("i1")
GPS_DTYPES: dict[str, np.dtype[Any]] = {
    "time_us": _INT64,
    "lat": _FLOAT64,
    "lon": _FLOAT64,
    "speed_mps": _FLOAT32,
    "heading_deg": _FLOAT32,
    "accuracy_m": _FLOAT32,
    "speed_limit_mps": _FLOAT32,
    "odometer_m": _FLOAT64,
    "ignition": _INT8,
    "belt_buckled": _INT8,
}
IMU_DTYPES: dict[str, np.dtype[Any]] = {"time_us": _INT64} | {f.name: _FLOAT32 for f in fields(ImuSamples)[1:]}

Samples = TypeVar("Samples", GpsSamples, ImuSamples)
Columns = TypeVar("Columns", bound="DataclassInstance")


def empty_gps() -> GpsSamples:
    columns: dict[str, Any] = {name: np.empty(0, dtype) for name, dtype in GPS_DTYPES.items()}
    return GpsSamples(**columns)


def empty_imu() -> ImuSamples:
    columns: dict[str, Any] = {name: np.empty(0, dtype) for name, dtype in IMU_DTYPES.items()}
    return ImuSamples(**columns)


def take(samples: Columns, index: npt.NDArray[np.bool_] | Int64 | slice) -> Columns:
    """The samples, of any dataclass of columns, at an index, a mask or a slice."""
    return type(samples)(**{f.name: getattr(samples, f.name)[index] for f in fields(samples)})


def concat(parts: Sequence[Columns]) -> Columns:
    """One run of samples from several of the same kind, in the order given. At least one part."""
    kind = type(parts[0])
    return kind(**{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(kind)})
