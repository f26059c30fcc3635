"""Every page on an empty, a seeded and an absent database: words instead of tracebacks, and what to do next."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, insert
from streamlit.testing.v1 import AppTest

import dashboard.app
from dashboard import data
from dashboard.auth import Person
from dashboard.core.review import Role
from infra.clock import to_datetime
from infra.settings import load
from infra.store import queries
from infra.store.engine import make_engine, plain_url
from infra.store.media import LocalMedia
from infra.store.tables import observation
from tests.seed import UNTIL, seed

pytestmark = pytest.mark.store("postgres")
MANAGER = Person("mia", Role.MANAGER, None)
Open = Callable[..., AppTest]


@pytest.fixture
def open_page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Open]:
    def opening(engine: Engine, person: Person | None = MANAGER, **query: str) -> AppTest:
        _forget()
        monkeypatch.setenv("RUMBLESTRIP_DATABASE_URL", plain_url(engine))
        monkeypatch.setenv("RUMBLESTRIP_DATA_DIR", str(tmp_path))
        monkeypatch.setattr(data, "person_signed_in", lambda: person)
        test = AppTest.from_file(dashboard.app.__file__, default_timeout=60)
        test.query_params.update(query)
        return test.run()

    yield opening
    _forget()


def _forget() -> None:
    """Settings and engine are made once a process."""
    if data.engine.cache_info().currsize:
        data.engine().dispose()
    data.settings.cache_clear()
    data.engine.cache_clear()


def _words(page: AppTest) -> str:
    assert not page.exception, page.exception
    return " ".join(str(element.value) for element in [*page.title, *page.markdown, *page.caption])


def test_an_empty_inbox_says_what_to_do(database: Engine, open_page: Open) -> None:
    assert "No vehicle has reported anything yet" in _words(open_page(database))


def test_the_inbox_shows_what_waits(database: Engine, media: LocalMedia, open_page: Open) -> None:
    fleet = seed(database, media, load(), UNTIL, days=2)
    page = open_page(database)
    words = _words(page)
    assert page.title[0].value == "Inbox"
    assert f"1 to {len(fleet.events)} of {len(fleet.events)}" in words
    assert {metric.label: metric.value for metric in page.metric}["To review"] == str(len(fleet.events))


def test_a_link_with_filters_opens_the_filtered_list(database: Engine, media: LocalMedia, open_page: Open) -> None:
    fleet = seed(database, media, load(), UNTIL, days=2)
    brakes = [event for event in fleet.events if event.kind == "harsh_brake"]
    page = open_page(database, kind="harsh_brake", view="all")
    assert f"of {len(brakes)}" in _words(page)
    nothing = open_page(database, kind="harsh_brake", view="dismissed")
    assert "No event fits these filters" in _words(nothing)


def test_an_event_that_a_device_saw_says_that_no_footage_was_sent(
    database: Engine, media: LocalMedia, open_page: Open
) -> None:
    def page(person, event, by_device) -> None:  # run from its text alone
        from dashboard.views import footage

        footage.show(person, event, (), None, by_device)

    told = next(e for e in seed(database, media, load(), UNTIL, days=2).events if not e.media)
    seen = {"time": to_datetime(told.start_us), "vehicle_id": told.vehicle_id, "camera": "driver", "face_found": True}
    open_page(database)
    said = []
    for offset in (7, None):  # a frame in the topic; numbers alone
        with database.begin() as connection:
            connection.execute(insert(observation), seen | {"record_offset": offset})
            event = queries.event(connection, told.event_id, None)
            assert event is not None
            shown = {"person": MANAGER, "event": event, "by_device": queries.seen_by_device(connection, event)}
        said.append(_words(AppTest.from_function(page, kwargs=shown).run()))
    assert said == ["No camera saw it.", "Seen by the device; no footage was sent."]


def test_without_a_session_nothing_is_shown(database: Engine, media: LocalMedia, open_page: Open) -> None:
    seed(database, media, load(), UNTIL, days=1)
    page = open_page(database, person=None)
    assert [title.value for title in page.title] == ["Your session has ended"]
    assert not page.metric


def test_a_database_that_is_away_is_said_in_words(database: Engine, open_page: Open) -> None:
    gone = make_engine("postgresql://nobody:x@127.0.0.1:9/none")
    page = open_page(gone)
    assert page.title[-1].value == "The database does not answer"
    assert not page.exception
    gone.dispose()
