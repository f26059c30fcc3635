"""The command `rumblestrip watch`: the worker's eyes on a video, a folder, a picture or a camera."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.console import Console

from infra.clock import SystemClock
from infra.contracts.events import JsonObject
from vision.heads import default_heads
from vision.looking import Eyes
from vision.models import Head, MediapipeFaces
from vision.sources import PICTURES, Shot, Source, SourceError, open_folder, open_pictures
from vision.watch_lines import Lines
from vision.watch_page import Page, show_summary
from vision.watch_summary import Summary
from vision.watching import Happened, Told, watch_in_time, watch_stills

watch_app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="markdown")

_UNREADABLE, _INTERRUPTED = 1, 130  # exit codes: a picture could not be looked at; Ctrl-C
Sink = Callable[[Told], None]


class Format(StrEnum):
    TEXT = "text"
    JSONL = "jsonl"


@watch_app.command()
def watch(
    source: Annotated[
        str,
        typer.Argument(
            help="A video, a folder of pictures, a recorded drive, a picture, or a camera: its number or URL."
        ),
    ],
    format: Annotated[Format, typer.Option(help="text for reading; jsonl: one object a line.")] = Format.TEXT,
    stills: Annotated[
        bool, typer.Option("--stills", help="Every picture on its own: no baseline, no time rules.")
    ] = False,
    fps: Annotated[
        float | None,
        typer.Option(
            min=0.01, max=1000, help="Pictures a second: those that a folder has; at most so many of a video or camera."
        ),
    ] = None,
    speed: Annotated[
        float | None,
        typer.Option(min=0, max=400, help="The vehicle's speed in km/h. Default: what the source says, else 80."),
    ] = None,
    overlay: Annotated[
        Path | None, typer.Option(help="Also draw what is seen into this video (.mp4).", dir_okay=False)
    ] = None,
    live: Annotated[
        bool, typer.Option("--live", help="A file at its own pace instead of as fast as it can be looked at.")
    ] = False,
) -> None:
    """Look at footage with the worker's eyes: what is seen on every picture, and what happens over time.

    The first 60 s of driving with a face teach how this driver's open eyes look; until then eyes count as shut only
    where the network is sure of it. Exit code 1: some picture could not be read (it is named, the rest looked at).

    Examples:

        rumblestrip watch cab.mp4

        rumblestrip watch frames/ --fps 3 --format jsonl

        rumblestrip watch rtsp://camera/stream --speed 60

        rumblestrip watch dataset/ --stills --format jsonl > seen.jsonl
    """
    opened = open_source(source, fps, stills)
    heads, speed_mps = default_heads(), None if speed is None else speed / 3.6
    summary, interrupted = Summary(opened, speed_mps), False
    with ExitStack() as stack:
        eyes = stack.enter_context(closing(Eyes(MediapipeFaces(), heads)))
        sinks = [summary.add, *_sinks(opened, format, live or opened.live, overlay, stack)]
        try:
            for told in _look(opened, eyes, heads, speed_mps, live):
                for sink in sinks:
                    sink(told)
        except KeyboardInterrupt:
            interrupted = True
    _end(summary, format)
    if interrupted:
        raise typer.Exit(_INTERRUPTED)
    if summary.missed:
        raise typer.Exit(_UNREADABLE)


def open_source(name: str, fps: float | None, stills: bool) -> Source:
    """What a source's name means. Raises SourceError, DriveError."""
    from vision.videos import open_camera, open_video

    path = Path(name)
    if name.isdigit() or "://" in name:
        return open_camera(name, SystemClock(), fps)
    if not path.exists():
        raise SourceError(f"{name}: not found")
    if path.is_dir():
        return open_pictures(path) if stills else open_folder(path, fps)
    return open_pictures(path) if path.suffix.lower() in PICTURES else open_video(path, fps)


def _look(source: Source, eyes: Eyes, heads: Sequence[Head], speed_mps: float | None, live: bool) -> Iterable[Told]:
    if source.kind == "pictures":
        return watch_stills(source.shots(), eyes, heads)
    shots = _paced(source.shots()) if live and not source.live else source.shots()
    return watch_in_time(shots, eyes, speed_mps, live or source.live)


def _paced(shots: Iterable[Shot]) -> Iterator[Shot]:
    """Each picture when its time has come, counted from the first."""
    began_s, first_us = time.monotonic(), None
    for shot in shots:
        first_us = shot.time_us if first_us is None else first_us
        due_s = began_s + ((shot.time_us or 0) - (first_us or 0)) / 1e6
        time.sleep(max(0.0, due_s - time.monotonic()))
        yield shot


def _sinks(source: Source, format: Format, live: bool, overlay: Path | None, stack: ExitStack) -> list[Sink]:
    quiet = format is Format.JSONL
    page, lines = stack.enter_context(Page(source, Console(stderr=quiet), quiet)), Lines(source)
    sinks: list[Sink] = [page.add]
    if quiet:
        sinks.append(lambda told: _print(lines.line(told)))
    if not live:
        sinks = [_but_beginnings(sink) for sink in sinks]
    if overlay is not None:
        from vision.overlay import Overlay  # brings PyAV

        sinks.append(stack.enter_context(Overlay(overlay)).add)
    return sinks


def _but_beginnings(sink: Sink) -> Sink:
    """Of a file each event is told once, when it is over."""
    return lambda told: None if isinstance(told, Happened) and not told.over else sink(told)


def _end(summary: Summary, format: Format) -> None:
    if format is Format.JSONL:
        _print(summary.line())
    else:
        show_summary(summary, Console())


def _print(line: JsonObject) -> None:
    typer.echo(orjson.dumps(line))
