"""What a replaying device remembers on disk: by how much it moved the drive in time, and what the gateway has."""

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
    """Of one drive towards one gateway. ``telemetry`` and ``frames`` count the parcels acknowledged, in order."""

    path: Path
    boot_id: str
    shift_us: int
    telemetry: int = 0
    frames: int = 0

    def acknowledge(self, stream: str, through: int) -> None:
        """Remember, safely, that the gateway has the parcels before ``through``."""
        setattr(self, stream, through)
        self.save()

    def save(self) -> None:
        values = {name: value for name, value in asdict(self).items() if name != "path"}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        draft = self.path.with_suffix(".new")
        draft.write_text(json.dumps(values))
        os.replace(draft, self.path)  # a crash leaves the old file or the new one, never half of one


def open_journal(folder: Path, drive: Drive, target: str, end_us: int, now_us: int) -> Journal:
    """The journal of a drive, as it was left or new.

    A new one moves the drive by whole weeks, so that it ends in the last week before now: time of day and day of
    week stay. (Across a change to or from summer time, local times move by that hour.)

    Args:
        target: name of the gateway: another one has received nothing yet.
        end_us: when the recording ends.
    """
    start = f"{drive.manifest.device_id}|{drive.manifest.start.isoformat()}"
    key = hashlib.sha256(f"{start}|{target}".encode()).hexdigest()[:12]
    path = folder / f"{drive.name}-{key}.json"
    if path.exists():
        return Journal(path, **json.loads(path.read_text()))
    shift_us = (now_us - end_us) // WEEK_US * WEEK_US
    boot = hashlib.sha256(f"{start}|{shift_us}".encode()).hexdigest()[:16]
    return Journal(path, f"replay-{boot}", shift_us)
