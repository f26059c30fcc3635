"""A device's connection to the gateway: posts until the gateway has decided, and says what to do where it will not."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable

import httpx
import pyarrow as pa

logger = logging.getLogger(__name__)

TIMEOUT_S = 30.0
FIRST_WAIT_S, LONGEST_WAIT_S = 0.25, 30.0  # after a failure, doubling
GIVE_UP_S = 300.0  # without any answer

_NOT_THIS_DEVICE = (401, 403, 404, 405)


class Undeliverable(RuntimeError):
    """The gateway did not answer for so long; what was acknowledged stays so, and a later run goes on from there."""


class TurnedAway(RuntimeError):
    """The gateway does not know this device, or is no gateway. Nothing was given up; mend it and run again."""


class Line:
    """Of one device, over a client whose base is the gateway's address.

    Args:
        give_up_s: how long to try; infinite for a device that has nothing better to do.
        on_trouble: told of every failure that is tried again, in words, and of how long that takes in seconds.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        token: str,
        give_up_s: float = GIVE_UP_S,
        on_trouble: Callable[[str, float], None] | None = None,
    ) -> None:
        self._client = client
        self._token = token
        self._give_up_s = give_up_s
        self._on_trouble = on_trouble or _log
        self.retries = 0

    async def post(self, path: str, *, headers: dict[str, str] | None = None, **body: object) -> httpx.Response:
        """The gateway's final answer: 2xx, or a 4xx that a retry would not change.

        Raises:
            Undeliverable: nothing final for too long.
            TurnedAway: this token or address will never do.
        """
        loop = asyncio.get_running_loop()
        give_up = loop.time() + self._give_up_s
        wait_s = FIRST_WAIT_S
        while True:
            answer, problem = await self._try(path, headers or {}, body)
            if answer is not None and answer.status_code in _NOT_THIS_DEVICE:
                raise TurnedAway(
                    f"{path}: {problem}; is the device registered (`rumblestrip devices`), is it its token?"
                )
            if answer is not None and not _worth_a_retry(answer):
                return answer
            asked_s = _retry_after_s(answer)
            pause_s = asked_s if asked_s is not None else wait_s * random.uniform(0.5, 1.0)
            if loop.time() + pause_s > give_up:
                raise Undeliverable(f"{self._client.base_url}{path.lstrip('/')}: {problem}; {_advice(answer)}")
            self.retries += 1
            self._on_trouble(problem, pause_s)
            await asyncio.sleep(pause_s)
            wait_s = min(wait_s * 2, LONGEST_WAIT_S)

    async def _try(
        self, path: str, headers: dict[str, str], body: dict[str, object]
    ) -> tuple[httpx.Response | None, str]:
        try:
            signed = headers | {"Authorization": f"Bearer {self._token}"}
            answer = await self._client.post(path, headers=signed, **body)  # type: ignore[arg-type]
        except httpx.TransportError as error:
            return None, f"{type(error).__name__} {error}".strip()
        return answer, in_words(answer)


def pack(plain: bytes, media_type: str) -> tuple[bytes, dict[str, str]]:
    """A body, compressed, with its headers."""
    body: bytes = pa.Codec("zstd").compress(plain, asbytes=True)
    return body, {"Content-Type": media_type, "Content-Encoding": "zstd"}


def in_words(answer: httpx.Response) -> str:
    """The status and what is said with it."""
    return f"{answer.status_code} {_reason(answer)}"


def _log(problem: str, pause_s: float) -> None:
    logger.info("%s; again in %.1f s", problem, pause_s)


def _worth_a_retry(answer: httpx.Response) -> bool:
    again = (httpx.codes.TOO_MANY_REQUESTS, httpx.codes.REQUEST_TIMEOUT)
    return answer.status_code in again or answer.is_server_error


def _advice(answer: httpx.Response | None) -> str:
    if answer is not None and answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
        return "send less often, or raise RUMBLESTRIP_REQUESTS_PER_MINUTE at the gateway"
    return "is the gateway running?"


def _retry_after_s(answer: httpx.Response | None) -> float | None:
    value = answer.headers.get("Retry-After", "") if answer is not None else ""
    return float(value) if value.isdigit() else None


def _reason(answer: httpx.Response) -> str:
    if "json" not in answer.headers.get("Content-Type", ""):
        return answer.text[:200]
    problem = answer.json()
    return str(problem.get("detail") or problem.get("title") or problem)[:300]
