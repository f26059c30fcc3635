"""Who is shown which rendition, and how a file is handed out."""

from datetime import UTC, datetime

import pytest

from dashboard.core.privacy import choose, find, may_see_face
from dashboard.core.review import Role
from dashboard.footage import respond
from infra.settings import Settings
from infra.store.queries import MediaRow

NOW = datetime(2026, 11, 21, tzinfo=UTC)
BLURRED, SHOWN = (
    MediaRow(f"events/aa/x/clip-driver{end}.mp4", "clip", NOW, bool(end), None) for end in ("", "-driver")
)
ROAD = MediaRow("events/aa/x/clip-road.mp4", "clip", NOW, False, None)


@pytest.mark.parametrize(("role", "sees"), [(Role.MANAGER, True), (Role.COACH, False), (Role.DRIVER, True)], ids=str)
def test_managers_and_the_driver_see_the_drivers_face_and_coaches_do_not(role, sees):
    assert may_see_face(role, Settings().face_roles) is sees


def test_the_setting_names_roles_and_refuses_others():
    assert Settings(faces_shown_to="coach, driver").face_roles == {"coach", "driver"}
    assert Settings(faces_shown_to="").face_roles == frozenset()
    with pytest.raises(ValueError, match="faces_shown_to"):
        Settings(faces_shown_to="passenger")


def test_one_rendition_of_each_is_shown_and_never_one_that_shows_more():
    every = [SHOWN, ROAD, BLURRED]
    assert choose(every, sees_face=True) == [SHOWN, ROAD]
    assert choose(every, sees_face=False) == [BLURRED, ROAD]
    assert choose([SHOWN], sees_face=False) == []
    assert choose([BLURRED], sees_face=True) == [BLURRED]


def test_a_file_that_shows_the_driver_is_not_found_by_those_who_may_not_see_it():
    assert find([SHOWN, BLURRED], "clip-driver-driver.mp4", sees_face=False) is None
    assert find([SHOWN, BLURRED], "clip-driver-driver.mp4", sees_face=True) is SHOWN
    assert find([SHOWN, BLURRED], "clip-driver.mp4", sees_face=False) is BLURRED


@pytest.mark.parametrize(
    ("wanted", "status", "body", "said"),
    [
        (None, 200, b"0123456789", None),
        ("bytes=0-3", 206, b"0123", "bytes 0-3/10"),
        ("bytes=8-", 206, b"89", "bytes 8-9/10"),
        ("bytes=-2", 206, b"89", "bytes 8-9/10"),
        ("bytes=4-99", 206, b"456789", "bytes 4-9/10"),
        ("bytes=10-", 416, b"", "bytes */10"),
        ("bytes=-", 200, b"0123456789", None),
        ("lines=1-2", 200, b"0123456789", None),
    ],
)
def test_a_player_gets_the_part_it_asks_for(wanted, status, body, said):
    answer = respond(b"0123456789", "clip-road.mp4", wanted)
    assert (answer.status_code, answer.body, answer.headers.get("content-range")) == (status, body, said)
    assert answer.headers["cache-control"] == "private, no-store"
    assert status == 416 or answer.headers["content-type"] == "video/mp4"
