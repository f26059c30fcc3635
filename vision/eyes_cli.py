"""The command `rumblestrip eyes`: the present models and rules over an archive, beside what earlier versions said."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Annotated

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import track
from rich.table import Table
from sqlalchemy import Engine, select

from infra.contracts.events import EventKind, JsonObject, MediaKind
from infra.runtime.adapters import open_database, open_media
from infra.settings import load
from infra.store import tables
from vision.archive import EVENTS, OBSERVATIONS, Item, Judged, Stored, find_items, look_over, version
from vision.archive_compare import compare_events, compare_numbers, compare_stored
from vision.heads import default_heads
from vision.looking import Eyes
from vision.models import MediapipeFaces
from vision.sources import SourceError

eyes_app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="markdown")

OBSERVATION_FILE, EVENT_FILE, COMPARISON_FILE = "observations.parquet", "events.parquet", "comparison.json"


@eyes_app.command()
def eyes(
    sources: Annotated[
        list[Path] | None, typer.Argument(help="Drives, videos, folders of pictures, or folders that hold some.")
    ] = None,
    archive: Annotated[
        bool, typer.Option("--archive", help="Also the stills and clips of every event in the database.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Default: archive, in the data folder.", file_okay=False)] = None,
    against: Annotated[
        Path | None, typer.Option(help="The folder of the version to compare with. Default: the latest other.")
    ] = None,
    ray: Annotated[bool, typer.Option("--ray", help="As a Ray Data job (pip install 'rumblestrip[ray]').")] = False,
) -> None:
    """Look over an archive again with the present models and rules. Nothing live is changed.

    What is seen goes to a folder named by the version of rules and weights, beside those of earlier versions, with a
    summary of what differs: numbers per picture, events, and whether the footage of events in the database still shows
    them.

    Examples:

        rumblestrip eyes --archive

        rumblestrip eyes drives/ --out build/eyes --ray
    """
    settings = load()
    items = find_items(sources or [])
    if archive:
        with open_database(settings) as engine:
            items += stored_items(engine)
    if not items:
        raise SourceError("nothing to look at: name sources, or --archive for the footage of events in the database")
    root = out or settings.data_dir / "archive"
    judged = list(_judge(items, ray))
    folder = write(root / version(), judged)
    earlier = against or latest_other(root, folder)
    comparison = compare(folder, earlier, judged)
    (folder / COMPARISON_FILE).write_bytes(orjson.dumps(comparison, option=orjson.OPT_INDENT_2))
    show(comparison, folder, Console())


def stored_items(engine: Engine) -> list[Item]:
    """The footage of in-cab events in the media store, in the rendition that shows the driver."""
    event, media = tables.safety_event.c, tables.event_media.c
    query = (
        select(event.event_id, event.kind, event.speed_mps, event.evidence, media.path, media.kind.label("media"))
        .join(tables.event_media, media.event_id == event.event_id)
        .where(media.deleted_at.is_(None), media.shows_driver)
        .order_by(event.start_at, media.path)
    )
    with engine.connect() as connection:
        return [
            Item(
                row.path,
                row.path,
                Stored(
                    str(row.event_id),
                    EventKind(row.kind),
                    MediaKind(row.media),
                    row.speed_mps,
                    row.evidence.get("usual_aspect_ratio"),
                ),
            )
            for row in connection.execute(query)
        ]


def write(folder: Path, judged: Iterable[Judged]) -> Path:
    """Both tables of a version, whole or not at all. An earlier run of the same version is replaced."""
    draft = folder.with_name(folder.name + ".draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    parts = list(judged)
    for file, schema, found in (
        (OBSERVATION_FILE, OBSERVATIONS, [one.observations for one in parts]),
        (EVENT_FILE, EVENTS, [one.events for one in parts]),
    ):
        pq.write_table(pa.concat_tables([schema.empty_table(), *found]), draft / file, compression="zstd")
    shutil.rmtree(folder, ignore_errors=True)
    return draft.rename(folder)


def latest_other(root: Path, own: Path) -> Path | None:
    others = [path for path in root.iterdir() if path != own and (path / OBSERVATION_FILE).exists()]
    return max(others, key=lambda path: (path / OBSERVATION_FILE).stat().st_mtime, default=None)


def compare(folder: Path, earlier: Path | None, judged: Iterable[Judged]) -> JsonObject:
    found: JsonObject = {"new": folder.name, "old": earlier.name if earlier else None}
    found["stored_events"] = compare_stored(judged)
    if earlier is None:
        return found
    pairs = [[pq.read_table(path / file) for path in (earlier, folder)] for file in (OBSERVATION_FILE, EVENT_FILE)]
    return found | {"numbers": compare_numbers(*pairs[0]), "events": compare_events(*pairs[1])}


def show(comparison: JsonObject, folder: Path, console: Console) -> None:
    console.print(f"{comparison['new']} against {comparison['old'] or 'nothing: this is the first version here'}")
    for title, part in (("Numbers", "numbers"), ("Events", "events"), ("Events in the database", "stored_events")):
        rows = comparison.get(part)
        if isinstance(rows, dict) and rows:
            console.print(_table(title, rows))
    console.print(f"written to {folder}", soft_wrap=True)


def _table(title: str, rows: JsonObject) -> Table:
    named = {name: row for name, row in rows.items() if isinstance(row, dict)}
    words = list(dict.fromkeys(word for row in named.values() for word in row))
    table = Table("", *(word.replace("_", " ") for word in words), title=title, title_justify="left", box=SIMPLE_HEAD)
    for name, row in named.items():
        table.add_row(name.replace("_", " "), *(str(row.get(word, "")) for word in words))
    return table


def _judge(items: list[Item], ray: bool) -> Iterator[Judged]:
    media = open_media(load())
    if ray:
        from vision.archive_ray import look_over_with_ray

        yield from look_over_with_ray(items, media)
        return
    with closing(Eyes(MediapipeFaces(), default_heads())) as opened:
        yield from track(
            look_over(items, opened, media), total=len(items), description="looking", console=Console(stderr=True)
        )
