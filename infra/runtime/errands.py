"""Runs chores that belong to no lane: what is due stands in a table, and whoever comes first takes it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from sqlalchemy import Engine

from infra.runtime.worker import Chore, pump_until

IDLE_S = 1.0  # between two looks at a table in which nothing is due


class Errands:
    """Chores in a loop, pumped as a ``Worker`` is. Any number of processes may run the same ones."""

    def __init__(
        self,
        name: str,
        engine: Engine,
        chores: Sequence[Chore],
        close: Callable[[], None],
        waits: Callable[[], bool] = lambda: False,
    ) -> None:
        """
        Args:
            waits: whether something will be due in a moment, for which an end of the process would be too soon.
        """
        self._name = name
        self._engine = engine
        self._chores = chores
        self._close = close
        self._waits = waits
        self._stopping = threading.Event()

    @property
    def settled(self) -> bool:
        """Whether a pump without work means that there is none."""
        return not self._waits()

    def pump(self, timeout_s: float = 0.0) -> int:
        """One round. Returns how much was done; waits so long where nothing was."""
        done = sum(chore(self._engine) for chore in self._chores)
        if not done and timeout_s:
            self._stopping.wait(timeout_s)
        return done

    def run(self) -> None:
        """Pump until told to stop, waiting out a database or a broker that is away."""
        try:
            pump_until(self._stopping, lambda: self.pump(IDLE_S), self._name)
        finally:
            self.close()

    def stop(self) -> None:
        """End ``run`` after the round it is in. From any thread, or a signal handler."""
        self._stopping.set()

    def close(self) -> None:
        self._close()
