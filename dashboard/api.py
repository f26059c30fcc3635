"""The desk's REST API: scores of a window and their ledgers, as JSON and CSV, for whoever may see them.

A browser comes with the cookie of its session, a program with name and password (HTTP Basic).
"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.security import HTTPBasic, HTTPBasicCredentials
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from dashboard.auth import COOKIE, Person, SignInRefused
from infra.contracts.events import JsonObject
from infra.store.engine import StoreUnavailable
from ingest import problems
from ingest.problems import Problem
from scoring.core.formulas.port import Result
from scoring.core.formulas.table import FORMULAS
from scoring.in_force import in_force
from scoring.ledgers import ledger_page, write_csv
from scoring.standings import Standing, standings
from scoring.trends import bounds
from scoring.windows import DEFAULT_FORMULA, By, Part, part_seen_by, read_window, score_part, whole

if TYPE_CHECKING:
    from dashboard.door import Door

logger = logging.getLogger(__name__)

PREFIX = "/api/v1"
MOST_DAYS = 400
_BASIC = HTTPBasic(auto_error=False, description="An account of `rumblestrip users`.")
Credentials = Annotated[HTTPBasicCredentials | None, Depends(_BASIC)]
Since = Annotated[date, Query(alias="from", description="First day, in the fleet's time zone.")]
Until = Annotated[date, Query(alias="to", description="Last day, included.")]
FormulaName = Annotated[str, Query(description=", ".join(FORMULAS))]


def build_api(door: Door) -> FastAPI:
    """The app, to be served behind the door."""
    api = FastAPI(
        title="Rumblestrip desk",
        version="1",
        docs_url=None,  # its page loads scripts from elsewhere, which the desk's policy forbids
        redoc_url=None,
        openapi_url=f"{PREFIX}/openapi.json",
    )
    api.state.door = door
    api.get(f"{PREFIX}/scores/{{by}}", summary="Scores of everybody, lowest first")(list_scores)
    ledger = f"{PREFIX}/scores/{{by}}/{{name:path}}/ledger"
    api.get(ledger + ".csv", summary="The ledger as CSV", response_class=Response)(ledger_csv)
    api.get(ledger, summary="The ledger of a score: every trip, event and sum")(ledger_json)
    problems.install(api)
    for away in (SQLAlchemyError, StoreUnavailable):
        api.add_exception_handler(away, _on_database_away)
    return api


async def _on_database_away(request: Request, error: Exception) -> Response:
    logger.error("%s: the database does not answer", request.url.path, exc_info=error)
    return Problem(503, "database_away", "the database does not answer", retry_after_s=10).as_response()


def person_of(request: Request, credentials: Credentials) -> Person:
    """Who asks. Raises HTTPException 401."""
    door: Door = request.app.state.door
    try:
        if credentials is not None:
            address = request.client.host if request.client else ""
            return door.check(credentials.username, credentials.password, address)
        person = door.person(request.cookies.get(COOKIE))
    except SignInRefused as refusal:
        raise _stranger(str(refusal)) from refusal
    if person is None:
        raise _stranger("Sign in on the desk first, or send a name and password (HTTP Basic).")
    return person


def _stranger(why: str) -> HTTPException:
    return HTTPException(401, why, {"WWW-Authenticate": 'Basic realm="Rumblestrip", charset="UTF-8"'})


Asking = Annotated[Person, Depends(person_of)]


def list_scores(request: Request, person: Asking, by: By, since: Since, until: Until) -> list[JsonObject]:
    """Our score with its interval, state, percentile and recognition. A driver is told of no one else."""
    if by is By.TRIP:
        raise Problem(404, "no_such_list", "scores of trips are told one by one", field="by")
    if person.only_driver is not None and by is not By.DRIVER:
        raise _not_yours()
    door: Door = request.app.state.door
    first, end = bounds(*_checked(since, until), door.settings.zone)
    with _reading(door) as connection:
        found = standings(connection, first, end, in_force(connection), by)
    return [_standing(one) for one in found if person.only_driver in (None, one.name)]


def ledger_json(
    request: Request,
    person: Asking,
    by: By,
    name: str,
    since: Since,
    until: Until,
    formula: FormulaName = DEFAULT_FORMULA,
) -> JsonObject:
    """Trips, events and terms. ``scoring.ledgers`` says how the score is worked out from them."""
    return ledger_page(*_ledger(request.app.state.door, person, by, name, _checked(since, until), formula))


def ledger_csv(
    request: Request,
    person: Asking,
    by: By,
    name: str,
    since: Since,
    until: Until,
    formula: FormulaName = DEFAULT_FORMULA,
) -> Response:
    """The same as rows under one heading; any spreadsheet works the score out again."""
    out = io.StringIO()
    write_csv(*_ledger(request.app.state.door, person, by, name, _checked(since, until), formula), out)
    file = f"ledger-{by}-{since}-{until}.csv"
    headers = {"content-disposition": f'attachment; filename="{file}"', "cache-control": "private, no-store"}
    return Response(out.getvalue(), media_type="text/csv; charset=utf-8", headers=headers)


def _ledger(
    door: Door, person: Person, by: By, name: str, days: tuple[date, date], formula: str
) -> tuple[Part, Result]:
    if formula not in FORMULAS:
        raise Problem(422, "unknown_formula", f"there is {', '.join(FORMULAS)}", field="formula")
    if person.only_driver is not None and (by is not By.DRIVER or name != person.only_driver):
        raise _not_yours()
    if by is By.TRIP:
        _check_uuid(name)
    with _reading(door) as connection:
        window = read_window(connection, *bounds(*days, door.settings.zone), by, name)
        formulas = in_force(connection)
    part = whole(window, name)
    if part is None:
        raise Problem(404, "nothing_driven", f"no {by} {name!r} drove in these days", field="name")
    return part_seen_by(formula, window, part), score_part(window, part, formulas)[formula]


def _check_uuid(name: str) -> None:
    try:
        UUID(name)
    except ValueError as error:
        raise Problem(404, "nothing_driven", "no such trip", field="name") from error


def _checked(since: date, until: date) -> tuple[date, date]:
    if not 0 <= (until - since).days < MOST_DAYS:
        raise Problem(422, "wrong_days", f"from must not be after to, nor {MOST_DAYS} days before it", field="from")
    return since, until


def _not_yours() -> Problem:
    return Problem(404, "not_yours", "it does not exist, or it is not one of yours", field="name")


@contextmanager
def _reading(door: Door) -> Iterator[Connection]:
    """All queries of one answer see the same moment."""
    with door.engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        yield connection


def _standing(one: Standing) -> JsonObject:
    result, driven = one.result, one.driven
    figures: dict[str, Any] = {n: getattr(result, n) for n in ("formula", "value", "low", "high")}
    return {
        "name": one.name,
        "vehicle_class": one.vehicle_class,
        **figures,
        "state": str(result.state),
        "percentile": one.percentile,
        "recognition": asdict(one.recognition),
        "trips": one.trips,
        "distance_m": driven.distance_m,
        "driving_s": driven.driving_s,
        "limit_known_s": driven.limit_known_s,
        "over_limit_s": sum(driven.over_s),
        "events": sum(driven.events.values()),
    }
