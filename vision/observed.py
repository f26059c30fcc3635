"""Observations between what travels and what the eyes say: a batch to looks, as if the pictures had been looked at
here; and looks to the columns that a device sends."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from infra.contracts.frames import Camera, Frame
from infra.contracts.observations import MEASURED, OBSERVATION_DTYPES, ObservationBatch, ObservationSamples
from infra.contracts.telemetry import UNKNOWN
from infra.runtime.step import Delivery
from vision.looking import Look


@dataclass(frozen=True, slots=True)
class Observed:
    """One picture that was looked at elsewhere."""

    time_us: int
    look: Look
    speed_mps: float | None = None
    belt_switch: bool | None = None


def expand(delivery: Delivery, batch: ObservationBatch) -> Iterator[Delivery]:
    """A delivery for each row: a frame without a picture, and the look at it."""
    for seen in read_observed(batch.samples):
        frame = Frame(
            batch.vehicle_id,
            batch.device_id,
            batch.boot_id,
            batch.sequence,
            batch.driver_id,
            Camera.DRIVER,
            seen.time_us,
            seen.speed_mps,
            batch.received_us,
            jpeg=b"",
            belt_switch=seen.belt_switch,
        )
        yield replace(delivery, message=frame, prepared=seen.look)


def read_observed(samples: ObservationSamples) -> Iterator[Observed]:
    """The rows, one after the other: rules take them so."""
    names = list(OBSERVATION_DTYPES)
    for values in zip(*(getattr(samples, name).tolist() for name in names), strict=True):
        row = dict(zip(names, values, strict=True))
        known = {name: value for name, value in row.items() if not math.isnan(value)}
        picture_hash = known.get("picture_hash")
        look = Look(
            row["face_found"] == 1,
            known.get("aspect_ratio"),
            {name: known[name] for name in MEASURED if name in known},
            picture_hash=None if picture_hash is None else int(picture_hash),
        )
        switch = None if row["belt_buckled"] == UNKNOWN else row["belt_buckled"] == 1
        yield Observed(row["time_us"], look, known.get("speed_mps"), switch)


def write_observed(rows: Sequence[Observed]) -> ObservationSamples:
    """The columns of these rows, in their order."""
    columns = {
        "time_us": [row.time_us for row in rows],
        "face_found": [row.look.face_found for row in rows],
        "speed_mps": [row.speed_mps for row in rows],
        "belt_buckled": [UNKNOWN if row.belt_switch is None else row.belt_switch for row in rows],
        "aspect_ratio": [row.look.aspect_ratio for row in rows],
        "picture_hash": [row.look.picture_hash for row in rows],
        **{name: [row.look.signals.get(name) for row in rows] for name in MEASURED},
    }
    return ObservationSamples(**{name: np.array(columns[name], dtype) for name, dtype in OBSERVATION_DTYPES.items()})
