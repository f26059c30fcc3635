"""`rumblestrip devices`: register a device and show its token once, list devices, revoke one."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from sqlalchemy import Engine

from infra.contracts.telemetry import VehicleClass
from infra.runtime.adapters import open_database
from infra.settings import load
from infra.store import registry
from infra.store.registry import Identity

devices_app = typer.Typer(help="Devices and their tokens.", no_args_is_help=True)

Vehicle = Annotated[str, typer.Argument(help="The vehicle's id; it is registered if it is new.")]


def register(engine: Engine, vehicle_id: str, vehicle_class: VehicleClass, device_id: str | None = None) -> str:
    """Register a vehicle with one device, in a transaction. Returns the device's token, for the only time."""
    with engine.begin() as connection:
        registry.add_vehicle(connection, vehicle_id, vehicle_id, vehicle_class)
        return registry.issue_token(connection, device_id or f"{vehicle_id}-device", vehicle_id)


def revoke(engine: Engine, device_id: str) -> bool:
    """End a device's token, in a transaction. False when there was none in force."""
    with engine.begin() as connection:
        return registry.revoke(connection, device_id)


@devices_app.command("add")
def add(
    vehicle: Vehicle,
    vehicle_class: Annotated[VehicleClass, typer.Option("--class", help="Which thresholds hold.")] = (
        VehicleClass.PASSENGER
    ),
    device: Annotated[str | None, typer.Option(help="The device's id. Default: VEHICLE-device.")] = None,
) -> None:
    """Register a device and print its token. A known device gets a new token, and its old one ends.

    Example: rumblestrip devices add van-7 --class light_duty
    """
    with open_database(load()) as engine:
        token = register(engine, vehicle, vehicle_class, device)
    typer.echo(token)
    typer.echo("Shown this once; the database keeps only its hash.", err=True)


@devices_app.command("list")
def show() -> None:
    """List devices.

    Example: rumblestrip devices list
    """
    with open_database(load()) as engine, engine.connect() as connection:
        devices = registry.list_devices(connection)
    table = Table("device", "vehicle", "class", "since", "revoked")
    for known in devices:
        revoked = f"{known.revoked_at:%Y-%m-%d %H:%M}" if known.revoked_at else ""
        table.add_row(*_words(known.identity), f"{known.created_at:%Y-%m-%d %H:%M}", revoked)
    Console().print(table)


@devices_app.command("revoke")
def end(device: Annotated[str, typer.Argument(help="The device's id.")]) -> None:
    """Revoke a device's token. Gateways refuse it within 15 seconds.

    Example: rumblestrip devices revoke van-7-device
    """
    with open_database(load()) as engine:
        done = revoke(engine, device)
    if not done:
        typer.echo(f"No device {device!r} has a token in force.", err=True)
        raise typer.Exit(1)


def _words(identity: Identity) -> tuple[str, str, str]:
    return identity.device_id, identity.vehicle_id, identity.vehicle_class.value
