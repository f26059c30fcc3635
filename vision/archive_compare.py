"""Two versions of the eyes over the same archive: where their numbers and events differ. Tables in, figures out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa

from infra.contracts.events import EventKind, JsonObject, MediaKind
from vision.archive import Judged
from vision.core import signals

PROBABILITIES = (
    signals.EYE_CLOSED,
    signals.YAWN,
    signals.BELT_WORN,
    signals.PHONE,
    signals.SMOKING,
    signals.DRINKING,
    signals.CAMERA_UNFIT,
)
SHUT = "eye_openness"
_SLACK_US = 1_000_000  # events of the two that are so near to each other are one

_SHOWS: dict[EventKind, tuple[str, bool]] = {  # what a still of this event has to show, at 0.5
    EventKind.NO_SEAT_BELT: (signals.BELT_WORN, False),
    EventKind.CAMERA_OBSTRUCTED: (signals.CAMERA_UNFIT, True),
    EventKind.PHONE_USE: (signals.PHONE, True),
    EventKind.SMOKING: (signals.SMOKING, True),
    EventKind.DRINKING: (signals.DRINKING, True),
    EventKind.MICROSLEEP: (signals.EYE_CLOSED, True),
    EventKind.SLEEP: (signals.EYE_CLOSED, True),
    EventKind.UNRESPONSIVE: (signals.EYE_CLOSED, True),
}


def compare_numbers(old: pa.Table, new: pa.Table) -> JsonObject:
    """Over the pictures that both have: faces found by each, and per probability how far they are apart and how
    often the verdict at 0.5 is another one."""
    left, right = _matched(old, new)
    found: JsonObject = {"pictures": len(left)}
    if not len(left):
        return found
    found["face_found"] = {"old": _count(left["face_found"]), "new": _count(right["face_found"])}
    for name in PROBABILITIES:
        one, other = (np.asarray(table[name].to_numpy(zero_copy_only=False), np.float64) for table in (left, right))
        both = ~np.isnan(one) & ~np.isnan(other)
        if both.any():
            found[name] = {
                "pictures": int(both.sum()),
                "mean_difference": round(float(np.abs(one - other)[both].mean()), 4),
                "verdicts_changed": int(((one >= 0.5) != (other >= 0.5))[both].sum()),
            }
    return found


def compare_events(old: pa.Table, new: pa.Table) -> JsonObject:
    """By kind: told by the old version, by the new one, and by both at the same time of the same source."""
    before, after = old.to_pylist(), new.to_pylist()
    counts: dict[str, Counter[str]] = {}
    for row in before:
        counts.setdefault(row["kind"], Counter())["old"] += 1
        counts[row["kind"]]["both"] += any(_same(row, other) for other in after)
    for row in after:
        counts.setdefault(row["kind"], Counter())["new"] += 1
    return {kind: {word: counts[kind][word] for word in ("old", "new", "both")} for kind in sorted(counts)}


def compare_stored(judged: Iterable[Judged]) -> JsonObject:
    """Events of the database against what their footage shows now, by kind: ``confirmed``, told as ``another`` kind,
    ``gone``, or ``unclear`` (their footage does not tell: no clip, or the number was not measured)."""
    counts: dict[str, Counter[str]] = {}
    verdicts: dict[tuple[str, str], list[str]] = {}
    for one in judged:
        if one.item.stored is not None:
            key = (str(one.item.stored.kind), one.item.stored.event_id)
            verdicts.setdefault(key, []).append(_verdict(one, one.item.stored.kind, one.item.stored.media))
    for (kind, _), said in verdicts.items():
        best = next(word for word in ("confirmed", "another", "gone", "unclear") if word in said)
        counts.setdefault(kind, Counter())[best] += 1
    return {kind: dict(sorted(count.items())) for kind, count in sorted(counts.items())}


def _verdict(one: Judged, kind: EventKind, media: MediaKind) -> str:
    if media is MediaKind.CLIP:
        kinds = set(one.events["kind"].to_pylist())
        readable = one.observations["unreadable"].null_count > 0
        return "confirmed" if str(kind) in kinds else "another" if kinds else "gone" if readable else "unclear"
    name, wanted = _SHOWS.get(kind, (None, True))
    values: Sequence[float | None] = one.observations[name].to_pylist() if name else []
    known = [value for value in values if value is not None]
    return "unclear" if not known else "confirmed" if (known[0] >= 0.5) is wanted else "gone"


def _same(one: dict[str, object], other: dict[str, object]) -> bool:
    if (one["source"], one["kind"]) != (other["source"], other["kind"]):
        return False
    starts, ends = (
        (int(str(row["start_us"])) for row in (one, other)),
        (int(str(row["end_us"])) for row in (one, other)),
    )
    return max(starts) <= min(ends) + _SLACK_US


def _matched(old: pa.Table, new: pa.Table) -> tuple[pa.Table, pa.Table]:
    """The rows of the pictures that both have, in the same order."""
    places = [{key: row for row, key in enumerate(_keys(table))} for table in (old, new)]
    shared = [key for key in places[0] if key in places[1]]
    left, right = (
        table.take(pa.array([place[key] for key in shared], pa.int64()))
        for table, place in zip((old, new), places, strict=True)
    )
    return left, right


def _keys(table: pa.Table) -> list[tuple[object, object]]:
    return list(zip(table["source"].to_pylist(), table["index"].to_pylist(), strict=True))


def _count(column: pa.ChunkedArray) -> int:
    return sum(value is True for value in column.to_pylist())
