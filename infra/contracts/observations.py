"""What a device's own eyes saw of its driver: numbers, in columns, instead of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from infra.contracts.telemetry import Float64, Int8, Int64, Rejection


@dataclass(frozen=True, slots=True, eq=False)
class ObservationSamples:
    """Columns of one length n, a row a picture, in time order. NaN (or ``UNKNOWN``) where nothing was measured.

    From ``eye_closed_left`` on the names are those of ``vision.core.signals``, which says what each means. All are
    float64, so that rules reach the same answer as beside the picture.
    """

    time_us: Int64  # microseconds since 1970 UTC
    face_found: Int8  # 1, 0
    speed_mps: Float64  # of the vehicle at this instant
    belt_buckled: Int8  # the vehicle's own belt switch: 1, 0, UNKNOWN
    aspect_ratio: Float64  # of the eyes: height over width
    picture_hash: Float64  # a whole number of 32 bits; the same twice in a row where the camera hangs
    eye_closed_left: Float64
    eye_closed_right: Float64
    eye_closed: Float64
    head_yaw_deg: Float64
    head_pitch_deg: Float64
    head_roll_deg: Float64
    gaze_yaw_deg: Float64
    gaze_pitch_deg: Float64
    mouth_open: Float64
    yawn: Float64
    belt_worn: Float64
    phone: Float64
    smoking: Float64
    drinking: Float64
    light: Float64
    contrast: Float64
    sharpness: Float64
    occlusion: Float64
    glare: Float64
    camera_unfit: Float64

    def __len__(self) -> int:
        return len(self.time_us)


@dataclass(frozen=True, slots=True, eq=False)
class ObservationBatch:
    """What a device saw in a row. (device, boot, sequence) identifies it, apart from its frames and telemetry."""

    vehicle_id: str
    device_id: str
    boot_id: str
    sequence: int  # counts up by one per batch from 0 at each boot
    driver_id: str | None
    received_us: int
    samples: ObservationSamples
    rejected: Sequence[Rejection] = field(default=())


_INT64, _INT8, _FLOAT64 = np.dtype("i8"), np.dtype("i1"), np.dtype("f8")
_WHOLE: dict[str, np.dtype[Any]] = {"time_us": _INT64, "face_found": _INT8, "belt_buckled": _INT8}
OBSERVATION_DTYPES: dict[str, np.dtype[Any]] = {
    f.name: _WHOLE.get(f.name, _FLOAT64) for f in fields(ObservationSamples)
}
MEASURED = tuple(OBSERVATION_DTYPES)[tuple(OBSERVATION_DTYPES).index("eye_closed_left") :]
"""The columns that are numbers of ``vision.core.signals``."""
