"""All tables; hypertables, compression and continuous aggregates where TimescaleDB is, plain views elsewhere."""

from __future__ import annotations

from alembic import op

from infra.migrations import timescale
from infra.store.engine import has_timescale
from infra.store.tables import metadata

revision = "0001"
down_revision = None


def upgrade() -> None:
    connection = op.get_bind()
    metadata.create_all(connection)
    if has_timescale(connection):
        timescale.create_hypertables(connection)
        timescale.create_continuous_aggregates(connection)
    else:
        timescale.create_views(connection)
