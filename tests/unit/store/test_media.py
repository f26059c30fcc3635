"""Footage is kept whole, for its owner's eyes, and inside its folder."""

from __future__ import annotations

import os
import stat
import time
import uuid
from pathlib import Path

import pytest

from infra.runtime import doctor
from infra.settings import Settings
from infra.store.media import LocalMedia, MediaPathError, MediaStore, MediaUnavailable, MissingMedia, ObjectMedia


def test_what_is_written_is_read_and_writing_again_changes_nothing(media: LocalMedia) -> None:
    media.write("van-1/2026/one.jpg", b"jpeg")
    file = media.root / "van-1/2026/one.jpg"
    before = file.stat()
    media.write("van-1/2026/one.jpg", b"jpeg")
    assert media.read("van-1/2026/one.jpg") == b"jpeg"
    assert file.stat().st_mtime_ns == before.st_mtime_ns
    assert stat.S_IMODE(before.st_mode) == 0o600
    assert [path.name for path in file.parent.iterdir()] == ["one.jpg"]


def test_a_file_cut_short_by_a_crash_is_written_again(media: LocalMedia) -> None:
    media.write("one.jpg", b"jpeg")
    (media.root / "one.jpg").write_bytes(b"jp")
    media.write("one.jpg", b"jpeg")
    assert media.read("one.jpg") == b"jpeg"


@pytest.mark.parametrize(
    "path",
    [
        "",
        ".",
        "/etc/passwd",
        "../secret",
        "a/../../secret",
        "a/..",
        "..",
        "a\\..\\b",
        "a\0b",
        "outside/secret",
        "folder",
    ],
)
def test_no_path_leads_out_of_the_store(media: LocalMedia, tmp_path: Path, path: str) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    (media.root / "folder").mkdir(parents=True)
    (media.root / "outside").symlink_to(tmp_path)
    for act in (media.read, media.delete, lambda each: media.write(each, b"x")):
        with pytest.raises(MediaPathError):
            act(path)
    assert secret.read_text() == "secret"


def test_missing_footage_is_said_to_be_missing(media: LocalMedia) -> None:
    media.delete("never/was.jpg")
    with pytest.raises(MissingMedia, match="never/was"):
        media.read("never/was.jpg")


def test_footage_older_than_its_retention_goes_and_the_rest_stays(media: LocalMedia) -> None:
    for name, age_s in (("old.jpg", 100), ("new.jpg", 10)):
        media.write(name, b"jpeg")
        then = time.time() - age_s
        os.utime(media.root / name, (then, then))
    assert media.delete_older(age_s=50) == 1
    assert [path.name for path in media.root.iterdir()] == ["new.jpg"]


@pytest.fixture(params=["folder", "object store"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> MediaStore:
    return LocalMedia(tmp_path) if request.param == "folder" else ObjectMedia(f"memory://{uuid.uuid4()}/footage")


def test_a_folder_and_an_object_store_keep_the_same_promises(store: MediaStore) -> None:
    keep_promises(store)


def keep_promises(store: MediaStore) -> None:
    store.write("events/ab/clip.mp4", b"first")
    store.write("events/ab/clip.mp4", b"longer now")
    store.write("events/ab/still.jpg", b"jpeg")
    assert store.read("events/ab/clip.mp4") == b"longer now"
    for path in ("", "..", "../x", "/etc/passwd", "a/../../b", "a\\b", "a\0b", "events"):
        for act in (store.read, store.delete, lambda each: store.write(each, b"x")):
            with pytest.raises(MediaPathError):
                act(path)
    store.delete("events/ab/still.jpg")
    store.delete("events/ab/still.jpg")
    with pytest.raises(MissingMedia):
        store.read("events/ab/still.jpg")
    assert store.delete_older(3600) == 0
    assert store.delete_older(-3600) == 1
    with pytest.raises(MissingMedia):
        store.read("events/ab/clip.mp4")


def test_an_object_store_that_cannot_be_had_says_which_and_what_to_look_at() -> None:
    nowhere = ObjectMedia("s4://bucket/footage")
    for act in (nowhere.read, nowhere.delete, lambda path: nowhere.write(path, b"x")):
        with pytest.raises(MediaUnavailable, match="s4://bucket/footage: Protocol not known"):
            act("one.jpg")
    with pytest.raises(MediaUnavailable, match="RUMBLESTRIP_MEDIA_URL"):
        nowhere.delete_older(1.0)


def test_doctor_tries_the_object_store(tmp_path: Path) -> None:
    def said(url: str) -> list[tuple[bool, str]]:
        found = doctor._safely(doctor._media, Settings(data_dir=tmp_path, media_url=url))
        return [(finding.ok, finding.detail) for finding in found]

    url = f"memory://{uuid.uuid4()}/footage"
    assert said(url) == [(True, url)]
    assert ObjectMedia(url).delete_older(-3600) == 0  # it left nothing behind
    ((good, detail),) = said("s4://bucket/footage")
    assert not good
    assert "RUMBLESTRIP_MEDIA_URL" in detail
    assert said("") == []
