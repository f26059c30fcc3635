"""Deletes footage that is past its time, which goes by what became of its event, and keeps on record that it did."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

import orjson
from sqlalchemy import Engine, text

from infra.contracts.events import ReviewState
from infra.runtime.worker import transaction
from infra.settings import Settings
from infra.store.media import MediaStore

BATCH = 500
_DAY_S = 86_400.0

_OLD = text("""
    SELECT media.event_id, media.path FROM event_media AS media LEFT JOIN safety_event AS event USING (event_id)
    WHERE media.deleted_at IS NULL AND media.time < :oldest AND media.time < :now -
        COALESCE((CAST(:days AS jsonb) ->> event.review_state)::int, :days_else) * INTERVAL '1 day'
    ORDER BY media.time LIMIT :batch
""")
_GONE = text("""
    UPDATE event_media SET deleted_at = :now
    FROM unnest(CAST(:ids AS uuid[]), CAST(:paths AS text[])) AS gone (id, path)
    WHERE event_media.event_id = gone.id AND event_media.path = gone.path
""")


def kept_days(settings: Settings) -> Mapping[ReviewState, int]:
    """By review state; all others are kept for ``footage_retention_days``."""
    long = (ReviewState.NEEDS_COACHING, ReviewState.COACHED, ReviewState.NEEDS_RECOGNITION, ReviewState.RECOGNIZED)
    return dict.fromkeys(long, settings.footage_coached_days) | {ReviewState.DISMISSED: settings.footage_dismissed_days}


def purge_footage(engine: Engine, media: MediaStore, settings: Settings, now: datetime) -> int:
    """Delete what is past its time, files first: a row whose file is gone is mended by the next round, a file without
    its row would stay. Files that no row names (a worker died between the two) go when the longest time is over.

    Returns:
        Files deleted.
    """
    by_state, otherwise = kept_days(settings), settings.footage_retention_days
    days = {*by_state.values(), otherwise}
    wanted = {
        "now": now,
        "oldest": now - timedelta(days=min(days)),
        "days": _json(by_state),
        "days_else": otherwise,
        "batch": BATCH,
    }
    deleted = 0
    while True:
        with transaction(engine) as connection:
            rows = connection.execute(_OLD, wanted).all()
            for row in rows:
                media.delete(row.path)
            gone = {"now": now, "ids": [row.event_id for row in rows], "paths": [row.path for row in rows]}
            connection.execute(_GONE, gone)
        deleted += len(rows)
        if len(rows) < BATCH:
            return deleted + media.delete_older(max(days) * _DAY_S)


def _json(days: Mapping[ReviewState, int]) -> str:
    return orjson.dumps({state.value: count for state, count in days.items()}).decode()
