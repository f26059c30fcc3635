"""The step around the pure core: late messages, wake-ups, what is due."""

from infra.bus.port import Record
from infra.contracts.events import EventKind, TripStatus
from infra.runtime.step import Delivery
from scoring.core.rules import DEFAULT
from scoring.core.what_if import Change, changed_rules
from scoring.service import ScoringStep
from tests.unit.scoring.road import Leg, batches, drive

ARRIVED_US = 1_800_000_000_000_000


def deliveries(recording, late=False):
    for number, batch in enumerate(batches(recording)):
        record = Record("telemetry", 0, number, batch.vehicle_id, b"as it came", ARRIVED_US + number)
        yield Delivery(record, batch, late)


def fold(step, state, some, woken=()):
    return step.fold({"van-1": state}, list(some), dict.fromkeys(woken, ARRIVED_US))


def test_a_drive_asks_to_be_woken_and_ends_when_it_is():
    step = ScoringStep()
    driven = fold(step, step.load(None), deliveries(drive(Leg(10, 0.15), Leg(50), Leg(1.5, -0.75), Leg(5))))
    assert driven.wake_us["van-1"] == ARRIVED_US + 6 + DEFAULT.silence_us
    ended = fold(step, driven.states["van-1"], [], woken=["van-1"])
    assert [trip.status for trip in ended.outputs.trips] == [TripStatus.ENDED]
    assert len(ended.outputs.traces) == 1
    instants = {(due.driver_id, due.at_us) for due in [*driven.outputs.score_due, *ended.outputs.score_due]}
    (event,) = [*driven.outputs.events, *ended.outputs.events]
    assert instants == {("ada", event.start_us), ("ada", ended.outputs.trips[0].start_us)}
    assert ended.wake_us.get("van-1") is None


def test_a_parked_vehicle_is_left_to_sleep():
    step = ScoringStep()
    parked = fold(step, step.load(None), deliveries(drive(Leg(60))))
    assert parked.wake_us["van-1"] is None
    assert parked.outputs.trips == []


def test_a_late_message_is_counted_and_kept_but_not_judged():
    step = ScoringStep()
    before = step.load(None)
    folded = fold(step, before, deliveries(drive(Leg(20), start_mps=20), late=True))
    assert folded.states["van-1"] is before
    assert folded.outputs.counts["van-1", "late_not_judged"] == 2
    assert [(d.reason, d.payload, d.rows) for d in folded.outputs.dead_letters] == [("late", b"as it came", 260)] * 2


def test_vehicles_do_not_mix():
    step = ScoringStep()
    one = list(deliveries(drive(Leg(30), start_mps=20, seed=1)))
    apart = fold(step, step.load(None), one)
    states = {"van-1": step.load(None), "van-2": step.load(None)}
    other = list(deliveries(drive(Leg(30), start_mps=9, seed=2)))
    for delivery in other:
        object.__setattr__(delivery, "message", _of(delivery.message, "van-2"))
    mixed = [d for pair in zip(one, other, strict=True) for d in pair]
    together = step.fold(states, mixed, {})
    assert step.dump(together.states["van-1"]) == step.dump(apart.states["van-1"])


def _of(batch, vehicle_id):
    from dataclasses import replace

    return replace(batch, vehicle_id=vehicle_id)


def test_a_message_is_judged_by_the_thresholds_that_held_when_it_arrived():
    """The change is known from the start, as to a worker that catches up; the brake arrives before it, or after."""
    recording = drive(Leg(20, 0.15), Leg(20), Leg(1.2, -0.5), Leg(30))

    def found(changed_us):
        step = ScoringStep()
        lower = changed_rules(DEFAULT, Change("lower", harsh_g={("passenger", EventKind.HARSH_BRAKE): 0.4}))
        step.timeline.add(changed_us, lower)
        return [event.kind for event in fold(step, step.load(None), deliveries(recording)).outputs.events]

    assert found(ARRIVED_US + 100) == []
    assert found(ARRIVED_US) == ["harsh_brake"]
