"""Footage of events in the media store, looked over again."""

import io
import uuid

from infra.contracts.events import EventKind, Media, MediaKind, SafetyEvent, Severity
from infra.store.outputs import Outputs, write
from tests.unit.vision.stories import START_US, drawn
from tests.unit.vision.test_archive import look
from vision import eyes_cli as command
from vision.archive_compare import compare_stored

WIDE = 220


def test_stored_footage_of_events_is_taken_from_the_database_and_nothing_there_changes(database, media, tmp_path):
    def event(kind, shows):
        sink = io.BytesIO(drawn(WIDE))
        key = uuid.uuid4()
        footage = Media(MediaKind.STILL, f"events/{key}/{shows}.jpg", START_US, sink.getvalue(), shows)
        speeds = (None, None, 20.0, 1.0, "s", 0.9)
        return SafetyEvent(
            key, "van", "anna", kind, Severity.LOW, START_US, START_US, *speeds, "eyes-1",
            {"usual_aspect_ratio": 0.3}, (footage,),
        )  # fmt: skip

    with database.begin() as connection:
        write(connection, Outputs(events=[event(EventKind.SLEEP, True), event(EventKind.PHONE_USE, False)]), media, "v")
    (item,) = command.stored_items(database)
    assert (item.stored.kind, item.stored.usual_aspect_ratio) == (EventKind.SLEEP, 0.3)
    (one,) = look([item], media)
    assert one.observations["face_found"].to_pylist() == [True]
    assert compare_stored([one]) == {"sleep": {"unclear": 1}}, "no head that says whether eyes are shut"
