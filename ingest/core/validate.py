"""Which samples of a batch are taken, and why the others are not. Pure, and by whole columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt
import orjson

from infra.contracts.observations import MEASURED, ObservationSamples
from infra.contracts.telemetry import UNKNOWN, GpsSamples, ImuSamples, Rejection, take

MISSING = "missing_value"
NOT_FINITE = "not_finite"
OUT_OF_RANGE = "out_of_range"
TOO_FAR_AHEAD = "too_far_ahead"
TOO_FAR_BEHIND = "too_far_behind"
REPEATED_TIME = "repeated_time"
NO_FIX = "no_fix"
WRONG_LENGTH = "wrong_length"
WRONG_TYPE = "wrong_type"
UNKNOWN_COLUMN = "unknown_column"
UNITS_SUSPECTED = "units_suspected"
BATCH_REFUSED = "batch_refused"  # good in itself, but another column made the whole batch unusable

_WORDS = ("", MISSING, NOT_FINITE, OUT_OF_RANGE, TOO_FAR_AHEAD, TOO_FAR_BEHIND, REPEATED_TIME, NO_FIX)
_CODE = {word: code for code, word in enumerate(_WORDS)}

MISSING_TIME = int(np.iinfo(np.int64).min)
"""Stands in time_us for: the device gave none."""

EXAMPLE_CHARACTERS = 500

Mask = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.int8]
Samples = TypeVar("Samples", GpsSamples, ImuSamples, ObservationSamples)


@dataclass(frozen=True, slots=True)
class Range:
    """Closed bounds. A required column must have a value in every row."""

    low: float
    high: float
    required: bool = False


GPS_RANGES: Mapping[str, Range] = {
    "lat": Range(-90, 90, required=True),
    "lon": Range(-180, 180, required=True),
    "speed_mps": Range(0, 140),  # 504 km/h: over the fastest road car
    "heading_deg": Range(0, 360),
    "accuracy_m": Range(0, 100_000),  # fixes by cell tower reach tens of km
    "speed_limit_mps": Range(0, 60),  # the highest posted limit is 160 km/h = 44.4 m/s (Abu Dhabi)
    "odometer_m": Range(0, 1e10),  # ten million km
    "ignition": Range(-1, 1),
    "belt_buckled": Range(-1, 1),
}
# Automotive and phone IMUs have full scales of 16 g (157 m/s²) and 2000 °/s (35 rad/s); the widest common part
# (TDK ICM-42686) 32 g (314 m/s²) and 4000 °/s (70 rad/s).
_ACCEL, _GYRO = Range(-400, 400, required=True), Range(-75, 75)
IMU_RANGES: Mapping[str, Range] = {
    f.name: _ACCEL if f.name.startswith("accel") else _GYRO for f in fields(ImuSamples)[1:]
}
_SHARE, _TURN = Range(0, 1), Range(-180, 180)
_SHAPE = Range(0, 1_000)  # height over width of an eye or a mouth; seen from the side it has hardly any width
OBSERVATION_RANGES: Mapping[str, Range] = {
    **dict.fromkeys(MEASURED, _SHARE),
    **{name: _TURN for name in MEASURED if name.endswith("_deg")},
    "face_found": Range(0, 1, required=True),
    "speed_mps": GPS_RANGES["speed_mps"],
    "belt_buckled": GPS_RANGES["belt_buckled"],
    "aspect_ratio": _SHAPE,
    "picture_hash": Range(0, 2**32 - 1),
    "mouth_open": _SHAPE,
    "sharpness": Range(0, 1_040_400),  # a Laplacian of 8 bits lies within ±1,020
}


@dataclass(frozen=True, slots=True)
class TimeWindow:
    """Times of samples that are believed: ends included."""

    oldest_us: int
    newest_us: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """Rows not taken for one reason. ``first_index`` is the place of the first of them as the device sent them."""

    stream: str
    reason: str
    rows: int
    first_index: int
    example: str

    def as_rejection(self) -> Rejection:
        return Rejection(self.stream, self.reason, self.rows, self.example)


@dataclass(frozen=True, slots=True)
class Checked(Generic[Samples]):
    """The good rows, in strict time order; what was refused; how many came behind a later one."""

    samples: Samples
    refused: tuple[Refusal, ...] = field(default=())
    reordered: int = 0


def check_gps(samples: GpsSamples, window: TimeWindow) -> Checked[GpsSamples]:
    return _check("gps", samples, GPS_RANGES, window)


def check_imu(samples: ImuSamples, window: TimeWindow) -> Checked[ImuSamples]:
    return _check("imu", samples, IMU_RANGES, window)


def check_observations(samples: ObservationSamples, window: TimeWindow) -> Checked[ObservationSamples]:
    return _check("observations", samples, OBSERVATION_RANGES, window)


def _check(stream: str, samples: Samples, ranges: Mapping[str, Range], window: TimeWindow) -> Checked[Samples]:
    if not len(samples):
        return Checked(samples)
    codes = np.zeros(len(samples), np.int8)
    _mark_times(codes, samples.time_us, window)
    for name, bounds in ranges.items():
        _mark_range(codes, getattr(samples, name), bounds)
    if isinstance(samples, GpsSamples):
        # A receiver without a fix reports 0, 0: a point in the Gulf of Guinea.
        _mark(codes, (samples.lat == 0) & (samples.lon == 0), NO_FIX)
    good = codes == 0
    order, repeated, reordered = _time_order(samples.time_us, good)
    codes[repeated] = _CODE[REPEATED_TIME]
    if len(order) == len(samples) and not reordered:
        return Checked(samples)
    return Checked(take(samples, order), tuple(_refusals(stream, samples, codes)), reordered)


def _mark(codes: Codes, bad: Mask, word: str) -> None:
    if bad.any():
        codes[bad & (codes == 0)] = _CODE[word]


def _mark_times(codes: Codes, time_us: npt.NDArray[np.int64], window: TimeWindow) -> None:
    if window.oldest_us <= time_us.min() and time_us.max() <= window.newest_us:
        return
    _mark(codes, time_us == MISSING_TIME, MISSING)
    _mark(codes, time_us > window.newest_us, TOO_FAR_AHEAD)
    _mark(codes, time_us < window.oldest_us, TOO_FAR_BEHIND)


def _mark_range(codes: Codes, values: npt.NDArray[Any], bounds: Range) -> None:
    if bounds.low <= values.min() and values.max() <= bounds.high:  # false with a NaN among them
        return
    unknown = np.isnan(values) if values.dtype.kind == "f" else values == UNKNOWN
    if bounds.required:
        _mark(codes, unknown, MISSING)
    _mark(codes, np.isinf(values), NOT_FINITE)
    _mark(codes, ((values < bounds.low) | (values > bounds.high)) & ~unknown, OUT_OF_RANGE)


def _time_order(time_us: npt.NDArray[np.int64], good: Mask) -> tuple[Any, Any, int]:
    """Indices of good rows in strict time order, those that repeat a time, and how many came behind a later row.

    Sorting is harmless: the time on a sample is the device's own. Of two samples with the same time one must go,
    since no rule can use a period of zero; the first is kept.
    """
    index = np.flatnonzero(good)
    steps = np.diff(time_us[index])
    if (steps > 0).all():
        return index, index[:0], 0
    reordered = int((steps < 0).sum())
    index = index[np.argsort(time_us[index], kind="stable")]
    repeats = np.concatenate(([False], np.diff(time_us[index]) == 0))
    return index[~repeats], index[repeats], reordered


def _refusals(stream: str, samples: Samples, codes: Codes) -> Iterator[Refusal]:
    for code in np.unique(codes[codes > 0]):
        index = np.flatnonzero(codes == code)
        first = int(index[0])
        yield Refusal(stream, _WORDS[code], len(index), first, example_of(samples, first))


def example_of(samples: GpsSamples | ImuSamples | ObservationSamples, row: int) -> str:
    """One row as JSON, for people who read dead letters; NaN and infinite become null."""
    values = {f.name: getattr(samples, f.name)[row].item() for f in fields(samples)}
    return orjson.dumps(values).decode()[:EXAMPLE_CHARACTERS]
