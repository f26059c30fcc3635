"""Near crashes, and how detections that overlap become one event."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from infra.contracts.events import EventKind, Severity, event_id
from infra.contracts.telemetry import VehicleClass
from scoring.core.context import context_labels, sun_elevation_deg
from scoring.core.rules import DEFAULT, NearCrashRule
from tests.unit.scoring.road import START_US, Leg, drive, judge, spoil

CRUISE = Leg(20)
EVASION = (CRUISE, Leg(0.8, -0.5, 0.42), Leg(0.8, -0.4, -0.42), Leg(0.4, -0.2, 0.0), CRUISE)
SENSITIVE = replace(DEFAULT, near_crash=NearCrashRule(sensitivity="high"))


def events_of(*legs, rules=DEFAULT, **how):
    return judge(drive(*legs, **how), rules)[1].events


@pytest.mark.parametrize("imu_hz", [8, 10, 25, 100])
def test_braking_and_swerving_there_and_back_at_speed_is_a_near_crash_at_every_rate(imu_hz):
    (event,) = events_of(*EVASION, start_mps=25, imu_hz=imu_hz)
    assert event.kind is EventKind.NEAR_CRASH
    assert event.evidence["labels"] == ["near_crash", "swerve"]
    assert event.evidence["swing_g"] > 0.3
    assert 0.4 < event.evidence["brake_g"] < 0.6
    assert abs(event.start_us - START_US - 20_000_000) < 2_000_000


@pytest.mark.parametrize(
    "legs",
    [
        (CRUISE, Leg(4, -0.3), CRUISE),  # a firm brake for a red light
        (CRUISE, Leg(2, 0.0, 0.1), Leg(2, 0.0, -0.1), CRUISE),  # a lane change
        (CRUISE, Leg(4, 0.0, 0.35), CRUISE),  # a bend
        (CRUISE, Leg(3, 0.4), CRUISE),  # full acceleration, let go
    ],
)
def test_ordinary_driving_is_no_near_crash_even_where_sensitivity_is_high(legs):
    assert not events_of(*legs, start_mps=15, rules=SENSITIVE)


def test_a_higher_sensitivity_finds_a_brake_that_a_lower_one_lets_pass():
    legs = (CRUISE, Leg(2, -0.5), CRUISE)
    assert not events_of(*legs, start_mps=20)
    (event,) = events_of(*legs, start_mps=20, rules=SENSITIVE)
    assert event.kind is EventKind.NEAR_CRASH


def test_a_lorry_brakes_more_softly_and_so_does_its_near_crash():
    recording = drive(CRUISE, Leg(0.8, -0.4, 0.3), Leg(0.8, -0.2, -0.3), CRUISE, start_mps=20)
    lorry = replace(recording, batch=replace(recording.batch, vehicle_class=VehicleClass.HEAVY_DUTY))
    rules = replace(DEFAULT, near_crash=NearCrashRule(sensitivity="x", levels_g={"x": 0.9}))
    assert not judge(recording, rules)[1].events
    assert [e.evidence["threshold_g"] for e in judge(lorry, rules)[1].events] == [
        pytest.approx(0.9 * 0.47 / 0.61, 1e-3)
    ]


@pytest.mark.parametrize("value_g", [-34.0, -1.9, float("-inf"), float("nan")])
def test_a_glitch_is_no_near_crash(value_g):
    calm = spoil(drive(CRUISE, start_mps=20, imu_hz=10), (10.0, 10.1), accel_x_mps2=value_g * 9.81)
    assert not judge(calm, SENSITIVE)[1].events


def test_shaking_a_parked_vehicle_is_no_near_crash():
    parked = drive(CRUISE)
    for start_s, value in ((10.0, -6.0), (10.3, 6.0), (10.6, -6.0), (10.9, 5.0)):
        parked = spoil(parked, (start_s, start_s + 0.3), accel_x_mps2=value)
    _, found = judge(parked, SENSITIVE)
    assert not found.events
    assert found.counts["near_crash_standing"] == 1


def test_without_a_gyroscope_a_swing_is_not_believed():
    recording = spoil(drive(*EVASION, start_mps=25), (0, 60), gyro_z_radps=float("nan"))
    assert not judge(recording)[1].events


def test_a_harsh_brake_with_a_swerve_is_one_event_that_says_both():
    (event,) = events_of(CRUISE, Leg(1.0, -0.75, 0.4), Leg(1.0, -0.7, -0.4), CRUISE, start_mps=28)
    assert event.kind is EventKind.HARSH_BRAKE
    assert event.evidence["labels"] == ["harsh_brake", "near_crash", "swerve"]
    assert event.severity in (Severity.HIGH, Severity.CRITICAL)
    assert event.event_id == event_id(DEFAULT.version, "van-1", event.kind, event.start_us)


def test_a_harsh_brake_into_a_harsh_turn_is_one_event_with_one_trace():
    _, found = judge(drive(CRUISE, Leg(1.0, -0.65), Leg(1.0, -0.65, 0.55), Leg(1.0, 0, 0.55), CRUISE, start_mps=28))
    (event,) = found.events
    assert set(event.evidence["labels"]) >= {"harsh_brake", "harsh_turn"}
    (trace,) = found.traces
    assert trace.event_id == event.event_id


def test_two_brakes_apart_stay_two_events():
    legs = (CRUISE, Leg(0.8, -0.65), Leg(6), Leg(0.8, -0.65), CRUISE)
    assert [e.kind for e in events_of(*legs, start_mps=28)] == [EventKind.HARSH_BRAKE] * 2


def test_speeding_does_not_swallow_a_brake_within_it():
    kinds = {e.kind for e in events_of(Leg(90), Leg(0.8, -0.65), Leg(60), start_mps=36, limit_mps=20)}
    assert kinds == {EventKind.SPEEDING, EventKind.HARSH_BRAKE}


@pytest.mark.parametrize(
    ("when", "lat", "lon", "elevation_deg"),
    [
        ("2024-06-20T12:00", 0.0, 0.0, 66.6),  # noon at the equator, the sun over the northern tropic
        ("2024-03-20T12:08", 51.48, 0.0, 38.5),  # equinox at Greenwich: 90 - 51.48
        ("2024-12-21T10:43", 69.65, 18.96, -3.1),  # polar night at Tromso, at its noon
        ("2024-06-21T00:00", 52.0, 8.0, -14.1),
    ],
)
def test_the_sun_stands_where_the_almanac_says(when, lat, lon, elevation_deg):
    time_us = int(datetime.fromisoformat(when).replace(tzinfo=UTC).timestamp() * 1e6)
    assert sun_elevation_deg(time_us, lat, lon) == pytest.approx(elevation_deg, abs=0.7)


def test_an_event_at_night_says_so_and_one_of_unknown_place_does_not():
    night_us = int(datetime(2024, 6, 21, tzinfo=UTC).timestamp() * 1e6)
    assert context_labels(night_us, 52.0, 8.0) == ["night"]
    assert context_labels(night_us, None, None) == []
    (event,) = events_of(CRUISE, Leg(0.8, -0.65), CRUISE, start_mps=20, start_us=night_us)
    assert event.evidence["context"] == ["night"]
