"""The command `rumblestrip export`: stored telemetry as Parquet files, a folder for every lane and day."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from infra.runtime.adapters import open_database
from infra.settings import load
from scoring.stored.parquet import export

export_app = typer.Typer(add_completion=False, help="Stored telemetry as Parquet files.")


@export_app.command("export")
def export_command(
    folder: Annotated[Path, typer.Argument(help="Where to; files of the same days are written anew.")],
    since: Annotated[datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="First day, UTC.")],
    until: Annotated[datetime, typer.Option("--to", formats=["%Y-%m-%d"], help="Last day, UTC, included.")],
) -> None:
    """Write positions and motion of every vehicle that was driven, by lane and day, for analysis elsewhere.

    Example: rumblestrip export archive --from 2026-05-01 --to 2026-05-31
    """
    settings, console = load(), Console()
    first, last = (day.replace(tzinfo=UTC) for day in (since, until))
    with open_database(settings) as engine, engine.begin() as connection, Progress(console=console) as progress:
        task = progress.add_task("lanes and days", total=((last - first).days + 1) * settings.lanes)
        rows = export(
            connection, folder, first, last + timedelta(days=1), settings.lanes, lambda *_: progress.advance(task)
        )
    console.print(f"{rows:,} rows in {folder}")
