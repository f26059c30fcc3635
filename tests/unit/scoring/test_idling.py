"""Idling."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from infra.contracts.events import EventKind
from tests.unit.scoring.road import Leg, drive, judge


def parked(seconds, ignition, **how):
    """Comes to a stop, stands with this ignition, drives on."""
    made = drive(Leg(6, -0.3), Leg(seconds), Leg(8, 0.2), Leg(30), start_mps=17, imu_hz=0, **how)
    state = np.full(len(made.gps), ignition, np.int8)
    return replace(made, gps=replace(made.gps, ignition=state))


def idling(recording, **how):
    return [event for event in judge(recording, **how)[1].events if event.kind is EventKind.IDLING]


def test_standing_ten_minutes_with_the_engine_on_is_one_event_of_that_length():
    (event,) = idling(parked(600, 1))
    assert event.peak == pytest.approx(600, abs=5)
    assert event.peak_unit == "s"


@pytest.mark.parametrize("seconds", [30, 120, 280])
def test_long_red_light_is_not_idling(seconds):
    assert not idling(parked(seconds, 1))


@pytest.mark.parametrize("ignition", [0, -1])
def test_engine_off_or_unknown_is_not_idling(ignition):
    assert not idling(parked(900, ignition))


def test_creeping_up_in_a_queue_is_one_stand():
    made = drive(Leg(200), Leg(2, 0.1), Leg(2, -0.11), Leg(200), imu_hz=0)
    made = replace(made, gps=replace(made.gps, ignition=np.ones(len(made.gps), np.int8)))
    assert len(idling(made)) == 1


def test_it_is_the_same_however_the_stream_is_cut():
    recording = parked(600, 1)
    first_us = int(recording.gps.time_us[0])
    whole = idling(recording, cuts_us=[])
    assert idling(recording, cuts_us=[first_us + s * 1_000_000 + 7 for s in (5, 100, 333, 611)]) == whole
    assert len(whole) == 1
