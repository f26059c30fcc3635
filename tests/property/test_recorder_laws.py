"""Laws of the recorder: any split of a stream gives the same rows, and nothing is lost or made up."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.bus.port import Record
from infra.contracts.telemetry import (
    GPS_DTYPES,
    IMU_DTYPES,
    UNKNOWN,
    GpsSamples,
    ImuFrame,
    ImuSamples,
    Rejection,
    TelemetryBatch,
    VehicleClass,
    empty_gps,
    empty_imu,
    take,
)
from infra.runtime.step import Delivery
from ingest.recorder import QUIET_US, Recorder

T0 = 1_782_892_800_000_000
SECOND = 1_000_000


def imu_at(times, values=None) -> ImuSamples:
    times = np.asarray(times, np.int64)
    rng = np.random.default_rng(len(times))
    drawn = values if values is not None else rng.normal(0, 3, (6, len(times)))
    return ImuSamples(times, *(np.asarray(row, np.float32) for row in drawn))


def gps_at(times) -> GpsSamples:
    rows = len(times)
    columns = {name: np.linspace(1, 1.9, rows).astype(dtype) for name, dtype in GPS_DTYPES.items()}
    columns["time_us"] = np.asarray(times, np.int64)
    return GpsSamples(**columns)


def batch(imu=None, gps=None, vehicle="v", device="d", rejected=()) -> TelemetryBatch:
    return TelemetryBatch(
        vehicle, device, "b", 0, "anna", VehicleClass.PASSENGER, ImuFrame.VEHICLE, T0,
        empty_gps() if gps is None else gps, empty_imu() if imu is None else imu, rejected,
    )  # fmt: skip


def delivery(message, offset=0, late=False) -> Delivery:
    return Delivery(Record("telemetry", 0, offset, message.vehicle_id, b"", T0), message, late)


class Run:
    """The recorder fed call by call, its state through JSON each time."""

    def __init__(self) -> None:
        self.recorder, self.states = Recorder(), {}
        self.positions, self.motion, self.letters, self.wishes = [], [], [], {}
        self.counts: Counter = Counter()

    def call(self, deliveries=(), woken=None) -> Run:
        vehicles = {d.vehicle_id for d in deliveries} | set(woken or {})
        loaded = {v: self.recorder.load(orjson.loads(orjson.dumps(self.states.get(v)))) for v in vehicles}
        folded = self.recorder.fold(loaded, deliveries, woken or {})
        self.states |= {v: self.recorder.dump(s) for v, s in folded.states.items()}
        self.positions += folded.outputs.positions.to_pylist() if folded.outputs.positions else []
        self.motion += folded.outputs.motion.to_pylist() if folded.outputs.motion else []
        self.letters += folded.outputs.dead_letters
        self.counts += folded.outputs.counts
        self.wishes |= folded.wake_us
        return self

    @property
    def open_samples(self) -> int:
        return sum(values[5] for state in self.states.values() for values in state.values())

    def result(self):
        def key(row):
            return row["vehicle_id"], row["time"], repr(row)

        return sorted(self.positions, key=key), sorted(self.motion, key=key), self.states, self.counts


@st.composite
def streams(draw):
    """Times of one device, mostly steady, with gaps, stragglers between messages, and clocks that were set."""
    steps = draw(
        st.lists(st.sampled_from([40_000, 40_000, 40_000, 333_333, 1_000_000, 7_000_000]), min_size=1, max_size=60)
    )
    times = T0 + draw(st.integers(0, 2_000_000)) + np.cumsum(steps)
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(times)))
        times[at:] -= draw(st.sampled_from([700_000, 3_000_000, 60_000_000]))
    return times


@settings(max_examples=150, deadline=None)
@given(streams(), st.lists(st.integers(0, 60), max_size=6), st.lists(st.booleans(), min_size=7, max_size=7))
def test_any_split_into_messages_and_calls_gives_the_same_rows(times, cuts, calls):
    whole_imu, whole_gps = imu_at(times), gps_at(times)
    edges = sorted({0, len(times), *(c for c in cuts if c < len(times))})
    parts = [slice(a, b) for a, b in itertools.pairwise(edges)]
    messages = [delivery(batch(take(whole_imu, p), take(whole_gps, p)), i) for i, p in enumerate(parts)]
    one = Run().call([delivery(batch(whole_imu, whole_gps))])
    split, waiting = Run(), []
    for message, at_once in zip(messages, calls, strict=False):
        waiting.append(message)
        if at_once:
            split.call(waiting)
            waiting = []
    if waiting:
        split.call(waiting)
    assert one.result() == split.result()


@settings(max_examples=60, deadline=None)
@given(st.lists(streams(), min_size=2, max_size=4), st.randoms(use_true_random=False))
def test_vehicles_do_not_touch_each_other(drives, random):
    alone, together, mixed = Run(), Run(), []
    for number, times in enumerate(drives):
        half = len(times) // 2
        own = [delivery(batch(imu_at(t), gps_at(t), f"v{number}", f"d{number}")) for t in (times[:half], times[half:])]
        alone.call(own)
        mixed.append(own)
    order = [n for n in range(len(drives)) for _ in range(2)]
    random.shuffle(order)
    together.call([mixed[n].pop(0) for n in order])
    assert alone.result() == together.result()


@settings(max_examples=100, deadline=None)
@given(streams())
def test_every_sample_is_in_a_row_or_open(times):
    run = Run().call([delivery(batch(imu_at(times)))])
    assert run.counts["v", "imu_samples"] == len(times)
    assert run.counts["v", "motion_samples"] == sum(r["samples"] for r in run.motion)
    assert run.counts["v", "motion_samples"] + run.open_samples == len(times)


def test_batches_aligned_to_seconds_leave_nothing_open():
    run = Run().call([delivery(batch(imu_at(T0 + np.arange(250) * 40_000)))])
    assert run.open_samples == 0
    assert run.wishes == {}
    assert [r["samples"] for r in run.motion] == [25] * 10


def test_a_second_says_mean_least_most_and_rms():
    values = np.array([[1, 2, 3, -2], [0, 0, 0, 0], [9.5, 9.5, 9.5, 9.5]] + [[np.nan, 1, 3, np.nan]] * 3)
    run = Run().call([delivery(batch(imu_at(T0 + np.arange(4) * 250_000, values)))])
    (row,) = run.motion
    assert (row["accel_x_mean"], row["accel_x_min"], row["accel_x_max"]) == (1.0, -2.0, 3.0)
    assert row["accel_x_rms"] == pytest.approx(np.sqrt(18 / 4), abs=1e-6)
    assert (row["gyro_z_mean"], row["gyro_z_min"], row["gyro_z_max"]) == (2.0, 1.0, 3.0)
    assert row["gyro_z_rms"] == pytest.approx(np.sqrt(5), abs=1e-6)


def test_a_device_without_gyroscope_has_null_there():
    values = np.concatenate((np.ones((3, 25)), np.full((3, 25), np.nan)))
    run = Run().call([delivery(batch(imu_at(T0 + np.arange(25) * 40_000, values)))])
    (row,) = run.motion
    assert row["gyro_x_mean"] is None
    assert row["gyro_y_rms"] is None
    assert row["accel_x_mean"] == 1.0


def test_one_position_a_second_with_unknown_values_as_null():
    gps = gps_at(T0 + np.arange(20) * 300_000)
    gps = replace(
        gps, odometer_m=np.full(20, np.nan), ignition=np.full(20, UNKNOWN, np.int8), belt_buckled=np.zeros(20, np.int8)
    )
    rows = Run().call([delivery(batch(gps=gps))]).positions
    assert [int(r["time"].timestamp() * 10) % 10_000_000_000 for r in rows] == [
        int((T0 + t) // 100_000) % 10_000_000_000 for t in (0, 1_200_000, 2_100_000, 3_000_000, 4_200_000, 5_100_000)
    ]
    assert {(r["odometer_m"], r["ignition"], r["belt_buckled"], r["driver_id"]) for r in rows} == {
        (None, None, 0, "anna")
    }


def sent_by(device, start_s, end_s, offset):
    """A second's accelerations and position for each second."""
    imu = imu_at(T0 + start_s * SECOND + np.arange(25 * (end_s - start_s)) * 40_000)
    return delivery(batch(imu, gps_at(T0 + np.arange(start_s, end_s) * SECOND + 1), device=device), offset)


