"""The desk as a fleet manager and a driver use it, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlparse

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect
from sqlalchemy import text

from tests.browser.conftest import PASSWORD, PHONE, SCREENSHOTS, WIDE, Desk
from tests.seed import NASTY_NAME

pytestmark = pytest.mark.timeout(300)
PATIENCE_MS = 20_000
COST = re.compile(r"^-\d+\.\d points\. Score \d+\.$")


class Visit:
    """One person at one window; remembers which hosts were asked, and what went wrong."""

    def __init__(self, context: BrowserContext, desk: Desk) -> None:
        self.page = context.new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        self.desk = desk
        self.hosts: set[str] = set()
        self.failures: list[str] = []
        self.page.on("request", self._note)
        self.page.on("pageerror", lambda error: self.failures.append(str(error)))
        self.page.on("dialog", lambda dialog: self.failures.append(f"script ran: {dialog.message}"))

    def _note(self, request: Any) -> None:
        address = urlparse(request.url)
        if address.scheme in ("http", "https", "ws", "wss"):
            self.hosts.add(address.netloc)

    def sign_in(self, username: str, password: str = PASSWORD) -> None:
        self.page.goto(f"{self.desk.url}/")
        self.page.get_by_label("Name").fill(username)
        self.page.get_by_label("Password").fill(password)
        self.page.get_by_role("button", name="Sign in").click()

    def open(self, path: str, heading: str | re.Pattern[str]) -> Page:
        self.page.goto(f"{self.desk.url}{path}")
        self.wait(heading)
        return self.page

    def wait(self, heading: str | re.Pattern[str]) -> None:
        expect(self.page.get_by_role("heading", name=heading, level=1)).to_be_visible(timeout=PATIENCE_MS)
        self.page.wait_for_function(
            "!document.querySelector('[data-testid=stStatusWidget], [data-stale=true], [data-testid=stSkeleton]')"
        )

    def shoot(self, name: str) -> None:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.wait_for_timeout(700)  # charts fade in
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png")


@pytest.fixture
def window(browser: Browser, desk: Desk, request: pytest.FixtureRequest) -> Iterator[Visit]:
    context = browser.new_context(viewport=getattr(request, "param", WIDE), color_scheme="light")
    visit = Visit(context, desk)
    yield visit
    context.close()
    assert visit.hosts <= {urlparse(desk.url).netloc}, "a page asked another host"
    assert visit.failures == []


def _day_score(desk: Desk, event_id: str) -> float:
    query = (
        "SELECT s.value FROM safety_event e JOIN score s ON s.scope = 'driver_day' AND s.scope_id = e.driver_id "
        "AND s.day = (e.start_at AT TIME ZONE 'America/Chicago')::date WHERE e.event_id = CAST(:id AS uuid)"
    )
    with desk.engine.connect() as connection:
        value: float = connection.execute(text(query), {"id": event_id}).scalar_one()
    return value


def _event_id(desk: Desk, kind: str, driver: str) -> str:
    query = (
        "SELECT event_id::text FROM safety_event WHERE kind = :kind AND driver_id = :driver ORDER BY start_at LIMIT 1"
    )
    with desk.engine.connect() as connection:
        return str(connection.execute(text(query), {"kind": kind, "driver": driver}).scalar_one())


def test_nobody_gets_in_without_a_session(desk: Desk) -> None:
    some_event = _event_id(desk, "microsleep", "driver-2")
    with httpx.Client(base_url=desk.url) as client:
        page = client.get("/event?id=1&view=all")
        assert page.status_code == 303
        assert page.headers["location"] == "/sign-in?next=%2Fevent%3Fid%3D1%26view%3Dall"
        assert client.get(f"/footage/{some_event}/still.jpg").status_code == 401
        assert client.get("/media/x.jpg").status_code == 401
        upgrade = {"connection": "upgrade", "upgrade": "websocket", "sec-websocket-version": "13"}
        stream = client.get("/_stcore/stream", headers=upgrade | {"sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ=="})
        assert stream.status_code in (401, 403)
        foreign = client.post("/sign-in", headers={"origin": "http://evil.example"}, data={"username": "mia"})
        assert foreign.status_code == 403
        away = client.post("/sign-in", data={"username": "mia", "password": PASSWORD, "next": "//evil.example"})
        assert away.headers["location"] == "/"
        assert "httponly" in away.headers["set-cookie"].lower()
        assert "frame-ancestors 'none'" in page.headers["content-security-policy"]


def test_a_wrong_password_is_said_in_words(window: Visit) -> None:
    window.sign_in("mia", "not the password")
    expect(window.page.get_by_role("alert")).to_contain_text("Name or password is not right")
    window.shoot("sign-in-refused")


def test_the_first_start_link_signs_in_once(window: Visit, desk: Desk) -> None:
    link = desk.dashboard.sign_in_link()
    window.page.goto(link)
    window.wait("Inbox")
    assert "token" not in window.page.url
    with httpx.Client() as client:
        assert "used already" in client.get(link).text


def test_the_inbox_lists_filters_and_leads_to_an_event(window: Visit) -> None:
    window.sign_in("mia")
    window.wait("Inbox")
    page = window.page
    rows = page.locator("[class*='st-key-row-']")
    expect(rows.first).to_contain_text("Microsleep")
    expect(rows.first).to_contain_text("Critical")
    expect(page.locator(".rs-row").get_by_text(NASTY_NAME).first).to_be_visible()  # as it is written, not as HTML
    expect(rows.first.locator("img")).to_have_js_property("naturalWidth", 640)
    window.shoot("inbox")
    page.get_by_role("link", name="Drivers").click()
    window.wait("Drivers")
    page.get_by_role("link", name="Inbox").click()
    window.wait("Inbox")
    expect(rows.first).to_contain_text("Microsleep")  # no filter came of going away and back

    page.get_by_text("Filters", exact=True).click()
    page.get_by_role("combobox", name=re.compile("Kind")).click()
    page.get_by_role("option", name="Harsh braking").click()
    page.keyboard.press("Escape")
    expect(rows.first).to_contain_text("Harsh braking")
    expect(page).to_have_url(re.compile("kind=harsh_brake"))
    window.shoot("inbox-filtered")
    address = page.url
    window.open(address.removeprefix(window.desk.url), "Inbox")
    expect(rows.first).to_contain_text("Harsh braking")

    rows.first.get_by_role("link", name="Open").click()
    window.wait(re.compile("Harsh braking"))
    expect(page).to_have_url(re.compile("kind=harsh_brake"))
    expect(page.locator("[data-testid=stVegaLiteChart] canvas, [data-testid=stVegaLiteChart] svg")).to_have_count(3)
    expect(page.get_by_text("threshold of this vehicle class 0.61 g (Geotab)")).to_be_visible()
    window.shoot("event")
    page.get_by_role("button", name="Next").click()
    expect(page.get_by_text(re.compile("^2 of "))).to_be_visible()


def test_dismissing_with_a_reason_changes_the_score(window: Visit, desk: Desk) -> None:
    event_id = _event_id(desk, "harsh_brake", "driver-1")
    before = _day_score(desk, event_id)
    window.sign_in("mia")
    window.wait("Inbox")
    page = window.open(f"/event?id={event_id}&view=all", re.compile("Harsh braking"))
    expect(page.get_by_text(COST).first).to_be_visible()
    page.locator("label").filter(has_text="Then go on to the next").click()
    page.get_by_role("button", name=re.compile("Dismiss…")).click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Dismiss").click()
    expect(dialog.get_by_text("Choose a reason.")).to_be_visible()
    dialog.get_by_text("Other: say why").click()
    dialog.get_by_role("button", name="Dismiss").click()
    expect(dialog.get_by_text("takes a comment")).to_be_visible()
    dialog.get_by_label("Comment").fill("Towed by a <b>truck</b>")
    window.shoot("dismissal")
    dialog.get_by_role("button", name="Dismiss").click()
    expect(page.get_by_text("in this state an event does not count")).to_be_visible()
    expect(page.get_by_text("Towed by a <b>truck</b>")).to_be_visible()
    assert _day_score(desk, event_id) > before + 1
    page.get_by_role("button", name=re.compile("Reopen")).click()
    expect(page.get_by_text(COST).first).to_be_visible()
    assert _day_score(desk, event_id) == before
    window.shoot("event-reopened")


def test_several_events_are_reviewed_at_once(window: Visit, desk: Desk) -> None:
    window.sign_in("mia")
    window.wait("Inbox")
    page = window.open("/?vehicle=car-2&kind=speeding", "Inbox")
    rows = page.locator("[class*='st-key-row-']")
    expect(rows.nth(1)).to_be_visible()
    page.wait_for_timeout(500)  # more rows may follow
    count = rows.count()
    page.locator("label").filter(has_text="Select all").click()
    expect(page.get_by_text(f"{count} selected")).to_be_visible()
    page.get_by_role("button", name="Mark reviewed").click()
    expect(page.get_by_text("No event fits these filters")).to_be_visible()
    query = "SELECT count(*) FROM review_action WHERE username = 'mia' AND to_state = 'reviewed'"
    with desk.engine.connect() as connection:
        assert connection.execute(text(query)).scalar_one() == count


@pytest.mark.parametrize("window", [WIDE, PHONE], ids=["wide", "phone"], indirect=True)
def test_every_page_is_drawn(window: Visit, desk: Desk, request: pytest.FixtureRequest) -> None:
    size = request.node.callspec.id
    with desk.engine.connect() as connection:
        trip_id = connection.execute(text("SELECT trip_id FROM trip WHERE driver_id = 'driver-1' LIMIT 1")).scalar_one()
    window.sign_in("mia")
    window.wait("Inbox")
    window.shoot(f"inbox-{size}")
    pages: dict[str, tuple[str, str | re.Pattern[str]]] = {
        "drivers": ("/drivers", "Drivers"),
        "driver": ("/driver?id=driver-1", "Driver B"),
        "trips": ("/trips", "Trips"),
        "trip": (f"/trip?id={trip_id}", re.compile(r"20\d\d")),
        "health": ("/health", "Fleet health"),
        "microsleep": (f"/event?id={_event_id(desk, 'microsleep', 'driver-2')}", re.compile("Microsleep")),
        "speeding": (f"/event?id={_event_id(desk, 'speeding', 'driver-1')}&view=all", re.compile("Speeding")),
    }
    for name, (path, heading) in pages.items():
        page = window.open(path, heading)
        expect(page.locator("[data-testid=stException]")).to_have_count(0)
        window.shoot(f"{name}-{size}")


def test_a_driver_sees_only_their_own_and_may_contest(window: Visit, desk: Desk) -> None:
    window.sign_in("zoe")
    window.wait("My events")
    page = window.page
    rows = page.locator("[class*='st-key-row-']")
    expect(rows.first).to_contain_text("Driver B")
    assert rows.count() == rows.filter(has_text="Driver B").count()
    expect(page.get_by_text("Fleet health")).to_have_count(0)
    window.shoot("driver-role")

    theirs = _event_id(desk, "microsleep", "driver-2")
    page.goto(f"{desk.url}/event?id={theirs}")
    expect(page.get_by_text("No such event")).to_be_visible()
    assert page.request.get(f"{desk.url}/footage/{theirs}/still.jpg").status == 404
    page.goto(f"{desk.url}/driver?id=driver-2")
    window.wait("Driver B")
    address = page.get_by_role("link", name="Every trip, event and sum, as CSV").get_attribute("href")
    assert page.request.get(desk.url + address).text().startswith("row,what,id")
    assert page.request.get(desk.url + address.replace("driver-1", "driver-2")).status == 404

    mine = _event_id(desk, "harsh_turn", "driver-1")
    window.open(f"/event?id={mine}", re.compile("Harsh turn"))
    expect(page.get_by_role("button", name="Mark reviewed")).to_have_count(0)
    page.get_by_label("Why is this wrong?").fill("I swerved around a child.")
    page.get_by_role("button", name="Contest").click()
    expect(page.get_by_text("I swerved around a child.").first).to_be_visible()
    expect(page.locator(".rs-tag").filter(has_text="Contested")).to_be_visible()
    window.shoot("contested")


def test_signing_out_ends_the_session(window: Visit) -> None:
    window.sign_in("mia")
    window.wait("Inbox")
    window.page.get_by_role("button", name="Sign out").click()
    expect(window.page.get_by_role("button", name="Sign in")).to_be_visible()
    window.page.goto(f"{window.desk.url}/drivers")
    expect(window.page.get_by_role("button", name="Sign in")).to_be_visible()
