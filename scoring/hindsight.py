"""Judges a recorded drive whole: no service, no database, and with what the whole drive tells of its device."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from infra.contracts.events import SafetyEvent, Trip, TripStatus
from infra.contracts.telemetry import Float64, GpsSamples, ImuSamples, Int64, TelemetryBatch, take
from infra.drives import Drive
from scoring.core import roads, samples
from scoring.core.believed import Believed, How, believe
from scoring.core.exposure import exposures_of, incidents_of
from scoring.core.formulas.port import Result
from scoring.core.formulas.table import OURS
from scoring.core.formulas.tally import Tally, tally
from scoring.core.gps_motion import motion_of, without_held
from scoring.core.health import Health, examine
from scoring.core.orientation import KnownAxes
from scoring.core.pipeline import Found, fold_batch, fold_silence
from scoring.core.roads import Matched
from scoring.core.rules import SECOND_US, Rules
from scoring.core.samples import ACCEL_LSB_MPS2, MISSING, ImuRing
from scoring.core.state import VehicleState

BATCH_US = 10 * SECOND_US
_ALWAYS_US = -(2**62)
_LEAST_LAG_S = 0.25  # less is not known so well
_UNSURE_DEG = 10.0  # of axes that are declared to be the compass's, and that GPS could not confirm
_RESTORED_CONFIDENCE = 0.6
_FELT = ("accelerometer", "accelerometer and gyroscope")  # a rollover asks a loose device for an impact itself


@dataclass(frozen=True, slots=True, eq=False)
class Signals:
    """What was believed of each IMU sample: m/s2 in the vehicle's axes, NaN where not known; GPS speed between."""

    time_us: Int64
    forward_mps2: Float64
    left_mps2: Float64
    up_mps2: Float64
    speed_mps: Float64


NO_SIGNALS = Signals(np.zeros(0, np.int64), *(np.zeros(0) for _ in range(4)))


@dataclass(frozen=True, slots=True)
class Scored:
    """A score with what it is of: ``of`` is trip, drive or driver."""

    of: str
    name: str
    driven: Tally
    result: Result


Match = Callable[[GpsSamples], Matched]
"""Of fixes in order of time, their roads."""


@dataclass(frozen=True, slots=True)
class Roads:
    """How far a drive was matched: shares of its fixes that lie on a road surely enough, whose limit is known so, and
    whose limit its device had told."""

    matched_share: float
    limit_share: float
    told_share: float
    attribution: str = roads.ATTRIBUTION


@dataclass(frozen=True, slots=True)
class Judged:
    """Everything about one drive. ``gps_held``: rows that only repeated a fix."""

    drive: Drive
    rules: Rules
    trips: Sequence[Trip]
    events: Sequence[SafetyEvent]
    believed: Believed = field(repr=False)
    gps_held: int
    health: Health
    signals: Signals = field(repr=False)
    roads: Roads | None = None

    @property
    def score(self) -> Scored:
        """Of the whole drive."""
        return _scored("drive", str(self.drive.folder), self.trips, self.events)

    @property
    def trip_scores(self) -> list[Scored]:
        return [_scored("trip", str(trip.trip_id), [trip], self.events) for trip in self.trips]


def score_drivers(judged: Sequence[Judged]) -> list[Scored]:
    """One score for every driver that the drives name, over all of them."""
    named: dict[str, list[Judged]] = {}
    for one in judged:
        if one.drive.manifest.driver_id is not None:
            named.setdefault(one.drive.manifest.driver_id, []).append(one)
    return [
        _scored("driver", driver, [t for one in mine for t in one.trips], [e for one in mine for e in one.events])
        for driver, mine in sorted(named.items())
    ]


def judge_drive(drive: Drive, rules: Rules, match: Match | None = None) -> Judged:
    """Judge a recorded drive.

    Args:
        match: finds the roads, where the drive's own posted limits are to be filled up.

    Raises:
        DriveError: its files cannot be read.
    """
    recorded, imu = drive.gps(strict=False), drive.imu(strict=False)
    gps, held = without_held(recorded)
    believed = believe(gps, imu, drive.manifest.imu_frame)
    gps = told = _on_time(gps, believed)
    matched = match(gps) if match is not None else None
    if matched is not None:
        gps = roads.filled(told, matched)
    ring, _ = samples.quantise(believed.imu, _ALWAYS_US)
    found = _run(list(_batches(drive, gps, imu)), _axes(ring, believed), drive, rules)
    events = [_explained(event, believed) for event in found.events if not _by_hand(event, believed)]
    if matched is not None:
        events = [roads.attributed(event, told, matched) for event in events]
    found.counts["event_by_hand"] += len(found.events) - len(events)
    return Judged(
        drive=drive,
        rules=rules,
        trips=_ended(found.trips),
        events=sorted(events, key=lambda event: (event.start_us, event.kind)),
        believed=believed,
        gps_held=held,
        health=examine(gps, imu, +found.counts),
        signals=_signals(gps, ring),
        roads=_roads(told, matched),
    )


