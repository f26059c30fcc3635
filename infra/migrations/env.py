"""Alembic runs this file: the revisions, on the connection that ``infra.migrations.upgrade`` hands over."""

from __future__ import annotations

from alembic import context

from infra.store import road_tables, rule_tables

# importing the last tables brings all of them in, under the one metadata that they share
METADATA = rule_tables.peer_fit.metadata
assert METADATA is road_tables.trip_roads.metadata
connection = context.config.attributes["connection"]
if connection is None:
    raise SystemExit("run `rumblestrip migrate`: this project's migrations need no alembic command")
context.configure(connection=connection, target_metadata=METADATA)
with context.begin_transaction():
    context.run_migrations()
