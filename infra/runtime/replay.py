"""Sends recorded drives to the gateway as a real device would: stored until acknowledged, in order, retried."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import httpx
import pyarrow as pa
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from infra.clock import SECOND_US, Clock
from infra.contracts.arrow_form import MEDIA_TYPE as ARROW
from infra.contracts.arrow_form import write_batches
from infra.contracts.telemetry import GpsSamples, TelemetryBatch
from infra.drives import Drive, DriveFrame
from infra.runtime.journal import Journal, open_journal
from infra.runtime.parcels import frame_parcels, frames_form, frames_with_speed, telemetry_batches, telemetry_json

logger = logging.getLogger(__name__)

DRIVES_AT_ONCE = 8
TIMEOUT_S = 30.0
FIRST_WAIT_S, LONGEST_WAIT_S = 0.25, 30.0  # after a failure, doubling
GIVE_UP_S = 300.0  # without any answer

_NOT_THIS_DEVICE = (401, 403, 404, 405)

Tokens = Callable[[Drive], str]
"""The device token of a drive's vehicle."""


class Undeliverable(RuntimeError):
    """The gateway did not answer for GIVE_UP_S; what was acknowledged stays so, and a later run goes on from there."""


class TurnedAway(RuntimeError):
    """The gateway does not know this device, or is no gateway. Nothing was given up; mend it and run again."""


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
            _send_device(_Line(client, tokens(trips[0][0]), options), trips, options, progress, gate)
            for trips in devices.values()
        ]
        return [report for reports in await asyncio.gather(*todo) for report in reports]


async def _send_device(
    line: _Line,
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

    def __init__(self, drive: Drive, journal: Journal, line: _Line, options: Options, progress: Progress) -> None:
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
            self.report.refused.append(f"{what}: {answer.status_code} {_reason(answer)}")

    def _tick(self, stream: str, index: int, wanted: bool) -> None:
        if not wanted:
            self.report.skipped += 1
        elif index >= getattr(self.journal, stream):
            self.journal.acknowledge(stream, index + 1)


class _Line:
    """A device's connection: posts until the gateway has decided."""

    def __init__(self, client: httpx.AsyncClient, token: str, options: Options) -> None:
        self._client = client
        self._token = token
        self._options = options
        self.retries = 0

    async def post(self, path: str, *, headers: dict[str, str] | None = None, **body: object) -> httpx.Response:
        """The gateway's final answer: 2xx, or a 4xx that a retry would not change.

        Raises:
            Undeliverable: nothing final for too long.
            TurnedAway: this token or address will never do.
        """
        loop = asyncio.get_running_loop()
        give_up = loop.time() + self._options.give_up_s
        wait_s = FIRST_WAIT_S
        while True:
            answer, problem = await self._try(path, headers or {}, body)
            if answer is not None and answer.status_code in _NOT_THIS_DEVICE:
                raise TurnedAway(
                    f"{path}: {problem}; is the device registered (`rumblestrip devices`), is it its token?"
                )
            if answer is not None and not _worth_a_retry(answer):
                return answer
            asked_s = _retry_after_s(answer)
            pause_s = asked_s if asked_s is not None else wait_s * random.uniform(0.5, 1.0)
            if loop.time() + pause_s > give_up:
                raise Undeliverable(f"{self._client.base_url}{path.lstrip('/')}: {problem}; is the gateway running?")
            self.retries += 1
            logger.info("%s: %s; again in %.1f s", path, problem, pause_s)
            await asyncio.sleep(pause_s)
            wait_s = min(wait_s * 2, LONGEST_WAIT_S)

    async def _try(
        self, path: str, headers: dict[str, str], body: dict[str, object]
    ) -> tuple[httpx.Response | None, str]:
        try:
            signed = headers | {"Authorization": f"Bearer {self._token}"}
            answer = await self._client.post(path, headers=signed, **body)  # type: ignore[arg-type]
        except httpx.TransportError as error:
            return None, f"{type(error).__name__} {error}".strip()
        return answer, f"{answer.status_code} {_reason(answer)}"


def _worth_a_retry(answer: httpx.Response) -> bool:
    again = (httpx.codes.TOO_MANY_REQUESTS, httpx.codes.REQUEST_TIMEOUT)
    return answer.status_code in again or answer.is_server_error


def _retry_after_s(answer: httpx.Response | None) -> float | None:
    value = answer.headers.get("Retry-After", "") if answer is not None else ""
    return float(value) if value.isdigit() else None


def _reason(answer: httpx.Response) -> str:
    if "json" not in answer.headers.get("Content-Type", ""):
        return answer.text[:200]
    problem = answer.json()
    return str(problem.get("detail") or problem.get("title") or problem)[:300]


def _telemetry_body(batch: TelemetryBatch, form: str) -> tuple[bytes, dict[str, str]]:
    plain, kind = (telemetry_json(batch), "application/json") if form == "json" else (write_batches([batch]), ARROW)
    body = pa.Codec("zstd").compress(plain, asbytes=True)
    return body, {"Content-Type": kind, "Content-Encoding": "zstd"}


def _end_us(batch: TelemetryBatch) -> int:
    return max(int(samples.time_us[-1]) for samples in (batch.gps, batch.imu) if len(samples))
