"""`watch --post` towards a gateway that refuses, is away, or has it all already."""

from itertools import islice
from types import SimpleNamespace

import orjson
import pytest
from typer.testing import CliRunner

from infra.runtime import line
from infra.runtime.line import TurnedAway, Undeliverable
from tests.unit.runtime.test_replay import FakeGateway, _unzstd
from tests.unit.vision.stories import drawn
from tests.unit.vision.test_watch import WIDE, story, video
from vision import posting, watching
from vision import watch as command
from vision.models import ScriptedFaces
from vision.outbox import AlreadyPosting, open_outbox
from vision.sources import SourceError

START = "2026-11-21T08:00:00+01:00"
START_MS = 1_795_244_400_000


@pytest.fixture(autouse=True)
def device(monkeypatch, tmp_path):
    """Faces read from drawn pictures, a data folder and a token of its own, and no long waits."""
    monkeypatch.setattr(command, "MediapipeFaces", ScriptedFaces)
    monkeypatch.setattr(command, "default_heads", lambda _views: ())
    monkeypatch.setattr(line, "FIRST_WAIT_S", 0.001)
    monkeypatch.setenv("RUMBLESTRIP_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("RUMBLESTRIP_REPLAY_TOKEN", "rs_token")


def post(gateway, path, *more, code=0, raises=None):
    done = CliRunner().invoke(command.watch_app, [str(path), "--post", gateway.url, "--start", START, *more])
    if raises:
        assert isinstance(done.exception, raises), done.output
    else:
        assert done.exit_code == code, done.output
    return done


def bodies(gateway):
    assert all(path == "/v1/observations" for path, _, _ in gateway.taken)
    return [orjson.loads(_unzstd(body)) for _, body, _ in gateway.taken]


def sent(gateway):
    """(sequence, first and last time in seconds after the start, rows) of each batch."""
    found = []
    for body in bodies(gateway):
        times = body["observations"]["time_ms"]
        found.append((body["sequence"], (times[0] - START_MS) / 1e3, (times[-1] - START_MS) / 1e3, len(times)))
    return found


WHOLE = [(i, 10.0 * i, 10.0 * i + 9.9, 100) for i in range(6)] + [(6, 60.0, 68.9, 90)]
"""Of a story of 69 s at 10 pictures a second."""


def test_every_picture_arrives_once_with_what_was_seen(tmp_path):
    gateway = FakeGateway()
    done = post(gateway, story(tmp_path / "cab.avi"), "--driver", "anna", "--vehicle", "van-7")
    assert sent(gateway) == WHOLE
    assert "posted 690 observations in 7 batches" in done.output
    first = bodies(gateway)[0]
    assert (first["driver_id"], first["vehicle_id"]) == ("anna", "van-7")
    assert set(first["observations"]) == {"time_ms", "face_found", "aspect_ratio"}, "no speed that nobody knows"
    assert first["observations"]["face_found"] == [1] * 100
    assert first["observations"]["aspect_ratio"][0] == pytest.approx(0.3 * WIDE / 255, abs=0.01)
    assert {headers["Authorization"] for _, _, headers in gateway.taken} == {"Bearer rs_token"}
    again = FakeGateway()
    post(again, tmp_path / "cab.avi", "--speed", "90")
    assert bodies(again)[0]["observations"]["speed_mps"] == [25.0] * 100


def test_failures_that_pass_are_retried_said_once_and_lose_nothing(tmp_path):
    busy = {"Retry-After": "0"}
    gateway = FakeGateway(((503, busy), (202, {}), (429, busy), ("hang up", {}), (500, {})))
    done = post(gateway, story(tmp_path / "cab.avi"))
    assert sent(gateway) == WHOLE
    assert done.stderr.count("trying again, what was seen waits in") == 2


def test_second_run_sends_what_is_new_and_the_last_line_says_so(tmp_path):
    gateway = FakeGateway()
    path = story(tmp_path / "cab.avi")
    post(gateway, path)
    done = post(gateway, path, "--format", "jsonl")
    assert len(gateway.taken) == 7
    last = orjson.loads(done.stdout.splitlines()[-1])
    assert (last["type"], last["posted"]["sent_before"], last["posted"]["observations"]) == ("summary", 7, 0)


@pytest.mark.parametrize(
    ("status", "words"),
    [(401, "is the device registered"), (413, "raise RUMBLESTRIP_MAX_OBSERVATIONS"), (404, "is the device registered")],
)
def test_token_or_gateway_that_will_not_do_is_said_and_nothing_is_given_up(tmp_path, status, words):
    gateway = FakeGateway(((202, {}), (status, {})))
    path = story(tmp_path / "cab.avi")
    done = post(gateway, path, raises=TurnedAway)
    assert words in str(done.exception)
    assert "waiting in" in str(done.exception)
    post(gateway, path)
    assert sorted({row[0]: row for row in sent(gateway)}.values()) == WHOLE
    assert [row[0] for row in sent(gateway)][:2] == [0, 1], "what waited goes first"


def test_gateway_that_stays_away_is_given_up_and_told(tmp_path, monkeypatch):
    monkeypatch.setattr(posting, "GIVE_UP_S", 0.05)
    gateway = SimpleNamespace(url="http://127.0.0.1:9")
    done = post(gateway, video(tmp_path / "cab.avi", [WIDE] * 20), raises=Undeliverable)
    assert "is the gateway running?" in str(done.exception)
    assert "1 batch waiting in" in str(done.exception)


def test_refused_batch_is_named_and_the_rest_is_sent(tmp_path):
    gateway = FakeGateway(((422, {}),))
    done = post(gateway, story(tmp_path / "cab.avi"), code=1)
    assert sent(gateway) == WHOLE[1:]
    assert "refused: 422 because" in done.output


def test_camera_that_is_interrupted_while_the_gateway_is_away_keeps_what_it_saw(tmp_path, monkeypatch):
    """Batches of 2 s; the next run sends those of the one before first, under their own boot."""
    monkeypatch.setattr(posting, "LAST_WORDS_S", 0.01)
    look = watching.watch_in_time

    def interrupted(shots, *rest):
        yield from islice(look(shots, *rest), 25)
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "watch_in_time", interrupted)
    path = tmp_path / "cab.mjpeg"  # no container, so no length, as a camera sends it
    path.write_bytes(drawn(WIDE) * 30)
    gateway = FakeGateway([(503, {"Retry-After": "9"})])
    before = post(gateway, f"file://{path}", "--format", "jsonl", code=130).stdout
    assert gateway.taken == []
    assert orjson.loads(before.splitlines()[-1])["posted"]["waiting"] == 1
    monkeypatch.setattr(command, "watch_in_time", look)
    after = post(gateway, f"file://{path}", "--format", "jsonl").stdout
    boots = [body["boot_id"] for body in bodies(gateway)]
    assert len(set(boots)) == 2
    assert sum(rows for _, _, _, rows in sent(gateway)) == (before + after).count('"frame"') > 0


def test_one_process_posts_with_a_token(tmp_path):
    with open_outbox(tmp_path), pytest.raises(AlreadyPosting), open_outbox(tmp_path):
        pass


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--start", ""), "does not say when it was recorded: add --start"),
        (("--start", "8 o'clock"), "ISO 8601"),
        (("--token", ""), "rumblestrip devices add"),
        (("--stills",), "pictures in time"),
    ],
)
def test_what_is_missing_is_said_before_anything_is_looked_at(tmp_path, more, words):
    (tmp_path / "pictures").mkdir()
    path = video(tmp_path / "pictures" / "cab.avi", [WIDE] * 5)
    source = path.parent if "--stills" in more else path
    if "--stills" in more:
        (path.parent / "1.jpg").write_bytes(b"")
    done = CliRunner().invoke(command.watch_app, [str(source), "--post", "http://127.0.0.1:9", "--start", START, *more])
    assert done.exit_code != 0
    said = str(done.exception) if isinstance(done.exception, SourceError) else " ".join(done.output.split())
    assert words in said.replace("│ ", "")
