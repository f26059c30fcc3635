"""`rumblestrip watch`: where pictures and times come from, what is told of them, and how it ends."""

import os
import shutil
import signal
import struct
from fractions import Fraction
from itertools import islice

import av
import cv2
import numpy as np
import orjson
import pytest
from rich.console import Console
from typer.testing import CliRunner

from infra.clock import SystemClock
from tests.unit.vision.stories import CLIP, drawn
from vision import watch as command
from vision.cameras import open_camera
from vision.close_ups import doubt_faces
from vision.frames import Picture
from vision.looking import Eyes
from vision.models import MediapipeFaces, ScriptedFaces
from vision.sources import SourceError, Unreadable, open_folder, open_pictures
from vision.torso_crops import GLANCE, STUDY
from vision.videos import open_video
from vision.watch_page import Page, show_summary
from vision.watch_summary import Summary
from vision.watching import Happened, watch_in_time, watch_stills

WIDE, SHUT = 220, 60
DRIVE = CLIP.parent


@pytest.fixture
def scripted(monkeypatch):
    """The command with faces read from drawn pictures, and no heads."""
    monkeypatch.setattr(command, "MediapipeFaces", ScriptedFaces)
    monkeypatch.setattr(command, "default_heads", lambda _views: ())


def write(folder, names, level=WIDE):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(drawn(level))
    return folder


def video(path, levels, fps=10.0):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), fps, (64, 64))
    for level in levels:
        writer.write(np.full((64, 64, 3), level, np.uint8))
    writer.release()
    return path


def encode(path, times_s, size=(64, 48), rate=30):
    """A video whose pictures, the left half bright, come at these times."""
    left = np.zeros((size[1], size[0], 3), np.uint8)
    left[:, : size[0] // 2] = WIDE
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.width, stream.height = size
        stream.codec_context.time_base = Fraction(1, 1000)
        for time_s in times_s:
            picture = av.VideoFrame.from_ndarray(left, format="rgb24")
            picture.pts, picture.time_base = round(time_s * 1000), Fraction(1, 1000)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path


def turn(path, *matrix):
    """Writes another display matrix into an MP4 with one track."""
    content = bytearray(path.read_bytes())
    start = content.index(b"tkhd") + 44
    content[start : start + 16] = struct.pack(">4i", *(int(v * 65536) for v in (matrix[0], matrix[1], 0, matrix[2])))
    content[start + 16 : start + 20] = struct.pack(">i", int(matrix[3] * 65536))
    path.write_bytes(content)
    return path


def story(path, levels=(*[WIDE] * 640, *[SHUT] * 40, *[WIDE] * 10)):
    """64 s of open eyes, 4 s of shut ones, at 10 pictures a second."""
    return video(path, levels)


def run(*arguments):
    return CliRunner().invoke(command.watch_app, [str(a) for a in arguments])


def lines(*arguments, code=0):
    done = run(*arguments, "--format", "jsonl")
    assert done.exit_code == code, done.output
    return [orjson.loads(line) for line in done.stdout.splitlines()]


# --- sources ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "seconds"),
    [
        (["1700000000000.jpg", "1700000000500.jpg"], [0, 0.5]),
        (["cam_1700000000000000.jpg", "cam_1700000002000000.jpg"], [0, 2]),
        (["20260102T030405.jpg", "20260102T030405.250.jpg"], [0, 0.25]),
        (["2026-01-02_03-04-05.jpg", "2026-01-02_03-04-07.jpg"], [0, 2]),
        (["frame_9.jpg", "frame_10.jpg", "frame_11.jpg"], [0, 0.2, 0.4]),
        (["20260102T030405_a.jpg", "20260102T030405_b.jpg"], [0, 0.2]),  # the same second: no times at all
        (["99999999_1.jpg", "20269999T999999.jpg"], [0, 0.2]),
    ],
)
def test_times_come_from_the_names_or_else_from_an_assumed_rate(tmp_path, names, seconds):
    source = open_folder(write(tmp_path, names), None)
    times_us = [shot.time_us for shot in source.shots()]
    assert [(at - times_us[0]) / 1e6 for at in times_us] == pytest.approx(seconds)
    assert ("assumed" in source.clock) is (times_us[0] == 0)


