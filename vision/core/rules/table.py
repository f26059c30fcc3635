"""All rules in their order: those that tell signs before the one that weighs them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infra.contracts.events import EventKind
from vision.core.rules.belt import Belt
from vision.core.rules.camera import CameraRule
from vision.core.rules.closures import Closures
from vision.core.rules.distraction import Distraction
from vision.core.rules.drowsiness import Drowsiness
from vision.core.rules.gates import GATES_MPS, change_gates
from vision.core.rules.hands import make_hands
from vision.core.rules.nods import Nods
from vision.core.rules.shape import Rule
from vision.core.rules.yawning import Yawning

Rules = tuple[Rule[Any], ...]


def make_rules(gates_mps: Mapping[EventKind, float] | None = None) -> Rules:
    """The rules with a fleet's own speed gates (m/s). Raises ValueError for a kind without a gate."""
    gates = change_gates(gates_mps) if gates_mps else GATES_MPS
    return (
        Closures(gates[EventKind.MICROSLEEP]),
        Yawning(gates[EventKind.YAWNING]),
        Nods(gates[EventKind.HEAD_NOD]),
        Distraction(gates[EventKind.DISTRACTION]),
        *make_hands(gates),
        Belt(gates[EventKind.NO_SEAT_BELT]),
        CameraRule(gates[EventKind.CAMERA_OBSTRUCTED]),
        Drowsiness(gates[EventKind.DROWSINESS]),
    )


RULES = make_rules()
