"""A dashcam frame as it travels on the bus."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Camera(StrEnum):
    DRIVER = "driver"
    ROAD = "road"
    CABIN = "cabin"


@dataclass(frozen=True, slots=True)
class Frame:
    """One still of one camera. Whatever a rule needs (speed, driver) is stamped on it: nothing joins topics."""

    vehicle_id: str
    device_id: str
    boot_id: str
    sequence: int  # counts up by one per frame and camera from 0 at each boot
    driver_id: str | None
    camera: Camera
    time_us: int  # microseconds since 1970 UTC
    speed_mps: float | None
    received_us: int
    jpeg: bytes  # bounded in bytes and pixels by the gateway; a JPEG, of any size and colour, EXIF turned or not
    rejected: str | None = None  # why the gateway did not take it; it travels without picture, to leave no hole
    belt_switch: bool | None = None  # the vehicle's own, at this instant: True buckled, None unknown
