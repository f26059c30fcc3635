"""From what a device sent to the batch that travels: sentinels made unknown, rows checked, refusals added. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from infra.contracts.telemetry import GpsSamples, ImuFrame, ImuSamples, empty_gps, empty_imu
from ingest.core import units, validate
from ingest.core.validate import Refusal, TimeWindow


@dataclass(frozen=True, slots=True)
class Fault:
    """What makes a whole stream, and with it the batch, unusable: a mistake in the integration, not in a row."""

    stream: str
    column: str
    reason: str
    hint: str
    rows: int


@dataclass(frozen=True, slots=True)
class RawBatch:
    """A batch as it came in: typed columns, unchecked. A stream with a fault is empty here."""

    boot_id: str
    sequence: int
    driver_id: str | None
    imu_frame: ImuFrame
    gps: GpsSamples = field(default_factory=empty_gps)
    imu: ImuSamples = field(default_factory=empty_imu)
    faults: Sequence[Fault] = ()

    @property
    def rows(self) -> int:
        return len(self.gps) + len(self.imu) + sum(f.rows for f in self.faults)


@dataclass(frozen=True, slots=True)
class Judged:
    """What is taken of a batch, what is not, and the fault if it is refused as a whole."""

    gps: GpsSamples
    imu: ImuSamples
    refused: Sequence[Refusal] = ()
    reordered: int = 0
    fault: Fault | None = None

    @property
    def rows(self) -> int:
        return len(self.gps) + len(self.imu)


def judge(raw: RawBatch, window: TimeWindow) -> Judged:
    """Check every row. A fault in one column refuses the batch: half a batch whose sender misreads the format
    is not worth having, and an error is noticed where a warning is not."""
    fault = next(iter(raw.faults), None) or _mistimed(raw) or _swapped(raw.gps)
    if fault:
        return _refuse(raw, fault)
    gps = validate.check_gps(_normalise_gps(raw.gps), window)
    imu = validate.check_imu(raw.imu, window)
    fault = _suspected(gps.samples, imu.samples)
    if fault:
        return _refuse(raw, fault)
    return Judged(gps.samples, imu.samples, gps.refused + imu.refused, gps.reordered + imu.reordered)


def _mistimed(raw: RawBatch) -> Fault | None:
    for stream, samples in (("gps", raw.gps), ("imu", raw.imu)):
        if found := units.suspect_times(samples.time_us):
            return Fault(stream, found.column, validate.UNITS_SUSPECTED, found.hint, len(samples))
    return None


def _swapped(gps: GpsSamples) -> Fault | None:
    found = units.suspect_swapped(gps.lat, gps.lon)
    return Fault("gps", found.column, validate.UNITS_SUSPECTED, found.hint, len(gps)) if found else None


def _suspected(gps: GpsSamples, imu: ImuSamples) -> Fault | None:
    if found := units.suspect_gps(gps):
        return Fault("gps", found.column, validate.UNITS_SUSPECTED, found.hint, len(gps))
    if found := units.suspect_imu(imu):
        return Fault("imu", found.column, validate.UNITS_SUSPECTED, found.hint, len(imu))
    return None


def _refuse(raw: RawBatch, fault: Fault) -> Judged:
    refused = [
        Refusal(f.stream, f.reason, f.rows, 0, f"{f.column}: {f.hint}"[: validate.EXAMPLE_CHARACTERS])
        for f in (raw.faults or [fault])
    ]
    told = {r.stream for r in refused}
    for stream, samples in (("gps", raw.gps), ("imu", raw.imu)):
        if len(samples) and stream in told:
            refused = [replace(r, rows=len(samples)) if r.stream == stream else r for r in refused]
        elif len(samples):
            refused.append(Refusal(stream, validate.BATCH_REFUSED, len(samples), 0, validate.example_of(samples, 0)))
    return Judged(empty_gps(), empty_imu(), tuple(refused), fault=fault)


def _normalise_gps(gps: GpsSamples) -> GpsSamples:
    """Speed, heading and accuracy of -1 mean "not known" to phones (CLLocation); a limit of 0 is none; 360° is 0°."""
    if not len(gps):
        return gps
    return replace(
        gps,
        speed_mps=_unknown(gps.speed_mps, gps.speed_mps == -1),
        heading_deg=_unknown(np.where(gps.heading_deg == 360, np.float32(0), gps.heading_deg), gps.heading_deg == -1),
        accuracy_m=_unknown(gps.accuracy_m, gps.accuracy_m == -1),
        speed_limit_mps=_unknown(gps.speed_limit_mps, gps.speed_limit_mps <= 0),
    )


def _unknown(values: npt.NDArray[np.float32], where: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    return np.where(where, np.float32(np.nan), values) if where.any() else values
