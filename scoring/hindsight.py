"""Judges a recorded drive whole: no service, no database, and with the mounting known from its first sample."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from infra.contracts.events import ReviewState, SafetyEvent, Trip, TripStatus
from infra.contracts.telemetry import Float64, GpsSamples, ImuFrame, ImuSamples, Int64, TelemetryBatch, take
from infra.drives import Drive
from scoring.core import orientation, samples
from scoring.core.health import Health, examine
from scoring.core.orientation import Mounting, Rotation
from scoring.core.pipeline import Found, fold_batch, fold_silence
from scoring.core.rules import SECOND_US, Rules
from scoring.core.samples import ACCEL_LSB_MPS2, MISSING
from scoring.core.score import BANDS, Exposure, Incident, Score, score
from scoring.core.state import VehicleState

BATCH_US = 10 * SECOND_US
_ALWAYS_US = -(2**62)


@dataclass(frozen=True, slots=True, eq=False)
class Signals:
    """What was believed of each IMU sample: m/s2 in the vehicle's axes, NaN where not known; GPS speed between."""

    time_us: Int64
    forward_mps2: Float64
    left_mps2: Float64
    up_mps2: Float64
    speed_mps: Float64


@dataclass(frozen=True, slots=True)
class Judged:
    """Everything about one drive. ``rotations``: those in force, each from its ``since_us``; empty where unknown."""

    drive: Drive
    rules: Rules
    trips: Sequence[Trip]
    events: Sequence[SafetyEvent]
    score: Score
    rotations: Sequence[Rotation]
    health: Health
    signals: Signals = field(repr=False)


def judge_drive(drive: Drive, rules: Rules) -> Judged:
    """Judge a recorded drive.

    Raises:
        DriveError: its files cannot be read.
    """
    gps, imu = drive.gps(strict=False), drive.imu(strict=False)
    batches = list(_batches(drive, gps, imu))
    rotations: list[Rotation] = []
    if drive.manifest.imu_frame is not ImuFrame.VEHICLE:
        rotations = _run(batches, VehicleState(), rules)[1]
    start = _known_from_the_start(drive, rotations)
    found, rotations = _run(batches, start, rules)
    trips = _ended(found.trips)
    events = sorted(found.events, key=lambda event: (event.start_us, event.kind))
    in_frame = drive.manifest.imu_frame is ImuFrame.VEHICLE
    return Judged(
        drive=drive,
        rules=rules,
        trips=trips,
        events=events,
        score=_score(trips, events),
        rotations=rotations,
        health=examine(gps, imu, found.counts),
        signals=_signals(gps, imu, rotations, in_frame),
    )


def _batches(drive: Drive, gps: GpsSamples, imu: ImuSamples) -> Iterator[TelemetryBatch]:
    manifest = drive.manifest
    time_us = np.concatenate([gps.time_us, imu.time_us])
    for number, window in enumerate(np.unique(time_us // BATCH_US).tolist()):
        bounds = [window * BATCH_US, (window + 1) * BATCH_US]
        yield TelemetryBatch(
            vehicle_id=manifest.vehicle_id,
            device_id=manifest.device_id,
            boot_id="file",
            sequence=number,
            driver_id=manifest.driver_id,
            vehicle_class=manifest.vehicle_class,
            imu_frame=manifest.imu_frame,
            received_us=0,
            gps=take(gps, slice(*np.searchsorted(gps.time_us, bounds))),
            imu=take(imu, slice(*np.searchsorted(imu.time_us, bounds))),
        )


def _run(batches: Sequence[TelemetryBatch], state: VehicleState, rules: Rules) -> tuple[Found, list[Rotation]]:
    """What is found from a state on, and the rotations that were in force."""
    found = Found(batches[0].vehicle_id if batches else "", rules)
    rotations: list[Rotation] = []
    for batch in batches:
        state = fold_batch(state, batch, found)
        current = state.mounting.current if state.mounting else None
        if current is not None and current not in rotations:
            rotations.append(current)
    fold_silence(state, found)
    return found, rotations


def _known_from_the_start(drive: Drive, rotations: Sequence[Rotation]) -> VehicleState:
    """A file can be read twice: what its first minutes teach holds for these minutes too."""
    if not rotations:
        return VehicleState()
    known = replace(rotations[0], since_us=_ALWAYS_US)
    return VehicleState(imu_device=drive.manifest.device_id, mounting=Mounting(current=known))


def _ended(rows: Sequence[Trip]) -> list[Trip]:
    last = {trip.trip_id: trip for trip in rows if trip.status is TripStatus.ENDED}
    return sorted(last.values(), key=lambda trip: trip.start_us)


def _score(trips: Sequence[Trip], events: Sequence[SafetyEvent]) -> Score:
    exposures = [
        Exposure(
            str(trip.trip_id),
            trip.vehicle_id,
            trip.start_us,
            trip.end_us,
            trip.distance_m,
            trip.driving_s,
            trip.limit_known_s,
            tuple(getattr(trip, f"over_{band}_s") for band in BANDS),
        )
        for trip in trips
    ]
    incidents = [Incident(e.vehicle_id, e.start_us, e.kind, e.severity, ReviewState.NEEDS_REVIEW) for e in events]
    return score(exposures, incidents)


def _signals(gps: GpsSamples, imu: ImuSamples, rotations: Sequence[Rotation], in_frame: bool) -> Signals:
    ring, _ = samples.quantise(imu, _ALWAYS_US)
    counts = ring.counts
    if not in_frame:
        counts = np.full_like(ring.counts, MISSING)
        for number, rotation in enumerate(rotations):
            until_us = rotations[number + 1].since_us if number + 1 < len(rotations) else np.iinfo(np.int64).max
            part = orientation.rotated(Mounting(current=rotation), ring).counts
            inside = (ring.time_us >= rotation.since_us) & (ring.time_us < until_us)
            counts[:, inside] = part[:, inside]
    values = np.where(counts[:3] == MISSING, np.nan, counts[:3] * ACCEL_LSB_MPS2)
    known = np.isfinite(gps.speed_mps)
    speed = np.full(len(ring), np.nan)
    if known.any():
        speed = np.interp(ring.time_us, gps.time_us[known], gps.speed_mps[known], left=np.nan, right=np.nan)
    return Signals(ring.time_us, values[0], values[1], values[2], speed)
