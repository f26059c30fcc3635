"""The demo drives, judged: trips, events and scores as they were when a person last looked at them.

After a change that is meant: ``pytest tests/replay/test_golden_drives.py --update-golden``, then read the diff.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import orjson
import pytest

from infra.contracts.events import TripStatus
from infra.drives import Drive, find_drives
from infra.runtime.parcels import telemetry_batches
from scoring.core.exposure import BANDS, exposures_of, incidents_of
from scoring.core.formulas.account import account
from scoring.core.formulas.table import OURS
from scoring.core.formulas.tally import tally
from scoring.core.pipeline import Found, fold_batch, fold_silence
from scoring.core.rules import DEFAULT
from scoring.core.state import VehicleState

GOLDEN = Path(__file__).parent / "golden"
DEMO = Path(__file__).parents[2] / "infra" / "demo"
DRIVES = find_drives([DEMO])
TOLERANCE = {  # of a field's value: half of what a reader would notice
    "start_s": 0.01,
    "end_s": 0.01,
    "distance_m": 0.5,
    "driving_s": 0.01,
    "max_speed_mps": 0.01,
    "peak": 0.002,
    "speed_mps": 0.01,
    "value": 0.01,
    "low": 0.01,
    "high": 0.01,
}


def judge(drive: Drive, batch_s: float = 10.0) -> Found:
    state, found = VehicleState(), Found(drive.manifest.vehicle_id, DEFAULT)
    for batch in telemetry_batches(drive, "golden", 0, batch_s):
        state = fold_batch(state, batch, found)
    fold_silence(state, found)
    return found


def describe(drive: Drive, found: Found) -> list[dict[str, Any]]:
    """Trips, events and the score of a drive as flat records, times in seconds since its start."""
    start_us = int(drive.gps().time_us[0])
    trips = list({trip.trip_id: trip for trip in found.trips if trip.status is TripStatus.ENDED}.values())
    events = sorted(found.events, key=lambda event: (event.start_us, event.kind))
    over = [(t.over_light_s, t.over_moderate_s, t.over_heavy_s, t.over_severe_s) for t in trips]
    driven = tally(exposures_of(trips), incidents_of(events))
    result = OURS(driven)
    lines = account(result, driven, lambda metres: f"{metres / 1000:.1f} km")
    records: list[dict[str, Any]] = [
        {
            "record": "trip",
            "start_s": (t.start_us - start_us) / 1e6,
            "end_s": (t.end_us - start_us) / 1e6,
            "distance_m": t.distance_m,
            "driving_s": t.driving_s,
            "limit_known_s": t.limit_known_s,
            **dict(zip(BANDS, o, strict=True)),
            "max_speed_mps": t.max_speed_mps,
        }
        for t, o in zip(trips, over, strict=True)
    ]
    records += [
        {
            "record": "event",
            "kind": str(e.kind),
            "severity": str(e.severity),
            "start_s": (e.start_us - start_us) / 1e6,
            "end_s": (e.end_us - start_us) / 1e6,
            "peak": e.peak,
            "speed_mps": e.speed_mps,
            "confidence": e.confidence,
            "source": e.evidence["source"],
        }
        for e in events
    ]
    why = [f"{line.what} {line.grade}: {line.why}" for line in lines]
    ends = {"value": result.value, "low": result.low, "high": result.high}
    records.append({"record": "score", "state": str(result.state), **ends, "why": why})
    return records


def differences(before: list[dict[str, Any]], now: list[dict[str, Any]]) -> list[str]:
    """One readable line for every record that came or went, and every field that moved beyond its tolerance."""
    lines, left = [], list(now)
    for old in before:
        new = next((record for record in left if _same_thing(old, record)), None)
        if new is None:
            lines.append(f"gone: {old}")
            continue
        left.remove(new)
        lines += [f"{_name(old)}: {word} was {old[word]!r}, is {new[word]!r}" for word in old if _moved(old, new, word)]
    return lines + [f"new: {record}" for record in left]


def _same_thing(old: dict[str, Any], new: dict[str, Any]) -> bool:
    if any(old.get(word) != new.get(word) for word in ("record", "kind")):
        return False
    return abs(old.get("start_s", 0) - new.get("start_s", 0)) <= 5


def _name(record: dict[str, Any]) -> str:
    at = f" at {record['start_s']:.0f} s" if "start_s" in record else ""
    return f"{record.get('kind', record['record'])}{at}"


def _moved(old: dict[str, Any], new: dict[str, Any], word: str) -> bool:
    a, b = old[word], new.get(word)
    if isinstance(a, int | float) and isinstance(b, int | float):
        return not math.isclose(a, b, rel_tol=0, abs_tol=TOLERANCE.get(word, 0))
    return bool(a != b)


@pytest.mark.parametrize("drive", DRIVES, ids=lambda drive: drive.name)
def test_a_demo_drive_is_judged_as_before(drive: Drive, request: pytest.FixtureRequest) -> None:
    now = describe(drive, judge(drive))
    path = GOLDEN / f"{drive.name}.json"
    if request.config.getoption("--update-golden"):
        path.write_bytes(orjson.dumps(now, option=orjson.OPT_INDENT_2) + b"\n")
    found = differences(orjson.loads(path.read_bytes()), now)
    assert not found, "\n".join([f"{drive.name} is judged differently:", *found])


@pytest.mark.parametrize("drive", DRIVES, ids=lambda drive: drive.name)
@pytest.mark.parametrize("batch_s", [1.0, 7.3, 600.0])
def test_the_size_of_batches_does_not_matter(drive: Drive, batch_s: float) -> None:
    assert not differences(describe(drive, judge(drive)), describe(drive, judge(drive, batch_s)))


def test_there_are_drives() -> None:
    assert len(DRIVES) >= 3


def test_a_difference_reads_well() -> None:
    old = [{"record": "event", "kind": "harsh_turn", "start_s": 41.0, "peak": 0.41}, {"record": "score", "value": 98.0}]
    new = [{"record": "event", "kind": "harsh_turn", "start_s": 41.0, "peak": 0.43}, {"record": "score", "value": 98.0}]
    assert differences(old, new) == ["harsh_turn at 41 s: peak was 0.41, is 0.43"]
    assert differences(old, old[1:]) == [f"gone: {old[0]}"]
    assert differences(old[1:], old) == [f"new: {old[0]}"]
