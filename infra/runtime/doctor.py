"""`rumblestrip doctor`: what this installation has, what is missing, and how to get it."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from packaging.requirements import Requirement
from pydantic import SecretStr
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from infra.settings import PREFIX, Settings

LEAST_DISK_BYTES = 2_000_000_000  # a month of a small fleet, with the database's own files
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_PROBE = "doctor/probe.txt"
EXTRAS_NEEDED_FOR = {"services": "a local Kafka", "training": "training models", "dev": "the tests"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One line. ``needed``: without it the commands do not work; otherwise something is left out."""

    what: str
    ok: bool
    detail: str
    needed: bool = True


Check = Callable[[Settings], Iterator[Finding]]


def examine(settings: Settings) -> list[Finding]:
    """Everything, in an order to read. Starts an embedded PostgreSQL in a throwaway folder."""
    checks: tuple[Check, ...] = (_python, _packages, _disk, _database, _timescale, _media, _java, _broker, _browser)
    return [finding for check in checks for finding in _safely(check, settings)]


def print_findings(findings: list[Finding], console: Console) -> bool:
    """Print them; whether all that is needed is there."""
    table = Table("", "what", "detail", box=None, pad_edge=False)
    for finding in findings:
        mark = (
            "[green]ok[/green]"
            if finding.ok
            else "[red]missing[/red]"
            if finding.needed
            else "[yellow]without[/yellow]"
        )
        table.add_row(mark, finding.what, escape(finding.detail))
    console.print(table)
    return all(finding.ok or not finding.needed for finding in findings)


def print_settings(settings: Settings, console: Console) -> None:
    """Every setting with its value and where it may be set. Secrets are masked."""
    table = Table("variable", "value", "what it is", title="Settings")
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        shown = "(set)" if isinstance(value, SecretStr) else "" if value is None else str(value)
        mark = "" if value == field.default else " [bold]*[/bold]"
        table.add_row(
            f"{PREFIX}{name.upper()}{mark}", escape(shown), escape(f"{field.title}. {field.description or ''}")
        )
    table.caption = "* differs from the default"
    console.print(table)


