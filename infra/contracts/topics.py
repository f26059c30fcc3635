"""The topics, and the lane that a vehicle's messages travel in."""

from __future__ import annotations

import zlib

TELEMETRY = "telemetry"
FRAMES = "frames"
ALERTS = "alerts"  # fed by the outbox

LANED_TOPICS = (TELEMETRY, FRAMES)
"""Topics with the same number of partitions and the same key: partition n of each is lane n."""


def lane_of(vehicle_id: str, lanes: int) -> int:
    """The lane of a vehicle. Chosen here, not by a client's partitioner, so that every bus and every
    language agrees. CRC-32 is cheap, and even enough over thousands of vehicles."""
    return zlib.crc32(vehicle_id.encode()) % lanes
