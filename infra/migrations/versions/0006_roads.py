"""Trips that wait to be matched to the road, and what was found."""

from __future__ import annotations

from alembic import op

from infra.store.road_tables import metadata

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    metadata.create_all(op.get_bind())
