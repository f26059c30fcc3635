"""What the eye-state network learns from: read and varied without torch."""

import csv

import cv2
import numpy as np
import pytest

from tests.unit.vision.stories import CLIP
from vision.eye_crops import CROP_PX
from vision.training.eye_augment import augment, plain
from vision.training.eye_data import OPEN, SHUT, WIDE_PX, read_examples


def write_index(pack, rows):
    with (pack / "index.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture
def packs(tmp_path):
    """Small packs of the same layout; the truck cab is a frame of the demo clip, its left eye boxed as shut."""
    eye = np.tile(np.arange(60, 180, dtype=np.uint8), (80, 1))
    for state in ("open", "closed"):
        (tmp_path / "eye_crops" / state).mkdir(parents=True)
        for i in range(4):
            cv2.imwrite(str(tmp_path / "eye_crops" / state / f"{i:04d}.jpg"), eye)
    infrared = tmp_path / "ir_eye_crops"
    (infrared / "closed").mkdir(parents=True)
    cv2.imwrite(str(infrared / "closed" / "a.jpg"), eye)
    write_index(infrared, [{"file": "closed/a.jpg", "class": "closed", "subject": "s0001"}])
    trucks = tmp_path / "ir_truck_cabs"
    for folder in ("images", "labels"):
        (trucks / folder).mkdir(parents=True)
    (trucks / "images" / "t.jpg").write_bytes((CLIP / "000226.jpg").read_bytes())
    (trucks / "labels" / "t.txt").write_text("1 0.4918 0.553 0.08 0.06\n4 0.5 0.9 0.2 0.1\n")
    write_index(trucks, [{"file": "images/t.jpg", "cab": "cab01", "clip": "clip050"}])
    return tmp_path


def test_every_pack_gives_its_eyes_with_state_and_group(packs):
    examples = read_examples(packs)
    found = [(e.source, e.group, e.state) for e in examples]
    assert found.count(("colour", "colour-00", OPEN)) == 1
    assert sum(source == "colour" for source, _, _ in found) == 8
    assert ("infrared", "s0001", SHUT) in found
    assert ("truck_box", "cab01", SHUT) in found
    assert all(example.wide.shape == (WIDE_PX, WIDE_PX) for example in examples)
    assert {(e.source, e.clip) for e in examples if e.mask} == {("truck_box", "clip050"), ("truck_mesh", "clip050")}


def test_mesh_eye_takes_the_state_of_the_box_it_lies_in(packs):
    mesh = [example for example in read_examples(packs) if example.source == "truck_mesh"]
    assert [example.state for example in mesh] == [SHUT]


def test_folder_without_packs_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="eye_crops"):
        read_examples(tmp_path)


def test_plain_crop_is_the_middle_of_the_wide_one():
    wide = np.zeros((WIDE_PX, WIDE_PX), np.uint8)
    wide[WIDE_PX // 2 - 4 : WIDE_PX // 2 + 4, WIDE_PX // 2 - 4 : WIDE_PX // 2 + 4] = 255
    crop = plain(wide)
    rows, columns = np.nonzero(crop > 128)
    assert crop.shape == (CROP_PX, CROP_PX)
    assert abs(rows.mean() - (CROP_PX - 1) / 2) < 1
    assert abs(columns.mean() - (CROP_PX - 1) / 2) < 1


def test_augmentation_is_seeded_and_keeps_the_eye_in_sight():
    wide = np.full((WIDE_PX, WIDE_PX), 120, np.uint8)
    cv2.circle(wide, (WIDE_PX // 2, WIDE_PX // 2), 7, 20, -1)
    made = [augment(wide, np.random.default_rng(seed)) for seed in range(40)]
    assert (made[3] == augment(wide, np.random.default_rng(3))).all()
    assert all(crop.shape == (CROP_PX, CROP_PX) and crop.dtype == np.uint8 for crop in made)
    darkest = [np.unravel_index(cv2.blur(crop, (5, 5)).argmin(), crop.shape) for crop in made]
    away = [abs(row - 16) < 9 and abs(column - 16) < 9 for row, column in darkest]
    assert sum(away) > 30