def test_times_come_from_an_index_beside_the_pictures(tmp_path):
    folder = write(tmp_path, ["a.jpg", "b.jpg", "c.jpg"])
    (folder / "index.csv").write_text("file,time_s\nc.jpg,0\na,1.5\nb.jpg,4\n")
    source = open_folder(folder, None)
    assert [(shot.source, shot.time_us) for shot in source.shots()] == [
        ("c.jpg", 0),
        ("a.jpg", 1_500_000),
        ("b.jpg", 4_000_000),
    ]
    assert open_folder(folder, 2).rate_hz == pytest.approx(2), "--fps is believed before anything else"


@pytest.mark.parametrize(
    ("table", "seconds"),
    [
        ("file,time_s\na.jpg,1\nb/a.jpg,2\n", [1, 2]),
        ("\ufefffile;time_ms\na;500\nb\\a;2500\n", [0.5, 2.5]),
        ("name,time\na.jpg,2026-01-02T03:04:05Z\nb/a.jpg,2026-01-02T04:04:06+01:00\n", [1767323045, 1767323046]),
    ],
)
def test_index_may_be_of_several_kinds(tmp_path, table, seconds):
    write(write(tmp_path, ["a.jpg"]) / "b", ["a.jpg"])
    (tmp_path / "index.csv").write_text(table)
    source = open_folder(tmp_path, None)
    assert [(shot.source, shot.time_us / 1e6) for shot in source.shots()] == [
        ("a.jpg", seconds[0]),
        ("b/a.jpg", seconds[1]),
    ]


@pytest.mark.parametrize(
    ("table", "why"),
    [
        ("file,time_s\na.jpg,1\n", "it does not name b.jpg"),
        ("file,time_s\na.jpg,1\nb.jpg,1\n", "one time to several"),
        ("file,time_s\na.jpg,inf\nb.jpg,1\n", "beyond all times"),
        ("file,time_s\na.jpg,1e300\nb.jpg,1\n", "beyond all times"),
        ("file,time_s\na.jpg,\nb.jpg,1\n", "'' of a.jpg is no time"),
        ("file,at\na.jpg,0\nb.jpg,1\n", "no column time_us"),
        ("", "no column file"),
    ],
)
def test_index_that_cannot_be_used_says_why(tmp_path, table, why):
    write(tmp_path, ["a.jpg", "b.jpg"])
    (tmp_path / "index.csv").write_text(table)
    source = open_folder(tmp_path, None)
    assert why in source.clock
    assert "5 pictures a second, assumed" in source.clock


def test_recorded_drive_brings_its_times_and_speeds():
    source = open_folder(DRIVE, None)
    shots = list(islice(source.shots(), 3))
    assert (source.kind, source.count) == ("drive", 235)
    assert all(shot.speed_mps > 0 for shot in shots)
    assert shots[1].time_us - shots[0].time_us == pytest.approx(333_333, abs=2)


def test_stills_are_studied_and_streams_glanced_at(scripted, monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(command, "default_heads", lambda views: asked.append(views) or ())
    folder = write(tmp_path / "frames", ["0.jpg", "1.jpg"])
    lines(folder, "--stills")
    lines(folder / "0.jpg")
    lines(folder, "--fps", "1")
    assert asked == [STUDY, STUDY, GLANCE]


def test_stills_are_all_pictures_below_a_folder(tmp_path):
    write(tmp_path / "b" / "c", ["2.jpg"])
    write(tmp_path, ["a.jpg"])
    write(tmp_path / ".trash", ["3.jpg"])
    write(tmp_path, ["._a.jpg"])
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "notes").write_text("no ending, and no picture")
    assert [(s.source, s.time_us) for s in open_pictures(tmp_path).shots()] == [("a.jpg", None), ("b/c/2.jpg", None)]


def test_whatever_was_meant_as_a_picture_is_one_line(scripted, tmp_path):
    write(tmp_path, ["a.jfif", "b", os.fsdecode(b"c\xff.jpg")])
    (tmp_path / "d.heic").write_bytes(b"\0\0\0\x18ftypheic")
    (tmp_path / "e.jpg").symlink_to(tmp_path / "nowhere")
    found = lines(tmp_path, "--stills", code=1)
    assert [(line["type"], line["source"]) for line in found[:-1]] == [
        ("frame", "a.jfif"),
        ("frame", "b"),
        ("frame", "c\\udcff.jpg"),
        ("error", "d.heic"),
        ("error", "e.jpg"),
    ]
    assert [line["reason"] for line in found[3:5]] == ["frame_unknown_format", "file_unreadable"]
    assert "HEIC" in found[3]["detail"]