def _safely(check: Check, settings: Settings) -> Iterator[Finding]:
    try:
        yield from check(settings)
    except Exception as error:  # noqa: BLE001 (a broken part is what is looked for)
        name = check.__name__.strip("_")
        yield Finding(name, False, f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")


def _python(_: Settings) -> Iterator[Finding]:
    found = ".".join(map(str, sys.version_info[:3]))
    good = (3, 11) <= sys.version_info[:2] <= (3, 12)
    yield Finding("Python", good, found if good else f"{found}; 3.11 or 3.12 is needed")


def _packages(_: Settings) -> Iterator[Finding]:
    wanted = [Requirement(line) for line in requires("rumblestrip") or ()]
    missing = [need.name for need in wanted if need.marker is None and not _installed(need)]
    got = f"{sum(need.marker is None for need in wanted)} installed"
    yield Finding("packages", not missing, f"{', '.join(missing)}: pip install -e ." if missing else got)
    for extra, use in EXTRAS_NEEDED_FOR.items():
        parts = [need for need in wanted if need.marker and need.marker.evaluate({"extra": extra})]
        lacking = [need.name for need in parts if need.marker and not _installed(need)]
        detail = f"for {use}" if not lacking else f"for {use}: pip install 'rumblestrip[{extra}]'"
        yield Finding(f"extra {extra}", not lacking, detail, needed=False)


def _installed(need: Requirement) -> bool:
    try:
        return need.specifier.contains(version(need.name), prereleases=True)
    except PackageNotFoundError:
        return False


def _disk(settings: Settings) -> Iterator[Finding]:
    folder = settings.data_dir.absolute()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    writable = os.access(folder, os.W_OK)
    detail = f"{free / 1e9:.0f} GB free in {folder}" + ("" if writable else ", not writable: set RUMBLESTRIP_DATA_DIR")
    yield Finding("data folder", writable and free > LEAST_DISK_BYTES, detail)


def _database(settings: Settings) -> Iterator[Finding]:
    if settings.database_url is None:
        yield from _embedded(settings)
        return
    yield from _schema(settings.database_url.get_secret_value())


def _embedded(settings: Settings) -> Iterator[Finding]:
    from infra.store.embedded import EmbeddedPostgres, of_settings
    from infra.store.pginstall import built_timescaledb

    running = of_settings(settings).running() if (settings.data_dir / "postgres").exists() else None
    if running:
        yield Finding("embedded PostgreSQL", True, f"running at port {running.port}")
        yield from _schema(running.url)
        return
    with tempfile.TemporaryDirectory(prefix="rumblestrip-doctor-") as folder:
        trial = EmbeddedPostgres(Path(folder) / "postgres", built_timescaledb(settings), throwaway=True)
        try:
            with trial:
                yield Finding("embedded PostgreSQL", True, "starts")
        finally:
            trial.delete()


def _schema(url: str) -> Iterator[Finding]:
    from alembic.runtime.migration import MigrationContext

    from infra.migrations import head
    from infra.store.engine import make_engine

    engine = make_engine(url, "rumblestrip doctor")
    with engine.connect() as connection:
        yield Finding("database", True, engine.url.render_as_string())
        revision = MigrationContext.configure(connection).get_current_revision()
    engine.dispose()
    current = revision == head()
    yield Finding(
        "schema", current, f"revision {revision}" + ("" if current else f", not {head()}: rumblestrip migrate")
    )


def _timescale(settings: Settings) -> Iterator[Finding]:
    if settings.database_url is not None:
        yield _extension(settings.database_url.get_secret_value())
        return
    from infra.store.pginstall import built_timescaledb

    built = built_timescaledb(settings)
    there = built is not None and (built / "lib").is_dir() and (built / "share").is_dir()
    if built is not None and not there:
        yield Finding("TimescaleDB", False, f"RUMBLESTRIP_TIMESCALEDB names {built}, which has no lib and share")
        return
    how = "rumblestrip services build-timescaledb, or set RUMBLESTRIP_TIMESCALEDB; works without, larger and slower"
    yield Finding("TimescaleDB", there, f"built copy in {built}" if there else how, needed=False)


def _extension(url: str) -> Finding:
    from sqlalchemy import text

    from infra.store.engine import make_engine

    engine = make_engine(url, "rumblestrip doctor")
    with engine.connect() as connection:
        found = connection.scalar(text("SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'"))
    engine.dispose()
    how = "not in this database: tables are plain, larger and slower"
    return Finding("TimescaleDB", found is not None, f"{found} in the database" if found else how, needed=False)


def _media(settings: Settings) -> Iterator[Finding]:
    """An object store is written to, read and tidied up."""
    if not settings.media_url:
        return
    from infra.runtime.adapters import open_media

    store = open_media(settings)
    store.write(_PROBE, _PROBE.encode())
    kept = store.read(_PROBE) == _PROBE.encode()
    store.delete(_PROBE)
    yield Finding("media store", kept, settings.media_url if kept else f"{settings.media_url} keeps something else")


def _java(_: Settings) -> Iterator[Finding]:
    from infra.runtime.broker import BrokerUnavailable, find_java

    try:
        yield Finding("Java", True, str(find_java()), needed=False)
    except BrokerUnavailable as error:
        yield Finding("Java", False, f"{error} (for a local Kafka only)", needed=False)


def _broker(settings: Settings) -> Iterator[Finding]:
    from infra.runtime.broker import answers

    if settings.bus == "memory":
        yield Finding("bus", True, "in memory, within one process")
        return
    for address in settings.kafka_bootstrap.split(","):
        host, _, port = address.strip().rpartition(":")
        there = answers(host, int(port))
        yield Finding("Kafka", there, address if there else f"nothing answers at {address}: rumblestrip services up")


def _browser(_: Settings) -> Iterator[Finding]:
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    yield Finding("browser", bool(found), found or "for the browser tests only: apt install chromium", needed=False)
