"""Clips and signals of events, who looked at footage, and where a frame lies on the bus."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from infra.store.tables import event_signal, footage_due, footage_view

revision = "0004"
down_revision = "0003"

SEEN = (
    "record_offset eye_closed gaze_yaw_deg gaze_pitch_deg head_yaw_deg head_pitch_deg head_roll_deg mouth_open yawn "
    "belt_worn phone smoking drinking light sharpness camera_unfit"
).split()


def upgrade() -> None:
    connection = op.get_bind()
    for table in (event_signal, footage_due, footage_view):
        table.create(connection, checkfirst=True)  # on a new database the first revision has made them
    for name in SEEN:
        kind = "BIGINT" if name == "record_offset" else "REAL"
        op.execute(f"ALTER TABLE observation ADD COLUMN IF NOT EXISTS {name} {kind}")
    if "shows_driver" in {column["name"] for column in sa.inspect(connection).get_columns("event_media")}:
        return
    # Stills of earlier versions are not blurred: they are for those who may see the driver.
    op.execute("ALTER TABLE event_media ADD COLUMN shows_driver BOOLEAN NOT NULL DEFAULT true")
    op.execute("ALTER TABLE event_media ALTER COLUMN shows_driver SET DEFAULT false")
    op.execute("ALTER TABLE event_media ADD COLUMN deleted_at TIMESTAMPTZ")
    op.execute("CREATE INDEX event_media_kept ON event_media (time) WHERE deleted_at IS NULL")
