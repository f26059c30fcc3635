"""Which column of a foreign table is which, and in which unit: guessed from names and sizes, or told."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from infra.drives import DriveError

Numbers = npt.NDArray[np.float64]

G_MPS2 = 9.80665
UNITS: dict[str, dict[str, float]] = {
    "time": {"s": 1e6, "ms": 1e3, "us": 1.0, "ns": 1e-3, "iso": 1.0},
    "speed": {"mps": 1.0, "kmh": 1 / 3.6, "mph": 0.44704, "knots": 1852 / 3600},
    "accel": {"mps2": 1.0, "g": G_MPS2},
    "rate": {"radps": 1.0, "degps": math.pi / 180},
    "angle": {"deg": 1.0, "rad": 180 / math.pi},
    "length": {"m": 1.0, "km": 1000.0, "mi": 1609.344, "ft": 0.3048},
    "flag": {"flag": 1.0},
}
"""Factors to what a drive holds: microseconds, m/s, m/s², rad/s, degrees, metres."""

_SPELLINGS = {
    "m/s": "mps",
    "ms1": "mps",
    "km/h": "kmh",
    "kph": "kmh",
    "kmph": "kmh",
    "knot": "knots",
    "kn": "knots",
    "m/s2": "mps2",
    "m/s^2": "mps2",
    "m/s²": "mps2",
    "ms2": "mps2",
    "dps": "degps",
    "deg/s": "degps",
    "°/s": "degps",
    "rad/s": "radps",
    "rads": "radps",
    "degrees": "deg",
    "°": "deg",
    "miles": "mi",
    "mile": "mi",
    "sec": "s",
    "seconds": "s",
    "msec": "ms",
    "millis": "ms",
    "usec": "us",
    "micros": "us",
    "meters": "m",
    "meters/second": "mps",
    "nanos": "ns",
    "nsec": "ns",
}


@dataclass(frozen=True, slots=True)
class Field:
    """A column of a drive: the kind of its unit, and the names it goes by elsewhere, best first."""

    name: str
    kind: str
    aliases: tuple[str, ...]


def _axes(name: str, kind: str, stems: Sequence[str], suffix: str) -> list[Field]:
    return [
        Field(f"{name}_{axis}_{suffix}", kind, (*(f"{stem}{axis}" for stem in stems), f"{axis}{stems[0]}"))
        for axis in "xyz"
    ]


GPS_FIELDS = (
    Field("time_us", "time", ("time", "timestamp", "timeutc", "utc", "datetime", "t", "epoch", "unixtime", "gpstime")),
    Field("lat", "angle", ("lat", "latitude", "gpslat", "gpslatitude", "positionlat")),
    Field("lon", "angle", ("lon", "long", "lng", "longitude", "gpslon", "gpslong", "gpslng", "gpslongitude")),
    Field("speed_mps", "speed", ("speed", "gpsspeed", "velocity", "groundspeed", "vehiclespeed")),
    Field("heading_deg", "angle", ("heading", "course", "bearing", "gpsheading", "gpscourse", "track")),
    Field("accuracy_m", "length", ("accuracy", "horizontalaccuracy", "hacc", "gpsaccuracy")),
    Field("speed_limit_mps", "speed", ("speedlimit", "maxspeed", "postedlimit", "limit", "postedspeed")),
    Field("odometer_m", "length", ("odometer", "odo", "mileage")),
    Field("ignition", "flag", ("ignition", "ignitionon", "engineon")),
    Field("belt_buckled", "flag", ("beltbuckled", "belt", "seatbelt", "driverbelt")),
)
IMU_FIELDS = (
    GPS_FIELDS[0],
    *_axes("accel", "accel", ("accel", "acc", "a", "acceleration", "accelerometer", "linearacceleration"), "mps2"),
    *_axes("gyro", "rate", ("gyro", "gyr", "g", "w", "rotationrate", "angularvelocity", "gyroscope"), "radps"),
)


@dataclass(frozen=True, slots=True)
class Mapped:
    """A field, the column that feeds it, its unit (``?``: to be told from the values) and a sign."""

    field: Field
    column: str
    unit: str = "?"
    sign: int = 1
    told: bool = False


def parse_mapping(text: str) -> tuple[str, str, str, int]:
    """``accel_y=-ay:g`` to field, column, unit (``?`` where none is given) and sign. Raises DriveError."""
    matched = re.fullmatch(r"(\w+)=(-?)(.+?)(?::([^:]+))?", text)
    if not matched:
        raise DriveError(f"--map {text}: write FIELD=COLUMN or FIELD=COLUMN:UNIT, such as speed=velocity:kmh")
    name, minus, column, unit = matched.groups()
    return name, column, unit or "?", -1 if minus else 1


def map_columns(header: Sequence[str], fields: Sequence[Field], told: Sequence[str]) -> dict[str, Mapped]:
    """Field name to column. What ``told`` says wins; the rest is guessed from the header.

    Raises:
        DriveError: a mapping names an unknown field, column or unit.
    """
    mapped = {m.field.name: m for m in (guess_column(f, header) for f in fields) if m}
    for text in told:
        name, column, unit, sign = parse_mapping(text)
        field = _field(name, fields)
        if field is None:
            continue
        if column not in header:
            raise DriveError(f"--map {text}: {no_column(column, header)}")
        known = unit if unit == "?" else _known_unit(unit, field, text)
        mapped[field.name] = Mapped(field, column, known if known != "?" else _unit_in(column, field), sign, told=True)
    return mapped


def no_column(column: str, header: Sequence[str]) -> str:
    """What to say of a column that is not there: the nearest name, and all there are."""
    near = difflib.get_close_matches(column.lower(), [name.lower() for name in header], n=1, cutoff=0.5)
    meant = next((name for name in header if near and name.lower() == near[0]), None)
    hint = f", perhaps {meant!r}" if meant else ""
    return f"there is no column {column!r}{hint}; there are {', '.join(header)}"


def check_mappings(told: Sequence[str]) -> None:
    """Raises DriveError where a mapping names a field that no drive has."""
    for text in told:
        name = parse_mapping(text)[0]
        if _field(name, GPS_FIELDS + IMU_FIELDS) is None:
            names = ", ".join(dict.fromkeys(_short(f.name) for f in GPS_FIELDS + IMU_FIELDS))
            near = difflib.get_close_matches(name.lower(), names.split(", "), n=1)
            hint = f", perhaps {near[0]!r}" if near else ""
            raise DriveError(f"--map {text}: there is no field {name!r}{hint}; there are {names}")


def guess_column(field: Field, header: Sequence[str]) -> Mapped | None:
    """The column whose name, without its unit, is one of the field's aliases: the best alias first."""
    stems = {_stem(column, field): column for column in reversed(header)}
    for alias in (_plain(field.name), _plain(_short(field.name)), *field.aliases):
        if alias in stems:
            return Mapped(field, stems[alias], _unit_in(stems[alias], field))
    return None


