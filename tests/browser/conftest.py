"""A dashboard of its own with a seeded database, and a headless Chromium in front of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Playwright, sync_playwright
from sqlalchemy import Engine

from dashboard.core.review import Role
from dashboard.service import Dashboard
from dashboard.users import add_user
from infra.clock import SystemClock, to_datetime
from infra.runtime.adapters import open_media
from infra.settings import Settings
from infra.store.engine import make_engine
from tests.conftest import do_without
from tests.seed import Fleet, seed
from tests.servers import Servers, Unavailable

PASSWORD = "correct horse battery"
SCREENSHOTS = Path("build/screenshots")
WIDE, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}


@dataclass(frozen=True)
class Desk:
    dashboard: Dashboard
    engine: Engine
    settings: Settings
    fleet: Fleet

    @property
    def url(self) -> str:
        return self.dashboard.url


@pytest.fixture(scope="module")
def desk(request: pytest.FixtureRequest, servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    kind = "timescale" if request.config.getoption("--store") == "timescale" else "postgres"
    try:
        url = servers.fresh_database(kind)
    except Unavailable as reason:
        do_without(request, reason)
    settings = Settings(data_dir=tmp_path_factory.mktemp("desk"), dashboard_port=0, time_zone="America/Chicago")
    engine = make_engine(url)
    now = to_datetime(SystemClock().now_us())
    fleet = seed(engine, open_media(settings), settings, now, days=6)
    with engine.begin() as connection:
        add_user(connection, "mia", Role.MANAGER, None, PASSWORD, now)
        add_user(connection, "zoe", Role.DRIVER, "driver-1", PASSWORD, now)
    with Dashboard(settings, url) as dashboard:
        yield Desk(dashboard, engine, settings, fleet)
    engine.dispose()
    servers.drop_database(url)


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture
def browser(playwright: Playwright, chromium: str) -> Iterator[Browser]:
    arguments = ["--no-sandbox", "--disable-background-networking"]
    browser = playwright.chromium.launch(executable_path=chromium, args=arguments)
    yield browser
    browser.close()