def test_lines_tell_the_size_of_the_file_and_the_path_as_given(scripted, tmp_path):
    cv2.imwrite(str(tmp_path / "odd.jpg"), np.full((1281, 1603, 3), WIDE, np.uint8))
    (seen, _) = lines(tmp_path / "odd.jpg")
    assert (seen["width"], seen["height"], seen["source"]) == (1603, 1281, str(tmp_path / "odd.jpg"))
    (seen, _) = lines(tmp_path, "--stills")
    assert seen["source"] == "odd.jpg"


def test_video_with_uneven_times_is_read_whole(tmp_path):
    bursts = [*np.arange(30) / 30, *(18 + np.arange(30) / 30)]
    for name in ("cab.mp4", "cab.mkv"):
        shots = list(open_video(str(encode(tmp_path / name, bursts)), None).shots())
        assert [shot.time_us / 1e6 for shot in shots] == pytest.approx(bursts, abs=0.002)
        assert all(isinstance(shot.picture, Picture) for shot in shots), "none is missing at its end"


def test_video_that_begins_late_is_not_cut_short(tmp_path):
    source = open_video(str(encode(tmp_path / "cab.mkv", 50 + np.arange(40) / 20, rate=20)), None)
    shots = list(source.shots())
    assert (len(shots), shots[0].time_us) == (40, 50_000_000)
    assert isinstance(shots[-1].picture, Picture)
    assert source.count == pytest.approx(40, abs=1)


@pytest.mark.parametrize(
    ("matrix", "bright"),
    [((1, 0, 0, 1), "left"), ((0, 1, -1, 0), "top"), ((0, -1, 1, 0), "bottom"), ((-1, 0, 0, -1), "right")],
)
def test_video_is_turned_as_it_says(tmp_path, matrix, bright):
    path = turn(encode(tmp_path / "cab.mp4", [0, 0.1]), *matrix)
    rgb = next(open_video(str(path), None).shots()).picture.rgb
    assert rgb.shape[:2] == ((48, 64) if bright in ("left", "right") else (64, 48))
    height, width = rgb.shape[:2]
    halves = {"left": rgb[:, :20], "right": rgb[:, width - 20 :], "top": rgb[:20], "bottom": rgb[height - 20 :]}
    assert max(halves, key=lambda side: halves[side].mean()) == bright


def test_video_behind_a_url_is_no_camera(tmp_path):
    path = video(tmp_path / "cab.avi", [WIDE] * 5)
    source = command.open_source(f"file://{path}", None, False)
    assert (source.kind, source.live, len(list(source.shots()))) == ("video", False, 5)


def test_video_is_read_with_its_times_and_thinned(tmp_path):
    path = str(video(tmp_path / "cab.avi", [WIDE] * 40))
    assert [shot.time_us for shot in open_video(path, None).shots()] == [i * 100_000 for i in range(40)]
    assert [shot.time_us for shot in open_video(path, 4).shots()] == pytest.approx(
        [i * 250_000 for i in range(16)], abs=50_001
    )
    assert len(list(open_video(path, 1000).shots())) == 40


def test_video_that_is_cut_short_says_so_and_gives_what_there_is(tmp_path):
    path = video(tmp_path / "cab.avi", [WIDE] * 100)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    shots = list(open_video(str(path), None).shots())
    assert 20 < len(shots) < 100
    assert isinstance(shots[-1].picture, Unreadable)
    assert shots[-1].picture.reason == "video_ends_early"


def test_camera_is_read_until_it_gives_no_more(tmp_path):
    """A file behind a URL stands for the camera: times are those of the clock, and waiting pictures are few."""
    path = video(tmp_path / "cab.avi", [WIDE] * 30)
    source = open_camera(f"file://{path}", SystemClock(), None)
    shots = list(source.shots())
    assert source.live
    assert 1 <= len(shots) <= 30
    assert len(shots) + source.dropped() == 30
    assert all(shot.time_us > 1e15 for shot in shots)


