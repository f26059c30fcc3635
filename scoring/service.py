"""Judgement's worker: telemetry in; trips, driving events with their raw traces, and scores that are due out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from sqlalchemy import Engine

from infra.bus.port import Bus
from infra.contracts import topics
from infra.contracts.events import JsonObject, TripStatus
from infra.contracts.telemetry import TelemetryBatch
from infra.runtime.step import Delivery, Folded
from infra.runtime.worker import Chore, Worker, Writer
from infra.settings import Settings
from infra.store import outputs
from infra.store.media import MediaStore
from infra.store.outputs import DeadLetter, Outputs, ScoreDue
from scoring.core import state as states_of
from scoring.core.pipeline import Found, fold_batch, fold_silence
from scoring.core.rules import DEFAULT, Rules
from scoring.core.state import VehicleState
from scoring.recompute import chore
from scoring.roads import due
from scoring.roads.matcher import Matcher
from scoring.timeline import Timeline

GROUP = "scoring"
LATE_NOT_JUDGED = "late_not_judged"


class ScoringStep:
    """See ``infra.runtime.step.Step``."""

    group = GROUP
    topics: Sequence[str] = (topics.TELEMETRY,)

    def __init__(self, rules: Rules = DEFAULT) -> None:
        self.rules_version = f"driving-{rules.version}"
        self.timeline = Timeline(rules)

    def load(self, state: JsonObject | None) -> VehicleState:
        return states_of.load(state)

    def dump(self, state: VehicleState) -> JsonObject:
        return states_of.dump(state)

    def prepare(self, deliveries: Sequence[Delivery]) -> Sequence[Delivery]:
        return deliveries

    def fold(
        self, states: Mapping[str, VehicleState], deliveries: Sequence[Delivery], woken: Mapping[str, int]
    ) -> Folded[VehicleState]:
        """Message by message, so that no split can matter."""
        after: dict[str, VehicleState] = {}
        found: dict[str, Found] = {}
        wake_us: dict[str, int | None] = {}
        late: list[DeadLetter] = []
        for delivery in deliveries:
            vehicle = delivery.vehicle_id
            before = after.get(vehicle) or states[vehicle]
            rules = self.timeline.at(delivery.record.arrived_us)
            notes = found.setdefault(vehicle, Found(vehicle, rules))
            notes.rules = rules
            if delivery.late:
                after[vehicle] = before
                late.append(_late_letter(delivery))
                notes.counts[LATE_NOT_JUDGED] += 1
            else:
                after[vehicle] = fold_batch(before, _batch(delivery), notes)
            silent_us = delivery.record.arrived_us + rules.silence_us
            wake_us[vehicle] = None if after[vehicle].at_rest else silent_us
        for vehicle, wake_at_us in woken.items():
            notes = found.setdefault(vehicle, Found(vehicle, self.timeline.at(wake_at_us)))
            after[vehicle] = fold_silence(states[vehicle], notes)
        return Folded(after, _outputs(list(found.values()), late), wake_us)


def build(settings: Settings, bus: Bus, engine: Engine, media: MediaStore) -> Worker[VehicleState]:
    """Judgement's worker on this bus and database, with the chore that recomputes the scores that are due."""
    step = ScoringStep()
    chores: tuple[Chore, ...] = (chore(settings),)
    write: Writer = outputs.write
    if settings.road_tiles is not None:
        chores = (_road_chore(settings.road_tiles, step, media), *chores)
        write = due.asking(write)
    return Worker(step, bus, engine, settings, media, chores=chores, write=write, refresh=step.timeline.refresh)


def _road_chore(tiles: Path, step: ScoringStep, media: MediaStore) -> Chore:
    return due.chore(Matcher(tiles), lambda: step.timeline.newest, media, GROUP)


def _batch(delivery: Delivery) -> TelemetryBatch:
    if not isinstance(delivery.message, TelemetryBatch):
        raise TypeError(f"{delivery.record.topic} carries a {type(delivery.message).__name__}")
    return delivery.message


def _late_letter(delivery: Delivery) -> DeadLetter:
    """With the whole message, so that a rescore can put it in its place."""
    record, batch = delivery.record, _batch(delivery)
    detail = f"sequence {batch.sequence} of boot {batch.boot_id} came after its late window"
    return DeadLetter(
        topic=record.topic,
        lane=record.lane,
        offset=record.offset,
        vehicle_id=batch.vehicle_id,
        reason="late",
        detail=detail,
        rows=len(batch.gps) + len(batch.imu),
        arrived_us=record.arrived_us,
        payload=record.value,
    )


def _outputs(found: Sequence[Found], late: Sequence[DeadLetter]) -> Outputs:
    all_trips = [trip for one in found for trip in one.trips]
    events = [event for one in found for event in one.events]
    ended = [trip for trip in all_trips if trip.status is TripStatus.ENDED]
    due = [ScoreDue(trip.vehicle_id, trip.driver_id, trip.start_us) for trip in ended]
    due += [ScoreDue(event.vehicle_id, event.driver_id, event.start_us) for event in events]
    return Outputs(
        trips=all_trips,
        events=events,
        traces=[trace for one in found for trace in one.traces],
        score_due=due,
        dead_letters=late,
        counts=Counter({(one.vehicle_id, word): n for one in found for word, n in one.counts.items()}),
    )
