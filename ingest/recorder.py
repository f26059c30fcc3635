"""The recorder: telemetry to positions and motion, at most one row a second; what the gateway refused, on record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np
import pyarrow as pa

from infra.clock import SECOND_US
from infra.contracts import topics
from infra.contracts.events import JsonObject
from infra.contracts.telemetry import GpsSamples, ImuSamples, TelemetryBatch
from infra.runtime.folding import dead_letters_of
from infra.runtime.step import Delivery, Folded
from infra.store.outputs import CountKey, Outputs
from ingest.core import seconds
from ingest.core.lead import Leads
from ingest.core.seconds import Carry
from ingest.rows import motion_table, position_table

QUIET_US = 60 * SECOND_US
"""An open second is finished after this long without a message: the rest of it is not coming soon."""

Devices = Mapping[str, Carry]
"""A vehicle's state: what each of its devices left open. Of two that measure the same, one leads (``core.lead``)."""


@dataclass(slots=True)
class _Stream:
    """What one device of a vehicle delivered in this call; or one late message, which stands alone."""

    vehicle_id: str
    device_id: str | None  # None: late, so that nothing is carried
    carry: Carry
    deliveries: list[Delivery] = field(default_factory=list)

    @property
    def gps(self) -> list[GpsSamples]:
        return [batch.gps for batch in map(_batch, self.deliveries) if len(batch.gps)]

    @property
    def imu(self) -> list[ImuSamples]:
        return [batch.imu for batch in map(_batch, self.deliveries) if len(batch.imu)]


class Recorder:
    """The step of group "recorder"."""

    group = "recorder"
    topics: Sequence[str] = (topics.TELEMETRY,)
    rules_version = "1"

    def load(self, state: JsonObject | None) -> Devices:
        return {device: _load(cast("list[Any]", values)) for device, values in (state or {}).items()}

    def dump(self, state: Devices) -> JsonObject:
        return {device: _dump(carry) for device, carry in state.items()}

    def prepare(self, deliveries: Sequence[Delivery]) -> Sequence[Delivery]:
        return deliveries

    def fold(
        self, states: Mapping[str, Devices], deliveries: Sequence[Delivery], woken: Mapping[str, int]
    ) -> Folded[Devices]:
        """See ``infra.runtime.step.Step``."""
        counts = _counts(deliveries)
        admitted = _admit(states, deliveries, counts)
        streams = _streams(states, admitted)
        streams += [_Stream(vehicle, device, carry) for vehicle in woken for device, carry in states[vehicle].items()]
        refused = [letter for d in deliveries for letter in dead_letters_of(d.record, _batch(d).rejected)]
        outputs = Outputs(dead_letters=refused, counts=counts)
        outputs.positions = _record_positions([(s, s.gps) for s in streams])
        outputs.motion = _record_motion([(s, s.imu) for s in streams], outputs.counts)
        after: dict[str, Devices] = {v: states[v] for v in (*woken, *(s.vehicle_id for s in streams))}
        for stream in streams:
            if stream.device_id is not None:
                after[stream.vehicle_id] = {**after[stream.vehicle_id], stream.device_id: stream.carry}
        return Folded(after, outputs, _wishes(after, deliveries))


def _batch(delivery: Delivery) -> TelemetryBatch:
    assert isinstance(delivery.message, TelemetryBatch)
    return delivery.message


def _admit(
    states: Mapping[str, Devices], deliveries: Sequence[Delivery], counts: Counter[CountKey]
) -> Sequence[Delivery]:
    """The deliveries without the samples of devices that do not lead."""
    devices: dict[str, set[str]] = {}
    for delivery in deliveries:
        devices.setdefault(delivery.vehicle_id, {*states[delivery.vehicle_id]}).add(delivery.message.device_id)
    leads = {vehicle: Leads(states[vehicle]) for vehicle, several in devices.items() if len(several) > 1}
    if not leads:
        return deliveries
    return [_admit_one(leads[d.vehicle_id], d, counts) if d.vehicle_id in leads else d for d in deliveries]


