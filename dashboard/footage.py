"""Footage as it is handed out: to whom it may be shown, in the rendition that they may see, with a line on record."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import PurePosixPath
from uuid import UUID

from sqlalchemy import Connection, Engine, text
from starlette.responses import PlainTextResponse, Response

from dashboard.auth import Person
from dashboard.core.privacy import find, may_see_face
from infra.settings import Settings
from infra.store import queries
from infra.store.media import MediaStore, MissingMedia

TYPES = {".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png", ".mp4": "video/mp4"}
GONE = "No such footage: never recorded, past its retention, or not for your eyes."
AWAY = "The store that keeps footage does not answer. The log says why; try again in a minute."
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")

# A player asks for a clip in parts, and again when somebody goes back: one look an hour is one line.
_VIEW = text("""
    INSERT INTO footage_view (event_id, path, username, at) SELECT :event_id, :path, :username, :now
    WHERE NOT EXISTS (SELECT 1 FROM footage_view WHERE event_id = :event_id AND path = :path
        AND username = :username AND at > CAST(:now AS timestamptz) - interval '1 hour')
""")


def read(
    engine: Engine, media: MediaStore, settings: Settings, person: Person, event_id: UUID, name: str, now: datetime
) -> bytes | None:
    """A still or a clip of an event, if this person may see it in this rendition. None otherwise.

    A look at a clip, or at any picture that shows the driver's face, is put on record before the bytes are given out.
    """
    with engine.begin() as connection:
        if queries.event(connection, event_id, person.only_driver) is None:
            return None
        kept = [row for row in queries.media_of(connection, event_id) if row.deleted_at is None]
        found = find(kept, name, may_see_face(person.role, settings.face_roles))
        if found is None:
            return None
        if found.shows_driver or found.kind == "clip":
            _note(connection, event_id, found.path, person.username, now)
    try:
        return media.read(found.path)
    except MissingMedia:
        return None


def respond(content: bytes | None, name: str, wanted: str | None) -> Response:
    """The answer to a request for a file, or for a part of it: players of video go to and fro by ranges.

    It is kept by no cache: whoever sits at the browser next may not be allowed what this person is.
    """
    if content is None:
        return PlainTextResponse(GONE, 404)
    kind = TYPES.get(PurePosixPath(name).suffix.lower(), "application/octet-stream")
    headers = {"cache-control": "private, no-store", "accept-ranges": "bytes"}
    part = _RANGE.fullmatch(wanted or "")
    if part is None or part.groups() == ("", ""):
        return Response(content, media_type=kind, headers=headers)
    first, last = part.groups()
    begin = int(first) if first else max(0, len(content) - int(last))
    end = min(int(last), len(content) - 1) if first and last else len(content) - 1
    if begin > end:
        return Response(status_code=416, headers=headers | {"content-range": f"bytes */{len(content)}"})
    headers["content-range"] = f"bytes {begin}-{end}/{len(content)}"
    return Response(content[begin : end + 1], 206, media_type=kind, headers=headers)


def _note(connection: Connection, event_id: UUID, path: str, username: str, now: datetime) -> None:
    connection.execute(_VIEW, {"event_id": event_id, "path": path, "username": username, "now": now})
