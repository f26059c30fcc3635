"""`watch --post`: what was seen goes to the gateway as numbers, in batches that are kept until it has them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import httpx
import orjson

from infra.clock import SECOND_US
from infra.runtime.journal import Journal
from infra.runtime.line import GIVE_UP_S, TIMEOUT_S, Line, TurnedAway, Undeliverable, in_words, pack
from infra.runtime.parcels import json_columns
from vision.observed import Observed, write_observed
from vision.outbox import Letter, Outbox
from vision.watching import Happened, Seen, Told

PATH = "/v1/observations"

BATCH_US, LIVE_BATCH_US = 10 * SECOND_US, 2 * SECOND_US
"""Of the pictures' own time: cut so, a recording gives the same batches each time. The gateway hears of a live camera
sooner."""

MOST_ROWS = 500  # a batch; 10 s at 50 a second
LAST_WORDS_S = 5.0  # for what waits when somebody presses Ctrl-C
_LOOK_S = 0.2


@dataclass(frozen=True, slots=True)
class Sender:
    """Whose observations they are, and what has become of them before."""

    token: str = field(repr=False)
    journal: Journal
    driver_id: str | None = None
    vehicle_id: str | None = None  # said to the gateway, which refuses it where the token is another's
    begin_us: int | None = None  # when the first picture was taken, where the source does not know
    speed_mps: float | None = None  # instead of what the source says
    live: bool = False


@dataclass(slots=True)
class Tally:
    """What became of it all."""

    batches: int = 0
    rows: int = 0
    acknowledged_before: int = 0  # batches that an earlier run had sent
    refused: list[str] = field(default_factory=list)  # what the gateway said to batches that it did not take
    rejected_rows: int = 0  # left out of batches that were taken
    trouble: str = ""  # why the last try failed, while it is tried again


class Poster:
    """Told what ``watch`` tells, posts it from a thread of its own. Use as a context: its end waits for the rest.

    Args:
        url: of the gateway.
        say: told of trouble, once each time it begins.

    Raises:
        TurnedAway, Undeliverable: from ``add`` or at the end. What was not acknowledged waits in the outbox.
    """

    def __init__(self, url: str, sender: Sender, outbox: Outbox, say: Callable[[str], None]) -> None:
        self.tally = Tally()
        self._url, self._sender, self._outbox, self._say = url, sender, outbox, say
        self._rows: list[Observed] = []
        self._batch: int | None = None  # which stretch of time the rows are of
        self._sequence = 0
        self._shift_us: int | None = None
        self._own: dict[int, int] = {}  # number in the outbox to the place in this source's journal
        self._interrupted = False
        self._stop: Callable[[], object] | None = None
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="posting", daemon=True)

    @property
    def waiting(self) -> int:
        return len(self._outbox)

    @property
    def dropped(self) -> int:
        """Batches for which there was no more room."""
        return self._outbox.dropped

    def __enter__(self) -> Poster:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None or self._interrupted:
            self._outbox.close()
            return
        self._cut()
        self._outbox.close()
        while self._thread.is_alive():
            self._thread.join(_LOOK_S)
        self._check()

    def add(self, told: Told) -> None:
        """Takes pictures that were seen; events are for the gateway's own rules to find."""
        if isinstance(told, Happened):
            return
        if self._shift_us is None:
            self._shift_us = self._shift(told.shot.time_us or 0)
        if isinstance(told, Seen):
            self._add_row(told, (told.shot.time_us or 0) + self._shift_us)

    def interrupt(self) -> None:
        """What was seen is kept, and sent as far as a few seconds suffice."""
        self._interrupted = True
        self._cut()
        self._outbox.close()
        self._thread.join(LAST_WORDS_S)
        if self._stop is not None and self._thread.is_alive():
            self._stop()
            self._thread.join()

    def in_words(self) -> str:
        """How it stands, in a line."""
        waits = f"; {self.waiting:,} wait" if self.waiting else ""
        trouble = f" ({self.tally.trouble})" if self.waiting and self.tally.trouble else ""
        return f"posted {self.tally.rows:,} observations in {_batches(self.tally.batches)}{waits}{trouble}"

    # --- in the caller's thread ---

    def _shift(self, first_us: int) -> int:
        begin_us = self._sender.begin_us
        return self._sender.journal.shift_us if begin_us is None else begin_us - first_us

    def _add_row(self, seen: Seen, time_us: int) -> None:
        stretch = time_us // (LIVE_BATCH_US if self._sender.live else BATCH_US)
        if self._rows and (stretch != self._batch or len(self._rows) >= MOST_ROWS):
            self._cut()
        self._batch = stretch
        speed_mps = self._sender.speed_mps if self._sender.speed_mps is not None else seen.shot.speed_mps
        self._rows.append(Observed(time_us, seen.look, speed_mps, seen.shot.belt_switch))

    def _cut(self) -> None:
        rows, self._rows = self._rows, []
        if not rows:
            return
        sequence, self._sequence = self._sequence, self._sequence + 1
        if sequence < self._sender.journal.observations:
            self.tally.acknowledged_before += 1
            return
        if not self._sender.live:  # a camera's pictures come once, and need no journal
            self._own[self._outbox.next_number] = sequence
        self._outbox.put(self._write(rows, sequence), len(rows))
        while not self._sender.live and not self._outbox.wait_for_room(_LOOK_S):
            self._check()
        self._check()

    def _write(self, rows: list[Observed], sequence: int) -> bytes:
        document: dict[str, Any] = {"boot_id": self._sender.journal.boot_id, "sequence": sequence}
        who = {"driver_id": self._sender.driver_id, "vehicle_id": self._sender.vehicle_id}
        document |= {name: value for name, value in who.items() if value is not None}
        return orjson.dumps(document | {"observations": json_columns(write_observed(rows))})

    def _check(self) -> None:
        if isinstance(self._failure, TurnedAway | Undeliverable):
            kept = f"{_batches(self.waiting)} waiting in {self._outbox.folder} go first in the next run"
            raise type(self._failure)(f"{self._failure}; {kept}")
        if self._failure is not None:
            raise self._failure

    # --- in the thread that posts ---

    def _run(self) -> None:
        try:
            asyncio.run(self._deliver())
        except asyncio.CancelledError:
            pass  # what is left waits in the outbox
        except Exception as error:  # noqa: BLE001 - raised again in the caller's thread
            self._failure = error

    async def _deliver(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._stop = partial(asyncio.get_running_loop().call_soon_threadsafe, task.cancel)
        give_up_s = float("inf") if self._sender.live else GIVE_UP_S
        async with httpx.AsyncClient(base_url=self._url, timeout=TIMEOUT_S) as client:
            line = Line(client, self._sender.token, give_up_s, self._note_trouble)
            while letter := await asyncio.to_thread(self._outbox.wait_for_letter):
                body, headers = pack(letter.path.read_bytes(), "application/json")
                self._note(letter, await line.post(PATH, content=body, headers=headers))

    def _note(self, letter: Letter, answer: httpx.Response) -> None:
        if answer.status_code == httpx.codes.REQUEST_ENTITY_TOO_LARGE:
            raise TurnedAway(
                f"{PATH}: {in_words(answer)}; raise RUMBLESTRIP_MAX_OBSERVATIONS or RUMBLESTRIP_MAX_BODY_BYTES there"
            )
        self.tally.trouble = ""
        if answer.is_success:
            self.tally.batches += 1
            self.tally.rows += letter.rows
            self.tally.rejected_rows += sum(each["rows"] for each in answer.json().get("rejected", []))
        else:
            self.tally.refused.append(in_words(answer))
        self._outbox.remove(letter)
        if letter.number in self._own:
            self._sender.journal.acknowledge("observations", self._own.pop(letter.number) + 1)

    def _note_trouble(self, problem: str, pause_s: float) -> None:
        if not self.tally.trouble:
            self._say(f"{self._url}{PATH}: {problem}; trying again, what was seen waits in {self._outbox.folder}")
        self.tally.trouble = f"{problem}; again in {pause_s:.0f} s"


def _batches(count: int) -> str:
    return "1 batch" if count == 1 else f"{count:,} batches"
