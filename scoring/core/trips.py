"""Trips: a drive between two rests, with its distance and exposure, followed fix by fix in exact integers."""

from __future__ import annotations

import uuid
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from infra.contracts.events import JsonObject, Trip, TripStatus, trip_id
from infra.contracts.telemetry import Float32, Float64, GpsSamples, Int8, Int64
from scoring.core.fixes import distances_mm
from scoring.core.limits import over_share, time_in_bands_us
from scoring.core.rules import SECOND_US, Rules
from scoring.core.samples import FixRing


@dataclass(frozen=True, slots=True)
class OpenTrip:
    """A trip under way. It reaches to the last fix at 5 mph and more; ``resting_mm`` came after that one.

    ``silent``: it was ended because nothing came; a fix soon after its end, by the vehicle's clock, resumes it.
    """

    start_us: int
    start_lat: float
    start_lon: float
    driver_id: str | None
    end_us: int
    end_lat: float
    end_lon: float
    distance_mm: int = 0
    resting_mm: int = 0
    driving_us: int = 0
    limit_known_us: int = 0
    over_us: tuple[int, ...] = (0, 0, 0, 0)
    max_speed_mps: float = 0.0
    written_us: int = 0  # end_us as last written; 0 for never
    silent: bool = False

    def dump(self) -> JsonObject:
        return asdict(self) | {"over_us": list(self.over_us)}


def load(state: Any) -> OpenTrip:
    return OpenTrip(**(state | {"over_us": tuple(state["over_us"])}))


@dataclass(frozen=True, slots=True, eq=False)
class Leg:
    """Fresh fixes in columns. ``way_mm`` and ``driven_us`` are from the fix before each to it.

    ``driven_us`` is 0 unless the fix moves, and across a gap unless the way was too long for a stop;
    ``held_us`` is the part of it that the fix can speak for.
    """

    time_us: Int64
    lat: Float64
    lon: Float64
    speed_mps: Float32
    limit_mps: Float32
    ignition: Int8
    moving: npt.NDArray[np.bool_]
    way_mm: Int64
    driven_us: Int64
    held_us: Int64
    driver_id: str | None
    rules: Rules


def leg_of(track: FixRing, before: int, gps: GpsSamples, driver_id: str | None, rules: Rules) -> Leg:
    """The fresh fixes of a track whose first ``before`` (0 or 1) are old; ``gps`` has their other columns."""
    way_mm, step_us = distances_mm(track), np.diff(track.time_us)
    if not before:
        way_mm, step_us = np.concatenate([[0], way_mm]), np.concatenate([[0], step_us])
    speed = track.speed_mps[before:]
    moving = speed >= rules.moving_mps
    held_us = np.where(moving & (step_us <= rules.hold_us), step_us, 0)
    driven = (held_us > 0) | (way_mm * (SECOND_US / 1000) >= rules.moving_mps * step_us)
    return Leg(
        track.time_us[before:],
        track.lat[before:],
        track.lon[before:],
        speed,
        gps.speed_limit_mps,
        gps.ignition,
        moving,
        way_mm,
        np.where(driven & moving, step_us, 0),
        held_us,
        driver_id,
        rules,
    )


def advance(trip: OpenTrip | None, leg: Leg) -> tuple[list[OpenTrip], OpenTrip | None]:
    """Follow the fresh fixes. Returns the trips that ended, and the one under way."""
    ended: list[OpenTrip] = []
    if trip is not None and leg.driver_id is not None:
        if trip.driver_id is None:
            trip = replace(trip, driver_id=leg.driver_id)
        elif trip.driver_id != leg.driver_id:  # another driver: another trip
            ended.append(trip)
            trip = None
    for run, breaks in _stretches(trip, leg):
        if breaks and trip is not None:
            ended.append(trip)
            trip = None
        trip = _drive(trip, leg, run)
    return ended, trip


