"""Stored seconds of made-up vehicles: long calm stretches, and between them whatever rules, receivers and roads do."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from infra.contracts.telemetry import UNKNOWN, GpsSamples, VehicleClass, take
from infra.store.bulk import arrow_schema
from infra.store.tables import motion as motion_table
from scoring.core.rules import G_MPS2, SECOND_US
from scoring.core.stored import Motion, Subject, Telemetry, no_motion
from tests.unit.scoring.road import any_rotation

START_US = 1_700_005_800_000_000  # 23:50 UTC: most of it lies past midnight
BURSTS = ("brake", "turn", "fast", "stand", "wild", "gap", "unknown", "road", "dead", "away")
SORTS = ("straight", "turned", "slow", "none")


def made_up(vehicle_id: str, seed: int, sort: str, minutes: int = 40, *, busy: bool = True) -> Telemetry:
    """A vehicle of one of SORTS: its accelerometer is dense and in its axes, or turned, or too slow, or there is none.

    Several times there is a burst: of acceleration, of speed, of standing, of wrong fixes, of silence; often at the
    edge of a minute, and often with another within the minute before.
    """
    rng = np.random.default_rng([seed, SORTS.index(sort)])
    n = minutes * 60
    fields = {"speed": np.full(n, 14.0) + rng.normal(0, 0.1, n), "heading": rng.normal(0, 0.3, n)}
    fields |= {"limit": np.full(n, 16.0), "ignition": np.ones(n), "keep": np.ones(n), "wild": np.zeros(n)}
    felt = rng.normal(0, 0.2, (2, n))
    of = rng.choice(BURSTS, 3, replace=False)
    for drawn in rng.integers(60, n - 130, rng.integers(2, 7) * busy).tolist():
        at = drawn if rng.random() < 0.4 else max(drawn - drawn % 60 + int(rng.integers(-3, 4)), 60)
        for other in (at - rng.integers(0, 60, rng.integers(0, 3))).tolist():
            _burst(rng, of, fields, felt, other)
        _burst(rng, of, fields, felt, at)
    gps = take(_gps(rng, fields), fields["keep"] > 0)
    vehicle_class = list(VehicleClass)[int(rng.integers(len(VehicleClass)))]
    if sort == "none":
        return Telemetry(Subject(vehicle_id, vehicle_class), gps, no_motion())
    mounting = any_rotation(seed % 7 + 1) if sort == "turned" else np.eye(3)
    subject = Subject(vehicle_id, vehicle_class, mounting, imu_hz=1.0 if sort == "slow" else 25.0)
    return Telemetry(subject, gps, _motion(rng, felt, mounting))


def _burst(rng: np.random.Generator, of: np.ndarray, fields: dict[str, np.ndarray], felt: np.ndarray, at: int) -> None:
    long = slice(at, at + int(rng.integers(3, 120)))
    brief = slice(at, at + int(rng.integers(1, 5)))
    match rng.choice(of):
        case "brake":
            force = rng.uniform(2.5, 8.0) * rng.choice([-1, 1])
            felt[0, brief] += force
            fields["speed"][at:] = np.clip(fields["speed"][at:] + force * (brief.stop - at), 0, 40)
        case "turn":
            felt[1, brief] += rng.uniform(2.5, 8.0) * rng.choice([-1, 1])
            fields["heading"][at:] += np.clip(np.arange(len(fields["heading"]) - at), 0, 4) * rng.uniform(-25, 25)
        case "fast":
            fields["speed"][long] += rng.uniform(0.5, 6.0)
        case "stand":
            fields["speed"][at : at + int(rng.integers(30, 800))] = rng.uniform(0, 0.6)
        case "wild":
            fields["wild"][rng.integers(at - at % 7, at + 40, 3)] = rng.choice([0.002, 1.0])
        case "away":
            fields["wild"][long] = 0.5
        case "gap":
            fields["keep"][long] = 0
        case "unknown":
            fields["speed"][long] = np.nan
        case "road":
            fields["limit"][at:] = rng.choice([0.0, 8.0, 13.9, 13.0, 25.0, np.nan])
        case "dead":
            fields["speed"][long] = 17.0


def _gps(rng: np.random.Generator, fields: dict[str, np.ndarray]) -> GpsSamples:
    n = len(fields["speed"])
    driven = np.nan_to_num(fields["speed"], nan=14.0) * np.exp(1j * np.radians(fields["heading"]))
    way_m = np.cumsum(driven)
    single = {name: fields[name].astype(np.float32) for name in ("speed", "limit")}
    accuracy = np.where(rng.random(n) < 0.0002, 500.0, 4.0).astype(np.float32)
    return GpsSamples(
        START_US + np.arange(n) * SECOND_US + rng.integers(0, 300_000, n),
        52 + way_m.real / 111_195.0 + fields["wild"],
        8 + way_m.imag / 68_500.0,
        single["speed"],
        (fields["heading"] % 360).astype(np.float32),
        accuracy,
        single["limit"],
        np.full(n, np.nan),
        fields["ignition"].astype(np.int8),
        np.full(n, UNKNOWN, np.int8),
    )


def _motion(rng: np.random.Generator, felt: np.ndarray, mounting: np.ndarray) -> Motion:
    n = felt.shape[1]
    vehicle = np.stack([*felt, np.full(n, G_MPS2)])
    mean = mounting.T @ vehicle
    spread = rng.uniform(0.1, 0.6, (3, n))
    stats = (mean, np.sqrt(mean**2 + spread**2), mean - 2 * spread, mean + 2 * spread)
    turn = mounting.T @ np.stack([np.zeros(n), np.zeros(n), felt[1] / 14.0])
    single = [values.astype(np.float32).astype(np.float64) for values in (*stats, turn)]
    return Motion(START_US + np.arange(n) * SECOND_US, *single)


def motion_rows(one: Telemetry) -> pa.Table:
    """As the recorder would have stored them."""
    schema, rows = arrow_schema(motion_table), one.motion
    known = {"time": rows.time_us, "vehicle_id": [one.subject.vehicle_id] * len(rows)}
    known["samples"] = np.full(len(rows), int(one.subject.imu_hz), np.int16)
    for stat, values in {"mean": rows.mean, "rms": rows.rms, "min": rows.least, "max": rows.most}.items():
        known |= {f"accel_{axis}_{stat}": values[row] for row, axis in enumerate("xyz")}
    known |= {f"gyro_{axis}_mean": rows.turn[row] for row, axis in enumerate("xyz")}
    columns = [
        pa.array(known[field.name]).cast(field.type) if field.name in known else pa.nulls(len(rows), field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)
