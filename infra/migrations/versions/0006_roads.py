"""Trips that wait to be matched to the road, and what was found."""

from __future__ import annotations

from alembic import op

from infra.store.road_tables import road_due, trip_roads

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    for table in (road_due, trip_roads):
        table.create(op.get_bind(), checkfirst=True)  # on a new database the first revision has made them
