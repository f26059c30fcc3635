"""The manifest of a recorded drive: a TOML file that says who drove what, and where the recording comes from."""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from infra.contracts.telemetry import ImuFrame, VehicleClass

VERSION = 1
FILE = "manifest.toml"

Word = TypeVar("Word", bound=StrEnum)


class DriveError(ValueError):
    """A recorded drive cannot be used. The message names the file, the place in it and what to do."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What the folder does not say in samples. ``licence`` and ``attribution`` are empty for one's own drives."""

    vehicle_id: str
    device_id: str
    start: datetime  # aware; of the first sample
    vehicle_name: str = ""
    vehicle_class: VehicleClass = VehicleClass.PASSENGER
    driver_id: str | None = None
    driver_name: str = ""
    imu_frame: ImuFrame = ImuFrame.UNKNOWN
    time_zone: str = "UTC"  # where it was driven, IANA
    source: str = ""
    licence: str = ""
    attribution: str = ""
    version: int = VERSION


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a drive folder. Keys it does not know are passed over.

    Raises:
        DriveError: no manifest, not TOML, a key missing, a value of the wrong kind, or a newer version.
    """
    path = folder / FILE
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DriveError(f"{path}: not found; a recorded drive is a folder with this file in it") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DriveError(f"{path}: not TOML: {error}") from error
    return _manifest(tree, path)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write ``manifest.toml``, in the newest version."""
    sections = {
        "vehicle": {
            "id": manifest.vehicle_id,
            "name": manifest.vehicle_name,
            "class": str(manifest.vehicle_class),
        },
        "driver": {"id": manifest.driver_id, "name": manifest.driver_name} if manifest.driver_id else {},
        "device": {"id": manifest.device_id, "imu_frame": str(manifest.imu_frame)},
        "recording": {"start": manifest.start.astimezone(UTC).isoformat(), "time_zone": manifest.time_zone},
        "source": {
            "name": manifest.source,
            "licence": manifest.licence,
            "attribution": manifest.attribution,
        },
    }
    lines = [f"format_version = {VERSION}"]
    for name, values in sections.items():
        written = [f"{key} = {_toml_string(value)}" for key, value in values.items() if value]
        lines += ["", f"[{name}]", *written] if written else []
    (folder / FILE).write_text("\n".join(lines) + "\n", encoding="utf-8")


def _toml_string(value: str) -> str:
    # A JSON string is a TOML basic string, but for DEL, which TOML wants escaped.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _manifest(tree: dict[str, Any], path: Path) -> Manifest:
    version = tree.get("format_version")
    if not isinstance(version, int) or version < 1:
        raise DriveError(f"{path}: format_version is {version!r}; write format_version = {VERSION}")
    if version > VERSION:
        raise DriveError(f"{path}: format_version {version} is newer than this program reads ({VERSION}); update it")
    driver_id = _text(tree, "driver", "id", path) or None
    return Manifest(
        vehicle_id=_needed(tree, "vehicle", "id", path),
        vehicle_name=_text(tree, "vehicle", "name", path),
        vehicle_class=one_of(
            VehicleClass, _text(tree, "vehicle", "class", path) or "passenger", f"{path}: [vehicle] class"
        ),
        driver_id=driver_id,
        driver_name=_text(tree, "driver", "name", path),
        device_id=_needed(tree, "device", "id", path),
        imu_frame=one_of(
            ImuFrame, _text(tree, "device", "imu_frame", path) or "unknown", f"{path}: [device] imu_frame"
        ),
        start=_start(tree, path),
        time_zone=_zone(tree, path),
        source=_text(tree, "source", "name", path),
        licence=_text(tree, "source", "licence", path),
        attribution=_text(tree, "source", "attribution", path),
        version=version,
    )


def _text(tree: dict[str, Any], section: str, key: str, path: Path) -> str:
    table = tree.get(section, {})
    value = table.get(key, "") if isinstance(table, dict) else table
    if not isinstance(value, str):
        raise DriveError(f"{path}: [{section}] {key} is {value!r}; write it in quotes")
    return value


def _needed(tree: dict[str, Any], section: str, key: str, path: Path) -> str:
    value = _text(tree, section, key, path)
    if not value:
        raise DriveError(f'{path}: [{section}] {key} is missing; add {key} = "…"')
    return value


def one_of(kind: type[Word], value: str, place: str) -> Word:
    """The word of an enumeration. Raises DriveError, which names the place and the words it takes."""
    try:
        return kind(value)
    except ValueError as error:
        raise DriveError(f"{place} is {value!r}; it takes {', '.join(kind)}") from error


def _zone(tree: dict[str, Any], path: Path) -> str:
    value = _text(tree, "recording", "time_zone", path) or "UTC"
    try:
        return ZoneInfo(value).key
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise DriveError(
            f"{path}: [recording] time_zone {value!r} is not an IANA name such as Europe/Berlin"
        ) from error


def _start(tree: dict[str, Any], path: Path) -> datetime:
    table = tree.get("recording", {})
    value = table.get("start") if isinstance(table, dict) else None
    try:
        start = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError as error:
        raise DriveError(f"{path}: [recording] start is {value!r}; write 2024-05-01T08:00:00+00:00") from error
    if start.tzinfo is None:
        raise DriveError(f"{path}: [recording] start {value!r} has no zone; add +00:00 or the like")
    return start.astimezone(UTC)
