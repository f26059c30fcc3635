"""The command `rumblestrip watch`: the worker's eyes on a video, a folder, a picture or a camera."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.console import Console

from infra.clock import SystemClock
from infra.contracts.events import JsonObject
from infra.settings import load
from vision.heads import default_heads
from vision.looking import Eyes
from vision.models import Head, MediapipeFaces
from vision.posting import Poster
from vision.sender import Addressee, open_sender, open_sender_outbox
from vision.sources import Shot, Source, SourceError, is_picture, open_folder, open_pictures
from vision.torso_crops import GLANCE, STUDY
from vision.watch_lines import Lines, posted_line
from vision.watch_page import Page, show_posted, show_summary
from vision.watch_summary import Summary
from vision.watching import Happened, Told, watch_in_time, watch_stills

watch_app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="markdown")

_UNREADABLE, _INTERRUPTED = 1, 130  # exit codes: a picture could not be looked at; Ctrl-C
Sink = Callable[[Told], None]


class Format(StrEnum):
    TEXT = "text"
    JSONL = "jsonl"


SourceName = Annotated[
    str, typer.Argument(help="A video, a folder of pictures, a recorded drive, a picture, or a camera: number or URL.")
]
Stills = Annotated[bool, typer.Option("--stills", help="Every picture on its own: no baseline, no time rules.")]
Fps = Annotated[
    float | None,
    typer.Option(
        min=0.01, max=1000, help="Pictures a second: those that a folder has; at most so many of a video or camera."
    ),
]
Speed = Annotated[
    float | None,
    typer.Option(min=0, max=400, help="The vehicle's speed in km/h. Default: what the source says, else 80."),
]
Drawn = Annotated[Path | None, typer.Option(help="Also draw what is seen into this video (.mp4).", dir_okay=False)]
Live = Annotated[bool, typer.Option("--live", help="A file at its own pace instead of as fast as it can be looked at.")]
Post = Annotated[
    str,
    typer.Option(help="Post what is seen to the gateway at this address, as numbers. No picture is sent."),
]
Token = Annotated[
    str,
    typer.Option(
        envvar="RUMBLESTRIP_REPLAY_TOKEN", help="The device's token; better in the variable, which `ps` does not show."
    ),
]
Vehicle = Annotated[str, typer.Option(help="With --post: refuse to post where the token is another vehicle's.")]
Driver = Annotated[str, typer.Option(help="With --post: the driver's id. Default: the recorded drive's.")]
Start = Annotated[
    str, typer.Option(help="With --post: when the first picture was taken (ISO 8601), where the source does not say.")
]


@watch_app.command()
def watch(
    source: SourceName,
    format: Annotated[Format, typer.Option(help="text for reading; jsonl: one object a line.")] = Format.TEXT,
    stills: Stills = False,
    fps: Fps = None,
    speed: Speed = None,
    overlay: Drawn = None,
    live: Live = False,
    post: Post = "",
    token: Token = "",
    vehicle: Vehicle = "",
    driver: Driver = "",
    start: Start = "",
) -> None:
    """Look at footage with the worker's eyes: what is seen on every picture, and what happens over time.

    The first 60 s of driving with a face teach how this driver's open eyes look; until then eyes count as shut only
    where the network is sure of it. Exit code 1: some picture could not be read (it is named, the rest looked at), or
    the gateway refused something.

    Examples:

        rumblestrip watch cab.mp4

        rumblestrip watch frames/ --fps 3 --format jsonl

        rumblestrip watch rtsp://camera/stream --speed 60

        rumblestrip watch dataset/ --stills --format jsonl > seen.jsonl

        RUMBLESTRIP_REPLAY_TOKEN=rs_… rumblestrip watch 0 --post https://fleet.example
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as Ctrl-C does
    _check_overlay(source, overlay)
    opened = open_source(source, fps, stills)
    _check_use(opened, stills, fps, {"--vehicle": vehicle, "--driver": driver, "--start": start} if not post else {})
    to = _addressee(opened, Addressee(source, post.rstrip("/"), token, vehicle or None, driver or None, start))
    heads = default_heads(STUDY if opened.kind == "pictures" else GLANCE)
    speed_mps = None if speed is None else speed / 3.6
    summary, interrupted = Summary(opened, speed_mps), False
    with ExitStack() as stack:
        eyes = stack.enter_context(closing(Eyes(MediapipeFaces(), heads)))
        page = stack.enter_context(Page(opened, Console(stderr=format is Format.JSONL), format is Format.JSONL))
        sinks = [summary.add, *_sinks(opened, page, format, live or opened.live, overlay, stack)]
        poster = _posting(opened, to, speed_mps, page, stack) if to else None
        sinks += [poster.add] if poster else []
        try:
            for told in _look(opened, eyes, heads, speed_mps, live):
                for sink in sinks:
                    sink(told)
        except KeyboardInterrupt:
            interrupted = True
            if poster:
                poster.interrupt()
    _end(summary, format, poster)
    if interrupted:
        raise typer.Exit(_INTERRUPTED)
    if summary.missed or (poster and (poster.tally.refused or poster.tally.rejected_rows)):
        raise typer.Exit(_UNREADABLE)


