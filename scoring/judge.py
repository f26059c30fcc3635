"""The command `rumblestrip judge`: recorded drives in, what is thought of them out, for eyes or for programs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
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
from infra.drives import Drive, DriveError, find_drives
from infra.runtime.summary import Units
from infra.settings import load
from scoring.calibrations import calibrations
from scoring.core.rules import DEFAULT
from scoring.hindsight import NO_SIGNALS, Judged, Match, Scored, judge_drive, score_drivers
from scoring.pages import show, show_drivers

judge_app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="markdown")


class Format(StrEnum):
    TEXT = "text"
    JSONL = "jsonl"


class Sensitivity(StrEnum):
    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"


@judge_app.command()
def judge(
    drives: Annotated[list[Path], typer.Argument(help="Recorded drives, or folders that hold some.")],
    format: Annotated[Format, typer.Option(help="text for reading; jsonl: one object a line.")] = Format.TEXT,
    signals: Annotated[
        Path | None, typer.Option(help="Also write what was believed of every sample to this Parquet file.")
    ] = None,
    sensitivity: Annotated[
        Sensitivity | None,
        typer.Option(
            help="Of harsh driving, near crashes, crashes, swerves and rollovers. Without it, as the services judge: "
            "harsh by Geotab's table, near crashes at low, the others at normal."
        ),
    ] = None,
    roads: Annotated[
        Path | None, typer.Option(help="Road tiles, for posted limits that a drive does not have itself.")
    ] = None,
) -> None:
    """Judge recorded drives on their own: calibration, trips, events, scores. Starts nothing, keeps nothing.

    A drive that cannot be read is named on stderr, the others are judged, and the exit code is 2.

    Example: rumblestrip judge infra/demo --format jsonl
    """
    settings = load()
    match = _match(roads)
    rules = DEFAULT.at(sensitivity) if sensitivity else DEFAULT
    judged: list[Judged] = []
    parts: list[pa.Table] = []
    units, console = Units.of(settings), Console()
    unread = 0
    for drive in find_drives(drives):
        try:
            one = judge_drive(drive, rules, match)
        except DriveError as error:
            unread += 1
            _complain(drive, error, format)
            continue
        if format is Format.JSONL:
            _print(lines(one))
        else:
            show(one, units, console)
        if signals:
            parts.append(_signal_table(one))
        judged.append(replace(one, signals=NO_SIGNALS))  # the longest part, and no longer needed
    if format is Format.JSONL:
        _print({"type": "score"} | _score(scored) for scored in score_drivers(judged))
    elif len(judged) > 1:
        show_drivers(score_drivers(judged), units, console)
    if parts and signals:
        pq.write_table(pa.concat_tables(parts), signals, compression="zstd")
    if unread:
        raise typer.Exit(2)


def _complain(drive: Drive, error: DriveError, format: Format) -> None:
    """A drive that cannot be read does not keep the others from being judged."""
    if format is Format.JSONL:
        _print([{"type": "error", "drive": str(drive.folder), "error": str(error)}])
    typer.echo(f"error: {error}", err=True)


def _match(tiles: Path | None) -> Match | None:
    """Valhalla is only imported where roads are asked for."""
    if tiles is None:
        return None
    from scoring.roads.matcher import Matcher
    from scoring.roads.tiles import RoadsError

    try:
        return Matcher(tiles).match
    except RoadsError as error:
        raise typer.BadParameter(str(error), param_hint="--roads") from error


def lines(judged: Judged) -> Iterator[JsonObject]:
    """What ``--format jsonl`` prints of one drive: objects with a ``type``, times as ISO 8601 in UTC."""
    own: JsonObject = {"drive": str(judged.drive.folder), "vehicle_id": judged.drive.manifest.vehicle_id}
    for calibration in calibrations(judged):
        yield {"type": "calibration"} | own | calibration
    for trip in judged.trips:
        yield {"type": "trip"} | own | _trip(trip)
    for event in judged.events:
        yield {"type": "event"} | own | _event(event)
    for scored in (judged.score, *judged.trip_scores):
        yield {"type": "score"} | own | _score(scored)
    if judged.roads is not None:
        yield {"type": "roads"} | own | asdict(judged.roads)
    yield {"type": "device_health"} | own | asdict(judged.health) | _device(judged)


def _device(judged: Judged) -> JsonObject:
    handled = [[_iso(start), _iso(end)] for start, end in judged.believed.handled]
    known: JsonObject = {"gps_held": judged.gps_held, "gps_lag_s": judged.believed.lag_s, "handled": handled}
    return known | {"not_judged": judged.health.not_judged}


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


def _score(scored: Scored) -> JsonObject:
    """``value`` is ``100 x scale / (scale + sum of the ledger's rates)``; ``interval`` holds it with 90 %."""
    result, driven = scored.result, scored.driven
    return {
        "of": scored.of,
        "id": scored.name,
        "formula": result.formula,
        "value": result.value,
        "interval": None if result.low is None else [result.low, result.high],
        "state": str(result.state),
        "distance_m": driven.distance_m,
        "driving_s": driven.driving_s,
        "scale": result.scale,
        "ledger": [term.dump() for term in result.terms],
    }


def _print(objects: Iterable[JsonObject]) -> None:
    for line in objects:
        typer.echo(orjson.dumps(line))


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
