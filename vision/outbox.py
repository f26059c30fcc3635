"""Batches that wait for the gateway, on disk: what was seen is sent, whatever stops in between."""

from __future__ import annotations

import fcntl
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Condition
from typing import NamedTuple

from infra.runtime.journal import write_whole

MOST_WAITING = 20_000
"""Of a camera that goes on through an outage: eleven hours of batches of 2 s, about 200 MB. Over it the oldest go."""

ROOM = 50
"""Batches that wait while a recording is read on; it can wait itself."""


class AlreadyPosting(RuntimeError):
    """Another process posts with this token to this gateway."""


class Letter(NamedTuple):
    """One batch that waits. ``number`` counts the outbox's letters in the order in which they are sent."""

    number: int
    rows: int
    path: Path


class Outbox:
    """A folder with a file for each batch. One thread puts in, another takes out."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.dropped = 0  # batches, for there was no more room
        self._changed = Condition()
        self._closed = False
        self._waiting = deque(sorted(_read(path) for path in folder.glob("*.json")))
        self._next = self._waiting[-1].number + 1 if self._waiting else 0

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def next_number(self) -> int:
        """Of what is put in next."""
        return self._next

    def put(self, body: bytes, rows: int) -> None:
        """Keep a batch, safely."""
        letter = Letter(self._next, rows, self.folder / f"{self._next:012d}-{rows}.json")
        write_whole(letter.path, body)
        with self._changed:
            self._next += 1
            self._waiting.append(letter)
            while len(self._waiting) > MOST_WAITING:
                self._waiting[1].path.unlink(missing_ok=True)  # the first may be under way
                del self._waiting[1]
                self.dropped += 1
            self._changed.notify_all()

    def wait_for_room(self, timeout_s: float) -> bool:
        """Whether so few wait that a recording should be read on."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self._waiting) < ROOM, timeout_s)

    def wait_for_letter(self) -> Letter | None:
        """The oldest; None once the outbox is closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            return self._waiting[0] if self._waiting else None

    def remove(self, letter: Letter) -> None:
        with self._changed:
            if self._waiting and self._waiting[0] == letter:
                self._waiting.popleft()
            letter.path.unlink(missing_ok=True)
            self._changed.notify_all()

    def close(self) -> None:
        """Nothing more will be put in."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


@contextmanager
def open_outbox(folder: Path) -> Iterator[Outbox]:
    """The outbox of a folder, with what an earlier run left in it. Raises AlreadyPosting."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AlreadyPosting(f"another rumblestrip posts from {folder} to the same gateway") from error
        yield Outbox(folder)


def _read(path: Path) -> Letter:
    number, rows = path.stem.split("-")
    return Letter(int(number), int(rows), path)
