"""What `rumblestrip watch` shows people: what is seen now, then events and a summary."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import TracebackType

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from infra.clock import to_datetime
from infra.contracts.events import Severity
from vision.core import signals
from vision.core.rules.shape import Finding
from vision.posting import Poster
from vision.sources import Source
from vision.watch_lines import camera_state
from vision.watch_summary import Summary, eyes_in_words
from vision.watching import Happened, Missed, Seen, Told

COLOURS = {Severity.LOW: "cyan", Severity.MODERATE: "yellow", Severity.HIGH: "red", Severity.CRITICAL: "bold red"}
MOST_REFUSALS = 5
_PER_SECOND = 8  # as often as the page is drawn
_NOW = {
    "belt worn": signals.BELT_WORN,
    "phone": signals.PHONE,
    "smoking": signals.SMOKING,
    "yawn": signals.YAWN,
    "eyes shut": signals.EYE_CLOSED,
}


class Page:
    """A live page on a terminal; elsewhere one line an event or unreadable picture. Use as a context.

    Args:
        quiet: only the bar, for when the lines on the other stream are what is wanted.
    """

    def __init__(self, source: Source, console: Console, quiet: bool = False) -> None:
        self._source, self._console, self._quiet = source, console, quiet
        self._start_us: int | None = None
        self._seen: Seen | None = None
        self.status: Callable[[], str] | None = None  # one more line
        count = MofNCompleteColumn() if source.count else TextColumn("{task.completed}")
        self._progress = Progress(TextColumn("{task.description}"), BarColumn(), count, TimeElapsedColumn())
        self._task = self._progress.add_task(source.name, total=source.count)
        self._live = Live(get_renderable=self._render, console=console, refresh_per_second=_PER_SECOND, transient=True)

    def __enter__(self) -> Page:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._live.stop()

    def add(self, told: Told) -> None:
        if isinstance(told, Happened):
            self._say(Text(event_in_words(told, self._start_us or 0), style=COLOURS[told.finding.severity]))
            return
        if self._start_us is None:
            self._start_us = told.shot.time_us
        self._progress.advance(self._task)
        if isinstance(told, Missed):
            self._say(Text(f"{told.shot.source}: {told.why.reason}: {told.why.detail}", style="yellow"))
        else:
            self._seen = told

    def _say(self, line: Text) -> None:
        if not self._quiet:
            self._console.print(line, soft_wrap=True)

    def _render(self) -> RenderableType:
        lines = [now_in_words(self._seen)] if self._seen is not None and not self._quiet else []
        lines += [self.status()] if self.status is not None else []
        return Group(self._progress, *(Text("  " + line) for line in lines))


def now_in_words(seen: Seen) -> str:
    """One picture in a line."""
    if camera_state(seen.look.signals) == "unfit":
        return "the camera sees nothing to judge by"
    parts = [eyes_in_words(seen)]
    parts += [f"openness {seen.openness:.2f}"] if seen.openness is not None else []
    parts += [f"learning {seen.learned:.0%}"] if seen.learned is not None and seen.learned < 1 else []
    parts += [f"PERCLOS {seen.perclos:.0%}"] if seen.perclos is not None else []
    if (yaw := seen.look.signals.get(signals.HEAD_YAW)) is not None:
        parts.append(f"head {yaw:+.0f}° {seen.look.signals.get(signals.HEAD_PITCH, 0.0):+.0f}°")
    found = ((name, seen.look.signals.get(signal)) for name, signal in _NOW.items())
    return "  ".join(parts + [f"{name} {value:.0%}" for name, value in found if value is not None])


def event_in_words(happened: Happened, start_us: int) -> str:
    finding = happened.finding
    lasted_s = (finding.end_us - finding.start_us) / 1e6
    lasted = f"for {lasted_s:.1f} s" if happened.over else "begins"
    return f"{clock_after(finding.start_us, start_us)}  {_kind(finding)}, {finding.severity}, {lasted}"


def clock_after(time_us: int, start_us: int) -> str:
    """Minutes and seconds after the first picture."""
    seconds = (time_us - start_us) / 1e6
    return f"{int(seconds // 60)}:{seconds % 60:04.1f}"


def show_summary(summary: Summary, console: Console) -> None:
    """The page that remains: how much was seen, the events, and what could not be judged."""
    console.print(Text(_in_short(summary)), soft_wrap=True)
    for line in _figures(summary):
        console.print("  " + line, highlight=False, soft_wrap=True)
    if summary.source.kind != "pictures":
        console.print(_events(summary) if summary.events else "No events.")
    for note in summary.notes():
        console.print(Text(note, style="dim"), soft_wrap=True)
    for missed in summary.named:
        console.print(Text(f"could not be read: {missed.shot.source}: {missed.why.reason}", style="yellow"))
    if summary.missed > len(summary.named):
        console.print(Text(f"and {summary.missed - len(summary.named)} more", style="yellow"))


def show_posted(poster: Poster, console: Console) -> None:
    """What the gateway took, and what it did not."""
    tally = poster.tally
    known = f"; {tally.acknowledged_before} batches sent in an earlier run" if tally.acknowledged_before else ""
    console.print(Text(poster.in_words() + known), soft_wrap=True)
    for refusal in tally.refused[:MOST_REFUSALS]:
        console.print(Text(f"refused: {refusal}", style="red"), soft_wrap=True)
    if tally.rejected_rows:
        console.print(Text(f"{tally.rejected_rows} observations refused; see dead letters", style="yellow"))
    if poster.dropped:
        console.print(Text(f"{poster.dropped} batches were dropped: too many waited", style="yellow"))


def _in_short(summary: Summary) -> str:
    source = summary.source
    rate = f", {source.rate_hz:.3g} a second ({source.clock})" if source.rate_hz else ""
    pictures = "1 picture" if summary.frames == 1 else f"{summary.frames:,} pictures"
    return f"{source.name}: {source.kind}, {pictures} looked at{rate}"


def _figures(summary: Summary) -> Iterator[str]:
    if summary.frames:
        yield f"face found    {summary.faces / summary.frames:.0%} of the pictures"
    if (median := summary.median_openness()) is not None:
        yield f"eyes          openness {median:.2f} at the median (1 is this driver's usual, 0 shut)"
    total_us = sum(summary.state_us.values())
    if total_us:
        states = (f"{name} {us / 1e6:.1f} s" for name, us in summary.state_us.most_common())
        yield "time          " + ", ".join(states)
    for name, asked in summary.asked.items():
        yield f"{name:<13} in {summary.said[name]:,} of {asked:,} pictures"


def _events(summary: Summary) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, title="Events", title_justify="left")
    for name in ("at", "event", "severity", "seconds", "peak", "sure"):
        table.add_column(name, justify="right" if name in ("at", "seconds", "peak", "sure") else "left")
    for event in sorted(summary.events, key=lambda event: event.start_us):
        table.add_row(*_row(event, summary.source, summary.start_us or 0), style=COLOURS[event.severity])
    return table


def _row(event: Finding, source: Source, start_us: int) -> tuple[str, ...]:
    at = f"{to_datetime(event.start_us):%H:%M:%S} UTC" if source.live else clock_after(event.start_us, start_us)
    seconds = f"{(event.end_us - event.start_us) / 1e6:.1f}"
    return (
        at,
        _kind(event),
        str(event.severity),
        seconds,
        f"{event.peak:.2f} {event.peak_unit}",
        f"{event.confidence:.0%}",
    )


def _kind(event: Finding) -> str:
    return str(event.kind).replace("_", " ")
