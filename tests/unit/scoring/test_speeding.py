"""Speeding: bands, their minimum durations, and the time that a trip counts."""

import numpy as np
import pytest

from infra.contracts.events import EventKind, Severity
from tests.unit.scoring.road import Leg, drive, judge, replace
from tests.unit.scoring.test_trips import ended

LIMIT = 20.0


def cruise(over_percent: float, for_s: float, limit_mps: float = LIMIT):
    """Half a minute at the limit, a while over it, half a minute at it again."""
    recording = drive(Leg(60 + for_s), start_mps=LIMIT, limit_mps=limit_mps, imu_hz=0)
    speed = np.full(len(recording.gps), LIMIT, np.float32)
    speed[30 : 30 + round(for_s)] = LIMIT * (1 + over_percent / 100)
    return with_speed(recording, speed)


def with_speed(recording, speed_mps):
    """Due north, so that the positions agree with it."""
    way_m = np.concatenate([[0.0], np.cumsum(speed_mps[1:].astype(float))])
    lat = recording.gps.lat[0] + np.degrees(way_m / 6_371_008.8)
    lon = np.full_like(recording.gps.lon, recording.gps.lon[0])
    return replace(recording, gps=replace(recording.gps, speed_mps=speed_mps, lat=lat, lon=lon))


@pytest.mark.parametrize(
    ("over_percent", "for_s", "severity"),
    [
        (5, 50, None),
        (5, 65, Severity.LOW),
        (15, 15, None),
        (15, 25, Severity.MODERATE),
        (25, 8, None),
        (25, 12, Severity.HIGH),
        (40, 4, None),
        (40, 6, Severity.CRITICAL),
    ],
)
def test_each_band_has_its_own_minimum_duration(over_percent, for_s, severity):
    _, found = judge(cruise(over_percent, for_s))
    assert [(e.kind, e.severity) for e in found.events] == ([(EventKind.SPEEDING, severity)] if severity else [])


def test_an_episode_is_one_event_with_its_highest_band():
    recording = cruise(15, 60)
    speed = recording.gps.speed_mps.copy()
    speed[50:60] = LIMIT * 1.35
    _, found = judge(with_speed(recording, speed))
    (event,) = found.events
    assert event.severity is Severity.CRITICAL
    assert (event.peak, event.peak_unit) == (pytest.approx(7.0), "m/s")
    assert event.evidence["over_moderate_s"] == 50
    assert event.evidence["over_severe_s"] == 10
    assert event.lat is not None


@pytest.mark.parametrize(("dip_s", "events"), [(3, 1), (8, 2)])
def test_a_short_dip_to_the_limit_does_not_divide_an_episode(dip_s, events):
    recording = cruise(25, 60)
    speed = recording.gps.speed_mps.copy()
    speed[55 : 55 + dip_s] = LIMIT * 0.99
    _, found = judge(with_speed(recording, speed))
    assert len(found.events) == events


@pytest.mark.parametrize("limit_mps", [np.nan, 0.0])
def test_an_unknown_limit_is_not_judged(limit_mps):
    _, found = judge(cruise(80, 60, limit_mps))
    assert found.events == []
    (trip,) = ended(found)
    assert (trip.limit_known_s, trip.over_severe_s) == (0, 0)


def test_a_trip_counts_its_time_over_the_limit_in_bands():
    _, found = judge(cruise(15, 40))
    (trip,) = ended(found)
    assert (trip.over_light_s, trip.over_moderate_s, trip.over_heavy_s, trip.over_severe_s) == (0, 40, 0, 0)
    assert trip.limit_known_s == trip.driving_s == 99


def test_a_speed_that_hangs_while_the_vehicle_drives_on_slower_is_not_judged():
    recording = cruise(25, 60)
    slower = np.where(recording.gps.speed_mps > LIMIT, LIMIT, recording.gps.speed_mps)
    hung = replace(recording.gps, lat=with_speed(recording, slower).gps.lat)
    assert not judge(replace(recording, gps=hung))[1].events


def test_exactly_the_limit_is_not_over_it():
    _, found = judge(cruise(0, 100))
    (trip,) = ended(found)
    assert trip.over_light_s == 0
