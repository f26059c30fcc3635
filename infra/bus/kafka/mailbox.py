"""Acknowledgements on their way from a client's I/O thread to an event loop."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Generic, Protocol, TypeVar

from infra.bus.port import BusUnavailable

Letter = TypeVar("Letter")
Letter_contra = TypeVar("Letter_contra", contravariant=True)

SWEEP_S = 0.5


class Sender(Protocol[Letter_contra]):
    """Who waits with us: told of every outcome, on the loop, before the future is."""

    def settled(self, letter: Letter_contra, error: Exception | None) -> Exception | None:
        """The client's outcome. Returns the error to pass on."""

    def given_up(self, letter: Letter_contra) -> None:
        """There was none in time."""


class Mailbox(Generic[Letter]):
    """Hands outcomes over in bunches: waking a loop costs more than all else that is done for a record.

    Args:
        patience_s: a future that has no outcome by then fails with BusUnavailable, whatever the client does.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, sender: Sender[Letter], patience_s: float) -> None:
        self.loop = loop
        self._sender = sender
        self._patience_s = patience_s
        self._box: deque[tuple[asyncio.Future[None], Letter, Exception | None]] = deque()
        self._woken = False
        self._expected: deque[tuple[float, asyncio.Future[None], Letter]] = deque()  # by deadline
        self._sweeping = False

    def expect(self, letter: Letter) -> asyncio.Future[None]:
        """A future for an outcome to be put. On the loop."""
        acknowledged = self.loop.create_future()
        self._expected.append((self.loop.time() + self._patience_s, acknowledged, letter))
        if not self._sweeping:
            self._sweeping = True
            self.loop.call_later(SWEEP_S, self._sweep)
        return acknowledged

    def put(self, acknowledged: asyncio.Future[None], letter: Letter, outcome: object) -> None:
        """From any thread."""
        self._box.append((acknowledged, letter, outcome if isinstance(outcome, Exception) else None))
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
            acknowledged, letter, failure = self._box.popleft()
            error = self._sender.settled(letter, failure)
            if acknowledged.done():  # given up, by us or by who waited
                continue
            if error is None:
                acknowledged.set_result(None)
            else:
                acknowledged.set_exception(error)

    def _sweep(self) -> None:
        now_s = self.loop.time()
        while self._expected and (self._expected[0][1].done() or self._expected[0][0] <= now_s):
            _, acknowledged, letter = self._expected.popleft()
            if not acknowledged.done():
                self._sender.given_up(letter)
                acknowledged.set_exception(BusUnavailable(f"no acknowledgement within {self._patience_s:g} s"))
        self._sweeping = bool(self._expected)
        if self._sweeping:
            self.loop.call_later(SWEEP_S, self._sweep)
