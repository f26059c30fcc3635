"""What a worker room gives the worker: a pure step over messages, and how its per-vehicle state is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from infra.bus.port import Record
from infra.contracts.codec import Message
from infra.contracts.events import JsonObject
from infra.store.outputs import Outputs

State = TypeVar("State")


@dataclass(frozen=True, slots=True)
class Delivery:
    """A decoded message, in its device's order and once only.

    ``late`` marks one that came after the late window had closed over its place: order is not kept for it.
    ``prepared`` is what the step's ``prepare`` made of it.
    """

    record: Record
    message: Message
    late: bool = False
    prepared: object = None

    @property
    def vehicle_id(self) -> str:
        return self.message.vehicle_id


@dataclass(slots=True)
class Folded(Generic[State]):
    """The outcome of a fold: new states of the vehicles that were touched, what to write, and at which arrival
    time (see ``Record.arrived_us``) a vehicle wants to be woken.

    A wish replaces the vehicle's earlier one; a touched vehicle without a wish is not woken. It is woken at the
    first record of its lane that arrived then or later, before that record is folded, and not sooner than 30 s
    after what it was last folded with (``folding.SOONEST_WAKE_S``).
    """

    states: dict[str, State]
    outputs: Outputs = field(default_factory=Outputs)
    wake_us: dict[str, int | None] = field(default_factory=dict)


class Step(Protocol[State]):
    """Implemented by ``ingest.recorder``, ``vision.service`` and ``scoring.service``."""

    group: str  # the consumer group, and the name of the room's rows in vehicle_state
    topics: Sequence[str]
    rules_version: str  # states of another version are not read: the room starts afresh

    def load(self, state: JsonObject | None) -> State:
        """The state from its JSON; a new one from None."""

    def dump(self, state: State) -> JsonObject: ...

    def prepare(self, deliveries: Sequence[Delivery]) -> Sequence[Delivery]:
        """Expensive, stateless work (inference), batched over vehicles, before any room's state is looked at.

        Returns as many deliveries, in the same order.
        """

    def fold(
        self, states: Mapping[str, State], deliveries: Sequence[Delivery], woken: Mapping[str, int]
    ) -> Folded[State]:
        """Pure: no clock, no database, no change to what is passed in.

        Args:
            states: of every vehicle in ``deliveries`` and ``woken``.
            deliveries: of several vehicles, mixed; those of one vehicle in order.
            woken: vehicles whose wake-up time has come (vehicle to the time it had asked for).
                None of them is in ``deliveries``.

        Returns:
            States of touched vehicles only. Any split of the same deliveries into calls must add up to the
            same states and the same outputs.
        """
