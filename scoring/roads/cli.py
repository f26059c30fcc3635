"""The commands `rumblestrip roads`: tiles built of an OpenStreetMap extract, and what a folder of them holds."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from scoring.roads import tiles as tiles_of
from scoring.roads.tiles import RoadsError, TilesNote

roads_app = typer.Typer(no_args_is_help=True, help="Posted limits from OpenStreetMap.", rich_markup_mode="markdown")

_LOGGED = re.compile(r"^\S+ \S+ \[(?:INFO|WARN)\] (.*)$")


@roads_app.command()
def build(
    extracts: Annotated[list[Path], typer.Argument(help="OpenStreetMap extracts, .osm.pbf.")],
    tiles: Annotated[Path, typer.Option(help="The folder to put the tiles in. One of tiles is replaced.")],
) -> None:
    """Build road tiles, for `RUMBLESTRIP_ROAD_TILES` and `judge --roads`.

    Example: rumblestrip roads build andorra-latest.osm.pbf --tiles build/tiles
    """
    console, since = Console(stderr=True), time.monotonic()
    try:
        with console.status("reading the extract") as status:
            note = tiles_of.build(extracts, tiles, lambda line: status.update(_stage(line)))
    except RoadsError as error:
        _fail(console, error)
    _show(tiles, note)
    typer.echo(f"built in {time.monotonic() - since:.1f} s; use them with RUMBLESTRIP_ROAD_TILES={tiles}")


@roads_app.command()
def show(tiles: Annotated[Path, typer.Argument(help="A folder of tiles.")]) -> None:
    """What a folder of tiles was made of."""
    try:
        _show(tiles, tiles_of.read_note(tiles))
    except RoadsError as error:
        _fail(Console(stderr=True), error)


def _stage(line: str) -> str:
    said = _LOGGED.match(line)
    return f"Valhalla: {said.group(1)[:80] if said else line[:80]}"


def _show(tiles: Path, note: TilesNote) -> None:
    files = list(tiles.rglob("*.gph"))
    size = sum(file.stat().st_size for file in files) / 1e6
    typer.echo(f"{tiles}: {len(files)} tiles, {size:.1f} MB, of {', '.join(note.extracts)}, id {note.tiles_id}")
    typer.echo(f"{note.attribution}; built {note.built_at[:16]} with Valhalla {note.valhalla}")


def _fail(console: Console, error: RoadsError) -> None:
    console.print(str(error), style="red", soft_wrap=True, markup=False)
    raise typer.Exit(1)
