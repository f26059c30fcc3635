"""Trainings from pictures to weights, figures and card, on a handful of pictures: seconds, and good for nothing."""

import json
import sys

import cv2
import numpy as np
import onnxruntime
import pytest

from tests.unit.vision.stories import CLIP
from vision.bodies import Bodies
from vision.torso import KINDS
from vision.training import eye_network, eyes, torso, torso_data, torso_network, torso_packs
from vision.training.start import fetch_start
from vision.training.torso_packs import There

FRAMES = ["000100", "000160", "000200", "000226"]


@pytest.fixture
def eye_pack(tmp_path):
    """Shut eyes are lines, open ones have a pupil."""
    random = np.random.default_rng(1)
    for state in ("open", "closed"):
        folder = tmp_path / "data" / "eye_crops" / state
        folder.mkdir(parents=True)
        for i in range(80):
            eye = random.normal(150, 8, (60, 80))
            cv2.ellipse(eye, (40, 30), (25, 12 if state == "open" else 1), 0, 0, 360, 60.0, -1)
            cv2.imwrite(str(folder / f"{i:04d}.jpg"), eye.clip(0, 255).astype(np.uint8))
    return tmp_path / "data"


def test_eyes_train_from_pictures_to_weights_figures_and_card(eye_pack, tmp_path, monkeypatch):
    out = tmp_path / "out"
    monkeypatch.setattr(eyes, "SHARES", {"colour": 1.0})
    monkeypatch.setattr(eye_network, "BATCH", 32)
    monkeypatch.setattr(eyes, "write_card", lambda path, *_: path.write_text("card"))  # has rows for all four sources
    monkeypatch.setattr(sys, "argv", ["eyes", "--data", str(eye_pack), "--out", str(out), "--epochs", "8"])
    eyes.main()
    measured = json.loads((out / "eye_state.json").read_text())["colour"]
    assert measured["eyes"] == 160
    assert measured["auc"] > 0.9
    session = onnxruntime.InferenceSession(str(out / "eye_state.onnx"), providers=["CPUExecutionProvider"])
    assert session.run(None, {"crops": np.zeros((2, 1, 32, 32), np.float32)})[0].shape == (2,)


def test_torso_trains_from_crops_to_weights_figures_and_card(tmp_path, monkeypatch):
    """Frames of the demo clip, half of them said to show everything, half kept for the test: every round of the recipe
    in three steps of four pictures, and what follows."""
    monkeypatch.setattr(torso_network, "BATCH", 4)
    for steps in ("FIRST_STEPS", "BRANCH_STEPS", "LATE_STEPS"):
        monkeypatch.setattr(torso, steps, 3)
    kept = ("train", "train", "test", "test")
    examples = [e for i, name in enumerate(FRAMES) for e in cut(name, There(i % 2), kept[i])]
    assert len(examples) == len(FRAMES)
    start = fetch_start()
    answers = {
        **torso.judge_first(examples, start, tmp_path),
        "last": torso.train_last(examples, start, tmp_path),
    }
    torso.write_figures(answers, tmp_path)
    told = json.loads((tmp_path / "torso_infrared.json").read_text())
    assert len(told["calibration"]["slopes"]) == len(KINDS)
    assert told["measured"]["a"]["belt_worn"]["stock photos"]["pictures"] == kept.count("test")
    assert (tmp_path / "torso_infrared.md").read_text().startswith("# Torso")
    assert (tmp_path / "torso_infrared.onnx").stat().st_size < 8_000_000

    monkeypatch.setattr(torso, "train", None)  # what is there already is not trained again
    again = torso.judge_first(examples, start, tmp_path)
    for name, told in again.items():
        assert np.allclose(told.logits, answers[name].logits)


def cut(name, belt, kept):
    known = (True, False, False, False)
    there = (belt, belt, belt, belt)
    picture = torso_packs.Labelled("stock", f"stock/{name}", CLIP / f"{name}.jpg", known, there, cab=kept)
    return torso_data.cut_examples(picture, Bodies())
