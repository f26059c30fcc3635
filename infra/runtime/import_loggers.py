"""Loggers whose tables are known by their headers, so that nobody need map their columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Logger:
    """``columns`` must all be there; ``mappings`` as on the command line, those of absent columns left out."""

    name: str
    columns: tuple[str, ...]
    mappings: tuple[str, ...]
    note: str = ""


LOGGERS = (
    Logger(
        "Torque",
        ("GPS Time", "Device Time", "Longitude", "Latitude", "G(x)"),
        (
            "time=Device Time",
            "lat=Latitude:deg",
            "lon=Longitude:deg",
            "speed=GPS Speed (Meters/second):mps",
            "heading=Bearing:deg",
            "accuracy=Horizontal Dilution of Precision:m",
            "accel_x=G(x):g",
            "accel_y=G(y):g",
            "accel_z=G(z):g",
        ),
    ),
    Logger(
        "Traccar",
        ("deviceId", "protocol", "fixTime", "latitude", "longitude", "speed", "course"),
        ("time=fixTime", "lat=latitude:deg", "lon=longitude:deg", "speed=speed:knots", "heading=course:deg"),
        "Traccar exports speeds in knots.",
    ),
    Logger(
        "Sensor Logger (location)",
        ("time", "seconds_elapsed", "bearing", "horizontalAccuracy", "latitude", "longitude", "speed"),
        ("time=time", "speed=speed:mps", "heading=bearing:deg", "accuracy=horizontalAccuracy:m"),
    ),
    Logger(
        "Sensor Logger (sensor)",
        ("time", "seconds_elapsed", "x", "y", "z"),
        ("time=time",),
    ),
    Logger(
        "phyphox (location)",
        ("Time (s)", "Latitude (°)", "Longitude (°)", "Velocity (m/s)"),
        (
            "time=Time (s):s",
            "lat=Latitude (°):deg",
            "lon=Longitude (°):deg",
            "speed=Velocity (m/s):mps",
            "heading=Direction (°):deg",
            "accuracy=Horizontal Accuracy (m):m",
        ),
    ),
    Logger(
        "AndroSensor",
        ("LOCATION Latitude :", "LOCATION Longitude :", "ACCELEROMETER X (m/s²)"),
        (
            "time=YYYY-MO-DD HH-MI-SS_SSS",
            "lat=LOCATION Latitude ::deg",
            "lon=LOCATION Longitude ::deg",
            "speed=LOCATION Speed ( Kmh):kmh",
            "heading=LOCATION ORIENTATION (°):deg",
            *(f"accel_{a.lower()}=ACCELEROMETER {a} (m/s²):mps2" for a in "XYZ"),
            *(f"gyro_{a.lower()}=GYROSCOPE {a} (rad/s):radps" for a in "XYZ"),
        ),
    ),
)

_FOLDERS: dict[str, tuple[str, ...]] = {
    "location": ("Location.csv", "location.csv"),
    "accel": ("TotalAcceleration.csv", "Accelerometer.csv", "Linear Acceleration.csv", "Linear Accelerometer.csv"),
    "gyro": ("Gyroscope.csv", "gyroscope.csv"),
}


def recognise(header: Sequence[str]) -> Logger | None:
    """The logger that wrote a table with this header."""
    names = set(header)
    return next((logger for logger in LOGGERS if names.issuperset(logger.columns)), None)


def files_in(folder: Path) -> tuple[Path | None, Path | None, Path | None]:
    """Location, acceleration and gyroscope tables of a folder that Sensor Logger or phyphox exported.

    Of several accelerations the one that still holds gravity comes first.
    """
    found = (next((folder / n for n in names if (folder / n).exists()), None) for names in _FOLDERS.values())
    location, accel, gyro = found
    return location, accel, gyro
