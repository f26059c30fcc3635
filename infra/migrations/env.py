"""Alembic runs this file: the revisions, on the connection that ``infra.migrations.upgrade`` hands over."""

from __future__ import annotations

from alembic import context

from infra.store.road_tables import trip_roads

# importing the last tables has brought all of them in
connection = context.config.attributes["connection"]
if connection is None:
    raise SystemExit("run `rumblestrip migrate`: this project's migrations need no alembic command")
context.configure(connection=connection, target_metadata=trip_roads.metadata)
with context.begin_transaction():
    context.run_migrations()
