"""Laws of judgement: splits, JSON and calls change nothing; scores move the right way."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import orjson
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from infra.bus.port import Record
from infra.contracts.events import TripStatus
from infra.contracts.telemetry import ImuFrame, take
from infra.runtime.step import Delivery
from scoring.core.pipeline import Found, fold_batch, fold_silence
from scoring.core.rules import DEFAULT
from scoring.core.state import VehicleState, dump, load
from scoring.service import ScoringStep
from tests.unit.scoring.road import START_US, Leg, Recording, any_rotation, batches, drive, mounted, spoil

LEGS = st.lists(
    st.builds(
        Leg,
        st.sampled_from([0.3, 1.0, 1.5, 3.0, 12.0, 40.0]),
        st.sampled_from([-0.9, -0.62, -0.3, 0.0, 0.1, 0.5]),
        st.sampled_from([-0.7, 0.0, 0.0, 0.0, 0.5]),
    ),
    min_size=2,
    max_size=7,
)
FAULTS = st.lists(
    st.tuples(
        st.integers(0, 100),
        st.sampled_from([0.05, 1.0, 4.0]),
        st.sampled_from(
            [
                {"accel_x_mps2": -34 * 9.81},
                {"accel_x_mps2": -np.inf},
                {"accel_y_mps2": np.nan},
                {"accel_x_mps2": -7.0},
                {"speed_mps": np.nan},
                {"speed_mps": 30.0},
                {"lat": 0.0},
                {"heading_deg": np.nan},
                {"ignition": 0},
                {"speed_limit_mps": np.nan},
            ]
        ),
    ),
    max_size=3,
)


@st.composite
def recordings(draw: st.DrawFn) -> Recording:
    made = drive(
        *draw(LEGS),
        start_mps=draw(st.sampled_from([0.0, 12.0, 25.0])),
        limit_mps=draw(st.sampled_from([np.nan, 13.0, 20.0])),
        imu_hz=draw(st.sampled_from([0, 1, 8, 10, 25])),
        gps_hz=draw(st.sampled_from([0.2, 1, 5])),
        noise_g=draw(st.sampled_from([0.02, 0.2])),
        frame=draw(st.sampled_from([ImuFrame.VEHICLE, ImuFrame.VEHICLE, ImuFrame.DEVICE])),
        seed=draw(st.integers(0, 9)),
    )
    if made.batch.imu_frame is ImuFrame.DEVICE:
        made = mounted(made, any_rotation(draw(st.integers(0, 9))))
    for start_s, length_s, columns in draw(FAULTS):
        if len(made.imu) or not any("accel" in name for name in columns):
            made = spoil(made, (start_s, start_s + length_s), **columns)
    if draw(st.booleans()):
        gap = draw(st.sampled_from([(5, 25), (10, 20), (3, 4)]))
        lost = draw(st.sampled_from([("gps", "imu"), ("gps",), ("imu",)]))
        made = replace(made, **{name: _without(getattr(made, name), gap) for name in lost})
    return made


def _without(samples, gap):
    since_s = (samples.time_us - START_US) / 1e6
    return take(samples, (since_s < gap[0]) | (since_s >= gap[1]))


def cuts_of(recording: Recording, shares: list[float]) -> list[int]:
    times = np.concatenate([recording.gps.time_us, recording.imu.time_us])
    first, last = int(times.min()), int(times.max())
    return sorted({first + 1 + int(share * (last - first)) for share in shares})


def outcome(state: VehicleState, found: Found) -> dict[str, object]:
    """Everything that must not depend on how a stream was cut. Open trips are written by the message."""
    ended = {trip.trip_id: trip for trip in found.trips if trip.status is TripStatus.ENDED}
    return {
        "state": orjson.loads(orjson.dumps(dump(replace(state, trip=None)))),
        "trips": sorted(ended.values(), key=lambda trip: trip.start_us),
        "events": sorted(found.events, key=lambda event: (event.start_us, event.kind)),
        "traces": sorted((str(trace.event_id), trace.samples) for trace in found.traces),
        "counts": found.counts,
    }


def run(recording: Recording, cuts_us: list[int] | None, through_json: bool = False) -> dict[str, object]:
    state, found = VehicleState(), Found("van-1", DEFAULT)
    for batch in batches(recording, cuts_us):
        state = fold_batch(state, batch, found)
        if through_json:
            state = load(orjson.loads(orjson.dumps(dump(state))))
    open_state = state
    return outcome(open_state, found) | {"end": outcome(fold_silence(state, found), found)}


# What once depended on the cut: the time that an impact's first sample after it speaks for, the way through a tunnel,
# the place of an event without a fix right before it, the trace of an event that waited for a sensor that had tilted.
BRAKE_ON_A_BEND = drive(Leg(12.0, 0.5, -0.7), Leg(1.0, -0.9), imu_hz=10, gps_hz=0.2, seed=0)
CALM = drive(Leg(60.0), Leg(3.0, -0.7), Leg(20.0), start_mps=25.0, imu_hz=10)
TUNNEL = replace(CALM, gps=_without(CALM.gps, (15, 40)))
BRAKE_IN_A_TUNNEL = replace(CALM, gps=_without(CALM.gps, (45, 64)))
TILTED = spoil(drive(Leg(8.0), Leg(2.0, -0.7), Leg(100.0), start_mps=25.0, imu_hz=10), (9, 100), accel_y_mps2=6.0)

LAW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


@LAW
@example(BRAKE_ON_A_BEND, [], [0.9375])
@example(TUNNEL, [n / 20 for n in range(20)], [])
@example(BRAKE_IN_A_TUNNEL, [n / 20 for n in range(20)], [])
@example(TILTED, [n / 20 for n in range(20)], [])
@given(recordings(), st.lists(st.floats(0, 0.999), max_size=12), st.lists(st.floats(0, 0.999), max_size=3))
def test_any_split_of_a_stream_finds_the_same(recording, many, few):
    assert run(recording, cuts_of(recording, many)) == run(recording, cuts_of(recording, few))


@LAW
@given(recordings(), st.lists(st.floats(0, 0.999), max_size=8))
def test_a_state_is_the_same_after_json(recording, shares):
    cuts_us = cuts_of(recording, shares)
    assert run(recording, cuts_us, through_json=True) == run(recording, cuts_us)


@LAW
@given(recordings(), st.lists(st.floats(0, 0.999), min_size=1, max_size=10), st.data())
def test_any_split_of_deliveries_into_calls_puts_out_the_same(recording, shares, data):
    step = ScoringStep()
    deliveries = [
        Delivery(Record("telemetry", 0, number, "van-1", b"", number), batch)
        for number, batch in enumerate(batches(recording, cuts_of(recording, shares)))
    ]
    at = sorted(data.draw(st.sets(st.integers(0, len(deliveries)), max_size=4)))
    whole = _fold(step, [deliveries])
    assert _fold(step, [deliveries[a:b] for a, b in zip([0, *at], [*at, len(deliveries)], strict=True)]) == whole


def _fold(step, calls):
    state, trips, events, traces, due = step.load(None), [], [], [], []
    for call in calls:
        if not call:
            continue
        folded = step.fold({"van-1": state}, call, {})
        state = folded.states["van-1"]
        trips += folded.outputs.trips
        events += folded.outputs.events
        traces += folded.outputs.traces
        due += folded.outputs.score_due
    return step.dump(state), trips, events, traces, sorted(due, key=lambda d: d.at_us)


@LAW
@given(recordings())
def test_the_same_message_twice_is_folded_once(recording):
    """The worker drops repeats; a device that sends them under new numbers must not be believed twice."""
    state, found = VehicleState(), Found("van-1", DEFAULT)
    for batch in batches(recording):
        state = fold_batch(fold_batch(state, batch, found), batch, found)
    once = run(recording, None)
    twice = outcome(state, found)
    assert twice["events"] == once["events"]
    assert twice["trips"] == once["trips"]
