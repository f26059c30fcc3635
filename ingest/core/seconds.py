"""Samples to seconds: one position a second, and per second mean, min, max and rms of every axis. Pure.

Works on many streams at once, by whole columns. A *stream* is what one device sends, in its order; what cannot be
finished yet (the open second) is carried from call to call, so that any split of a stream into messages or calls
gives the same rows. Sums are taken over whole numbers on a fixed grid: their order does not matter to the last bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from infra.contracts.telemetry import GpsSamples, ImuSamples, concat

SECOND_US = 1_000_000
GRID = 4096
"""Steps in 1 m/s² (0.025 mg) and 1 rad/s (0.014 °/s): finer than the noise of vehicle-grade MEMS sensors (0.1 mg and
0.005 °/s per root Hz, at 25 Hz and more), and a million squares of 400 m/s² still fit 63 bits."""

CLOCK_SET_BACK_US = 5 * SECOND_US
"""Time that goes back further than this is a clock that was set, not a straggler: seconds begin afresh."""

AXES = tuple(f.name for f in fields(ImuSamples)[1:])
COUNT, SUM, SQUARES, LEAST, MOST = range(5)
_REDUCE: tuple[np.ufunc, ...] = (np.add, np.add, np.add, np.minimum, np.maximum)
_NO_LEAST, _NO_MOST = 2**62, -(2**62)
_BLOCK_BITS = 34  # a block's number stands above the second: 2**34 s reaches to the year 2514
_SECOND_MASK = (1 << _BLOCK_BITS) - 1

Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Carry:
    """What a stream remembers. ``tally`` has the shape (5, axes): COUNT, SUM, SQUARES, LEAST, MOST in grid steps."""

    gps_last_us: int = -1
    gps_floor_s: int = 0  # a position is of this second or a later one
    imu_last_us: int = -1
    imu_gap_us: int = 0
    imu_floor_s: int = 0  # the open second, or the first that may open
    samples: int = 0  # in the open second; 0: none is open
    tally: Int64 | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Seconds:
    """Finished seconds of ``stream``. ``tally`` has the shape (5, axes, n)."""

    stream: Int64
    second_s: Int64
    samples: Int64
    tally: Int64

    def __len__(self) -> int:
        return len(self.stream)


@dataclass(frozen=True, slots=True)
class _Order:
    """Where every sample stands; streams lie one after the other.

    A key is a second with a block's number above it. A block ends where its stream does and where a clock was set
    back, so that keys only grow.
    """

    first: Int64  # each stream's first sample
    last: Int64
    gap_us: Int64  # since the stream's sample before; 0 for the first ever
    block: Int64  # each sample's block's number, shifted
    carried: Int64  # each stream's block of the samples before, shifted


def choose_positions(
    streams: Sequence[Sequence[GpsSamples]], carries: Sequence[Carry]
) -> tuple[GpsSamples, Int64, list[Carry]]:
    """The first sample of every second.

    Returns all samples in one run, the index of those chosen, and the carries with their GPS part renewed.
    No stream may be empty.
    """
    gps = concat([part for stream in streams for part in stream])
    order = _order(gps.time_us, streams, [c.gps_last_us for c in carries])
    key = order.block + gps.time_us // SECOND_US
    floor, before = _floors(key + 1, order, [c.gps_floor_s for c in carries])
    renewed = [
        replace(carry, gps_last_us=time_us, gps_floor_s=floor_s)
        for carry, time_us, floor_s in zip(carries, *_at_last(order, gps.time_us, floor), strict=True)
    ]
    return gps, np.flatnonzero(key >= before), renewed


def sum_seconds(streams: Sequence[Sequence[ImuSamples]], carries: Sequence[Carry]) -> tuple[Seconds, list[Carry]]:
    """Finished seconds, and the carries with their IMU part renewed. No stream may be empty.

    A second is finished when a later one begins, or with a sample within one period of its end, so that batches
    that begin and end with a second leave nothing open. A straggler of a finished second counts to the next.
    """
    imu = concat([part for stream in streams for part in stream])
    order = _order(imu.time_us, streams, [c.imu_last_us for c in carries])
    second_s = imu.time_us // SECOND_US
    ends = imu.time_us + _period_us(order, [c.imu_gap_us for c in carries]) >= (second_s + 1) * SECOND_US
    own: Int64 = order.block + second_s
    floor, before = _floors(own + ends.astype(np.int64), order, [c.imu_floor_s for c in carries])
    key = np.maximum(own, before)  # of the second that a sample counts to
    sums = _join(_tally(imu, key), _carried(order, carries))
    open_ = floor[order.last] == key[order.last]  # per stream
    at = np.searchsorted(sums.key, key[order.last])
    last = _at_last(order, imu.time_us, order.gap_us, floor)
    rows = np.where(open_, at, -1).tolist()
    renewed = [
        _renew(replace(carry, imu_last_us=last_us, imu_gap_us=gap_us, imu_floor_s=floor_s), sums, row)
        for carry, last_us, gap_us, floor_s, row in zip(carries, *last, rows, strict=True)
    ]
    finished = np.ones(len(sums.key), np.bool_)
    finished[at[open_]] = False
    return _seconds(sums, finished, order), renewed


def close_open(carries: Sequence[Carry]) -> tuple[Seconds, list[Carry]]:
    """Finish the seconds that are open, since nothing more has come for a while."""
    index = [i for i, c in enumerate(carries) if c.samples]
    sums = _stack([carries[i] for i in index], np.array([carries[i].imu_floor_s for i in index], np.int64))
    closed = [replace(c, imu_floor_s=c.imu_floor_s + (c.samples > 0), samples=0, tally=None) for c in carries]
    return Seconds(np.array(index, np.int64), sums.key, sums.samples, sums.tally), closed


# --- order ----------------------------------------------------------------------------------------------------


def _order(time_us: Int64, streams: Sequence[Sequence[Any]], last_us: Sequence[int]) -> _Order:
    sizes = np.array([sum(map(len, stream)) for stream in streams])
    last = np.cumsum(sizes) - 1
    first = last - sizes + 1
    before_us = np.array(last_us)
    gap_us = np.diff(time_us, prepend=0)
    gap_us[first] = np.where(before_us < 0, 0, time_us[first] - before_us)
    set_back = (gap_us < -CLOCK_SET_BACK_US).astype(np.int64)
    steps = set_back.copy()
    steps[first] += 1
    block = np.cumsum(steps)
    carried = block[first] - set_back[first]
    return _Order(first, last, gap_us, block << _BLOCK_BITS, carried << _BLOCK_BITS)


def _floors(floor: Int64, order: _Order, carried_s: Sequence[int]) -> tuple[Int64, Int64]:
    """The lowest key that may still be counted to, after each sample and before it."""
    carried = order.carried + np.array(carried_s)
    floor[order.first] = np.maximum(floor[order.first], carried)
    after = np.maximum.accumulate(floor)
    before = np.concatenate((after[:1], after[:-1]))
    before[order.first] = carried
    return after, before


def _period_us(order: _Order, carried_us: Sequence[int]) -> Int64:
    """Time to the next sample, as the shorter of the last two gaps; 0 where that is not known."""
    gap_before = np.concatenate((order.gap_us[:1], order.gap_us[:-1]))
    gap_before[order.first] = carried_us
    period = np.minimum(order.gap_us, gap_before)
    return np.where((period > 0) & (period <= SECOND_US), period, 0)


def _at_last(order: _Order, *columns: Int64) -> list[list[int]]:
    """Values at each stream's last sample; keys become plain seconds."""
    values = [column[order.last] for column in columns]
    values[-1] = values[-1] & _SECOND_MASK
    return [column.tolist() for column in values]


