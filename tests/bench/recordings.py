"""Recorded data sets as samples: read where they lie, never shipped. Each reader says what it had to make up."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from infra.contracts.telemetry import (
    UNKNOWN,
    GpsSamples,
    ImuFrame,
    ImuSamples,
    TelemetryBatch,
    VehicleClass,
    empty_imu,
    take,
)

G = 9.80665
MPH = 0.44704
EPOCH_US = 1_600_000_000_000_000  # where a set has no dates


@dataclass(frozen=True, eq=False)
class Recorded:
    name: str
    vehicle: str
    gps: GpsSamples
    imu: ImuSamples
    frame: ImuFrame = ImuFrame.VEHICLE


def batches(recorded: Recorded, every_us: int = 10_000_000) -> Iterator[TelemetryBatch]:
    """The recording as a device would send it."""
    times = np.concatenate([recorded.gps.time_us, recorded.imu.time_us])
    for number, window in enumerate(np.unique(times // every_us).tolist()):
        bounds = [window * every_us, (window + 1) * every_us]
        gps, imu = (take(s, slice(*np.searchsorted(s.time_us, bounds))) for s in (recorded.gps, recorded.imu))
        yield TelemetryBatch(
            recorded.vehicle, "box", "boot", number, "d", VehicleClass.PASSENGER, recorded.frame, 0, gps, imu
        )


def gps_of(time_us, lat, lon, speed_mps, heading_deg=None) -> GpsSamples:
    rows = len(time_us)
    nan = np.full(rows, np.nan, np.float32)
    unknown = np.full(rows, UNKNOWN, np.int8)
    heading = nan if heading_deg is None else np.asarray(heading_deg, np.float32)
    speed = np.asarray(speed_mps, np.float32)
    return GpsSamples(
        np.asarray(time_us, np.int64), lat, lon, speed, heading, nan, nan, np.full(rows, np.nan), unknown, unknown
    )


def imu_of(time_us, accel_mps2, gyro_radps=None) -> ImuSamples:
    """``accel_mps2`` and ``gyro_radps``: (3, n)."""
    gyro = np.full_like(accel_mps2, np.nan) if gyro_radps is None else gyro_radps
    columns = [np.asarray(row, np.float32) for row in (*accel_mps2, *gyro)]
    return ImuSamples(np.asarray(time_us, np.int64), *columns)


def blackbox(folder: Path) -> Iterator[Recorded]:
    """28 everyday drives at 1 Hz. Its y is right-positive, its yaw left-positive (by the GPS headings)."""
    table = pd.read_csv(folder / "nds_data.csv.gz").dropna(subset=["accel_x"])
    for number, rows in table.groupby("drive"):
        time_us = (rows.time_utc.to_numpy() * 1e6).astype(np.int64)
        accel = np.stack([rows.accel_x * G, -rows.accel_y * G, rows.accel_z * G])
        gyro = np.radians(np.stack([rows.gyro_x, -rows.gyro_y, rows.gyro_z]))
        gps = gps_of(
            time_us, rows.gps_lat.to_numpy(), rows.gps_long.to_numpy(), rows.speed_mph * MPH, rows.gps_heading_raw
        )
        yield Recorded(f"drive {number:.0f}", f"car-{number:.0f}", gps, imu_of(time_us, accel, gyro))


@dataclass(frozen=True, eq=False)
class Labelled:
    """A crash or near crash of the 100-Car study; times in microseconds."""

    recorded: Recorded
    start_us: int
    end_us: int
    braked: bool


def hundred_car(folder: Path) -> Iterator[Labelled]:
    """372 events at 10 Hz, as they were recorded, glitches and all. There are no positions: they are set to one
    place. Speed is the GPS receiver's, once a second, above 150 mph left out; of the vehicle's bus nothing is used.
    """
    series = dict(tuple(pd.read_parquet(folder / "timeseries_10hz.parquet").groupby("event_id")))
    for row in pd.read_csv(folder / "events.csv.gz").itertuples():
        rows = series[row.ID]
        start = float(rows.time_s.iloc[0])
        time_us = EPOCH_US + np.rint((rows.time_s.to_numpy() - start) * 1e6).astype(np.int64)
        accel = np.stack([rows.lon_g_fwd_pos * G, rows.lat_g_left_pos * G, np.full(len(rows), G)])
        yaw = np.radians(rows.yaw_dps.to_numpy())
        imu = imu_of(time_us, accel, np.stack([np.zeros_like(yaw), np.zeros_like(yaw), yaw]))
        speed = rows.gps_speed_mph.to_numpy() * MPH
        seconds = np.flatnonzero(np.diff(time_us // 1_000_000, prepend=-1) != 0)
        seconds = seconds[(speed[seconds] >= 0) & (speed[seconds] < 150 * MPH)]
        here = np.zeros(len(seconds))
        gps = gps_of(time_us[seconds], here, here, speed[seconds])
        recorded = Recorded(f"event {row.ID}", f"car-{row.vehicle_webid}", gps, imu)
        sync = rows["sync"].to_numpy()
        at = np.interp([row.start, row.end], sync, time_us).astype(np.int64).tolist()
        yield Labelled(recorded, at[0], at[1], "brak" in str(row.driver_reaction).lower())


def comma(folder: Path) -> tuple[Recorded, np.ndarray]:
    """The minute of comma2k19 (accelerometer and gyroscope 104 Hz, u-blox 10 Hz), and which way the car went in the
    device's axes: the mean direction of the poses' velocities. Axes are forward, right, down of the device."""
    read = lambda name: np.load(folder / "segment" / name)  # noqa: E731
    t0 = read("processed_log/IMU/accelerometer/t")[0]
    stamp = lambda t: EPOCH_US + np.rint((t - t0) * 1e6).astype(np.int64)  # noqa: E731
    accel = read("processed_log/IMU/accelerometer/value").T
    gyro = read("processed_log/IMU/gyro/value").T
    gnss = read("processed_log/GNSS/live_gnss_ublox/value")
    imu = imu_of(stamp(read("processed_log/IMU/accelerometer/t")), accel, gyro)
    gps = gps_of(stamp(read("processed_log/GNSS/live_gnss_ublox/t")), gnss[:, 0], gnss[:, 1], gnss[:, 2], gnss[:, 5])
    w, x, y, z = read("global_pose/frame_orientations").T
    first = np.stack([1 - 2 * (y * y + z * z), 2 * (x * y + z * w), 2 * (x * z - y * w)])
    second = np.stack([2 * (x * y - z * w), 1 - 2 * (x * x + z * z), 2 * (y * z + x * w)])
    third = np.stack([2 * (x * z + y * w), 2 * (y * z - x * w), 1 - 2 * (x * x + y * y)])
    velocity = read("global_pose/frame_velocities").T
    ahead = np.stack([(axis * velocity).sum(axis=0) for axis in (first, second, third)])
    mean = (ahead / np.linalg.norm(ahead, axis=0)).mean(axis=1)
    return Recorded("comma2k19", "civic", gps, imu, ImuFrame.DEVICE), mean / np.linalg.norm(mean)


def rotated(recorded: Recorded, turn: np.ndarray) -> Recorded:
    """As a device at another angle would have recorded it."""
    imu = recorded.imu
    accel = turn @ np.stack([imu.accel_x_mps2, imu.accel_y_mps2, imu.accel_z_mps2])
    gyro = turn @ np.stack([imu.gyro_x_radps, imu.gyro_y_radps, imu.gyro_z_radps])
    return replace(recorded, imu=imu_of(imu.time_us, accel, gyro), frame=ImuFrame.DEVICE)


def receivers(folder: Path, trip: int) -> dict[str, Recorded]:
    """What four receivers said of the same drive: positions alone, over the time that all of them cover."""
    paths = [p for p in sorted(folder.glob(f"trip{trip}-*.csv.gz")) if "lane-changes" not in p.name]
    tables = {p.name.split("-")[1].split(".")[0]: pd.read_csv(p).drop_duplicates("t").sort_values("t") for p in paths}
    first, last = max(t["t"].min() for t in tables.values()), min(t["t"].max() for t in tables.values())
    found = {}
    for name, table in tables.items():
        rows = table[(table["t"] >= first) & (table["t"] <= last)]
        time_us = EPOCH_US + np.rint(rows["t"].to_numpy() * 1e6).astype(np.int64)
        unknown = np.full(len(rows), np.nan)
        gps = gps_of(time_us, rows.lat_gps.to_numpy(), rows.lon_gps.to_numpy(), unknown)
        found[name] = Recorded(name, name, gps, empty_imu())
    return found
