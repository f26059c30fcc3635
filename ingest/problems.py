"""What the door says when it says no: RFC 9457 problem details, naming the field and the reason."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

logger = logging.getLogger(__name__)

PROBLEM_TYPE = "application/problem+json"


class Problem(Exception):
    """An answer other than 2xx. ``reason`` is one word for programs, ``detail`` a sentence for people."""

    def __init__(
        self,
        status: int,
        reason: str,
        detail: str,
        *,
        field: str | None = None,
        retry_after_s: int | None = None,
        **more: Any,
    ) -> None:
        super().__init__(f"{status} {reason}: {detail}")
        self.status, self.reason, self.detail, self.field = status, reason, detail, field
        self.retry_after_s = retry_after_s
        self.more = more

    def as_dict(self) -> dict[str, Any]:
        body = {
            "type": f"urn:rumblestrip:problem:{self.reason}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "reason": self.reason,
        }
        return body | ({"field": self.field} if self.field else {}) | self.more

    def as_response(self) -> Response:
        headers = {} if self.retry_after_s is None else {"Retry-After": str(self.retry_after_s)}
        if self.status == HTTPStatus.UNAUTHORIZED:
            headers["WWW-Authenticate"] = "Bearer"
        return Response(orjson.dumps(self.as_dict()), self.status, headers, PROBLEM_TYPE)


def install(app: FastAPI) -> None:
    """Have every error of this app answered as a problem, those of the framework included."""

    async def on_problem(_: Request, error: Exception) -> Response:
        assert isinstance(error, Problem)
        return error.as_response()

    async def on_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        response = Problem(error.status_code, *_words(request, error)).as_response()
        response.headers.update(error.headers or {})
        return response

    async def on_bug(request: Request, error: Exception) -> Response:
        logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return Problem(500, "internal", "The gateway failed on this request; its log says why.").as_response()

    app.add_exception_handler(Problem, on_problem)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(Exception, on_bug)


def _words(request: Request, error: HTTPException) -> tuple[str, str]:
    if error.status_code == 404:
        return "not_found", f"There is nothing at {request.url.path}; /docs lists what there is."
    if error.status_code == 405:
        return "method_not_allowed", f"{request.url.path} does not take {request.method}."
    return "refused", str(error.detail)