# --- sums -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Sums:
    """Seconds by key, growing."""

    key: Int64
    samples: Int64
    tally: Int64  # (5, axes, n)


def _tally(imu: ImuSamples, key: Int64) -> _Sums:
    starts = np.flatnonzero(np.diff(key, prepend=-1))
    values = np.stack([getattr(imu, axis) for axis in AXES])
    unknown = np.isnan(values)
    some_unknown = unknown.any()
    steps = np.rint((np.where(unknown, 0, values) if some_unknown else values) * np.float32(GRID)).astype(np.int64)
    samples = np.diff(starts, append=len(key))
    count = np.add.reduceat(~unknown, starts, axis=1, dtype=np.int64) if some_unknown else np.tile(samples, (6, 1))
    least, most = (np.where(unknown, none, steps) if some_unknown else steps for none in (_NO_LEAST, _NO_MOST))
    columns = zip(_REDUCE[1:], (steps, steps * steps, least, most), strict=True)
    parts = [reduce.reduceat(values, starts, axis=1) for reduce, values in columns]
    return _Sums(key[starts], samples, np.stack([count, *parts]))


def _carried(order: _Order, carries: Sequence[Carry]) -> _Sums:
    index = [i for i, c in enumerate(carries) if c.samples]
    open_ = [carries[i] for i in index]
    return _stack(open_, order.carried[index] + np.array([c.imu_floor_s for c in open_], np.int64))


def _stack(open_: Sequence[Carry], key: Int64) -> _Sums:
    tallies = [c.tally for c in open_ if c.tally is not None]
    tally = np.stack(tallies, axis=-1) if tallies else np.empty((5, len(AXES), 0), np.int64)
    return _Sums(key, np.array([c.samples for c in open_], np.int64), tally)


def _join(one: _Sums, other: _Sums) -> _Sums:
    """Both, seconds of the same key added up."""
    if not len(other.key):
        return one
    key = np.concatenate((one.key, other.key))
    order = np.argsort(key, kind="stable")
    key = key[order]
    starts = np.flatnonzero(np.diff(key, prepend=-1))
    samples = np.concatenate((one.samples, other.samples))[order]
    tally = np.concatenate((one.tally, other.tally), axis=-1)[:, :, order]
    parts = [f.reduceat(part, starts, axis=1) for f, part in zip(_REDUCE, tally, strict=True)]
    return _Sums(key[starts], np.add.reduceat(samples, starts), np.stack(parts))


def _renew(carry: Carry, sums: _Sums, row: int) -> Carry:
    """With the open second in ``row``; -1 for none."""
    if row < 0:
        return replace(carry, samples=0, tally=None)
    return replace(carry, samples=int(sums.samples[row]), tally=sums.tally[:, :, row])


def _seconds(sums: _Sums, finished: npt.NDArray[np.bool_], order: _Order) -> Seconds:
    key = sums.key[finished]
    stream = np.searchsorted(order.carried, key, "right") - 1
    return Seconds(stream, key & _SECOND_MASK, sums.samples[finished], sums.tally[:, :, finished])
