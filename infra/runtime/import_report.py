"""What an import understood of its tables, and what can be judged of it, for the table that is printed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from rich.table import Table

from infra.contracts.telemetry import GpsSamples, ImuFrame, ImuSamples
from infra.runtime.import_columns import Mapped
from infra.runtime.import_tables import TextTable

_SLOWEST_HZ = 8.0
_DRIVER = ("driver", "driverid", "drivername")


@dataclass(slots=True)
class Understood:
    """What was made of the source, for the table that is printed."""

    rows: list[tuple[str, str, str, str]] = field(default_factory=list)  # field, from, unit, remark
    notes: list[str] = field(default_factory=list)
    drivers: list[str] = field(default_factory=list)  # that a column names

    def told_by(self, table: TextTable) -> None:
        """What was left out of a table, and which of its columns nobody asked for."""
        self.notes += table.skipped
        used = {column.partition(": ")[2].lstrip("−") for _, column, _, _ in self.rows}
        rest = [name for name in table.header if name not in used]
        driver = next((name for name in rest if name.lower().replace("_", "") in _DRIVER), None)
        if driver:
            rest.remove(driver)
            self.drivers = sorted(set(filter(None, table.texts(driver))))
            if len(self.drivers) > 1:
                self.notes.append(
                    f"{len(self.drivers)} drivers in column {driver}; --where {driver}=… takes those of one"
                )
        if rest:
            self.notes.append(f"{table.path.name}: not used: {', '.join(rest)}")

    def add(self, path: Path, mapped: Iterable[Mapped], decided: dict[str, Mapped]) -> None:
        for item in mapped:
            remark = "" if item.unit != "?" else "unit guessed from the values"
            sign = "−" if item.sign < 0 else ""
            unit = decided[item.field.name].unit
            self.rows.append((item.field.name, f"{path.name}: {sign}{item.column}", unit, remark))

    def as_table(self) -> Table:
        table = Table("field", "from", "unit read", "remark", title="Understood")
        for row in self.rows:
            table.add_row(*row)
        return table


def outlook(gps: GpsSamples, imu: ImuSamples, frame: ImuFrame) -> Iterator[str]:
    """What can be judged by what."""
    hz = 1e6 / max(float(np.median(np.diff(imu.time_us))), 1.0) if len(imu) > 1 else 0.0
    if not len(gps):
        yield "without GPS: no distance, no trip and no score; harsh driving by the accelerometer alone"
    if hz == 0:
        yield "without an accelerometer: harsh driving by GPS, which sees less"
    elif hz < _SLOWEST_HZ:
        yield f"accelerations at {hz:.2g} Hz are too slow to be judged alone: harsh driving by GPS, checked by them"
    if hz and np.isnan(imu.gyro_z_radps).all():
        yield "without a gyroscope: turns by acceleration and the GPS course"
    if hz and frame is not ImuFrame.VEHICLE:
        yield "how the device is mounted will be learned from the drive"