def _admit_one(leads: Leads, delivery: Delivery, counts: Counter[CountKey]) -> Delivery:
    batch = _batch(delivery)
    taken = leads.admit(batch, delivery.late)
    for word, all_, some in (("gps", batch.gps, taken.gps), ("imu", batch.imu, taken.imu)):
        if len(some) < len(all_):
            counts[batch.vehicle_id, f"{word}_of_second_device"] += len(all_) - len(some)
    return replace(delivery, message=taken)


def _streams(states: Mapping[str, Devices], deliveries: Sequence[Delivery]) -> list[_Stream]:
    ordered: dict[tuple[str, str], _Stream] = {}
    late: list[_Stream] = []
    for delivery in deliveries:
        vehicle, device = delivery.vehicle_id, delivery.message.device_id
        if delivery.late:
            late.append(_Stream(vehicle, None, Carry(), [delivery]))
            continue
        if (vehicle, device) not in ordered:
            ordered[vehicle, device] = _Stream(vehicle, device, states[vehicle].get(device, Carry()))
        ordered[vehicle, device].deliveries.append(delivery)
    return [*ordered.values(), *late]


def _record_positions(given: Sequence[tuple[_Stream, list[GpsSamples]]]) -> pa.Table | None:
    """Rows of positions; renews the streams' carries."""
    given = [(stream, gps) for stream, gps in given if gps]
    if not given:
        return None
    gps, index, carries = seconds.choose_positions([g for _, g in given], [s.carry for s, _ in given])
    for (stream, _), carry in zip(given, carries, strict=True):
        stream.carry = carry
    batches = [batch for stream, _ in given for batch in map(_batch, stream.deliveries)]
    source = np.repeat(np.arange(len(batches)), [len(b.gps) for b in batches])[index]
    return position_table(gps, index, source, [b.vehicle_id for b in batches], [b.driver_id for b in batches])


def _record_motion(given: Sequence[tuple[_Stream, list[ImuSamples]]], counts: Counter[CountKey]) -> pa.Table | None:
    """Rows of motion; renews the streams' carries. A stream without samples was woken, or is late: it is closed."""
    moving = [(stream, imu) for stream, imu in given if imu]
    tables = []
    if moving:
        finished, carries = seconds.sum_seconds([imu for _, imu in moving], [s.carry for s, _ in moving])
        for (stream, _), carry in zip(moving, carries, strict=True):
            stream.carry = carry
        tables.append(motion_table(finished, [s.vehicle_id for s, _ in moving], counts))
    ending = [s for s, _ in given if s.carry.samples and (s.device_id is None or not s.deliveries)]
    if ending:
        finished, carries = seconds.close_open([s.carry for s in ending])
        for stream, carry in zip(ending, carries, strict=True):
            stream.carry = carry
        tables.append(motion_table(finished, [s.vehicle_id for s in ending], counts))
    return pa.concat_tables(tables) if any(len(t) for t in tables) else None


def _counts(deliveries: Sequence[Delivery]) -> Counter[CountKey]:
    """Exact: imu_samples = motion_samples + imu_of_second_device + those in open seconds."""
    counts: Counter[CountKey] = Counter()
    for batch in map(_batch, deliveries):
        counts[batch.vehicle_id, "gps_samples"] += len(batch.gps)
        counts[batch.vehicle_id, "imu_samples"] += len(batch.imu)
        for rejection in batch.rejected:
            counts[batch.vehicle_id, f"{rejection.stream}_rejected"] += rejection.rows
    return counts


def _wishes(after: Mapping[str, Devices], deliveries: Sequence[Delivery]) -> dict[str, int | None]:
    last_us = {d.vehicle_id: d.record.arrived_us for d in deliveries}
    open_ = (v for v, devices in after.items() if any(c.samples for c in devices.values()))
    return {vehicle: last_us[vehicle] + QUIET_US for vehicle in open_}


def _dump(carry: Carry) -> list[object]:
    tally = None if carry.tally is None else carry.tally.ravel().tolist()
    plain = [carry.gps_last_us, carry.gps_floor_s, carry.imu_last_us, carry.imu_gap_us, carry.imu_floor_s]
    return [*plain, carry.samples, tally]


def _load(values: list[Any]) -> Carry:
    *plain, tally = values
    shaped = None if tally is None else np.array(tally, np.int64).reshape(5, len(seconds.AXES))
    return replace(Carry(*plain), tally=shaped)
