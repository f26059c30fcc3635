"""The present models and rules over footage that is kept: drives, videos, folders, and stills and clips of events.

Three stages, each a function of its own: pictures are read (``read_item``), looked at (``looking.Eyes``), and judged in
the order of their times (``judge_item``). ``rumblestrip eyes`` runs them here, ``vision.archive_ray`` on a cluster.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import pyarrow as pa

from infra.contracts.events import EventKind, MediaKind
from infra.store.media import MediaStore
from vision.core import signals
from vision.core.driver import DriverState
from vision.core.eyes import LEARNING_US, learn
from vision.core.rules.shape import Finding
from vision.frames import Picture, UnusableFrame, decode_any_picture, shrink
from vision.looking import CHUNK, Eyes, Look
from vision.service import RULES_VERSION
from vision.sources import Shot, Unreadable
from vision.watch import open_source
from vision.watching import Happened, Missed, Seen, judge_in_time, look_at

SIGNALS = tuple(name for word, name in vars(signals).items() if word.isupper())
"""Every number that a frame may have."""

OBSERVATIONS = pa.schema(
    [
        ("source", pa.string()),
        ("file", pa.string()),
        ("index", pa.int64()),
        ("time_us", pa.int64()),
        ("unreadable", pa.string()),  # why nothing is known of this picture
        ("face_found", pa.bool_()),
        ("eye_openness", pa.float32()),
        ("perclos", pa.float32()),
        ("speed_mps", pa.float32()),
        *((name, pa.float32()) for name in SIGNALS),
    ]
)
EVENTS = pa.schema(
    [
        ("source", pa.string()),
        ("kind", pa.string()),
        ("severity", pa.string()),
        ("start_us", pa.int64()),
        ("end_us", pa.int64()),
        ("peak", pa.float64()),
        ("peak_unit", pa.string()),
        ("confidence", pa.float64()),
    ]
)


@dataclass(frozen=True, slots=True)
class Stored:
    """The event whose footage an item is, as the database has it."""

    event_id: str
    kind: EventKind
    media: MediaKind
    speed_mps: float | None
    usual_aspect_ratio: float | None  # of the driver's open eyes, when it was judged


@dataclass(frozen=True, slots=True)
class Item:
    """One source of the archive: a path on disk or, with ``stored``, inside the media store."""

    name: str
    path: str
    stored: Stored | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    """What came of one item."""

    item: Item
    observations: pa.Table
    events: pa.Table


def version() -> str:
    """Of what looks and judges now: the rules' version and the weights' hash."""
    weights = sorted(files("vision").joinpath("weights").iterdir(), key=lambda file: file.name)
    digest = hashlib.sha256()
    for file in weights:
        if file.name.endswith(".onnx"):
            digest.update(file.read_bytes())
    return f"{RULES_VERSION}-{digest.hexdigest()[:8]}"


def look_over(items: Iterable[Item], eyes: Eyes, media: MediaStore) -> Iterator[Judged]:
    """All three stages here, one item after the other."""
    for item in items:
        yield judge_item(item, look_at(read_item(item, media), lambda pictures, _: eyes.look(pictures), CHUNK))


def read_item(item: Item, media: MediaStore) -> Iterator[Shot]:
    """The pictures of an item. What cannot be opened at all is one shot that says why."""
    try:
        if item.stored is None:
            yield from open_source(item.path, None, False).shots()
        elif item.stored.media is MediaKind.STILL:
            yield Shot(item.path, 0, None, _still(media.read(item.path)))
        else:
            yield from _clip(item.path, media.read(item.path))
    except (ValueError, LookupError, OSError) as error:  # SourceError and DriveError are ValueErrors
        yield Shot(item.path, 0, None, Unreadable("source_unreadable", str(error)[:200]))


def judge_item(item: Item, looks: Iterable[tuple[Shot, Look | Unreadable]]) -> Judged:
    """The last stage: pure, and quick. ``looks`` in the order of their times."""
    rows: list[Mapping[str, object]] = []
    events: list[Mapping[str, object]] = []
    for told in judge_in_time(looks, _begin(item), item.stored.speed_mps if item.stored else None):
        if isinstance(told, Happened):
            events += [_event(item, told.finding)] if told.over else []
        else:
            rows.append(_observation(item, told))
    return Judged(item, pa.Table.from_pylist(rows, OBSERVATIONS), pa.Table.from_pylist(events, EVENTS))


def find_items(paths: Sequence[Path]) -> list[Item]:
    """Each path is one source, or a folder of sources: drives and videos in it, at any depth."""
    found: list[Item] = []
    for path in paths:
        inside = sorted(_sources_in(path)) if path.is_dir() else []
        found += [Item(str(source), str(source)) for source in inside or [path]]
    return found


def _sources_in(folder: Path) -> Iterator[Path]:
    from infra.drives.folder import FRAMES

    yield from (frames.parent for frames in folder.rglob(FRAMES))
    yield from (path for path in folder.rglob("*") if path.suffix.lower() in (".mp4", ".avi", ".mov", ".mkv", ".webm"))


def _begin(item: Item) -> DriverState:
    """A clip is too short to learn the driver's eyes from: what was known of them then is where it begins."""
    state = DriverState()
    usual = item.stored.usual_aspect_ratio if item.stored else None
    return state if usual is None else replace(state, baseline=learn(state.baseline, usual, LEARNING_US))


def _still(content: bytes) -> Picture | Unreadable:
    try:
        return decode_any_picture(content)
    except UnusableFrame as error:
        return Unreadable(error.reason, error.detail)


def _clip(path: str, content: bytes) -> Iterator[Shot]:
    import av

    with av.open(io.BytesIO(content), "r") as container:
        for index, frame in enumerate(container.decode(video=0)):
            at_us = round((frame.time or 0.0) * 1e6)
            yield Shot(path, index, at_us, shrink(np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)))


def _event(item: Item, found: Finding) -> Mapping[str, object]:
    words = {"source": item.name, "kind": str(found.kind), "severity": str(found.severity)}
    return words | {name: getattr(found, name) for name in ("start_us", "end_us", "peak", "peak_unit", "confidence")}


def _observation(item: Item, told: Seen | Missed) -> Mapping[str, object]:
    shot = told.shot
    place = {"source": item.name, "file": shot.source, "index": shot.index, "time_us": shot.time_us}
    if isinstance(told, Missed):
        return place | {"unreadable": told.why.reason}
    numbers: dict[str, object] = {name: told.look.signals.get(name) for name in SIGNALS}
    known = {"face_found": told.look.face_found, "eye_openness": told.openness, "perclos": told.perclos}
    return place | numbers | known | {"speed_mps": told.speed_mps}
