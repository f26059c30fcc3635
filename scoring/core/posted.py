"""The posted limit over the last seconds: only its changes are kept, so that an event can say where it began."""

from __future__ import annotations

import numpy as np

from infra.contracts.telemetry import Float32, Int64

Changes = tuple[tuple[int, float | None], ...]
"""Times and the limit from then on, in m/s; None: not known."""


def follow(changes: Changes, time_us: Int64, limit_mps: Float32) -> Changes:
    """With those of fresh fixes."""
    now = changes[-1][1] if changes else None
    same = np.isnan(limit_mps) if now is None else limit_mps == np.float32(now)
    if same.all():
        return changes
    found = list(changes)
    for at_us, limit in zip(time_us.tolist(), limit_mps.tolist(), strict=True):
        said = limit if limit > 0 else None
        if said != now:
            found.append((at_us, said))
            now = said
    return tuple(found)


def since(changes: Changes, time_us: int) -> Changes:
    """What is still needed to tell the limit from a time on."""
    first = sum(at_us <= time_us for at_us, _ in changes)
    kept = changes[max(first - 1, 0) :]
    return kept[1:] if kept and kept[0][0] <= time_us and kept[0][1] is None else kept


def limit_at(changes: Changes, time_us: int) -> float | None:
    said = [limit for at_us, limit in changes if at_us <= time_us]
    return said[-1] if said else None
