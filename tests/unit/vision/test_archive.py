"""The archive looked over again: items, versions side by side, and whether stored footage still shows its event."""

import uuid

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from infra.contracts.events import EventKind, MediaKind
from infra.store.media import LocalMedia
from tests.unit.vision.stories import CLIP
from tests.unit.vision.test_watch import SHUT, WIDE, story, video
from vision import eyes_cli as command
from vision.archive import EVENTS, OBSERVATIONS, Item, Stored, find_items, look_over, version
from vision.archive_compare import compare_events, compare_numbers, compare_stored
from vision.looking import Eyes
from vision.models import ScriptedFaces


@pytest.fixture
def scripted(monkeypatch, tmp_path):
    monkeypatch.setattr(command, "MediapipeFaces", ScriptedFaces)
    monkeypatch.setattr(command, "default_heads", lambda: ())
    monkeypatch.setenv("RUMBLESTRIP_DATA_DIR", str(tmp_path / "data"))


def look(items, media=None):
    return list(look_over(items, Eyes(ScriptedFaces()), media or LocalMedia(None)))


def test_sources_are_found_at_any_depth(tmp_path):
    (tmp_path / "deep" / "er").mkdir(parents=True)
    video(tmp_path / "deep" / "cab.avi", [WIDE])
    video(tmp_path / "deep" / "er" / "other.avi", [WIDE])
    found = [item.name for item in find_items([tmp_path, CLIP.parent])]
    assert found == [str(tmp_path / "deep/cab.avi"), str(tmp_path / "deep/er/other.avi"), str(CLIP.parent)]


def test_video_gives_a_row_a_picture_and_its_events(tmp_path):
    (one,) = look(find_items([story(tmp_path / "cab.avi")]))
    assert one.observations.schema == OBSERVATIONS
    assert one.observations.num_rows == 690
    assert one.observations["eye_openness"][660].as_py() == 0
    (event,) = one.events.to_pylist()
    assert (event["kind"], event["start_us"]) == ("sleep", 64_000_000)


def test_what_cannot_be_opened_is_one_row_that_says_so_and_stops_nothing(tmp_path):
    (tmp_path / "words.mp4").write_text("no video")
    video(tmp_path / "zz.avi", [WIDE] * 3)
    broken, whole = look(find_items([tmp_path]))
    assert broken.observations["unreadable"].to_pylist() == ["source_unreadable"]
    assert whole.observations["face_found"].to_pylist() == [True] * 3


def stored(kind, media, usual=None):
    return Stored(str(uuid.uuid4()), kind, media, 20.0, usual)


def test_clip_begins_with_what_was_known_of_the_driver(tmp_path):
    """Eight seconds teach nothing: only with the driver's usual of then the shut eyes are the event they were."""
    media = LocalMedia(tmp_path)
    media.write("a.avi", video(tmp_path / "clip.avi", [*[WIDE] * 40, *[SHUT] * 20, *[WIDE] * 20]).read_bytes())
    usual = 0.3 * WIDE / 255
    known, unknown = (
        Item(name, "a.avi", stored(EventKind.MICROSLEEP, MediaKind.CLIP, ratio))
        for name, ratio in (("known", usual), ("unknown", None))
    )
    first, second = look([known, unknown], media)
    assert first.events["kind"].to_pylist() == ["microsleep"]
    assert second.events["kind"].to_pylist() == []
    assert compare_stored([first, second]) == {"microsleep": {"confirmed": 1, "gone": 1}}


def observations(**columns):
    count = len(next(iter(columns.values())))
    filled = {"source": ["a"] * count, "index": list(range(count)), "face_found": [True] * count} | columns
    return pa.table(
        {field.name: pa.array(filled.get(field.name, [None] * count), field.type) for field in OBSERVATIONS}
    )


def test_numbers_are_compared_over_the_pictures_that_both_have():
    old = observations(belt_worn=[0.9, 0.4, None, 0.2])
    new = observations(belt_worn=[0.8, 0.6, 0.5], face_found=[True, False, True])
    assert compare_numbers(old, new) == {
        "pictures": 3,
        "face_found": {"old": 3, "new": 2},
        "belt_worn": {"pictures": 2, "mean_difference": 0.15, "verdicts_changed": 1},
    }


def test_events_are_the_same_where_kind_source_and_time_agree():
    def events(*rows):
        found = [
            {"source": source, "kind": kind, "start_us": start * 1_000_000, "end_us": (start + 2) * 1_000_000}
            for source, kind, start in rows
        ]
        return pa.Table.from_pylist(found, EVENTS)

    old = events(("a", "microsleep", 10), ("a", "phone_use", 50), ("b", "microsleep", 10))
    new = events(("a", "microsleep", 12), ("b", "yawning", 10))
    assert compare_events(old, new) == {
        "microsleep": {"old": 2, "new": 1, "both": 1},
        "phone_use": {"old": 1, "new": 0, "both": 0},
        "yawning": {"old": 0, "new": 1, "both": 0},
    }


def test_versions_lie_side_by_side_and_are_compared(scripted, tmp_path, monkeypatch):
    folder = tmp_path / "footage"
    folder.mkdir()
    story(folder / "cab.avi")
    run = lambda: CliRunner().invoke(command.eyes_app, [str(folder), "--out", str(tmp_path / "out")])  # noqa: E731
    monkeypatch.setattr(command, "version", lambda: "eyes-1-old")
    assert run().exit_code == 0
    monkeypatch.setattr(command, "version", lambda: "eyes-2-new")
    done = run()
    assert done.exit_code == 0, done.output
    assert "eyes-2-new against eyes-1-old" in done.output
    said = orjson.loads((tmp_path / "out" / "eyes-2-new" / "comparison.json").read_bytes())
    assert said["events"] == {"sleep": {"old": 1, "new": 1, "both": 1}}
    assert said["numbers"]["pictures"] == 690
    assert pq.read_table(tmp_path / "out" / "eyes-1-old" / "observations.parquet").num_rows == 690


def test_version_names_rules_and_weights():
    rules, _, weights = version().rpartition("-")
    assert rules.startswith("eyes-")
    assert len(weights) == 8
