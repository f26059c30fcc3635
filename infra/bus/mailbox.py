"""Acknowledgements on their way from a client's I/O thread to an event loop."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

Settled = Callable[[int, Exception | None], Exception | None]
"""Told of each outcome, on the loop: the message's size and the client's error. Returns the error to pass on."""


class Mailbox:
    """Hands outcomes over in bunches: waking a loop costs more than all else that is done for a record."""

    def __init__(self, loop: asyncio.AbstractEventLoop, settled: Settled) -> None:
        self.loop = loop
        self._settled = settled
        self._box: deque[tuple[asyncio.Future[None], int, Exception | None]] = deque()
        self._woken = False

    def put(self, acknowledged: asyncio.Future[None], size: int, outcome: object) -> None:
        """From any thread."""
        self._box.append((acknowledged, size, outcome if isinstance(outcome, Exception) else None))
        if self._woken:
            return
        self._woken = True
        try:
            self.loop.call_soon_threadsafe(self._empty)
        except RuntimeError:  # the loop is closed: nobody waits any more
            self._box.clear()

    def _empty(self) -> None:
        self._woken = False
        while self._box:
            acknowledged, size, failure = self._box.popleft()
            error = self._settled(size, failure)
            if acknowledged.done():  # given up by who waited
                continue
            if error is None:
                acknowledged.set_result(None)
            else:
                acknowledged.set_exception(error)
