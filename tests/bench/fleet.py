"""A seeded fleet for benches: IMU at 25 Hz and GPS at 1 Hz, in batches of 10 s, as request bodies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from infra.contracts import arrow_form
from infra.contracts.telemetry import (
    UNKNOWN,
    GpsSamples,
    ImuFrame,
    ImuSamples,
    TelemetryBatch,
    VehicleClass,
    take,
)

IMU_HZ, BATCH_S = 25, 10
GPS_VALUES, IMU_VALUES = 5, 6
"""Measured values a row: lat, lon, speed, heading, accuracy; three accelerations, three rates. Times do not count."""
POINTS_PER_BATCH = BATCH_S * GPS_VALUES + BATCH_S * IMU_HZ * IMU_VALUES
BRAKES_PER_HOUR = 4.0
EARTH_M_PER_DEG = 111_195.0


@dataclass(frozen=True)
class Drive:
    vehicle_id: str
    device_id: str
    gps: GpsSamples
    imu: ImuSamples
    brakes: int  # harsh ones that were put in


def drive(index: int, minutes: int, start_us: int, seed: int) -> Drive:
    """One vehicle's drive: a wandering speed, sensor noise, and some harsh brakings of 0.75 g for 1.2 s."""
    rng = np.random.default_rng([seed, index])
    seconds = minutes * 60
    time_s = np.arange(seconds * IMU_HZ) / IMU_HZ
    accel = 0.4 * np.sin(2 * np.pi * time_s / 45 + rng.uniform(0, 6))  # speed wanders by 3 m/s about 25
    brakes = rng.choice(np.arange(20, seconds - 20, 40), rng.poisson(BRAKES_PER_HOUR * minutes / 60), replace=False)
    for at in brakes:
        accel[(time_s >= at) & (time_s < at + 1.2)] = -0.75 * 9.80665
        accel[(time_s >= at + 3) & (time_s < at + 9)] += 0.2 * 0.75 * 9.80665  # and back to speed
    speed = 25 + np.cumsum(accel) / IMU_HZ
    yaw = np.interp(time_s, np.arange(0, seconds + 30, 30.0), rng.normal(0, 0.02, seconds // 30 + 1))
    return Drive(
        f"bench-{index:05d}", f"device-{index:05d}", *_samples(rng, time_s, start_us, accel, speed, yaw), len(brakes)
    )


def _samples(
    rng: np.random.Generator, time_s: np.ndarray, start_us: int, accel: np.ndarray, speed: np.ndarray, yaw: np.ndarray
) -> tuple[GpsSamples, ImuSamples]:
    time_us = start_us + np.round(time_s * 1e6).astype(np.int64)
    heading = np.cumsum(yaw) / IMU_HZ
    lat = 52 + np.cumsum(speed * np.cos(heading)) / IMU_HZ / EARTH_M_PER_DEG
    lon = 5 + np.cumsum(speed * np.sin(heading)) / IMU_HZ / EARTH_M_PER_DEG / np.cos(np.radians(52))
    noise = rng.normal(0, 0.15, (6, len(time_s))).astype(np.float32)
    imu = ImuSamples(
        time_us,
        (accel + noise[0]).astype(np.float32),
        (-yaw * speed + noise[1]).astype(np.float32),
        (9.80665 + noise[2]).astype(np.float32),
        noise[3] * 0.05,
        noise[4] * 0.05,
        (-yaw + noise[5] * 0.05).astype(np.float32),
    )
    at = slice(None, None, IMU_HZ)
    rows = len(time_s[at])
    unknown = np.full(rows, UNKNOWN, np.int8)
    nan = np.full(rows, np.nan)
    gps = GpsSamples(
        time_us[at],
        lat[at],
        lon[at],
        speed[at].astype(np.float32),
        np.degrees(heading[at] % (2 * np.pi)).astype(np.float32),
        np.full(rows, 3.0, np.float32),
        nan.astype(np.float32),
        nan,
        unknown,
        unknown,
    )
    return gps, imu


def bodies(of: Drive) -> list[bytes]:
    """The drive as Arrow request bodies of 10 s each, sequences from 0."""
    return [
        arrow_form.write_batches(
            [
                TelemetryBatch(
                    vehicle_id=of.vehicle_id,
                    device_id=of.device_id,
                    boot_id="bench",
                    sequence=sequence,
                    driver_id=f"driver-{of.vehicle_id}",
                    vehicle_class=VehicleClass.PASSENGER,
                    imu_frame=ImuFrame.VEHICLE,
                    received_us=0,
                    gps=take(of.gps, slice(sequence * BATCH_S, (sequence + 1) * BATCH_S)),
                    imu=take(of.imu, slice(sequence * BATCH_S * IMU_HZ, (sequence + 1) * BATCH_S * IMU_HZ)),
                )
            ]
        )
        for sequence in range(len(of.gps) // BATCH_S)
    ]
