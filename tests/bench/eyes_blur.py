"""How many faces are found for blurring: labelled persons of the stock photos, whom none of the networks knows."""

from __future__ import annotations

from pathlib import Path

from infra.contracts.events import JsonObject
from vision.core.veil import Spot
from vision.frames import Picture
from vision.spots import FaceSpots
from vision.training.torso_packs import read_boxes, read_rgb, read_rows

PERSONS = {2: 0, 3: 0}  # with a belt, without one
NO_FACE = {"hcl_0036", "hcl_0057", "hcl_0184", "hcl_0192", "hcl_0335", "hcl_0527", "hcl_0531", "hcl_0547"}
"""Photos that end at the neck, and a doll; looked through by eye."""

HEAD_SHARE = 0.6
"""Boxes of persons reach from the head to the waist: a face is in the upper part."""


def measure_blur(data: Path) -> JsonObject:
    """Persons with a face on these photos, alone and with others, and of how many a face was found."""
    pack = data / "belt_phone_yolo"
    spots, counts = FaceSpots(), {"alone": [0, 0], "with others": [0, 0]}
    for row in read_rows(pack):
        if row["name"] in NO_FACE:
            continue
        rgb = read_rgb(pack / "images" / f"{row['name']}.jpg")
        _, boxes = read_boxes(pack, f"images/{row['name']}.jpg", PERSONS)
        (found,) = spots.find([Picture(rgb)])
        count = counts["alone" if len(boxes) == 1 else "with others"]
        count[0] += sum(any(_is_in(spot, box, rgb.shape) for spot in found) for box in boxes.tolist())
        count[1] += len(boxes)
    spots.close()
    return {f"people {name}": f"{found} of {people} faces found" for name, (found, people) in counts.items()} | {
        "share": round(sum(found for found, _ in counts.values()) / sum(people for _, people in counts.values()), 4)
    }


def _is_in(spot: Spot, person: list[float], shape: tuple[int, ...]) -> bool:
    left, top, right, bottom = person
    x = (spot.box.left + spot.box.right) / 2 * shape[1]
    y = (spot.box.top + spot.box.bottom) / 2 * shape[0]
    high = bottom - top
    return bool(left <= x <= right and top - 0.1 * high <= y <= top + HEAD_SHARE * high)
