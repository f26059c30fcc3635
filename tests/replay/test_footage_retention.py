"""Footage goes at its time, which the event's review decides, and the desk can say since when it is gone."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import text

from infra.clock import to_us
from infra.contracts.events import EventKind, Media, MediaKind, SafetyEvent, Severity, event_id
from infra.runtime.footage_retention import purge_footage
from infra.store import outputs, queries

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def test_dismissed_footage_goes_first_and_coached_footage_last(database, media, settings):
    ids = {}
    for n, (state, age_days) in enumerate(
        [("needs_review", 60), ("needs_review", 100), ("dismissed", 60), ("coached", 100), ("coached", 400)]
    ):
        start_us = to_us(NOW - timedelta(days=age_days)) + n
        key = ids[state, age_days] = event_id("rules", "van", EventKind.MICROSLEEP, start_us)
        still = Media(MediaKind.STILL, f"events/{key}/still.jpg", start_us, b"jpeg")
        where = (start_us, start_us + 1, None, None, 20.0, 1.0, "s", 0.9, "rules", {}, (still,))
        event = SafetyEvent(key, "van", "anna", EventKind.MICROSLEEP, Severity.LOW, *where)
        with database.begin() as connection:
            outputs.write(connection, outputs.Outputs(events=[event]), media, "vision")
            update = text("UPDATE safety_event SET review_state = :state WHERE event_id = :key")
            connection.execute(update, {"state": state, "key": key})
    assert purge_footage(database, media, settings, NOW) == 3
    assert purge_footage(database, media, settings, NOW) == 0
    with database.connect() as connection:
        gone = {name for name, key in ids.items() if queries.media_of(connection, key)[0].deleted_at == NOW}
    assert gone == {("needs_review", 100), ("dismissed", 60), ("coached", 400)}
    kept = {path.parent.name for path in media.root.rglob("still.jpg")}
    assert kept == {str(ids["needs_review", 60]), str(ids["coached", 100])}
