"""A small fleet in the database, written as the rooms write it: trips, events of every kind, tracks, stills."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
from PIL import Image, ImageDraw
from sqlalchemy import Engine

from infra.clock import to_us
from infra.contracts.events import (
    EventKind,
    Media,
    MediaKind,
    SafetyEvent,
    Severity,
    Trace,
    Trip,
    TripStatus,
    event_id,
    trip_id,
)
from infra.contracts.telemetry import ImuSamples, VehicleClass
from infra.settings import Settings
from infra.store import outputs, registry
from infra.store.media import MediaStore
from scoring.recompute import mark_all_due, recompute_due

G = 9.80665
RULES = "seed"
NASTY_NAME = "<b onclick=alert(1)>Zoë</b> O’Brien & Söhne"

KINDS = (  # kind, severity, peak, unit, evidence
    (
        EventKind.HARSH_BRAKE,
        Severity.HIGH,
        0.93,
        "g",
        {
            "source": "accelerometer",
            "threshold_g": 0.61,
            "seconds_over_threshold": 0.6,
            "seconds": 1.1,
            "speed_change_mps": -6.4,
        },
    ),
    (
        EventKind.SPEEDING,
        Severity.MODERATE,
        4.6,
        "m/s",
        {
            "source": "posted limit on the message",
            "band": "moderate",
            "seconds_in_band_or_higher": 41.0,
            "peak_over_limit_percent": 18.0,
            "over_light_s": 12.0,
            "over_moderate_s": 41.0,
            "over_heavy_s": 0.0,
            "over_severe_s": 0.0,
        },
    ),
    (EventKind.MICROSLEEP, Severity.CRITICAL, 1.8, "s", {"eyes_shut_s": 1.8, "frames_shut": 6, "mean_openness": 0.07}),
    (
        EventKind.HARSH_TURN,
        Severity.LOW,
        0.51,
        "g",
        {"source": "gps", "threshold_g": 0.282, "seconds": 2.0, "direction": "left", "speed_change_mps": 2.0},
    ),
    (
        EventKind.HARSH_ACCELERATION,
        Severity.LOW,
        0.46,
        "g",
        {"source": "accelerometer", "threshold_g": 0.43, "seconds_over_threshold": 0.4, "seconds": 0.9},
    ),
    (
        EventKind.DROWSINESS,
        Severity.HIGH,
        0.22,
        "share",
        {"perclos_peak": 0.22, "window_s": 60, "caution_at": 0.1, "drowsy_at": 0.15},
    ),
)


@dataclass(frozen=True)
class Fleet:
    events: list[SafetyEvent]
    trips: list[Trip]


def seed(
    engine: Engine, media: MediaStore, settings: Settings, until: datetime, days: int = 5, drivers: int = 3
) -> Fleet:
    """Each driver makes one trip of 20 minutes a day with some events; everything ends at ``until``."""
    rows = outputs.Outputs()
    trips: list[Trip] = []
    events: list[SafetyEvent] = []
    traces: list[Trace] = []
    tracks: list[pa.Table] = []
    motions: list[pa.Table] = []
    for number in range(drivers):
        for back in range(days):
            start = until - timedelta(days=back, hours=2 + number, minutes=20)
            made = _trip(number, start)
            trips.append(made)
            tracks.append(_track(made))
            motions.append(_motion(made))
            for place in range(min(1 + (number * 2 + back) % 4, 4)):
                event = _event(made, place, KINDS[(number + back * 2 + place) % len(KINDS)])
                events.append(event)
                if event.peak_unit == "g":
                    traces.append(_trace(event))
    rows.trips, rows.events, rows.traces = trips, events, traces
    rows.positions, rows.motion = pa.concat_tables(tracks), pa.concat_tables(motions)
    rows.counts.update(
        {("car-0", "duplicate"): 3, ("car-1", "late"): 2, ("car-1", "missing"): 1, ("car-0", "messages"): 900}
    )
    rows.dead_letters = [
        outputs.DeadLetter("telemetry", 1, 7, "car-1", "not_finite", "gps: lat is NaN in 4 rows", 4, to_us(until))
    ]
    with engine.begin() as connection:
        for number in range(drivers):
            registry.add_vehicle(connection, f"car-{number}", f"Car {number}", VehicleClass.PASSENGER)
            registry.add_driver(
                connection, f"driver-{number}", NASTY_NAME if number == 0 else f"Driver {'ABC'[number % 3]}"
            )
        outputs.write(connection, rows, media, "seed")
        mark_all_due(connection)
        while recompute_due(connection, settings):
            pass
    return Fleet(events, trips)


def _trip(number: int, start: datetime) -> Trip:
    start_us = to_us(start)
    car = f"car-{number}"
    return Trip(
        trip_id(RULES, car, start_us),
        car,
        f"driver-{number}",
        TripStatus.ENDED,
        start_us,
        start_us + 1_200_000_000,
        24_000.0 + 3_000 * number,
        1_150.0,
        1_000.0,
        30.0 * number,
        41.0 * (number == 1),
        0.0,
        0.0,
        29.0,
        41.26,
        -96.0,
        41.3,
        -95.9,
        RULES,
    )


def _course(trip: Trip) -> tuple[np.ndarray, ...]:
    t = np.arange(1200)
    speed = 17 + 9 * np.sin(t / 90) + 3 * np.sin(t / 17)
    heading = np.radians(40 + 70 * np.sin(t / 160))
    north, east = np.cumsum(speed * np.cos(heading)), np.cumsum(speed * np.sin(heading))
    lat = 41.26 + north / 111_195
    lon = -96.0 + east / (111_195 * math.cos(math.radians(41.26)))
    return trip.start_us + t * 1_000_000, speed, np.degrees(heading), lat, lon


def _track(trip: Trip) -> pa.Table:
    time_us, speed, heading, lat, lon = _course(trip)
    n = len(time_us)
    columns = {
        "time": pa.array(time_us, pa.timestamp("us", tz="UTC")),
        "vehicle_id": [trip.vehicle_id] * n,
        "driver_id": [trip.driver_id] * n,
        "lat": lat,
        "lon": lon,
        "speed_mps": speed.astype("f4"),
        "heading_deg": heading.astype("f4"),
        "accuracy_m": np.full(n, 4, "f4"),
        "speed_limit_mps": np.where(np.arange(n) < 700, 22.4, 26.8).astype("f4"),
        "odometer_m": [None] * n,
        "ignition": [1] * n,
        "belt_buckled": [None] * n,
    }
    return pa.Table.from_arrays(
        [pa.array(columns[f.name], f.type) for f in outputs.POSITION_SCHEMA], schema=outputs.POSITION_SCHEMA
    )


def _motion(trip: Trip) -> pa.Table:
    random = np.random.default_rng(trip.start_us % 2**32)
    n = 1200
    time_us = trip.start_us + np.arange(n) * 1_000_000
    columns: dict[str, object] = {
        "time": pa.array(time_us, pa.timestamp("us", tz="UTC")),
        "vehicle_id": [trip.vehicle_id] * n,
        "samples": [25] * n,
    }
    for axis, level in (("x", 0.0), ("y", 0.0), ("z", 9.8)):
        mean = level + random.normal(0, 0.6, n)
        for name, values in (("mean", mean), ("min", mean - 0.7), ("max", mean + 0.7), ("rms", np.abs(mean))):
            columns[f"accel_{axis}_{name}"] = values.astype("f4")
            columns[f"gyro_{axis}_{name}"] = [None] * n
    return pa.Table.from_arrays(
        [pa.array(columns[f.name], f.type) for f in outputs.MOTION_SCHEMA], schema=outputs.MOTION_SCHEMA
    )


def _event(trip: Trip, place: int, spec: tuple) -> SafetyEvent:
    kind, severity, peak, unit, evidence = spec
    second = 200 + place * 240
    _, speed, _, lat, lon = _course(trip)
    start_us = trip.start_us + second * 1_000_000
    key = event_id(RULES, trip.vehicle_id, kind, start_us)
    length_us = 53_000_000 if kind is EventKind.SPEEDING else 1_400_000
    media = (_still(key, start_us),) if kind in (EventKind.MICROSLEEP, EventKind.DROWSINESS) else ()
    return SafetyEvent(
        key,
        trip.vehicle_id,
        trip.driver_id,
        kind,
        severity,
        start_us,
        start_us + length_us,
        float(lat[second]),
        float(lon[second]),
        float(speed[second]),
        peak,
        unit,
        0.9 - 0.1 * place,
        RULES,
        evidence,
        media,
    )


def _still(key: object, time_us: int) -> Media:
    image = Image.new("RGB", (640, 360), "#2d3a46")
    draw = ImageDraw.Draw(image)
    draw.ellipse((250, 70, 390, 260), fill="#c89f7d")
    draw.line((280, 150, 310, 150), fill="#3a2a20", width=4)
    draw.line((330, 150, 360, 150), fill="#3a2a20", width=4)
    sink = io.BytesIO()
    image.save(sink, "JPEG")
    return Media(MediaKind.STILL, f"events/{str(key)[:2]}/{key}/still.jpg", time_us, sink.getvalue())


def _trace(event: SafetyEvent) -> Trace:
    t = np.arange(-10, 12, 0.04)
    random = np.random.default_rng(event.start_us % 2**32)
    shape = event.peak * G * np.exp(-(((t - 0.6) / 0.45) ** 2))
    sign = -1 if event.kind is EventKind.HARSH_BRAKE else 1
    along, across = (0.0, 1.0) if event.kind is EventKind.HARSH_TURN else (sign, 0.0)
    noise = random.normal(0, 0.5, (3, len(t)))
    columns = [
        (event.start_us + t * 1e6).astype("i8"),
        along * shape + noise[0],
        across * shape + noise[1],
        9.8 + noise[2],
    ]
    columns += [np.full(len(t), np.nan)] * 3
    table = pa.table(dict(zip([f.name for f in fields(ImuSamples)], columns, strict=True)))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return Trace(event.event_id, bytes(sink.getvalue()))


UNTIL = datetime(2026, 5, 29, 15, 0, tzinfo=UTC)
