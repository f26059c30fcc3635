"""The only place that reads the wall clock, and the two ways this project writes an instant."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND_US = 1_000_000


class Clock(Protocol):
    def now_us(self) -> int: ...


class SystemClock:
    def now_us(self) -> int:
        return time.time_ns() // 1_000


class FixedClock:
    """Stands still until told otherwise."""

    def __init__(self, now_us: int) -> None:
        self.value = now_us

    def now_us(self) -> int:
        return self.value


def to_datetime(time_us: int) -> datetime:
    """Microseconds since 1970 to an aware UTC time, exactly."""
    return _EPOCH + timedelta(microseconds=time_us)


def to_us(when: datetime) -> int:
    """An aware time to microseconds since 1970, exactly."""
    if when.tzinfo is None:
        raise ValueError(f"{when} has no time zone")
    return (when - _EPOCH) // timedelta(microseconds=1)
