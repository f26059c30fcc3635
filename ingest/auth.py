"""Device tokens to identities: looked up in batches, remembered for a short time."""

from __future__ import annotations

import asyncio
import logging
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from fastapi import Request

from infra.clock import SECOND_US, Clock
from infra.store.registry import TOKEN_CHARACTERS, TOKEN_PREFIX, Identity, hash_token
from ingest.problems import Problem

logger = logging.getLogger(__name__)

FRESH_US = 15 * SECOND_US  # a revoked token is refused after this long at the latest, a new one taken at once
GRACE_US = 600 * SECOND_US  # with the database away nobody can revoke either: known devices go on for ten minutes
LOOKUP_WAIT_S = 3.0
MOST_REMEMBERED = 50_000  # about 10 MB
MOST_WAITING = 1_000  # distinct tokens in one query

_TOKEN = re.compile(rf"{TOKEN_PREFIX}[A-Za-z0-9_-]{{{TOKEN_CHARACTERS - len(TOKEN_PREFIX)}}}")

Lookup = Callable[[Iterable[str]], Mapping[str, Identity]]


@dataclass(frozen=True, slots=True)
class _Remembered:
    identity: Identity
    at_us: int


class Tokens:
    """A cache before the registry.

    Unknown tokens cannot cost more than one query at a time: while one runs, everybody who asks is gathered
    into the next. A text that cannot be a token costs none.
    """

    def __init__(self, lookup: Lookup, clock: Clock) -> None:
        self._lookup, self._clock = lookup, clock
        self._remembered: OrderedDict[str, _Remembered] = OrderedDict()
        self._waiting: dict[str, asyncio.Future[Identity | None]] = {}
        self._task: asyncio.Task[None] | None = None

    async def identify(self, request: Request) -> Identity:
        """Whose request it is. Raises Problem 401, or 503 when nobody can tell now."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise Problem(401, "no_token", "Send the device's token: Authorization: Bearer rs_…", field="Authorization")
        identity = await self._find(hash_token(token)) if _TOKEN.fullmatch(token) else None
        if identity is None:
            raise Problem(401, "unknown_token", "The token is unknown or revoked.", field="Authorization")
        return identity

    async def _find(self, token_hash: str) -> Identity | None:
        known = self._remembered.get(token_hash)
        age_us = self._clock.now_us() - known.at_us if known else FRESH_US
        if known and age_us < FRESH_US:
            return known.identity
        try:
            async with asyncio.timeout(LOOKUP_WAIT_S):
                return await asyncio.shield(self._ask(token_hash))
        except (ConnectionError, TimeoutError) as error:
            if known and age_us < GRACE_US:
                return known.identity
            raise Problem(
                503, "registry_away", "Tokens cannot be looked up now; try again.", retry_after_s=5
            ) from error

    def _ask(self, token_hash: str) -> asyncio.Future[Identity | None]:
        if token_hash not in self._waiting:
            if len(self._waiting) >= MOST_WAITING:
                raise Problem(503, "registry_busy", "Too many unknown tokens at once; try again.", retry_after_s=5)
            self._waiting[token_hash] = asyncio.get_running_loop().create_future()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._answer())
        return self._waiting[token_hash]

    async def _answer(self) -> None:
        while self._waiting:
            asked, self._waiting = self._waiting, {}
            try:
                found = await asyncio.to_thread(self._lookup, list(asked))
            except Exception as error:  # noqa: BLE001 - whatever it is, those who wait must hear of it
                logger.warning("tokens cannot be looked up: %s", error)
                away = ConnectionError("the registry does not answer")
                for future in asked.values():
                    future.set_exception(away)
                    future.exception()  # seen, even when its asker has given up
                continue
            for token_hash, future in asked.items():
                self._remember(token_hash, found.get(token_hash))
                future.set_result(found.get(token_hash))

    def _remember(self, token_hash: str, identity: Identity | None) -> None:
        if identity is None:
            self._remembered.pop(token_hash, None)  # asked again each time, so that a new token works at once
            return
        self._remembered[token_hash] = _Remembered(identity, self._clock.now_us())
        self._remembered.move_to_end(token_hash)
        if len(self._remembered) > MOST_REMEMBERED:
            self._remembered.popitem(last=False)
