"""Whose observations `watch --post` sends, of what time, and how far an earlier run came with them."""

from __future__ import annotations

import hashlib
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from infra.clock import to_us
from infra.drives import open_drive
from infra.runtime.journal import Journal, open_journal, open_journal_of
from vision.outbox import Outbox, open_outbox
from vision.posting import Sender
from vision.sources import Source, SourceError


@dataclass(frozen=True, slots=True)
class Addressee:
    """The gateway, and the device that posts to it what ``source`` shows."""

    source: str
    url: str
    token: str = field(repr=False)
    vehicle_id: str | None = None
    driver_id: str | None = None
    start: str = ""  # when the first picture was taken, ISO 8601

    @property
    def digest(self) -> str:
        return hashlib.sha256(f"{self.url}|{self.token}".encode()).hexdigest()[:12]


def open_sender(source: Source, to: Addressee, speed_mps: float | None, data_dir: Path, now_us: int) -> Sender:
    """The sender of a source, with its journal.

    A recorded drive is moved in time as `rumblestrip replay` moves it, so that both tell of the same moments; other
    recordings are posted with the times that they have, or from ``start`` on.

    Raises:
        SourceError: nobody knows when it was recorded.
    """
    begin_us = _moment(to.start) if to.start else None
    plain = Sender(to.token, _no_journal(now_us), to.driver_id, to.vehicle_id, begin_us, speed_mps, source.live)
    if source.live:
        return plain
    if source.kind == "drive":
        drive = open_drive(Path(to.source))
        gps = drive.gps(strict=False)
        end_us = int(gps.time_us[-1]) if len(gps) else drive.frame_index()[-1].time_us
        journal = open_journal(data_dir / "replay", drive, to.url, end_us, now_us)
        return replace(plain, journal=journal, driver_id=to.driver_id or drive.manifest.driver_id)
    if begin_us is None and not source.since_1970:
        raise SourceError(f"{to.source} does not say when it was recorded: add --start 2026-11-21T08:00:00+01:00")
    path = Path(to.source)
    key = f"{path.absolute()}|{path.stat().st_mtime_ns if path.exists() else 0}|{source.rate_hz}|{begin_us}"
    return replace(plain, journal=open_journal_of(data_dir / "watch", path.stem, key, to.digest, 0, "watch"))


def open_sender_outbox(to: Addressee, data_dir: Path) -> AbstractContextManager[Outbox]:
    """One for each gateway and token: what was seen of one vehicle must not be sent as another's."""
    return open_outbox(data_dir / "watch" / f"outbox-{to.digest}")


def _no_journal(now_us: int) -> Journal:
    """Of a camera: each run is a boot of its own, and what it saw stays in the outbox."""
    return Journal(Path(), f"watch-{now_us}", 0)


def _moment(text: str) -> int:
    try:
        return to_us(datetime.fromisoformat(text))
    except ValueError as error:
        raise SourceError(f"--start {text}: ISO 8601 with an offset, such as 2026-11-21T08:00:00+01:00") from error