def guess_unit(kind: str, values: Numbers) -> str:
    """The unit that makes the sizes of these values plausible, for columns that do not say."""
    sizes = np.abs(values[np.isfinite(values)])
    largest = float(sizes.max()) if len(sizes) else 0.0
    typical = float(np.median(sizes)) if len(sizes) else 0.0
    if kind == "time":
        return "ns" if typical > 1e17 else "us" if typical > 1e14 else "ms" if typical > 1e11 else "s"
    if kind == "accel":
        return "g" if largest < 3.0 else "mps2"  # gravity alone is 9.8 m/s²
    if kind == "rate":
        return "degps" if largest > 4.0 else "radps"  # 4 rad/s is 230°/s: no car turns so fast
    if kind == "speed":
        return "kmh" if largest > 70.0 else "mps"  # 70 m/s is 250 km/h
    return {"angle": "deg", "length": "m", "flag": "flag"}[kind]


def factor(mapped: Mapped) -> float:
    return mapped.sign * UNITS[mapped.field.kind][mapped.unit]


def _field(name: str, fields: Sequence[Field]) -> Field | None:
    wanted = name.lower()
    return next((f for f in fields if wanted in (f.name, _short(f.name))), None)


def _short(name: str) -> str:
    return re.sub(r"_(us|mps2?|deg|m|radps)$", "", name)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _tokens(column: str) -> tuple[str, str]:
    """``Speed (km/h)`` or ``speed_kmh`` to its stem and what may be a unit."""
    bracketed = re.fullmatch(r"\s*(.*?)\s*[\[(]\s*(.+?)\s*[\])]\s*", column)
    if bracketed:
        return bracketed[1], bracketed[2].lower()
    stem, _, last = column.strip().rpartition("_")
    return (stem, last.lower()) if stem else (column, "")


def _unit_in(column: str, field: Field) -> str:
    unit = _tokens(column)[1]
    unit = _SPELLINGS.get(unit, unit)
    return unit if unit in UNITS[field.kind] else "?"


def _stem(column: str, field: Field) -> str:
    return _plain(_tokens(column)[0] if _unit_in(column, field) != "?" else column)


def _known_unit(unit: str, field: Field, text: str) -> str:
    spelled = _SPELLINGS.get(unit.lower(), unit.lower())
    if spelled not in UNITS[field.kind]:
        raise DriveError(f"--map {text}: unit {unit!r} is not one of {', '.join(UNITS[field.kind])}")
    return spelled


Reader = Callable[[str], Numbers]


def read_units(mapped: Mapping[str, Mapped], read: Reader) -> dict[str, Mapped]:
    """The same mapping with every ``?`` replaced by the unit that the values suggest.

    Axes of one sensor share their unit, so that the quiet one is not taken for another.
    """
    decided: dict[str, Mapped] = {}
    for name, item in mapped.items():
        if item.unit != "?":
            decided[name] = item
            continue
        group = [m for m in mapped.values() if m.field.kind == item.field.kind and m.unit == "?"]
        together = group if item.field.kind in ("accel", "rate") else [item]
        unit = guess_unit(item.field.kind, np.concatenate([read(m.column) for m in together]))
        decided[name] = Mapped(item.field, item.column, unit, item.sign, item.told)
    return decided
