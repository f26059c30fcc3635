"""Who is who: vehicles, drivers, and devices with their tokens. Callers own the transaction; nothing commits here."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Row, Select, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from infra.contracts.telemetry import VehicleClass
from infra.store.tables import device, driver, vehicle, vehicle_tag

TOKEN_BYTES = 32  # 256 bit: SHA-256 without salt or stretching is enough for a secret nobody can guess
TOKEN_PREFIX = "rs_"  # so that secret scanners and people recognise one
TOKEN_CHARACTERS = len(TOKEN_PREFIX) + 43


class UnknownVehicle(LookupError):
    """No vehicle of this id is registered."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom a token stands for."""

    device_id: str
    vehicle_id: str
    vehicle_class: VehicleClass


@dataclass(frozen=True, slots=True)
class RegisteredDevice:
    """A device as the register lists it: everything but its token."""

    identity: Identity
    created_at: datetime
    revoked_at: datetime | None


def hash_token(token: str) -> str:
    """What is stored of a token. Looked up by an index: the time that takes tells nothing of a token, only of
    a hash that its sender cannot choose."""
    return hashlib.sha256(token.encode()).hexdigest()


def add_vehicle(connection: Connection, vehicle_id: str, name: str, vehicle_class: VehicleClass) -> None:
    """Register a vehicle, or change its name and class."""
    row = insert(vehicle).values(vehicle_id=vehicle_id, name=name, vehicle_class=vehicle_class.value)
    connection.execute(
        row.on_conflict_do_update(
            index_elements=["vehicle_id"], set_={"name": row.excluded.name, "vehicle_class": row.excluded.vehicle_class}
        )
    )


def add_driver(connection: Connection, driver_id: str, name: str) -> None:
    """Register a driver, or change the name."""
    row = insert(driver).values(driver_id=driver_id, name=name)
    connection.execute(row.on_conflict_do_update(index_elements=["driver_id"], set_={"name": row.excluded.name}))


def add_tag(connection: Connection, tag: str, vehicles: Iterable[str]) -> None:
    """Let vehicles carry a tag; one may carry several. Raises UnknownVehicle."""
    wanted = sorted(set(vehicles))
    known = set(connection.scalars(select(vehicle.c.vehicle_id).where(vehicle.c.vehicle_id.in_(wanted))))
    if missing := [one for one in wanted if one not in known]:
        raise UnknownVehicle(f"not registered: {', '.join(missing)}")
    rows = [{"tag": tag, "vehicle_id": one} for one in wanted]
    if rows:
        connection.execute(insert(vehicle_tag).values(rows).on_conflict_do_nothing())


def remove_tag(connection: Connection, tag: str, vehicles: Iterable[str] = ()) -> int:
    """Take a tag off these vehicles, or off all. Returns off how many."""
    wanted = list(vehicles)
    statement = delete(vehicle_tag).where(vehicle_tag.c.tag == tag)
    statement = statement.where(vehicle_tag.c.vehicle_id.in_(wanted)) if wanted else statement
    return connection.execute(statement).rowcount


def vehicles_by_tag(connection: Connection) -> dict[str, list[str]]:
    """Every tag with the vehicles that carry it."""
    found: dict[str, list[str]] = {}
    for row in connection.execute(select(vehicle_tag).order_by(vehicle_tag.c.tag, vehicle_tag.c.vehicle_id)):
        found.setdefault(row.tag, []).append(row.vehicle_id)
    return found


def issue_token(connection: Connection, device_id: str, vehicle_id: str) -> str:
    """Register a device of a vehicle, or give a known one a new token (the old one ends, a revocation too).

    Returns the token, for the only time: the database keeps its hash.
    Raises UnknownVehicle.
    """
    known = connection.execute(select(vehicle.c.vehicle_id).where(vehicle.c.vehicle_id == vehicle_id)).first()
    if known is None:
        raise UnknownVehicle(f"vehicle {vehicle_id!r} is not registered")
    token = TOKEN_PREFIX + secrets.token_urlsafe(TOKEN_BYTES)
    row = insert(device).values(
        device_id=device_id, vehicle_id=vehicle_id, token_hash=hash_token(token), created_at=func.now(), revoked_at=None
    )
    fresh = {name: row.excluded[name] for name in ("vehicle_id", "token_hash", "created_at", "revoked_at")}
    connection.execute(row.on_conflict_do_update(index_elements=["device_id"], set_=fresh))
    return token


def revoke(connection: Connection, device_id: str) -> bool:
    """End a device's token. False when no device of this id has one in force."""
    statement = update(device).where(device.c.device_id == device_id, device.c.revoked_at.is_(None))
    return connection.execute(statement.values(revoked_at=func.now())).rowcount > 0


def find_by_hash(connection: Connection, hashes: Iterable[str]) -> dict[str, Identity]:
    """The identities behind token hashes, in one query. Unknown and revoked ones are left out."""
    query = _devices().where(device.c.token_hash.in_(list(hashes)), device.c.revoked_at.is_(None))
    return {row.token_hash: _identity(row) for row in connection.execute(query)}


def list_devices(connection: Connection) -> Sequence[RegisteredDevice]:
    """Every device, by vehicle and id."""
    rows = connection.execute(_devices().order_by(device.c.vehicle_id, device.c.device_id))
    return [RegisteredDevice(_identity(row), row.created_at, row.revoked_at) for row in rows]


def _devices() -> Select[tuple[str, str, str, str, datetime, datetime | None]]:
    columns = (device.c.device_id, device.c.vehicle_id, vehicle.c.vehicle_class, device.c.token_hash)
    return select(*columns, device.c.created_at, device.c.revoked_at).join_from(device, vehicle)


def _identity(row: Row[tuple[str, str, str, str, datetime, datetime | None]]) -> Identity:
    return Identity(row.device_id, row.vehicle_id, VehicleClass(row.vehicle_class))
