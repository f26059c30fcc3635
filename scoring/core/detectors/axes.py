"""The four directions in which driving can be harsh, and their thresholds."""

from __future__ import annotations

from dataclasses import dataclass

from infra.contracts.events import EventKind, Severity
from infra.contracts.telemetry import VehicleClass
from scoring.core.detectors.port import View
from scoring.core.rules import Rules
from scoring.core.window import FORWARD, LEFT


@dataclass(frozen=True, slots=True)
class Axis:
    """``row`` and ``sign`` say which acceleration, and which way, is harsh."""

    word: str
    kind: EventKind
    row: int
    sign: int

    @property
    def evidence(self) -> dict[str, object]:
        return {"direction": self.word} if self.kind is EventKind.HARSH_TURN else {}

    def threshold_g(self, view: View) -> float:
        """Of the accelerometer's half-second mean, for the vehicle's class."""
        return self.level_g(view.rules, view.vehicle_class)

    def level_g(self, rules: Rules, vehicle_class: VehicleClass) -> float:
        thresholds = rules.harsh[vehicle_class]
        return {
            EventKind.HARSH_BRAKE: thresholds.brake_g,
            EventKind.HARSH_ACCELERATION: thresholds.acceleration_g,
            EventKind.HARSH_TURN: thresholds.turn_g,
        }[self.kind]


AXES = (
    Axis("brake", EventKind.HARSH_BRAKE, FORWARD, -1),
    Axis("acceleration", EventKind.HARSH_ACCELERATION, FORWARD, 1),
    Axis("left", EventKind.HARSH_TURN, LEFT, 1),
    Axis("right", EventKind.HARSH_TURN, LEFT, -1),
)


def severity(peak_g: float, threshold_g: float, rules: Rules) -> Severity:
    return next(word for step, word in rules.severity_steps if peak_g / threshold_g >= step)
