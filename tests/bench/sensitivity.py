"""What `judge` finds of the 100-Car events at each sensitivity: anything harsh, of whatever kind."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from scoring.core.rules import DEFAULT, Rules
from tests.bench.judged import Section, judge
from tests.bench.recordings import Labelled, hundred_car

LEVELS: dict[str, Rules] = {"none asked for": DEFAULT} | {word: DEFAULT.at(word) for word in ("low", "normal", "high")}
EARLY_US = 2_000_000  # an event that begins sooner before the label does is a trigger too early


def sensitivities(data: Path) -> Section:
    """Recall of events whose driver braked, and triggers per hour of the time before all events."""
    labelled = list(hundred_car(data / "nds100car"))
    rows = ["| sensitivity | recall, anything harsh | per hour | recall, harsh_brake |", "|---|---|---|---|"]
    figures = {}
    for word, rules in LEVELS.items():
        recall, per_hour, braking = _measure(labelled, rules)
        rows.append(f"| {word} | {recall:.3f} | {per_hour:.1f} | {braking:.3f} |")
        key = "default" if rules is DEFAULT else word
        figures |= {f"nds100car_harsh_recall_{key}": recall, f"nds100car_harsh_per_h_{key}": per_hour}
    return Section("100-Car, anything harsh", rows, figures)


def _measure(labelled: list[Labelled], rules: Rules) -> tuple[float, float, float]:
    found, braked, early, hours = [], [], 0, 0.0
    for one in labelled:
        before_us, times = one.start_us - EARLY_US, one.recorded.imu.time_us
        events = judge(one.recorded, rules).events
        kinds = [event.kind for event in events if event.start_us >= before_us]
        early += len(events) - len(kinds)
        hours += float(np.minimum(np.diff(times[times < before_us]), 500_000).sum() / 3.6e9)
        if one.braked:
            found.append(bool(kinds))
            braked.append("harsh_brake" in kinds)
    return float(np.mean(found)), early / hours, float(np.mean(braked))
