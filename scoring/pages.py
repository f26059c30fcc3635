"""What `rumblestrip judge` prints for people: one short page a drive."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from infra.clock import to_datetime
from infra.contracts.events import SafetyEvent, Severity
from infra.runtime.summary import Units
from scoring.calibrations import mounting_words, remarks
from scoring.core.formulas.account import OVER, PEERS_WORD, Line, account
from scoring.core.formulas.expected_risk import LEAST_DISTANCE_M
from scoring.core.formulas.port import State
from scoring.core.rules import SECOND_US
from scoring.hindsight import Judged, Roads, Scored

_COLOURS = {Severity.LOW: "cyan", Severity.MODERATE: "yellow", Severity.HIGH: "red", Severity.CRITICAL: "bold red"}


def show(judged: Judged, units: Units, console: Console) -> None:
    """Print one drive: what was driven, the score and what it lost, the events, and how far the device is trusted."""
    manifest = judged.drive.manifest
    console.rule(Text(f"{judged.drive.name}  {manifest.vehicle_name or manifest.vehicle_id}"), align="left")
    console.print(_driven(judged, units))
    console.print(_score(judged.score, units))
    for line in account(judged.score.result, judged.score.driven, units.distance):
        console.print(f"  {line.points:+6.1f}  {_name(line)}. {line.why}", style="dim")
    if judged.events:
        console.print(_events(judged, units))
    console.print(_device(judged), style="dim")
    if judged.roads is not None:
        console.print(_roads(judged.roads), style="dim")
    for remark in remarks(judged):
        console.print(f"  {remark}", style="dim")
    console.print()


def show_drivers(scores: Sequence[Scored], units: Units, console: Console) -> None:
    """One line a driver, over all drives."""
    for scored in scores:
        driven = f"Driver {scored.name}, {units.distance(scored.driven.distance_m)} in all. "
        console.print(Text(driven).append_text(_score(scored, units)))


def _driven(judged: Judged, units: Units) -> str:
    if not judged.trips:
        return "Nothing was driven."
    first, last = judged.trips[0], judged.trips[-1]
    distance_m = sum(trip.distance_m for trip in judged.trips)
    minutes = sum(trip.driving_s for trip in judged.trips) / 60
    count = f"{len(judged.trips)} trips" if len(judged.trips) > 1 else "1 trip"
    span = f"{units.time(to_datetime(first.start_us))} to {units.time(to_datetime(last.end_us))}"
    return f"{count}, {units.distance(distance_m)} in {minutes:.0f} min of driving, {span}"


def _score(scored: Scored, units: Units) -> Text:
    result = scored.result
    if result.value is None or result.low is None or result.high is None:
        return Text("Score: none")
    colour = "green" if result.value >= 90 else "yellow" if result.value >= 75 else "red"
    figure = Text.assemble("Score ", (f"{result.value:.0f}", f"bold {colour}"), " of 100")
    figure.append(f", with 90 % certainty between {result.low:.0f} and {result.high:.0f}")
    if result.state is State.TOO_LITTLE_DRIVING:
        figure.append(f"; too little driving yet: it means something from {units.distance(LEAST_DISTANCE_M)} on")
    return figure


def _name(line: Line) -> str:
    if line.what == PEERS_WORD:
        return "Not known yet"
    words = "speeding" if line.what == OVER else line.what.replace("_", " ")
    return f"{words}, {line.grade}".capitalize()


def _events(judged: Judged, units: Units) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("at", "event", "severity", "peak", "speed", "seconds", "seen by"):
        table.add_column(name, justify="right" if name in ("peak", "speed", "seconds") else "left")
    for event in judged.events:
        table.add_row(*_row(event, units), style=_COLOURS[event.severity])
    return table


def _row(event: SafetyEvent, units: Units) -> tuple[str, ...]:
    direction = event.evidence.get("direction")
    name = str(event.kind).replace("_", " ") + (f" {direction}" if direction else "")
    at = f"{to_datetime(event.start_us).astimezone(units.zone):%H:%M:%S}"
    seconds = f"{(event.end_us - event.start_us) / SECOND_US:.1f}"
    source = str(event.evidence.get("source", ""))
    return at, name, str(event.severity), _peak(event, units), units.speed(event.speed_mps), seconds, source


def _peak(event: SafetyEvent, units: Units) -> str:
    """Speeds are those above what is allowed."""
    match event.peak_unit:
        case "m/s":
            return f"+{units.speed(event.peak)}"
        case "s":
            return f"{event.peak / 60:.0f} min"
        case "deg":
            return f"{event.peak:.0f}°"
        case unit:
            return f"{event.peak:.2f} {unit}"


def _roads(roads: Roads) -> str:
    told = f", told by the device for {roads.told_share:.0%}" if roads.told_share else ""
    found = f"on a known road for {roads.matched_share:.0%} of the fixes, its limit known for {roads.limit_share:.0%}"
    return f"Roads: {found}{told}. {roads.attribution}"


def _device(judged: Judged) -> str:
    health = judged.health
    parts = [f"GPS {health.gps_hz:g} Hz" if health.gps_hz else "no GPS"]
    parts.append(f"accelerometer {health.imu_hz:g} Hz" if health.imu_hz else "no accelerometer")
    mounting = mounting_words(judged)
    parts += [mounting] if mounting else []
    gaps = health.gps_gaps + health.imu_gaps
    parts += [f"{gaps} gap{'s' * (gaps > 1)}"] if gaps else []
    faults = health.imu_not_a_number + health.imu_wild + health.imu_stuck
    parts += [f"{faults:,} samples stuck or impossible"] if faults else []
    parts += [f"GPS speed dead for {health.gps_dead_s:,.0f} s"] if health.gps_dead_s else []
    return "Device: " + ", ".join(parts)
