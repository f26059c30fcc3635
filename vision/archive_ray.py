"""The archive as a Ray Data job: reading on CPUs and looking where the models run are stages that scale apart.

It calls the same functions as ``rumblestrip eyes`` without ``--ray``, in the same chunks. On machines with GPUs give
``look`` resources there; the networks that ship run on CPUs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from infra.store.media import MediaStore
from vision.archive import EVENTS, OBSERVATIONS, Item, Judged, judge_item, read_item
from vision.core.seat import Box
from vision.frames import Picture
from vision.heads import default_heads
from vision.looking import CHUNK, Eyes, Look
from vision.models import MediapipeFaces
from vision.sources import Shot, Unreadable

Row = dict[str, Any]
MOST_PARTITIONS = 200
"""Of the shuffle that brings an item's rows together; without pixels a row has about a kilobyte."""

_NOTHING = np.zeros((1, 1, 3), np.uint8)  # stands for the pixels of what could not be read


def look_over_with_ray(
    items: Sequence[Item], media: MediaStore, readers: int = 1, lookers: int = 1, looker_gpus: float = 0.0
) -> Iterator[Judged]:
    """What ``archive.look_over`` gives, one item after the other.

    Args:
        readers: tasks that read and decode at once.
        lookers: processes that hold the models.
        looker_gpus: of each of these.
    """
    import ray
    from ray.data import ActorPoolStrategy, DataContext, TaskPoolStrategy

    DataContext.get_current().enable_progress_bars = False
    looked = (
        ray.data.from_items([{"item": place} for place in range(len(items))], override_num_blocks=len(items))
        .flat_map(partial(read, items=list(items), media=media), compute=TaskPoolStrategy(size=readers))
        .map_batches(Looker, batch_size=CHUNK, compute=ActorPoolStrategy(size=lookers), num_gpus=looker_gpus)
    )
    judged = looked.groupby("item", num_partitions=min(len(items), MOST_PARTITIONS)).map_groups(
        partial(judge, items=list(items)), batch_format="pandas"
    )
    found = {int(row["item"]): row for row in judged.take_all()}
    for place, item in enumerate(items):
        yield _judged(item, found.get(place))


def read(row: Row, items: Sequence[Item], media: MediaStore) -> list[Row]:
    """Stage one: the pictures of one item, each a row."""
    return [_pack(int(row["item"]), shot) for shot in read_item(items[int(row["item"])], media)]


class Looker:
    """Stage two: a process with the models. Pixels come in; what leaves has none."""

    def __init__(self) -> None:
        self._eyes = Eyes(MediapipeFaces(), default_heads())

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        pixels, scales = batch.pop("rgb"), batch.pop("scale")
        readable = [i for i, why in enumerate(batch["unreadable"]) if not why]
        pictures = [Picture(np.ascontiguousarray(pixels[i], np.uint8), int(scales[i])) for i in readable]
        looks = dict(zip(readable, map(_dump_look, self._eyes.look(pictures)), strict=True))
        return batch | {"look": np.array([looks.get(i, b"") for i in range(len(pixels))], object)}


def judge(rows: Any, items: Sequence[Item]) -> Any:
    """Stage three: one item's rows in the order of their times."""
    import pandas as pd

    place = int(rows["item"].iloc[0])
    ordered = rows.sort_values("index").to_dict("records")
    one = judge_item(items[place], (_unpack(row) for row in ordered))
    tables = {"observations": _to_bytes(one.observations), "events": _to_bytes(one.events)}
    return pd.DataFrame([{"item": place} | tables])


def _pack(place: int, shot: Shot) -> Row:
    picture = shot.picture
    whole = isinstance(picture, Picture)
    return {
        "item": place,
        "index": shot.index,
        "file": shot.source,
        "time_us": -1 if shot.time_us is None else shot.time_us,
        "speed_mps": float("nan") if shot.speed_mps is None else shot.speed_mps,
        "rgb": picture.rgb if isinstance(picture, Picture) else _NOTHING,
        "scale": picture.scale if isinstance(picture, Picture) else 1,
        "unreadable": "" if whole or isinstance(picture, Picture) else f"{picture.reason}: {picture.detail}",
    }


def _unpack(row: Row) -> tuple[Shot, Look | Unreadable]:
    reason, _, detail = str(row["unreadable"]).partition(": ")
    gone = Unreadable(reason or "looked_at", detail)
    time_us = None if row["time_us"] < 0 else int(row["time_us"])
    speed_mps = None if np.isnan(row["speed_mps"]) else float(row["speed_mps"])
    shot = Shot(str(row["file"]), int(row["index"]), time_us, gone, speed_mps)
    return shot, gone if reason else _load_look(row["look"])


def _dump_look(look: Look) -> bytes:
    box = look.box and [look.box.left, look.box.top, look.box.right, look.box.bottom]
    numbers = {name: float(value) for name, value in look.signals.items()}
    return orjson.dumps([look.face_found, look.aspect_ratio, numbers, box, look.picture_hash])


def _load_look(packed: bytes) -> Look:
    face_found, aspect_ratio, numbers, box, picture_hash = orjson.loads(packed)
    return Look(face_found, aspect_ratio, numbers, Box(*box) if box else None, picture_hash)


def _to_bytes(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return bytes(sink.getvalue())


def _judged(item: Item, row: Row | None) -> Judged:
    """An item without a single picture has no row."""
    if row is None:
        return Judged(item, OBSERVATIONS.empty_table(), EVENTS.empty_table())
    observations, events = (pa.ipc.open_stream(row[name]).read_all() for name in ("observations", "events"))
    return Judged(item, observations, events)
