"""`rumblestrip up` and `rumblestrip demo`: everything in one process, with or without recorded drives sent to it."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from sqlalchemy import Engine

from infra.clock import Clock, SystemClock
from infra.drives import Drive, find_drives
from infra.runtime.embedded import Embedded, embedded
from infra.runtime.replay import Options, Report, Tokens, replay
from infra.settings import Settings
from infra.store import registry

logger = logging.getLogger(__name__)

DEMO_DRIVES = Path(__file__).parent.parent / "demo"
SETTLE_S = 300.0  # for a busy machine; it goes on as soon as the workers are done
LOOK_S = 0.5


class NotSettled(RuntimeError):
    """The workers did not come to an end with what was sent."""


def run_up(settings: Settings, console: Console) -> None:
    """Start everything, say where, and serve until told to stop."""
    began = time.monotonic()
    with stopped_by_signals(), embedded(settings) as house:
        console.print(f"ready after {time.monotonic() - began:.1f} s")
        _serve(house, console)


def run_demo(
    settings: Settings, console: Console, options: Options, *, serve: bool, folders: Sequence[Path] = (DEMO_DRIVES,)
) -> None:
    """Start everything, replay the drives, print what became of them, and serve unless told not to."""
    drives = find_drives(folders)
    began = time.monotonic()
    with stopped_by_signals(), embedded(settings, dashboard=serve) as house:
        console.print(f"ready after {time.monotonic() - began:.1f} s; gateway at {house.gateway_url}")
        reports = send(house, drives, options)
        print_reports(console, reports)
        if not house.settle(SETTLE_S):
            raise NotSettled(f"the workers are not done after {SETTLE_S:.0f} s; see the log, then run this again")
        from infra.runtime.summary import summarise  # brings pandas: 0.5 s that the start need not wait for

        with house.engine.connect() as connection:
            console.print(summarise(connection, settings))
        console.print(f"done after {time.monotonic() - began:.1f} s; data in {settings.data_dir.absolute()}")
        if serve:
            _serve(house, console)


def send(house: Embedded, drives: Sequence[Drive], options: Options, clock: Clock | None = None) -> list[Report]:
    """Replay drives to the gateway of this house, with tokens made for them."""
    tokens = register(house.engine, drives)
    journals = house.settings.data_dir / "replay"
    return replay(drives, house.gateway_url, tokens, journals, clock or SystemClock(), options)


def register(engine: Engine, drives: Iterable[Drive]) -> Tokens:
    """Put vehicles and drivers of the drives on the register, and give each device a token. It ends the last one."""
    tokens: dict[str, str] = {}
    with engine.begin() as connection:
        for drive in drives:
            who = drive.manifest
            if who.device_id in tokens:
                continue
            registry.add_vehicle(connection, who.vehicle_id, who.vehicle_name or who.vehicle_id, who.vehicle_class)
            if who.driver_id:
                registry.add_driver(connection, who.driver_id, who.driver_name or who.driver_id)
            tokens[who.device_id] = registry.issue_token(connection, who.device_id, who.vehicle_id)
    return lambda drive: tokens[drive.manifest.device_id]


def print_reports(console: Console, reports: Sequence[Report]) -> None:
    """One line for the replay, and one for each thing that went wrong."""
    samples, frames = (sum(getattr(r, name) for r in reports) for name in ("samples", "frames"))
    skipped, retries = (sum(getattr(r, name) for r in reports) for name in ("skipped", "retries"))
    known = f"; {skipped} parcels sent in an earlier run were not sent again" if skipped else ""
    drives = "1 drive" if len(reports) == 1 else f"{len(reports)} drives"
    console.print(f"{drives}: {samples:,} samples and {frames} frames sent, {retries} retries{known}")
    for report in reports:
        for refusal in report.refused:
            console.print(f"[red]{report.drive}: {refusal}[/red]")
        if report.rejected_rows:
            console.print(f"[yellow]{report.drive}: {report.rejected_rows} rows refused; see dead letters[/yellow]")


def _serve(house: Embedded, console: Console) -> None:
    console.print(f"gateway    {house.gateway_url}")
    try:
        if house.dashboard is not None:
            house.wait_for_dashboard(SETTLE_S)
            console.print(f"dashboard  {house.dashboard.url}")
            console.print(f"sign in    {house.dashboard.sign_in_link()}", soft_wrap=True)
            console.print("           works once; accounts that stay: rumblestrip users add NAME --role manager")
        console.print("Ctrl-C stops everything.")
        house.watch(LOOK_S)
    except KeyboardInterrupt:
        console.print("stopping …")


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """SIGTERM asks to stop as Ctrl-C does. While it stops, a second one kills at once."""
    before = signal.signal(signal.SIGTERM, _first)
    interrupt = signal.signal(signal.SIGINT, _first)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        signal.signal(signal.SIGINT, interrupt)


def _first(_number: int, _frame: object) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    raise KeyboardInterrupt
