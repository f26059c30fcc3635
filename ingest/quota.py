"""So many requests per device and minute, and at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from infra.clock import SECOND_US
from ingest.problems import Problem

MINUTE_US = 60 * SECOND_US
MOST_AT_ONCE = 16  # of one device, which has no need of more than one; each may hold a body of megabytes


class Quota:
    """A fixed window for each device, in memory, for one gateway process.

    The memory storage of ``limits`` was tried: its timer thread walks over every device each 10 ms, which at 300
    requests a second cost 97 µs of CPU a request with 100 devices and 337 µs with 10,000; this costs 0.3.
    """

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._minute = 0
        self._used: dict[str, int] = {}
        self._under_way: Counter[str] = Counter()

    @contextmanager
    def place(self, device_id: str) -> Iterator[None]:
        """A request that is under way. Raises Problem 429 when too many are."""
        if self._under_way[device_id] >= MOST_AT_ONCE:
            detail = f"{MOST_AT_ONCE} requests of a device are served at once; wait for their answers."
            raise Problem(429, "too_many_at_once", detail, retry_after_s=1)
        self._under_way[device_id] += 1
        try:
            yield
        finally:
            self._under_way[device_id] -= 1
            if not self._under_way[device_id]:
                del self._under_way[device_id]

    def spend(self, device_id: str, now_us: int) -> None:
        """Count a request. Raises Problem 429 when the minute's are spent."""
        minute = now_us // MINUTE_US
        if minute != self._minute:
            self._minute, self._used = minute, {}
        used = self._used.get(device_id, 0)
        if used >= self._per_minute:
            wait_s = 1 + ((minute + 1) * MINUTE_US - now_us) // SECOND_US
            detail = f"{self._per_minute} requests a minute are taken from a device; send larger batches."
            raise Problem(429, "too_many_requests", detail, retry_after_s=int(wait_s))
        self._used[device_id] = used + 1
