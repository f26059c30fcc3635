"""Scores with their interval and state; what was learned of peers; tags of vehicles."""

from __future__ import annotations

from alembic import op
from sqlalchemy import text

from infra.store.rule_tables import peer_fit
from infra.store.tables import vehicle_tag

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    connection = op.get_bind()
    for table in (peer_fit, vehicle_tag):
        table.create(connection, checkfirst=True)
    for column, kind in (("low", "float8"), ("high", "float8"), ("state", "text")):
        op.execute(f"ALTER TABLE score ADD COLUMN IF NOT EXISTS {column} {kind}")
    # Scores of the formula before are computed anew by the workers, from the trips and events.
    connection.execute(text("DELETE FROM score"))
    op.execute("ALTER TABLE score ALTER COLUMN state SET NOT NULL")
    connection.execute(
        text(
            "INSERT INTO score_due (vehicle_id, driver_id, at) "
            "SELECT vehicle_id, driver_id, start_at FROM trip WHERE status = 'ended'"
        )
    )
