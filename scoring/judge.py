"""The command `rumblestrip judge`: recorded drives in, what is thought of them out, for eyes or for programs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import typer
from rich.console import Console

from infra.clock import to_datetime
from infra.contracts.events import JsonObject, SafetyEvent, Trip
from infra.contracts.telemetry import ImuFrame
from infra.drives import find_drives
from infra.runtime.summary import Units
from infra.settings import load
from scoring.core.orientation import Rotation
from scoring.core.rules import DEFAULT
from scoring.hindsight import Judged, judge_drive
from scoring.pages import show

judge_app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="markdown")

_DECLARED = {"rotation": [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], "quality": 1.0, "error_deg": 0.0}


class Format(StrEnum):
    TEXT = "text"
    JSONL = "jsonl"


@judge_app.command()
def judge(
    drives: Annotated[list[Path], typer.Argument(help="Recorded drives, or folders that hold some.")],
    format: Annotated[Format, typer.Option(help="text for reading; jsonl: one object a line.")] = Format.TEXT,
    signals: Annotated[
        Path | None, typer.Option(help="Also write what was believed of every sample to this Parquet file.")
    ] = None,
) -> None:
    """Judge recorded drives on their own: calibration, trips, events, scores. Starts nothing, keeps nothing.

    Example: rumblestrip judge infra/demo --format jsonl
    """
    settings = load()
    judged = (judge_drive(drive, DEFAULT) for drive in find_drives(drives))
    parts: list[pa.Table] = []
    console = Console()
    for one in judged:
        if format is Format.JSONL:
            for line in lines(one):
                typer.echo(orjson.dumps(line))
        else:
            show(one, Units.of(settings), console)
        if signals:
            parts.append(_signal_table(one))
    if signals:
        pq.write_table(pa.concat_tables(parts), signals, compression="zstd")


def lines(judged: Judged) -> Iterator[JsonObject]:
    """What ``--format jsonl`` prints of one drive: objects with a ``type``, times as ISO 8601 in UTC."""
    own: JsonObject = {"drive": str(judged.drive.folder), "vehicle_id": judged.drive.manifest.vehicle_id}
    for calibration in _calibrations(judged):
        yield {"type": "calibration"} | own | calibration
    for trip in judged.trips:
        yield {"type": "trip"} | own | _trip(trip)
    for event in judged.events:
        yield {"type": "event"} | own | _event(event)
    yield {"type": "score"} | own | _score(judged)
    yield {"type": "device_health"} | own | asdict(judged.health)


def _calibrations(judged: Judged) -> Iterator[JsonObject]:
    """``rotation``: rows are the vehicle's forward, left and up in the device's axes; null where it is not known."""
    frame = judged.drive.manifest.imu_frame
    start = judged.drive.manifest.start.isoformat()
    if frame is ImuFrame.VEHICLE:
        yield _DECLARED | {"source": "declared", "since": start}
        return
    for rotation in judged.rotations:
        yield _rotation(rotation, start)
    if not judged.rotations:
        why = "no accelerometer" if judged.health.imu_hz is None else "the drive does not tell"
        yield {"rotation": None, "quality": 0.0, "error_deg": None, "source": why, "since": None}


def _rotation(rotation: Rotation, start: str) -> JsonObject:
    since = start if rotation.since_us < 0 else _iso(rotation.since_us)
    return {
        "rotation": rotation.matrix.tolist(),
        "quality": round(1 / (1 + rotation.error_deg / 5), 3),
        "error_deg": round(rotation.error_deg, 2),
        "source": "learned",
        "since": since,
    }


def _trip(trip: Trip) -> JsonObject:
    row = {name: getattr(trip, name) for name in Trip.__slots__ if name not in ("start_us", "end_us", "vehicle_id")}
    return row | {"trip_id": str(trip.trip_id), "start": _iso(trip.start_us), "end": _iso(trip.end_us)}


def _event(event: SafetyEvent) -> JsonObject:
    peak = {"peak_g": event.peak} if event.peak_unit == "g" else {"peak": event.peak, "peak_unit": event.peak_unit}
    return {
        "event_id": str(event.event_id),
        "kind": str(event.kind),
        "start": _iso(event.start_us),
        "end": _iso(event.end_us),
        **peak,
        "speed_mps": event.speed_mps,
        "severity": str(event.severity),
        "confidence": event.confidence,
        "lat": event.lat,
        "lon": event.lon,
        "evidence": dict(event.evidence),
    }


def _score(judged: Judged) -> JsonObject:
    result = judged.score
    return {
        "formula": result.formula,
        "value": result.value,
        "interval": None,  # deductions do not have one
        "distance_m": result.distance_m,
        "driving_s": result.driving_s,
        "ledger": [line.dump() for line in result.lines],
    }


def _iso(time_us: int) -> str:
    return to_datetime(time_us).isoformat()


def _signal_table(judged: Judged) -> pa.Table:
    signals = judged.signals
    return pa.table(
        {
            "drive": pa.array([str(judged.drive.folder)] * len(signals.time_us), pa.string()),
            "time_us": signals.time_us,
            "accel_forward_mps2": signals.forward_mps2,
            "accel_left_mps2": signals.left_mps2,
            "accel_up_mps2": signals.up_mps2,
            "speed_mps": signals.speed_mps,
        }
    )
