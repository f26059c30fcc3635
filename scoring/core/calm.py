"""What is calm: minutes of stored rows at which no rule that is tried can see anything, and that need not be read.

A detector opens an episode where its signal is over a level. Minutes that nowhere reach the lowest level of the rules
tried hold no part of an episode; and what a detector looks at beside one lies within ``LEAD_US`` before it and
``TAIL_US`` after. So a replay of the stretches around all other minutes finds exactly what a replay of all rows finds.
One thing goes further back: whether a fix is believed depends on the last one that was. Minutes in which that is
``unsure`` are therefore never calm, and a stretch begins more than half a minute after them, or with them.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from infra.contracts.events import EventKind
from infra.contracts.telemetry import Float64, Int64, VehicleClass
from scoring.core.detectors.axes import AXES, Axis
from scoring.core.detectors.harsh_gps import gps_level_g
from scoring.core.detectors.idling import STANDING_MPS
from scoring.core.replay import HARSH, peaks_g, window_of
from scoring.core.rules import SECOND_US, Rules
from scoring.core.stored import Fleet, Telemetry, lay_out, unsure
from scoring.core.window import FORWARD

MINUTE_US = 60 * SECOND_US
LEAD_US = 45 * SECOND_US  # 30 s until fixes are surely believed, and 10 s for the place of an event's beginning
TAIL_US = 20 * SECOND_US  # speeds that come late, and the fixes after a change of speed: 6 s
APART_US = MINUTE_US  # stretches closer than this are one: across the gap nothing is joined, held or refused

Bool = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Minutes:
    """Minutes that have rows, in order of time. ``fixes`` and ``seconds`` count rows of position and of motion.

    ``over_mps``: the most by which a speed is over its posted limit. ``gps_g`` and ``felt_g`` (4, n), in the order of
    AXES: the highest acceleration by GPS, and by the estimate from motion. All -inf where nothing is known.
    """

    start_us: Int64
    fixes: Int64
    seconds: Int64
    unsure: Bool
    standing: Bool
    over_mps: Float64
    gps_g: Float64
    felt_g: Float64

    def __len__(self) -> int:
        return len(self.start_us)


def sum_up(one: Telemetry, begun_us: int) -> Minutes:
    """The minutes of one vehicle. Nothing is known of fixes before ``begun_us``."""
    fix_us, row_us = one.gps.time_us, one.motion.time_us
    start_us = np.unique(np.concatenate([fix_us, row_us]) // MINUTE_US) * MINUTE_US
    grid = _Grid(start_us)
    fleet = lay_out([one])
    laid_us = fleet.fixes.time_us + fleet.origin_us
    limit, speed = fleet.gps.speed_limit_mps, fleet.fixes.speed_mps
    not_known = unsure(one.gps) | (fix_us < begun_us + MINUTE_US)
    return Minutes(
        start_us,
        grid.count(fix_us),
        grid.count(row_us),
        grid.highest(fix_us, not_known) > 0,
        grid.highest(laid_us, (speed < STANDING_MPS) & (fleet.gps.ignition == 1)) > 0,
        grid.highest(laid_us, np.where(limit > 0, speed - limit, np.nan)),
        _by_gps(grid, fleet),
        np.stack([grid.highest(fleet.imu.time_us + fleet.origin_us, peaks_g(fleet, axis)) for axis in AXES]),
    )


def restless(
    minutes: Minutes, several: Sequence[Rules], vehicle_class: VehicleClass, dense: bool, kinds: Set[EventKind]
) -> Bool:
    """Of each minute: may one of the rules see something of these kinds in it?"""
    found = minutes.unsure.copy()
    if EventKind.SPEEDING in kinds:
        found |= minutes.over_mps > 0
    if EventKind.IDLING in kinds:
        found |= minutes.standing
    for row, axis in enumerate(AXES):
        if axis.kind in kinds & HARSH:
            highest = (minutes.felt_g if dense else minutes.gps_g)[row]
            found |= highest >= least_g(several, vehicle_class, axis, dense)
    return found


def least_g(several: Sequence[Rules], vehicle_class: VehicleClass, axis: Axis, dense: bool) -> float:
    """The lowest level at which an episode may begin or go on."""
    levels = (axis.level_g(r, vehicle_class) if dense else gps_level_g(axis, r, vehicle_class) for r in several)
    return min(level * rules.harsh_exit_share for level, rules in zip(levels, several, strict=True))


def stretches(start_us: Int64, length_us: int) -> Int64:
    """The times to be read around pieces of this length, in order of their beginnings: (n, 2), the ends left out."""
    return merged(np.stack([start_us - LEAD_US, start_us + length_us + TAIL_US], axis=1))


def merged(times: Int64) -> Int64:
    """Stretches in order of their beginnings, those that lie close together made one."""
    if not len(times):
        return times.reshape(0, 2)
    until = np.maximum.accumulate(times[:, 1])
    new = np.flatnonzero(times[1:, 0] - until[:-1] >= APART_US) + 1
    joined: Int64 = np.stack([times[[0, *new], 0], until[[*(new - 1), -1]]], axis=1)
    return joined


def inside(times: Int64, at_us: Int64) -> Bool:
    """Of each time: does it lie in one of the stretches?"""
    begun, ended = (np.searchsorted(times[:, side], at_us, side="right") for side in (0, 1))
    found: Bool = begun > ended
    return found


@dataclass(frozen=True, slots=True)
class _Grid:
    """Minutes into which values fall."""

    start_us: Int64

    def count(self, at_us: Int64) -> Int64:
        return np.bincount(self._place(at_us), minlength=len(self.start_us))

    def highest(self, at_us: Int64, value: npt.NDArray[np.generic]) -> Float64:
        found = np.full(len(self.start_us), -np.inf)
        np.fmax.at(found, self._place(at_us), value.astype(np.float64))
        return found

    def _place(self, at_us: Int64) -> npt.NDArray[np.intp]:
        return np.searchsorted(self.start_us, at_us, side="right") - 1


def _by_gps(grid: _Grid, fleet: Fleet) -> Float64:
    if not len(fleet.fixes):
        return np.full((4, len(grid.start_us)), -np.inf)
    window, at_us = window_of(fleet), fleet.fixes.time_us + fleet.origin_us
    signals = {FORWARD: window.gps_forward.value}
    values = (axis.sign * signals.get(axis.row, window.gps_turning_g) for axis in AXES)
    return np.stack([grid.highest(at_us, value) for value in values])