@pytest.mark.parametrize("name", ["nowhere.mp4", "empty", "words.mp4", "sound.mp4"])
def test_nothing_to_look_at_is_said(tmp_path, name):
    (tmp_path / "empty").mkdir()
    (tmp_path / "words.mp4").write_text("no video")
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        silence.sample_rate = 8000
        container.mux([*stream.encode(silence), *stream.encode()])
    with pytest.raises(SourceError, match=name):
        command.open_source(str(tmp_path / name), None, False)
    with pytest.raises(SourceError, match="not found"):
        command.open_source("", None, False)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("cab.avi", "--overlay", "seen.gif"), "seen.mp4"),
        (("cab.mp4", "--overlay", "cab.mp4"), "footage itself"),
        (("cab.avi", "--stills"), "needs a folder of pictures"),
        (("one.jpg", "--fps", "3"), "says nothing"),
        (("cab.avi", "--start", "yesterday"), "needs --post"),
    ],
)
def test_what_would_do_harm_or_nothing_is_refused(tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    video(tmp_path / "cab.avi", [WIDE])
    encode(tmp_path / "cab.mp4", [0])
    write(tmp_path, ["one.jpg"])
    kept = (tmp_path / "cab.mp4").read_bytes()
    done = run(*arguments)
    assert done.exit_code == 2
    assert words in " ".join(done.output.replace("│", " ").split())
    assert (tmp_path / "cab.mp4").read_bytes() == kept


# --- in time ------------------------------------------------------------------------------------------------


def test_driver_who_nods_off_is_one_event_with_its_times(scripted, tmp_path):
    found = lines(story(tmp_path / "cab.avi"))
    (event,) = (line for line in found if line["type"] == "event")
    assert (event["kind"], event["severity"], event["over"]) == ("sleep", "high", True)
    assert (event["start"], event["end"]) == pytest.approx((64.0, 67.9), abs=0.11)
    assert 0 < event["confidence"] <= 1
    assert event["evidence"]
    frames = [line for line in found if line["type"] == "frame"]
    assert len(frames) == 690
    assert frames[0]["openness"] is None
    assert frames[639]["openness"] == pytest.approx(1, abs=0.1)
    assert frames[660]["openness"] == 0
    assert found[-1]["events"] == {"sleep": 1}


def test_standing_vehicle_has_no_drowsy_driver(scripted, tmp_path):
    found = lines(story(tmp_path / "cab.avi"), "--speed", "0")
    assert [line["type"] for line in found].count("event") == 0


def test_event_is_told_as_it_begins_and_when_it_is_over(tmp_path):
    source = open_video(str(story(tmp_path / "cab.avi")), None)
    told = [t for t in watch_in_time(source.shots(), Eyes(ScriptedFaces()), live=True) if isinstance(t, Happened)]
    assert [(t.over, str(t.finding.kind)) for t in told] == [(False, "microsleep"), (True, "sleep")]


def test_overlay_is_an_h264_video_at_the_pictures_times(scripted, tmp_path):
    path = tmp_path / "seen.mp4"
    run(story(tmp_path / "cab.avi"), "--overlay", path)
    with av.open(str(path)) as drawn_over:
        stream = drawn_over.streams.video[0]
        pictures = list(drawn_over.decode(stream))
        assert stream.codec_context.name == "h264"
    assert len(pictures) == 690
    assert [round(picture.time, 2) for picture in pictures[:3]] == [0, 0.1, 0.2]
    red = pictures[660].to_ndarray(format="rgb24")[2, 240]  # the frame of an event
    assert red[0] > 180 > red[1] + 80
    assert abs(int(pictures[600].to_ndarray(format="rgb24")[2, 240][0]) - WIDE) < 12


def test_short_clip_says_what_it_could_not_judge(scripted, tmp_path):
    path = video(tmp_path / "cab.avi", [WIDE] * 200)
    done = run(path)
    assert done.exit_code == 0
    for words in (
        "200 pictures",
        "face found    100%",
        "still being learned (20 of 60 s",
        "80 km/h is assumed",
        "No ev",
    ):
        assert words in " ".join(done.output.split()) or words in done.output, words
    assert "still being learned" in " ".join(lines(path)[-1]["notes"])


def test_one_picture_a_second_says_that_a_microsleep_cannot_be_seen(scripted, tmp_path):
    folder = write(tmp_path, [f"{i}.jpg" for i in range(10)])
    assert any("Too few pictures a second" in note for note in lines(folder, "--fps", 1)[-1]["notes"])


def test_broken_picture_in_the_middle_is_named_and_nothing_stops(scripted, tmp_path):
    folder = write(tmp_path, ["0.jpg", "1.jpg", "2.jpg"])
    (folder / "1.jpg").write_bytes(drawn(WIDE)[:300])
    found = lines(folder, code=1)
    assert [line["type"] for line in found] == ["frame", "error", "frame", "summary"]
    assert (found[1]["source"], found[1]["reason"], found[1]["time"]) == ("1.jpg", "frame_broken", 0.2)
    done = run(folder)
    assert done.exit_code == 1
    assert "1.jpg: frame_broken" in done.output


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_with_the_summary_of_what_was_seen(scripted, monkeypatch, tmp_path, sent):
    def interrupted(source, *rest):
        yield from islice(watch_stills(source.shots(), Eyes(ScriptedFaces()), ()), 2)
        signal.raise_signal(sent)

    monkeypatch.setattr(command, "_look", interrupted)
    folder = write(tmp_path, ["0.jpg", "1.jpg", "2.jpg"])
    found = lines(folder, "--stills", code=130)
    assert [line["type"] for line in found] == ["frame", "frame", "summary"]


def test_page_of_a_terminal_shows_what_is_seen_now(tmp_path):
    source = open_video(str(story(tmp_path / "cab.avi")), None)
    console = Console(force_terminal=True, record=True, width=100)
    summary = Summary(source)
    with Page(source, console) as page:
        for told in watch_in_time(source.shots(), Eyes(ScriptedFaces())):
            page.add(told)
            summary.add(told)
    show_summary(summary, console)
    text = console.export_text()
    assert "1:04.0  sleep, high, for 3.9 s" in text
    assert "690 pictures looked at, 10 a second" in text


# --- on real footage ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mesh():
    model = MediapipeFaces()
    yield model
    model.close()


def test_real_faces_have_every_number_the_heads_give(tmp_path):
    for name in ("000178.jpg", "000226.jpg"):
        shutil.copy(CLIP / name, tmp_path)
    awake, shut, _ = lines(tmp_path, "--stills")
    assert awake["eye_closed_probability"] < 0.5 < shut["eye_closed_probability"]
    assert awake["face_box"][0] < awake["face_box"][2] <= awake["width"] == 416
    assert awake["eye_from"] == "face"
    keys = {"head_yaw", "mouth_open", "yawn_probability", "belt_worn_probability", "phone_probability", "camera_state"}
    assert keys | {"eye_closed_probability_left", "smoking_probability", "quality"} <= awake.keys()


def test_close_up_of_an_eye_is_judged_and_is_no_face(mesh, tmp_path):
    """Eyes cut out of the clip, as sets of eye pictures have them."""
    for name in ("000178.jpg", "000226.jpg"):
        rgb = cv2.imread(str(CLIP / name))
        (face,) = mesh.find_faces([Picture(np.ascontiguousarray(rgb[:, :, ::-1]))])
        centre, side = face.left_eye.mean(axis=0), np.linalg.norm(face.left_eye[0] - face.left_eye[3]) * 0.9
        left, top, right, bottom = (int(v) for v in (*(centre - side), *(centre + side)))
        cv2.imwrite(str(tmp_path / name), rgb[top:bottom, left:right])
    awake, shut, _ = lines(tmp_path, "--stills")
    assert (awake["eye_from"], shut["eye_from"], awake["face_box"]) == ("picture", "picture", None)
    assert awake["eye_closed_probability"] < 0.5 < shut["eye_closed_probability"]


def test_small_picture_of_a_cab_is_no_eye_and_an_eye_holds_no_phone(monkeypatch, tmp_path):
    shutil.copy(CLIP / "000178.jpg", tmp_path / "cab.jpg")
    cab = cv2.imread(str(tmp_path / "cab.jpg"))
    cv2.imwrite(str(tmp_path / "cab.jpg"), cv2.resize(cab, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA))
    cv2.imwrite(str(tmp_path / "eye.jpg"), cab[180:215, 190:240])
    small, eye, _ = lines(tmp_path, "--stills")
    assert small["eye_from"] != "picture"
    assert small["belt_worn_probability"] is not None
    assert eye["eye_from"] == "picture"
    assert (eye["phone_probability"], eye["smoking_probability"], eye["camera_state"]) == (None, None, None)


def test_crop_of_a_face_stays_a_face(mesh):
    whole = cv2.cvtColor(cv2.imread(str(CLIP / "000178.jpg")), cv2.COLOR_BGR2RGB)
    (face,) = mesh.find_faces([Picture(whole)])
    left, top, right, bottom = (int(v * 416) for v in (face.box.left, face.box.top, face.box.right, face.box.bottom))
    crop = Picture(np.ascontiguousarray(whole[top - 20 : bottom + 20, left - 20 : right + 20]))
    eyes = Eyes(mesh)
    assert doubt_faces([crop], eyes.find_faces([crop]), eyes)[0] is not None
