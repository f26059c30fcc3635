"""Clips through the rules in time: which events they bring, and which of them while nobody was drowsy."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from vision.looking import Eyes
from vision.sources import Shot, read_picture
from vision.videos import open_video
from vision.watching import Happened, watch_in_time

ACTED_FPS = 2.0  # of the publisher's clip, by its file numbers
ASLEEP = frozenset({"microsleep", "sleep", "unresponsive"})


def measure_clips(eyes: Eyes, data: Path) -> dict[str, object]:
    """Events by clip; false microsleeps on what is awake; hours of it."""
    events: dict[str, list[str]] = {}
    awake_s, false_sleeps, false_others = 0.0, 0, Counter[str]()
    for path in sorted((data / "video").glob("yawdd_*.avi")):
        source = open_video(str(path), None)
        found = list(_events(source.shots(), eyes))
        events[path.name] = [_told(kind, start, end) for kind, start, end in found]
        awake_s += (source.count or 0) / (source.rate_hz or 1)
        false_sleeps += sum(kind in ASLEEP for kind, _, _ in found)
        false_others.update(kind for kind, _, _ in found)
    acted = _acted(data / "awake_drowsy_one_driver")
    if acted:
        found = list(_events((shot for shot, _ in acted), eyes))
        events["awake_drowsy_one_driver"] = [_told(*event) for event in found]
        awake_s += sum(awake for _, awake in acted) / ACTED_FPS
        false_sleeps += sum(kind in ASLEEP and _all_awake(acted, start, end) for kind, start, end in found)
    return {
        "events": events,
        "awake_hours": round(awake_s / 3600, 4),
        "false_microsleeps_awake": false_sleeps,
        "false_microsleeps_per_awake_hour": round(false_sleeps / awake_s * 3600, 2) if awake_s else None,
        "events_on_awake_clips": dict(false_others),
    }


def _events(shots: Iterator[Shot], eyes: Eyes) -> Iterator[tuple[str, int, int]]:
    """(kind, start, end) of each event when it is over."""
    for told in watch_in_time(shots, eyes):
        if isinstance(told, Happened) and told.over:
            yield str(told.finding.kind), told.finding.start_us, told.finding.end_us or told.finding.start_us


def _acted(pack: Path) -> list[tuple[Shot, bool]]:
    """In the order of time, each with whether it was labelled awake."""
    if not pack.exists():
        return []
    with (pack / "index.csv").open(newline="") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: int(row["frame"]))
    made = []
    for index, row in enumerate(rows):
        path = next((pack / "images").glob(f"{row['name']}.*"))
        shot = Shot(path.name, index, round(int(row["frame"]) / ACTED_FPS * 1e6), read_picture(path))
        made.append((shot, row["classes(0=awake,1=drowsy)"] == "0"))
    return made


def _all_awake(acted: list[tuple[Shot, bool]], start_us: int, end_us: int) -> bool:
    return all(awake for shot, awake in acted if start_us <= (shot.time_us or 0) <= end_us)


def _told(kind: str, start_us: int, end_us: int) -> str:
    return f"{kind} {start_us / 1e6:.1f} to {end_us / 1e6:.1f} s"
