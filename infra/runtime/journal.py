"""What a sending device remembers on disk: by how much it moved a recording in time, and what the gateway has."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from infra.clock import SECOND_US
from infra.drives import Drive

WEEK_US = 7 * 86_400 * SECOND_US


@dataclass(slots=True)
class Journal:
    """Of one recording towards one gateway. ``telemetry``, ``frames`` and ``observations`` count the parcels
    acknowledged, in order."""

    path: Path
    boot_id: str
    shift_us: int
    telemetry: int = 0
    frames: int = 0
    observations: int = 0

    def acknowledge(self, stream: str, through: int) -> None:
        """Remember, safely, that the gateway has the parcels before ``through``."""
        setattr(self, stream, through)
        self.save()

    def save(self) -> None:
        values = {name: value for name, value in asdict(self).items() if name != "path"}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self.path, json.dumps(values).encode())


def open_journal(folder: Path, drive: Drive, target: str, end_us: int, now_us: int) -> Journal:
    """The journal of a drive, as it was left or new.

    A new one moves the drive by whole weeks, so that it ends in the last week before now: time of day and day of
    week stay. (Across a change to or from summer time, local times move by that hour.)

    Args:
        target: name of the gateway: another one has received nothing yet.
        end_us: when the recording ends.
    """
    start = f"{drive.manifest.device_id}|{drive.manifest.start.isoformat()}"
    shift_us = (now_us - end_us) // WEEK_US * WEEK_US
    return open_journal_of(folder, drive.name, start, target, shift_us)


def open_journal_of(folder: Path, name: str, start: str, target: str, shift_us: int, prefix: str = "replay") -> Journal:
    """The journal of any recording, as it was left or new.

    Args:
        start: tells it from others of its name.
        shift_us: of a new one.
        prefix: of its boot id.
    """
    path = folder / f"{name}-{_digest(f'{start}|{target}')[:12]}.json"
    if path.exists():
        return Journal(path, **json.loads(path.read_text()))
    return Journal(path, f"{prefix}-{_digest(f'{start}|{shift_us}')[:16]}", shift_us)


def write_whole(path: Path, content: bytes) -> None:
    """A crash leaves the old file, if there was one, or the new one, never half of one."""
    draft = path.with_suffix(".new")
    draft.write_bytes(content)
    os.replace(draft, path)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