def _roads(told: GpsSamples, matched: Matched | None) -> Roads | None:
    if matched is None or not len(told):
        return None
    sure = matched.confidence >= roads.LEAST_CONFIDENCE
    shares = (sure.mean(), matched.believed.mean(), (~roads.missing(told)).mean())
    on_road, known, own = (round(float(share), 3) for share in shares)
    return Roads(on_road, known, own)


def _on_time(gps: GpsSamples, believed: Believed) -> GpsSamples:
    """Fixes at the time they are of, where the drive tells how late they came."""
    lag_s = believed.lag_s or 0.0
    if abs(lag_s) < _LEAST_LAG_S:
        return gps
    return replace(gps, time_us=gps.time_us - round(lag_s * SECOND_US))


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


def _axes(ring: ImuRing, believed: Believed) -> KnownAxes:
    known = None if believed.how is How.DECLARED else believed.error_deg or _UNSURE_DEG
    return KnownAxes(ring, known)


def _run(batches: Sequence[TelemetryBatch], axes: KnownAxes, drive: Drive, rules: Rules) -> Found:
    state, found = VehicleState(), Found(drive.manifest.vehicle_id, rules, axes=axes)
    for batch in batches:
        state = fold_batch(state, batch, found)
    fold_silence(state, found)
    return found


def _by_hand(event: SafetyEvent, believed: Believed) -> bool:
    """Felt while the device was handled, and the vehicle drove on: a crash that stops it throws the device too."""
    if event.evidence.get("source") not in _FELT or event.evidence.get("stopped"):
        return False
    return any(start <= event.start_us and event.end_us <= end for start, end in believed.handled)


def _explained(event: SafetyEvent, believed: Believed) -> SafetyEvent:
    """With how far its evidence rests on what was made of the device's signal."""
    source, evidence = event.evidence.get("source"), dict(event.evidence)
    if source == "gps" and evidence.get("accelerometer") == "mounting not known":
        held = any(start <= event.end_us and event.start_us <= end for start, end in believed.handled)
        evidence["accelerometer"] = "device in a hand" if held else "mounting not known"
    if source not in _FELT or believed.how is How.UNKNOWN:
        return replace(event, evidence=evidence)
    evidence["mounting"] = str(believed.how)
    span = believed.span_at(event.start_us)
    if span is not None and span.fitted is not None:
        evidence["mounting_error_deg"] = round(span.fitted.error_deg, 1)
    confidence = event.confidence
    if believed.high_pass_s is not None:
        evidence["restored"] = f"the device filters what lasts longer than {believed.high_pass_s:g} s: from GPS"
        confidence = min(confidence, _RESTORED_CONFIDENCE)
    return replace(event, evidence=evidence, confidence=confidence)


def _ended(rows: Sequence[Trip]) -> list[Trip]:
    last = {trip.trip_id: trip for trip in rows if trip.status is TripStatus.ENDED}
    return sorted(last.values(), key=lambda trip: trip.start_us)


def _scored(of: str, name: str, trips: Sequence[Trip], events: Sequence[SafetyEvent]) -> Scored:
    driven = tally(exposures_of(trips), incidents_of(events))
    return Scored(of, name, driven, OURS(driven))


def _signals(gps: GpsSamples, ring: ImuRing) -> Signals:
    values = np.where(ring.counts[:3] == MISSING, np.nan, ring.counts[:3] * ACCEL_LSB_MPS2)
    motion = motion_of(gps)
    speed = np.full(len(ring), np.nan)
    if len(motion.time_us):
        speed = np.where(motion.known(ring.time_us), motion.speed(ring.time_us), np.nan)
    return Signals(ring.time_us, values[0], values[1], values[2], speed)