def test_two_devices_of_a_vehicle_make_one_row_a_second():
    run = Run()
    for n in range(6):
        run.call([sent_by("tracker", 10 * n, 10 * n + 10, 2 * n), sent_by("cam", 10 * n, 10 * n + 10, 2 * n + 1)])
    assert len(run.positions) == 60
    assert [r["samples"] for r in run.motion] == [25] * 60
    assert (run.counts["v", "gps_of_second_device"], run.counts["v", "imu_of_second_device"]) == (60, 1500)


def test_a_second_device_takes_over_when_the_first_has_been_silent_for_ten_seconds():
    run = Run().call([sent_by("tracker", 0, 20, 0), sent_by("cam", 0, 20, 1), sent_by("cam", 20, 60, 2)])
    run.call([sent_by("tracker", 60, 65, 3), sent_by("cam", 60, 70, 4)])
    seconds = sorted((r["time"].timestamp() * SECOND - T0) // SECOND for r in run.positions)
    assert seconds == [*range(20), *range(30, 70)], "the tracker comes back as the second"


def test_positions_may_come_from_one_device_and_accelerations_from_another():
    run = Run()
    for n in range(3):
        whole = sent_by("cam", 10 * n, 10 * n + 10, 2 * n)
        imu_only = delivery(batch(whole.message.imu, device="cam"), 2 * n)
        gps_only = delivery(batch(gps=whole.message.gps, device="tracker"), 2 * n + 1)
        run.call([imu_only, gps_only])
    assert (len(run.positions), len(run.motion)) == (30, 30)
    assert not run.counts["v", "gps_of_second_device"]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 25), st.integers(0, 25)), min_size=1, max_size=12),
    st.lists(st.booleans(), min_size=12, max_size=12),
)
def test_any_split_of_two_devices_into_calls_gives_the_same_rows(plan, cuts):
    ends = dict.fromkeys("ab", 0)
    messages = []
    for offset, (device, long_s, pause_s) in enumerate(plan):
        start_s = ends[device] + pause_s
        ends[device] = start_s + long_s
        messages.append(sent_by(device, start_s, ends[device], offset))
    whole, parts, waiting = Run().call(messages), Run(), []
    for message, cut in zip(messages, cuts, strict=False):
        waiting.append(message)
        if cut:
            parts.call(waiting)
            waiting = []
    assert parts.call(waiting).result() == whole.result()
    seconds = Counter(row["time"].timestamp() // 1 for row in whole.positions)
    assert max(seconds.values()) == 1, "at most one position a second"


def test_a_late_message_is_recorded_without_touching_the_open_second():
    on_time = delivery(batch(imu_at(T0 + np.arange(30) * 40_000)))
    before = Run().call([on_time])
    old = delivery(batch(imu_at(T0 - 100 * SECOND + np.arange(30) * 40_000)), 1, late=True)
    after = Run().call([on_time]).call([old])
    assert after.states == before.states
    assert [r["samples"] for r in after.motion] == [25, 25, 5]
    assert after.counts["v", "motion_samples"] + after.open_samples == 60


def test_an_open_second_is_finished_when_nothing_comes_for_a_minute():
    run = Run().call([delivery(batch(imu_at(T0 + np.arange(30) * 40_000)))])
    assert run.wishes == {"v": T0 + QUIET_US}
    run.call(woken={"v": T0 + QUIET_US})
    assert [r["samples"] for r in run.motion] == [25, 5]
    assert run.open_samples == 0


def test_what_the_gateway_refused_becomes_dead_letters():
    refused = (Rejection("gps", "not_finite", 2, "{}"), Rejection("imu", "not_finite", 7, '{"a":null}'))
    run = Run().call([delivery(batch(rejected=refused), offset=41)])
    assert [(d.reason, d.rows, d.detail, d.offset) for d in run.letters] == [
        ("gps_not_finite", 2, "{}", 41),
        ("imu_not_finite", 7, '{"a":null}', 41),
    ]
    assert run.counts == Counter({("v", "gps_rejected"): 2, ("v", "imu_rejected"): 7})


def test_a_clock_that_was_set_back_begins_seconds_afresh():
    times = np.concatenate((T0 + 3600 * SECOND + np.arange(50) * 40_000, T0 + np.arange(50) * 40_000))
    run = Run().call([delivery(batch(imu_at(times)))])
    assert [r["samples"] for r in run.motion] == [25, 25, 25, 25]


def test_every_column_of_the_samples_is_known_here():
    assert set(IMU_DTYPES) == set(ImuSamples.__dataclass_fields__)
