"""Above which speed each kind is judged: one table, with its sources, that a fleet may change."""

from __future__ import annotations

from collections.abc import Mapping

from infra.contracts.events import EventKind

MPH = 0.44704

GATES_MPS: Mapping[EventKind, float] = {
    EventKind.MICROSLEEP: 5 * MPH,  # TennaCAM: drowsiness and head down above 5 mph. EU 2021/1341 asks for it above
    EventKind.DROWSINESS: 5 * MPH,  # 70 km/h at least; a driver asleep at 30 is no better
    EventKind.YAWNING: 5 * MPH,
    EventKind.HEAD_NOD: 5 * MPH,
    EventKind.DISTRACTION: 20 * MPH,  # TennaCAM. Slower, drivers look around corners
    EventKind.PHONE_USE: 5 * MPH,  # the lowest of Samsara's choices: no law allows one in the hand at 6 mph
    EventKind.SMOKING: 25 * MPH,  # Samsara's default for policy violations
    EventKind.DRINKING: 25 * MPH,
    EventKind.NO_SEAT_BELT: 25 * MPH,
    EventKind.CAMERA_OBSTRUCTED: 5 * MPH,  # at rest an empty seat is as it should be
}
"""Sleep and unresponsive are promotions of a microsleep, and have its gate."""


def change_gates(changes: Mapping[EventKind, float]) -> Mapping[EventKind, float]:
    """The table with a fleet's own speeds, in m/s. Raises ValueError for a kind without a gate."""
    unknown = set(changes) - set(GATES_MPS)
    if unknown:
        raise ValueError(f"no speed gate: {', '.join(sorted(unknown))}; there are {', '.join(GATES_MPS)}")
    return {**GATES_MPS, **changes}
