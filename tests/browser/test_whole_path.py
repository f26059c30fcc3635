"""The whole path as its users see it: a drive leaves a device, and ends as an event with its still on the desk."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from playwright.sync_api import Browser, Locator, expect
from sqlalchemy import Engine, text

from infra.bus.port import Bus
from infra.drives import open_drive
from infra.runtime.embedded import answers
from infra.runtime.parcels import telemetry_batches
from infra.runtime.rooms import ROOMS
from infra.settings import Settings
from tests.browser.conftest import WIDE
from tests.browser.test_desk import Visit
from tests.processes import Process, call, lag

DEMO = Path(__file__).parents[2] / "infra" / "demo" / "omaha-31"
START_S, DONE_S = 240.0, 240.0
POINTS = re.compile(r"-\d+\.\d points")


@pytest.mark.timeout(600)
def test_a_drive_becomes_an_event_on_the_desk_and_its_review_a_better_score(
    settings: Settings, bus: Bus, database: Engine, browser: Browser, tmp_path: Path
) -> None:
    chosen = {"gateway_port": free_port(), "dashboard_port": free_port(), "footage_wait_s": 3.0}
    settings = settings.model_copy(update=chosen)
    with house(settings, tmp_path / "house.log") as processes:
        printed = call(settings, "replay", str(DEMO))
        assert re.search(r"1 drive: [\d,]+ samples and 235 frames sent, \d+ retries$", printed, re.MULTILINE), printed
        wait_until_done(settings, bus, database, processes)
        added = call(settings, "users", "add", "mia", "--role", "manager", "--generate")
        password = added.rpartition("once: ")[2].strip()
        wait_for(desk_url(settings), processes)
        review_on_the_desk(browser, desk_url(settings), password)
    with database.connect() as connection:
        states = dict(tuple(row) for row in connection.execute(text("SELECT kind, review_state FROM safety_event")))
    assert states["microsleep"] == "dismissed"


@contextmanager
def house(settings: Settings, log: Path) -> Iterator[list[Process]]:
    """Every room: each in a process of its own on Kafka, all in one on a memory bus."""
    commands = [("run", room) for room in ROOMS] if settings.bus == "kafka" else [("up",)]
    processes = [Process(settings, log, *command) for command in commands]
    try:
        wait_for(f"http://127.0.0.1:{settings.gateway_port}/health", processes)
        yield processes
        assert [process.stop() for process in processes] == [0] * len(processes)
    finally:
        for process in processes:
            process.kill()
        print(log.read_text())  # seen where the test fails


def wait_for(url: str, processes: list[Process]) -> None:
    deadline = time.monotonic() + START_S
    while not answers(url):
        for process in processes:
            process.check()
        assert time.monotonic() < deadline, f"{url} does not answer: {processes[0].log.read_text()}"
        time.sleep(0.1)


def wait_until_done(settings: Settings, bus: Bus, database: Engine, processes: list[Process]) -> None:
    """Until every room has what was sent, and every score is computed; on Kafka, until no group lags."""
    batches = len(telemetry_batches(open_drive(DEMO), "", 0))
    sent = {"recorder": batches, "scoring": batches, "vision": 235}
    query = text("SELECT consumer_group, sum(total) FROM stream_count WHERE word = 'messages' GROUP BY 1")
    topics = {} if settings.bus == "memory" else {group: ["telemetry"] for group in sent} | {"vision": ["frames"]}
    deadline = time.monotonic() + DONE_S
    found: dict[str, int] = {}
    clips_due = text("SELECT count(*) FROM footage_due WHERE looks = 0")
    waiting = True
    while found != sent or waiting or lag(bus, database, topics):
        for process in processes:
            process.check()
        assert time.monotonic() < deadline, f"{found} of {sent} after {DONE_S} s: {processes[0].log.read_text()}"
        time.sleep(0.2)
        with database.connect() as connection:
            found = {group: int(total) for group, total in connection.execute(query)}
            waiting = bool(connection.scalar(clips_due))


def review_on_the_desk(browser: Browser, url: str, password: str) -> None:
    context = browser.new_context(viewport=WIDE, color_scheme="light")
    visit = Visit(context, SimpleNamespace(url=url))  # type: ignore[arg-type]
    page = visit.page
    visit.sign_in("mia", password)
    visit.wait("Inbox")
    row = page.locator("[class*='st-key-row-']").filter(has_text="Microsleep").first
    expect(row).to_contain_text("Driver C")
    row.get_by_role("link", name="Open").click()
    visit.wait(re.compile("Microsleep"))
    event = page.url
    see_the_clip_and_its_signal(visit)
    expect(page.get_by_text(POINTS).first).to_be_visible()
    visit.shoot("whole-path")

    before = trip_score(visit)
    page.goto(event)
    visit.wait(re.compile("Microsleep"))
    page.locator("label").filter(has_text="Then go on to the next").click()
    page.get_by_role("button", name=re.compile("Dismiss…")).click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("Incorrect").click()
    dialog.get_by_role("button", name="Dismiss").click()
    expect(page.get_by_text("in this state an event does not count")).to_be_visible()
    assert trip_score(visit) > before
    context.close()
    assert visit.hosts <= {url.removeprefix("http://")}, "a page asked another host"
    assert visit.failures == []


def see_the_clip_and_its_signal(visit: Visit) -> None:
    clip = visit.page.get_by_label("Clip: Driver’s camera")
    expect(clip).to_be_visible()
    visit.page.wait_for_function("document.querySelector('video').readyState >= 2")
    length_s, width = clip.evaluate("video => [video.duration, video.videoWidth]")
    assert 5 < length_s < 30
    assert width >= 320
    assert clip.get_attribute("src").endswith("-driver.mp4"), "a manager may see the driver's face"  # type: ignore[union-attr]
    played = "async video => { await video.play(); await new Promise(r => video.ontimeupdate = r); video.pause();"
    assert clip.evaluate(played + " return video.currentTime; }") > 0
    expect(visit.page.get_by_role("heading", name="Openness of the eyes")).to_be_visible()
    drawn = visit.page.locator("[data-testid=stVegaLiteChart] canvas, [data-testid=stVegaLiteChart] svg")
    expect(drawn.first).to_be_visible()


def trip_score(visit: Visit) -> int:
    """From the page of an event, on the page of its trip."""
    visit.page.get_by_role("link", name=re.compile("Trip$")).click()
    visit.wait(re.compile(r"20\d\d"))
    figure: Locator = visit.page.locator(".rs-score b").first
    expect(figure).to_be_visible()
    return int(figure.inner_text())


def desk_url(settings: Settings) -> str:
    return f"http://127.0.0.1:{settings.dashboard_port}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