def _stretches(trip: OpenTrip | None, leg: Leg) -> list[tuple[slice, bool]]:
    """Runs of fixes without a trip's end between them, and whether a trip ends where they begin."""
    last_moved_us = np.maximum.accumulate(
        np.concatenate([[trip.end_us if trip else _NEVER_US], np.where(leg.moving, leg.time_us, _NEVER_US)])
    )[:-1]
    rested = (last_moved_us > _NEVER_US) & (leg.time_us - last_moved_us > leg.rules.trip_rest_us)
    rested |= (leg.ignition == 0) & ~leg.moving
    if not rested.any():
        return [(slice(0, len(leg.time_us)), False)]
    cuts = np.flatnonzero(rested)
    cuts = cuts[np.diff(np.cumsum(leg.moving)[cuts], prepend=-1) != 0]  # a second end of one rest says nothing
    bounds = [0, *cuts.tolist(), len(leg.time_us)]
    breaks = [False] + [True] * len(cuts)
    return [(slice(a, b), cut) for a, b, cut in zip(bounds[:-1], bounds[1:], breaks, strict=True)]


_NEVER_US = -(2**61)


def _drive(trip: OpenTrip | None, leg: Leg, run: slice) -> OpenTrip | None:
    """The trip after a run of fixes without an end among them."""
    moving = np.flatnonzero(leg.moving[run]) + run.start
    if trip is None:
        if not len(moving):
            return None
        trip = _begin(leg, int(moving[0]))
        run, moving = slice(int(moving[0]) + 1, run.stop), moving[1:]
    if not len(moving):
        return replace(trip, resting_mm=trip.resting_mm + int(leg.way_mm[run].sum()))
    reach = int(moving[-1]) + 1
    trip = _extend(trip, leg, slice(run.start, reach))
    return replace(trip, resting_mm=int(leg.way_mm[reach : run.stop].sum()))


def _begin(leg: Leg, at: int) -> OpenTrip:
    time_us, lat, lon = int(leg.time_us[at]), float(leg.lat[at]), float(leg.lon[at])
    return OpenTrip(time_us, lat, lon, leg.driver_id, time_us, lat, lon, max_speed_mps=float(leg.speed_mps[at]))


def _extend(trip: OpenTrip, leg: Leg, run: slice) -> OpenTrip:
    """Up to the last fix of the run, which moves."""
    speed, held_us, last = leg.speed_mps[run], leg.held_us[run], run.stop - 1
    share = over_share(speed, leg.limit_mps[run])
    bands = time_in_bands_us(share, held_us, leg.rules.speeding_bands)
    return replace(
        trip,
        end_us=int(leg.time_us[last]),
        end_lat=float(leg.lat[last]),
        end_lon=float(leg.lon[last]),
        distance_mm=trip.distance_mm + trip.resting_mm + int(leg.way_mm[run].sum()),
        driving_us=trip.driving_us + int(leg.driven_us[run].sum()),
        limit_known_us=trip.limit_known_us + int(held_us[~np.isnan(share)].sum()),
        over_us=tuple(a + b for a, b in zip(trip.over_us, bands, strict=True)),
        max_speed_mps=max(trip.max_speed_mps, float(np.nanmax(speed))),
        silent=False,
    )


def identity(trip: OpenTrip, vehicle_id: str, rules: Rules) -> uuid.UUID:
    return trip_id(rules.version, vehicle_id, trip.start_us)


def is_trip(trip: OpenTrip, rules: Rules) -> bool:
    """Whether it is more than a parked receiver's noise."""
    return trip.driving_us >= rules.trip_shortest_us


def to_row(trip: OpenTrip, vehicle_id: str, status: TripStatus, rules: Rules) -> Trip:
    light, moderate, heavy, severe = (us / SECOND_US for us in trip.over_us)
    return Trip(
        trip_id=identity(trip, vehicle_id, rules),
        vehicle_id=vehicle_id,
        driver_id=trip.driver_id,
        status=status,
        start_us=trip.start_us,
        end_us=trip.end_us,
        distance_m=trip.distance_mm / 1000,
        driving_s=trip.driving_us / SECOND_US,
        limit_known_s=trip.limit_known_us / SECOND_US,
        over_light_s=light,
        over_moderate_s=moderate,
        over_heavy_s=heavy,
        over_severe_s=severe,
        max_speed_mps=trip.max_speed_mps,
        start_lat=trip.start_lat,
        start_lon=trip.start_lon,
        end_lat=trip.end_lat,
        end_lon=trip.end_lon,
        rules_version=rules.version,
    )
