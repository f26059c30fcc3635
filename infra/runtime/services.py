"""Real services without Docker: a Kafka and a PostgreSQL with TimescaleDB in the data folder, up, shown and down."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from infra.runtime.broker import Broker, BrokerUnavailable
from infra.runtime.timescale_build import BuildFailed, build_timescaledb
from infra.settings import Settings, load
from infra.store.embedded import EmbeddedPostgres
from infra.store.engine import StoreUnavailable
from infra.store.pginstall import BUILT, built_timescaledb

_PASSWORD = re.compile(r":[^:/@]*@")
_WITHOUT_TIMESCALE = "without TimescaleDB; `rumblestrip services build-timescaledb` compiles it"
Say = Callable[[str], None]

services_app = typer.Typer(help=__doc__, no_args_is_help=True)


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """One service; its address is None where it is not running."""

    name: str
    address: str | None
    pid: int | None
    log: Path
    note: str = ""


def up(settings: Settings, say: Say) -> Sequence[ServiceStatus]:
    """Start what is not running yet, and wait until both answer.

    Raises:
        BrokerUnavailable, StoreUnavailable: with the end of the log.
    """
    kafka, postgres = _services(settings)
    for name, service in (("Kafka", kafka), ("PostgreSQL", postgres)):
        say(f"{name}: starting in {service.home}")
        say(f"{name}: {'started' if service.start().started else 'was running already'}")
    return status(settings)


def status(settings: Settings) -> Sequence[ServiceStatus]:
    """Both services as they are now, started by whichever process."""
    kafka, postgres = _services(settings)
    broker, database = kafka.running(), postgres.running()
    kind = "with TimescaleDB" if database and database.timescale else _WITHOUT_TIMESCALE
    return (
        ServiceStatus("Kafka", broker.bootstrap, broker.pid, kafka.log)
        if broker
        else ServiceStatus("Kafka", None, None, kafka.log),
        ServiceStatus("PostgreSQL", database.url, database.pid, postgres.log, kind)
        if database
        else ServiceStatus("PostgreSQL", None, None, postgres.log),
    )


def down(settings: Settings) -> Sequence[str]:
    """Stop what runs; returns the names of what did. Data stay."""
    kafka, postgres = _services(settings)
    return [name for name, service in (("Kafka", kafka), ("PostgreSQL", postgres)) if service.stop()]


def environment(statuses: Sequence[ServiceStatus]) -> dict[str, str]:
    """The variables that point the rest of rumblestrip at running services."""
    addresses = {each.name: each.address for each in statuses}
    found = {"RUMBLESTRIP_KAFKA_BOOTSTRAP": addresses["Kafka"], "RUMBLESTRIP_DATABASE_URL": addresses["PostgreSQL"]}
    bus = {"RUMBLESTRIP_BUS": "kafka"} if addresses["Kafka"] else {}
    return bus | {name: address for name, address in found.items() if address}


def _services(settings: Settings) -> tuple[Broker, EmbeddedPostgres]:
    home = settings.data_dir.absolute() / "services"
    return Broker(home / "kafka"), EmbeddedPostgres(home / "postgres", built_timescaledb(settings))


# --- command line ---


@services_app.command("up")
def up_command() -> None:
    """Start both; prints what to export, so that eval "$(rumblestrip services up)" sets up a shell."""
    try:
        statuses = up(load(), _to_stderr)
    except (BrokerUnavailable, StoreUnavailable) as error:
        raise _failure(error) from error
    _describe(statuses)
    for name, value in environment(statuses).items():
        typer.echo(f"export {name}={value}")


@services_app.command("status")
def status_command() -> None:
    """Show both. Ends with 1 unless both run. Example: rumblestrip services status"""
    statuses = status(load())
    _describe(statuses)
    raise typer.Exit(0 if all(each.address for each in statuses) else 1)


@services_app.command("down")
def down_command() -> None:
    """Stop both; their data stay. Example: rumblestrip services down"""
    try:
        stopped = down(load())
    except (BrokerUnavailable, StoreUnavailable) as error:
        raise _failure(error) from error
    _to_stderr(f"stopped: {', '.join(stopped)}" if stopped else "nothing was running")


@services_app.command("build-timescaledb")
def build_command(
    source: Annotated[Path | None, typer.Option(help="An unpacked release; downloaded otherwise.")] = None,
) -> None:
    """Compile TimescaleDB against the PostgreSQL of the wheel (about 100 s on two cores).

    Needs cmake, make and a C compiler. Example: rumblestrip services build-timescaledb --source ~/timescaledb-2.29.2
    """
    try:
        build_timescaledb(load().data_dir.absolute() / BUILT, source, _to_stderr)
    except BuildFailed as error:
        raise _failure(error) from error


def _describe(statuses: Sequence[ServiceStatus]) -> None:
    for each in statuses:
        address = each.address and _PASSWORD.sub(":***@", each.address)
        where = f"at {address}, process {each.pid}, log {each.log}" if address else "not running"
        _to_stderr(f"{each.name}: {where}{each.note and f' ({each.note})'}")


def _failure(error: Exception) -> typer.Exit:
    _to_stderr(f"error: {error}")
    return typer.Exit(1)


def _to_stderr(line: str) -> None:
    typer.echo(line, err=True)
