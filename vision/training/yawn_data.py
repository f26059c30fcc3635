"""Mouths to learn yawns from: where they come from, whose they are, and their shape as the face mesh sees it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from vision.core.mouth import Shape, measure_shape
from vision.frames import Picture, Rgb
from vision.models import MediapipeFaces
from vision.training.tables import read_table

logger = logging.getLogger(__name__)

OTHER, YAWNING = 0, 1
RANGES = 10
EVERY = 3  # frame of a clip that is kept: neighbours are alike
CERTAINLY_SHUT = 0.3
"""Truck cabs carry no yawn labels: only faces whose lips are closer than this are learned from, as no yawns."""

CRIES = {"hcl_0058", "hcl_0174", "hcl_0194", "hcl_0439", "hcl_0506"}
"""Stock pictures of cries and frights: in a single frame they are yawns (looked through by eye)."""

CLIP_STATES = {"closed": OTHER, "talking": OTHER, "talking_smile": OTHER, "yawn": YAWNING}


@dataclass(frozen=True, slots=True, eq=False)
class Mouth:
    """One mouth; ``shape`` is None where no face was found. Groups are never split between training and judging.

    ``state`` is None where nobody has said what it is: judged, for false alarms, and not learned from.
    """

    source: str
    group: str
    name: str
    state: int | None
    shape: Shape | None = None


def read_mouths(data: Path) -> list[Mouth]:
    """All mouths of the packs that are there.

    Raises:
        FileNotFoundError: none is.
    """
    reader = _Reader()
    mouths = [*reader.frames(data), *reader.clips(data / "video"), *reader.awake(data), *reader.stills(data)]
    mouths += reader.truck_cabs(data / "ir_truck_cabs")
    reader.faces.close()
    if not mouths:
        raise FileNotFoundError(f"no yawn_frames, video, belt_phone_yolo or ir_truck_cabs in {data}")
    return mouths


class _Reader:
    def __init__(self) -> None:
        self.faces = MediapipeFaces()

    def frames(self, data: Path) -> Iterator[Mouth]:
        """Yawns and not, in parked cars. The file number is the order of the source, in which a person's frames are
        neighbours: groups are ranges of numbers, the same ranges for both classes."""
        for name, state in (("yawn", YAWNING), ("no_yawn", OTHER)):
            for path in sorted((data / "yawn_frames" / name).glob("*.jpg")):
                yield self._read(_image(path), "frames", _range_of(int(path.stem)), f"{name}/{path.stem}", state)

    def clips(self, folder: Path) -> Iterator[Mouth]:
        """Both drivers are among those of ``frames``: one group with the range in which they yawn."""
        for path, segments in _segments(folder / "annotations.csv").items():
            video = cv2.VideoCapture(str(path))
            step_s = EVERY / video.get(cv2.CAP_PROP_FPS)
            for i, image in enumerate(_frames(video)):
                for state in (word for start, end, word in segments if start <= i * step_s <= end):
                    name = f"{path.stem}/{i * step_s:.2f}/{state}"
                    yield self._read(image, "clips", CLIPS_RANGE, name, CLIP_STATES.get(state))

    def awake(self, data: Path) -> Iterator[Mouth]:
        for row in _rows(data / "awake_drowsy_one_driver" / "index.csv"):
            name = row["name"]
            state = OTHER if row["classes(0=awake,1=drowsy)"] == "0" else None  # some of the drowsy frames are yawns
            image = _image(next((data / "awake_drowsy_one_driver" / "images").glob(f"{name}.*")))
            yield self._read(image, "awake" if state == OTHER else "drowsy", "one-driver", name, state)

    def stills(self, data: Path) -> Iterator[Mouth]:
        """Stock pictures of drivers, many of whom smile or talk; those with open mouths were looked through by eye."""
        for row in _rows(data / "belt_phone_yolo" / "index.csv"):
            image = _image(next((data / "belt_phone_yolo" / "images").glob(f"{row['name']}.*")))
            group = f"{int(row['near_dup_group']) % RANGES}"
            yield self._read(image, "stills", group, row["name"], None if row["name"] in CRIES else OTHER)

    def truck_cabs(self, pack: Path) -> Iterator[Mouth]:
        for row in _rows(pack / "index.csv"):
            mouth = self._read(_image(pack / row["file"]), "truck", row["cab"], row["file"], OTHER)
            said = mouth.shape is None or mouth.shape[0] < CERTAINLY_SHUT
            yield mouth if said else replace(mouth, state=None)

    def _read(self, image: Rgb, source: str, group: str, name: str, state: int | None) -> Mouth:
        (face,) = self.faces.find_faces([Picture(np.ascontiguousarray(image[:, :, ::-1]))])
        shape = None if face is None or face.mesh is None else measure_shape(face.mesh)
        return Mouth(source, group, name, state, shape)


def _range_of(number: int) -> str:
    """Yawns are numbered to 435, the others to 1573: from there on ranges are wider."""
    place = number * RANGES // 440 if number < 440 else (number - 440) * RANGES // 1140
    return f"{min(place, RANGES - 1)}"


CLIPS_RANGE = _range_of(245)


def _segments(path: Path) -> dict[Path, list[tuple[float, float, str]]]:
    found: dict[Path, list[tuple[float, float, str]]] = {}
    for row in _rows(path):
        if row["track"] == "mouth":
            segment = (float(row["start_s"]), float(row["end_s"]), row["state"])
            found.setdefault(path.parent / row["file"], []).append(segment)
    return found


def _frames(video: cv2.VideoCapture) -> Iterator[Rgb]:
    while video.grab():
        yield np.asarray(video.retrieve()[1], np.uint8)
        for _ in range(EVERY - 1):
            video.grab()


def _rows(path: Path) -> Sequence[dict[str, str]]:
    if not path.exists():
        logger.warning("%s is not there: going on without it", path)
        return []
    return read_table(path)


def _image(path: Path) -> Rgb:
    return np.asarray(cv2.imread(str(path)), np.uint8)
