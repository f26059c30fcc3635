"""Sends recorded drives to the gateway as a real device would: stored until acknowledged, in order, retried."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import httpx
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from infra.clock import SECOND_US, Clock
from infra.contracts.arrow_form import MEDIA_TYPE as ARROW
from infra.contracts.arrow_form import write_batches
from infra.contracts.telemetry import GpsSamples, TelemetryBatch
from infra.drives import Drive, DriveFrame
from infra.runtime.journal import Journal, open_journal
from infra.runtime.line import GIVE_UP_S, TIMEOUT_S, Line, in_words, pack
from infra.runtime.parcels import frame_parcels, frames_form, frames_with_speed, telemetry_batches, telemetry_json

DRIVES_AT_ONCE = 8

Tokens = Callable[[Drive], str]
"""The device token of a drive's vehicle."""


@dataclass(frozen=True, slots=True)
class Options:
    """How to replay."""

    speed: float | None = None  # times real time; None: as fast as the gateway acknowledges
    again: bool = False  # send what it has, too
    body: str = "arrow"  # or json
    give_up_s: float = GIVE_UP_S
    target: str = ""  # name of the gateway in the journal; empty: its address


@dataclass(slots=True)
class Report:
    """What became of a drive's parcels."""

    drive: str
    sent: int = 0
    samples: int = 0  # GPS and IMU, in what was sent now
    frames: int = 0
    skipped: int = 0  # parcels acknowledged in an earlier run
    retries: int = 0
    refused: list[str] = field(default_factory=list)  # what the gateway said to parcels that it did not take
    rejected_rows: int = 0  # rows and frames left out of parcels that were taken


def replay(
    drives: Sequence[Drive], url: str, tokens: Tokens, folder: Path, clock: Clock, options: Options
) -> list[Report]:
    """Send drives, several at once, with a progress bar. Drives of one device go one after the other.

    Args:
        url: of the gateway.
        folder: where journals are kept.

    Raises:
        Undeliverable: no answer for too long.
        TurnedAway: a token that the gateway does not take.
        DriveError: a drive that cannot be read.
    """
    columns = (TextColumn("{task.description:<24}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns) as progress:
        return asyncio.run(_replay(drives, url, tokens, folder, clock, options, progress))


async def _replay(
    drives: Sequence[Drive],
    url: str,
    tokens: Tokens,
    folder: Path,
    clock: Clock,
    options: Options,
    progress: Progress,
) -> list[Report]:
    now_us = clock.now_us()
    devices: dict[str, list[tuple[Drive, Journal]]] = defaultdict(list)
    for drive in drives:
        gps = drive.gps()
        journal = open_journal(folder, drive, options.target or url, int(gps.time_us[-1]), now_us)
        devices[drive.manifest.device_id].append((drive, journal))
    limits = httpx.Limits(max_connections=2 * DRIVES_AT_ONCE)
    async with httpx.AsyncClient(base_url=url, timeout=TIMEOUT_S, limits=limits) as client:
        gate = asyncio.Semaphore(DRIVES_AT_ONCE)
        todo = [
            _send_device(Line(client, tokens(trips[0][0]), options.give_up_s), trips, options, progress, gate)
            for trips in devices.values()
        ]
        return [report for reports in await asyncio.gather(*todo) for report in reports]


async def _send_device(
    line: Line,
    trips: list[tuple[Drive, Journal]],
    options: Options,
    progress: Progress,
    gate: asyncio.Semaphore,
) -> list[Report]:
    in_order = sorted(trips, key=lambda trip: trip[0].manifest.start.timestamp() * 1e6 + trip[1].shift_us)
    reports = []
    for drive, journal in in_order:
        async with gate:
            reports.append(await _DriveReplay(drive, journal, line, options, progress).send())
    return reports


class _DriveReplay:
    """One drive on its way."""

    def __init__(self, drive: Drive, journal: Journal, line: Line, options: Options, progress: Progress) -> None:
        self.drive, self.journal, self.line, self.options = drive, journal, line, options
        self.report = Report(drive.name)
        self.progress = progress
        self.batches = telemetry_batches(drive, journal.boot_id, journal.shift_us)
        self.stills = frame_parcels(drive)
        self.gps: GpsSamples = drive.gps()

    async def send(self) -> Report:
        task = self.progress.add_task(self.drive.name, total=len(self.batches) + len(self.stills))
        began = asyncio.get_running_loop().time()
        first_us = int(self.gps.time_us[0])
        pictures = self.drive.frames()
        for due_us, stream, index in self._order():
            wanted = self.options.again or index >= getattr(self.journal, stream)
            if self.options.speed and wanted:
                await self._wait_until(began + (due_us - first_us) / SECOND_US / self.options.speed)
            if stream == "frames":
                await self._send_frames(index, pictures, wanted)
            elif wanted:
                await self._send_batch(self.batches[index])
            self._tick(stream, index, wanted)
            self.progress.advance(task)
        return self._finish()

    def _finish(self) -> Report:
        self.report.retries = self.line.retries
        return self.report

    def _order(self) -> Iterator[tuple[int, str, int]]:
        """Parcels by the recorded time at which the last of each was there to send."""
        parcels = [(_end_us(b) - self.journal.shift_us, "telemetry", i) for i, b in enumerate(self.batches)]
        parcels += [(p[-1].time_us, "frames", i) for i, p in enumerate(self.stills)]
        return iter(sorted(parcels))

    async def _wait_until(self, at: float) -> None:
        await asyncio.sleep(max(0.0, at - asyncio.get_running_loop().time()))

    async def _send_batch(self, batch: TelemetryBatch) -> None:
        body, headers = _telemetry_body(batch, self.options.body)
        answer = await self.line.post("/v1/telemetry", content=body, headers=headers)
        self._note(f"telemetry batch {batch.sequence}", answer)
        self.report.samples += len(batch.gps) + len(batch.imu)

    async def _send_frames(self, index: int, pictures: Iterator[DriveFrame], wanted: bool) -> None:
        parcel = list(islice(pictures, len(self.stills[index])))
        if not wanted:
            return
        frames = list(frames_with_speed(self.drive, parcel, self.gps, self.journal.boot_id, self.journal.shift_us))
        answer = await self.line.post("/v1/frames", files=frames_form(frames))
        self._note(f"frames {frames[0].sequence} to {frames[-1].sequence}", answer)
        self.report.frames += len(frames)

    def _note(self, what: str, answer: httpx.Response) -> None:
        self.report.sent += 1
        if answer.is_success:
            rejected = answer.json().get("rejected", [])
            self.report.rejected_rows += sum(r.get("rows", 1) for r in rejected)
        else:
            self.report.refused.append(f"{what}: {in_words(answer)}")

    def _tick(self, stream: str, index: int, wanted: bool) -> None:
        if not wanted:
            self.report.skipped += 1
        elif index >= getattr(self.journal, stream):
            self.journal.acknowledge(stream, index + 1)


def _telemetry_body(batch: TelemetryBatch, form: str) -> tuple[bytes, dict[str, str]]:
    plain, kind = (telemetry_json(batch), "application/json") if form == "json" else (write_batches([batch]), ARROW)
    return pack(plain, kind)


def _end_us(batch: TelemetryBatch) -> int:
    return max(int(samples.time_us[-1]) for samples in (batch.gps, batch.imu) if len(samples))
