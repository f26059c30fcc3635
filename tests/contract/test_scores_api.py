"""The ledger over HTTP: who may have it, and that a score can be worked out from the CSV that comes."""

from __future__ import annotations

import asyncio
import csv
import io
from pathlib import Path

import httpx
import pytest
from sqlalchemy import Engine, text

from dashboard import auth
from dashboard.core.review import Role
from dashboard.door import Door, Guard
from dashboard.users import add_user
from infra.clock import FixedClock, to_us
from infra.settings import Settings
from infra.store import registry
from infra.store.media import LocalMedia
from tests.seed import UNTIL, Fleet, seed
from tests.unit.scoring.test_ledgers import worked_out

pytestmark = pytest.mark.store("postgres")
PASSWORD = "correct horse battery"
DAYS = {"from": "2026-05-20", "to": "2026-05-29"}
DRIVER = "/api/v1/scores/driver/driver-0/ledger"


@pytest.fixture
def fleet(database: Engine, media: LocalMedia, tmp_path: Path) -> Fleet:
    return seed(database, media, Settings(data_dir=tmp_path), UNTIL, days=4)


@pytest.fixture
def door(database: Engine, media: LocalMedia, tmp_path: Path, fleet: Fleet) -> Door:
    with database.begin() as connection:
        registry.add_tag(connection, "north", ["car-0", "car-1"])
        for name, role, driver in (
            ("mia", Role.MANAGER, None),
            ("cara", Role.COACH, None),
            ("zoe", Role.DRIVER, "driver-0"),
        ):
            add_user(connection, name, role, driver, PASSWORD, UNTIL)
    return Door(Settings(data_dir=tmp_path), database, media, FixedClock(to_us(UNTIL)))


def get(
    door: Door, path: str, name: str | None = "mia", basic: tuple[str, str] | None = None, **query
) -> httpx.Response:
    """As someone with a session, or with a name and password."""

    async def nothing(scope, receive, send) -> None:
        raise AssertionError("the desk's pages were asked")

    async def go() -> httpx.Response:
        cookies = {}
        if name is not None:
            with door.engine.begin() as connection:
                cookies = {auth.COOKIE: auth.open_session(connection, name, UNTIL)}
        transport = httpx.ASGITransport(Guard(nothing, door), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://desk", cookies=cookies) as client:
            return await client.get(path, params=DAYS | query, auth=basic)

    return asyncio.run(go())


def rows_of(response: httpx.Response) -> list[dict[str, str]]:
    assert response.status_code == 200, response.text
    return list(csv.DictReader(io.StringIO(response.text)))


@pytest.mark.parametrize("formula", ["expected-risk", "samsara-like", "motive-like", "greenroad-like"])
def test_every_score_can_be_worked_out_from_the_csv_that_comes(door, formula):
    for whose in ("driver/driver-0", "driver/driver-1", "vehicle/car-2", "tag/north", "fleet/fleet"):
        address = f"/api/v1/scores/{whose}/ledger"
        rows = rows_of(get(door, f"{address}.csv", formula=formula))
        told = get(door, address, formula=formula).json()
        if told["value"] is None:
            assert (formula, told["state"], rows[-1]["value"]) == ("motive-like", "too_little_driving", "")
            continue
        assert worked_out(rows) == pytest.approx(float(rows[-1]["value"]), abs=0.0051)
        assert told["value"] == float(rows[-1]["value"])
        points = 100 + sum(term["points"] for term in told["terms"])
        assert max(told["floor"], points) == pytest.approx(told["value"], abs=0.01)


def test_a_dismissed_event_leaves_the_ledger_and_comes_back(door, database):
    before = get(door, DRIVER).json()
    event_id = next(row["id"] for row in before["events"] if row["what"].startswith("harsh"))
    change = text("UPDATE safety_event SET review_state = :state WHERE event_id = :id")
    with database.begin() as connection:
        connection.execute(change, {"state": "dismissed", "id": event_id})
    during = get(door, DRIVER).json()
    assert during["value"] > before["value"]
    assert [row["counted"] for row in during["events"] if row["id"] == event_id] == [0]
    with database.begin() as connection:
        connection.execute(change, {"state": "needs_review", "id": event_id})
    assert get(door, DRIVER).json() == before


def test_a_trip_has_its_ledger_too(door, fleet):
    told = get(door, f"/api/v1/scores/trip/{fleet.trips[0].trip_id}/ledger").json()
    assert [row["id"] for row in told["trips"]] == [str(fleet.trips[0].trip_id)]


def test_the_list_tells_everybody_with_interval_and_state(door):
    found = get(door, "/api/v1/scores/driver").json()
    assert [one["name"] for one in found] == [one["name"] for one in sorted(found, key=lambda one: one["value"])]
    assert {one["name"] for one in found} == {"driver-0", "driver-1", "driver-2"}
    assert all(one["low"] < one["value"] < one["high"] and one["state"] == "too_little_driving" for one in found)
    assert [one["name"] for one in get(door, "/api/v1/scores/tag").json()] == ["north"]


def test_a_driver_gets_their_own_and_nothing_else(door):
    for path, status in (
        (DRIVER, 200),
        (DRIVER + ".csv", 200),
        ("/api/v1/scores/driver/driver-1/ledger", 404),
        ("/api/v1/scores/driver/driver-1/ledger.csv", 404),
        ("/api/v1/scores/vehicle/car-0/ledger", 404),
        ("/api/v1/scores/fleet/fleet/ledger", 404),
        ("/api/v1/scores/vehicle", 404),
        ("/api/v1/scores/fleet", 404),
    ):
        assert (path, get(door, path, "zoe").status_code) == (path, status)
    assert [one["name"] for one in get(door, "/api/v1/scores/driver", "zoe").json()] == ["driver-0"]


def test_nobody_gets_anything_without_a_session_or_a_password(door):
    refused = get(door, DRIVER, None)
    assert (refused.status_code, refused.headers["content-type"]) == (401, "application/problem+json")
    assert refused.headers["www-authenticate"].startswith("Basic")
    assert get(door, DRIVER, None, ("mia", "wrong password")).status_code == 401
    assert get(door, DRIVER, None, ("cara", PASSWORD)).status_code == 200
    assert get(door, "/api/v1/scores/vehicle", None, ("zoe", PASSWORD)).status_code == 404
    assert "content-security-policy" in refused.headers


def test_what_is_asked_wrongly_is_said(door):
    for path, query, status, word in (
        ("/api/v1/scores/driver/nobody/ledger", {}, 404, "nothing_driven"),
        ("/api/v1/scores/trip/1/ledger", {}, 404, "nothing_driven"),
        (DRIVER, {"formula": "magic"}, 422, "unknown_formula"),
        (DRIVER, {"from": "2026-05-30"}, 422, "wrong_days"),
        (DRIVER, {"from": "2001-05-30"}, 422, "wrong_days"),
        ("/api/v1/scores/driver/x'; DROP TABLE score; --/ledger", {}, 404, "nothing_driven"),
    ):
        answer = get(door, path, **query)
        assert (path, answer.status_code, answer.json()["reason"]) == (path, status, word)
