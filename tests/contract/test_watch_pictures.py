"""Every kind of picture through `rumblestrip watch --stills`: a plain reason for what cannot be read, numbers for the
rest, one line each in the order of their names, and nothing stops."""

from __future__ import annotations

import io
import struct

import numpy as np
import orjson
import pytest
from PIL import Image, ImageOps
from typer.testing import CliRunner

from tests.unit.vision.stories import CLIP, deliveries, drawn, frame, run, scripted_step
from vision.watch import watch_app

DRIVER = "000178.jpg"  # awake, one face
SHUT = "000226.jpg"
ORIENTATION = 0x0112


def driver() -> Image.Image:
    return Image.open(io.BytesIO((CLIP / DRIVER).read_bytes())).convert("RGB")


def encoded(image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    sink = io.BytesIO()
    image.save(sink, kind, **options)
    return sink.getvalue()


def bomb() -> bytes:
    jpeg = encoded(driver())
    at = jpeg.index(b"\xff\xc0")
    return jpeg[: at + 5] + struct.pack(">HH", 30_000, 30_000) + jpeg[at + 9 :]


def lying() -> bytes:
    """Stored on its side, with the EXIF that turns it upright."""
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    return encoded(driver().rotate(90, expand=True), exif=exif)


def two_faces() -> Image.Image:
    face = driver().crop((130, 100, 330, 300))
    image = Image.new("RGB", (640, 480), (128, 128, 128))
    image.paste(face, (20, 40))
    image.paste(face.resize((400, 400)), (230, 40))
    return image


def unreadable() -> dict[str, tuple[bytes, str]]:
    """Bytes and the reason that is given."""
    whole = encoded(driver())
    return {
        "truncated.jpg": (whole[: len(whole) // 2], "frame_broken"),
        "truncated.png": (encoded(driver(), "PNG")[:5000], "frame_broken"),
        "zero_bytes.jpg": (b"", "frame_empty"),
        "moving.gif": (encoded(driver(), "GIF"), "frame_unknown_format"),
        "words.jpg": (b"camera offline", "frame_unknown_format"),
        "bomb.jpg": (bomb(), "frame_too_large"),
        "speck.png": (encoded(Image.new("RGB", (3, 3)), "PNG"), "frame_too_small"),
    }


def readable() -> dict[str, tuple[bytes, bool]]:
    """Bytes, and whether the driver's face is found."""
    deep = (np.asarray(driver().convert("L"), np.uint16) * 257).astype("<u2")
    return {
        "as_it_is.jpg": (encoded(driver()), True),
        "png_named.jpg": (encoded(driver(), "PNG"), True),
        "webp.webp": (encoded(driver(), "WEBP"), True),
        "bmp.BMP": (encoded(driver(), "BMP"), True),
        "grey.jpg": (encoded(driver().convert("L")), True),
        "grey_16_bit.png": (encoded(Image.frombytes("I;16", driver().size, deep.tobytes()), "PNG"), True),
        "rgba.png": (encoded(driver().convert("RGBA"), "PNG"), True),
        "palette.png": (encoded(driver().quantize(), "PNG"), True),
        "cmyk.jpg": (encoded(driver().convert("CMYK")), True),
        "lying.jpg": (lying(), True),
        "large.jpg": (encoded(driver().resize((2080, 2080))), True),
        "two_faces.jpg": (encoded(two_faces()), True),
        "nobody.jpg": (encoded(Image.new("RGB", (640, 480), (90, 90, 90))), False),
        "tiny.png": (encoded(Image.new("L", (9, 12), 90), "PNG"), False),
        "deep/er/folder.jpg": (encoded(driver()), True),
    }


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, list[dict]]:
    folder = tmp_path_factory.mktemp("pictures")
    upside = {"upside_down.jpg": (encoded(ImageOps.flip(driver())), None)}
    for name, (content, _) in {**unreadable(), **readable(), **upside}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    (folder / "notes.txt").write_text("no picture, and no concern of ours")
    done = CliRunner().invoke(watch_app, [str(folder), "--stills", "--format", "jsonl"])
    assert not done.exception or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, [orjson.loads(line) for line in done.stdout.splitlines()]


def line(seen: tuple[int, list[dict]], name: str) -> dict:
    (found,) = (line for line in seen[1] if line["source"] == name)
    return found


@pytest.mark.parametrize("name", unreadable())
def test_what_cannot_be_read_is_one_line_with_its_reason(seen, name):
    found = line(seen, name)
    assert (found["type"], found["reason"]) == ("error", unreadable()[name][1])
    assert found["detail"]


@pytest.mark.parametrize("name", readable())
def test_every_other_picture_is_looked_at(seen, name):
    found = line(seen, name)
    assert found["type"] == "frame"
    assert (found["face_box"] is not None) is readable()[name][1]
    assert found["openness"] is None, "there is no baseline on stills"
    assert found["time"] is None
    if readable()[name][1]:
        assert 0 <= found["eye_closed_probability"] < 0.5


def test_upside_down_is_an_answer_and_no_error(seen):
    assert line(seen, "upside_down.jpg")["type"] == "frame"


def test_turned_by_exif_the_face_is_where_it_is_upright(seen):
    assert line(seen, "lying.jpg")["face_box"] == pytest.approx(line(seen, "as_it_is.jpg")["face_box"], abs=12)


def test_of_two_faces_the_larger_is_the_drivers(seen):
    assert line(seen, "two_faces.jpg")["face_box"][0] > 230


def test_there_is_a_line_for_each_and_the_exit_code_says_that_some_failed(seen):
    code, lines = seen
    assert code == 1
    assert len(lines) == len(unreadable()) + len(readable()) + 1 + 1
    assert (lines[-1]["type"], lines[-1]["errors"]) == ("summary", len(unreadable()))
    names = [line["source"] for line in lines[:-1]]
    assert names == sorted(names, key=str.lower)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("truncated.jpg", "frame_broken"),
        ("truncated.png", "frame_not_jpeg"),
        ("zero_bytes.jpg", "frame_empty"),
        ("moving.gif", "frame_not_jpeg"),
        ("words.jpg", "frame_not_jpeg"),
        ("bomb.jpg", "frame_too_large"),
        ("png_named.jpg", "frame_not_jpeg"),
        ("rgba.png", "frame_not_jpeg"),
    ],
)
def test_worker_makes_the_same_pictures_dead_letters_and_goes_on(name, reason):
    """Cameras send JPEG and nothing else. The frames before and after are seen."""
    content = {**unreadable(), **readable()}[name][0]
    frames = [frame(0, drawn(200)), frame(1, content), frame(2, drawn(200))]
    step = scripted_step()
    _, (outputs,) = run(step, step.prepare(deliveries(frames)))
    assert [(letter.offset, letter.reason) for letter in outputs.dead_letters] == [(1, reason)]
    assert outputs.observations["face_found"].to_pylist() == [True, True]