def _check_overlay(source: str, overlay: Path | None) -> None:
    """Raises BadParameter."""
    if overlay is not None and overlay.suffix.lower() != ".mp4":
        raise typer.BadParameter(f"--overlay writes MP4: name it {overlay.with_suffix('.mp4')}")
    if overlay is not None and overlay.exists() and Path(source).exists() and overlay.samefile(source):
        raise typer.BadParameter("--overlay would write over the footage itself: give another name")


def _check_use(source: Source, stills: bool, fps: float | None, only_posted: Mapping[str, str]) -> None:
    """What would be ignored is refused. Raises BadParameter."""
    if stills and source.kind != "pictures":
        raise typer.BadParameter(f"--stills needs a folder of pictures, and {source.name} is a {source.kind}")
    if fps is not None and source.kind in ("drive", "pictures"):
        raise typer.BadParameter(f"--fps says nothing of {source.name}: a recorded drive has times, a still has none")
    if given := [name for name, value in only_posted.items() if value]:
        raise typer.BadParameter(f"{', '.join(given)} needs --post")


def _addressee(source: Source, to: Addressee) -> Addressee | None:
    """None where nothing is to be posted. Raises BadParameter, SourceError."""
    if not to.url:
        return None
    if source.kind == "pictures":
        raise typer.BadParameter("--post needs pictures in time; --stills and single pictures have none")
    if not to.token:
        raise typer.BadParameter(
            "--post needs the device's token: `rumblestrip devices add VEHICLE` shows one; put it into "
            "RUMBLESTRIP_REPLAY_TOKEN"
        )
    return to


def _posting(source: Source, to: Addressee, speed_mps: float | None, page: Page, stack: ExitStack) -> Poster:
    data_dir = load().data_dir
    sender = open_sender(source, to, speed_mps, data_dir, SystemClock().now_us())
    outbox = stack.enter_context(open_sender_outbox(to, data_dir))
    poster = Poster(to.url, sender, outbox, lambda trouble: typer.echo(trouble, err=True))
    page.status = poster.in_words
    return stack.enter_context(poster)


def open_source(name: str, fps: float | None, stills: bool) -> Source:
    """What a source's name means. Raises SourceError, DriveError."""
    from vision.cameras import open_camera
    from vision.videos import is_finite, open_video

    path = Path(name)
    if "://" in name and is_finite(name):
        return open_video(name, fps)
    if name.isdigit() or "://" in name:
        return open_camera(name, SystemClock(), fps)
    if not name or not path.exists():
        raise SourceError(f"{name or 'an empty name'}: not found")
    if path.is_dir():
        return open_pictures(path) if stills else open_folder(path, fps)
    return open_pictures(path) if is_picture(path) else open_video(name, fps)


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


def _sinks(
    source: Source, page: Page, format: Format, live: bool, overlay: Path | None, stack: ExitStack
) -> list[Sink]:
    lines = Lines(source)
    sinks: list[Sink] = [page.add]
    if format is Format.JSONL:
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


def _end(summary: Summary, format: Format, poster: Poster | None) -> None:
    if format is Format.JSONL:
        _print(summary.line() | ({"posted": posted_line(poster)} if poster else {}))
        return
    console = Console()
    show_summary(summary, console)
    if poster:
        show_posted(poster, console)


def _print(line: JsonObject) -> None:
    typer.echo(orjson.dumps(line))
