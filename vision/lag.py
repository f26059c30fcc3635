"""Which frames came too long ago to be looked at, where the eyes cannot keep up."""

from __future__ import annotations

from dataclasses import dataclass

from infra.bus.port import Record
from infra.clock import Clock

SKIPPED = "skipped"
"""Instead of a look, of a frame that came too long ago."""


@dataclass(frozen=True, slots=True)
class Lag:
    """The oldest frames are skipped first, so that the latest are judged in time: see the setting ``vision_lag_s``.

    This goes by the clock and not by the log: a round that is done again may skip more than the one that failed.
    Only one of the two is written.
    """

    clock: Clock
    most_us: int

    def is_over(self, record: Record) -> bool:
        return self.clock.now_us() - record.arrived_us > self.most_us
