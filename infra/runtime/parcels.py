"""A drive as the parcels that a device sends: telemetry of 10 s each, and stills."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import orjson

from infra.clock import SECOND_US
from infra.contracts.frames import Frame
from infra.contracts.observations import ObservationSamples
from infra.contracts.telemetry import UNKNOWN, GpsSamples, ImuSamples, Int64, TelemetryBatch, concat, empty_imu, take
from infra.drives import Drive, DriveFrame

BATCH_S = 10.0
FRAMES_A_PARCEL = 20


def telemetry_batches(drive: Drive, boot_id: str, shift_us: int, batch_s: float = BATCH_S) -> list[TelemetryBatch]:
    """The drive's samples, moved in time, in batches that count up from 0. A window without samples is no batch."""
    gps, imu = _moved(ending(drive.gps()), shift_us), _moved(drive.imu(), shift_us)
    cut_us = int(batch_s * SECOND_US)
    starts_us = window_starts(gps, imu, cut_us)
    parts = zip(_slices(gps.time_us, starts_us, cut_us), _slices(imu.time_us, starts_us, cut_us), strict=True)
    return [
        _batch(drive, boot_id, sequence, take(gps, gps_part), take(imu, imu_part))
        for sequence, (gps_part, imu_part) in enumerate(parts)
    ]


def window_starts(gps: GpsSamples, imu: ImuSamples, cut_us: int) -> Int64:
    """When each batch begins, in microseconds: every ``cut_us`` from the first sample, where there are samples."""
    first_us = int(min(gps.time_us[0], imu.time_us[0] if len(imu) else gps.time_us[0]))
    windows = np.union1d((gps.time_us - first_us) // cut_us, (imu.time_us - first_us) // cut_us)
    starts: Int64 = first_us + windows * cut_us
    return starts


def ending(gps: GpsSamples) -> GpsSamples:
    """The samples, and one more a second later that says ignition off, as a device reports it when the key turns.

    A recording stops without a word; this lets the trip end at once. Its speed is unknown: the drive may have been
    cut while it moved. A drive that ends with ignition off is left as it is.
    """
    if not len(gps) or gps.ignition[-1] == 0:
        return gps
    nan = np.array([np.nan], np.float32)
    last = replace(
        take(gps, slice(-1, None)),
        time_us=gps.time_us[-1:] + SECOND_US,
        speed_mps=nan,
        heading_deg=nan,
        ignition=np.zeros(1, np.int8),
    )
    return concat([gps, last])


def frame_parcels(drive: Drive) -> list[list[DriveFrame]]:
    """The index of the drive's frames, in parcels."""
    index = drive.frame_index()
    return [index[i : i + FRAMES_A_PARCEL] for i in range(0, len(index), FRAMES_A_PARCEL)]


def frames_with_speed(
    drive: Drive, parcel: Iterable[DriveFrame], gps: GpsSamples, boot_id: str, shift_us: int
) -> Iterator[Frame]:
    """Frames as messages; ``parcel`` carries the pictures. The speed is the GPS's, between its samples, the belt
    switch that of the sample before."""
    known = ~np.isnan(gps.speed_mps)
    known_us, known_mps = gps.time_us[known], gps.speed_mps[known]
    for frame in parcel:
        speed = float(np.interp(frame.time_us, known_us, known_mps)) if len(known_us) else None
        yield Frame(
            vehicle_id=drive.manifest.vehicle_id,
            device_id=drive.manifest.device_id,
            boot_id=boot_id,
            sequence=frame.sequence,
            driver_id=drive.manifest.driver_id,
            camera=frame.camera,
            time_us=frame.time_us + shift_us,
            speed_mps=speed,
            received_us=0,
            jpeg=frame.jpeg,
            belt_switch=_belt_switch(gps, frame.time_us),
        )


def _belt_switch(gps: GpsSamples, time_us: int) -> bool | None:
    before = int(np.searchsorted(gps.time_us, time_us, "right")) - 1
    said = int(gps.belt_buckled[before]) if before >= 0 else UNKNOWN
    return None if said == UNKNOWN else bool(said)


def telemetry_json(batch: TelemetryBatch) -> bytes:
    """The batch in the gateway's JSON form."""
    streams = {
        name: json_columns(samples) for name, samples in (("gps", batch.gps), ("imu", batch.imu)) if len(samples)
    }
    head: dict[str, Any] = {"boot_id": batch.boot_id, "sequence": batch.sequence, "imu_frame": str(batch.imu_frame)}
    return orjson.dumps(head | ({"driver_id": batch.driver_id} if batch.driver_id else {}) | streams)


def frames_form(frames: Sequence[Frame]) -> list[tuple[str, tuple[str | None, bytes, str]]]:
    """Frames as the parts of the gateway's form: ``meta``, a JSON list, and ``files`` in its order."""
    meta = orjson.dumps([_frame_meta(frame) for frame in frames])
    files = [("files", (f"{f.sequence}.jpg", f.jpeg, "image/jpeg")) for f in frames]
    return [("meta", (None, meta, "application/json")), *files]


def _frame_meta(frame: Frame) -> dict[str, Any]:
    return {
        "boot_id": frame.boot_id,
        "sequence": frame.sequence,
        "driver_id": frame.driver_id,
        "camera": str(frame.camera),
        "time_ms": frame.time_us / 1000,
        "speed_mps": frame.speed_mps,
        "belt_buckled": frame.belt_switch,
    }


def json_columns(samples: GpsSamples | ImuSamples | ObservationSamples) -> dict[str, list[Any]]:
    """Columns in which something is known; NaN and unknown as null."""
    columns: dict[str, list[Any]] = {"time_ms": (samples.time_us / 1000).tolist()}
    for name in samples.__dataclass_fields__:
        values = getattr(samples, name)
        unknown = values < 0 if values.dtype.kind == "i" else np.isnan(values)
        if name != "time_us" and not unknown.all():
            listed = values.astype(object)
            listed[unknown] = None
            columns[name] = listed.tolist()
    return columns


def _batch(drive: Drive, boot_id: str, sequence: int, gps: GpsSamples, imu: ImuSamples) -> TelemetryBatch:
    return TelemetryBatch(
        vehicle_id=drive.manifest.vehicle_id,
        device_id=drive.manifest.device_id,
        boot_id=boot_id,
        sequence=sequence,
        driver_id=drive.manifest.driver_id,
        vehicle_class=drive.manifest.vehicle_class,
        imu_frame=drive.manifest.imu_frame,
        received_us=0,
        gps=gps,
        imu=imu if len(imu) else empty_imu(),
    )


def _moved(samples: Any, shift_us: int) -> Any:
    return replace(samples, time_us=samples.time_us + shift_us)


def _slices(time_us: Any, starts_us: Any, cut_us: int) -> list[slice]:
    low, high = np.searchsorted(time_us, starts_us), np.searchsorted(time_us, starts_us + cut_us)
    return [slice(int(a), int(b)) for a, b in zip(low, high, strict=True)]
