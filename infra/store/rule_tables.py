"""Tables of rules: which are in force since when, what others would change, what was learned of peers."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Float, Identity, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB

from infra.store.tables import metadata, time_column

what_if_event = Table(  # what other rules, tried on a window, would lose and gain: rescore's side group
    "what_if_event",
    metadata,
    Column("name", Text, primary_key=True),  # of the rules
    Column("event_id", Uuid, primary_key=True),
    Column("outcome", Text, primary_key=True),  # lost, gained
    Column("estimated", Boolean, nullable=False),  # from seconds of motion; if not, exact
    Column("vehicle_id", Text, nullable=False),
    Column("driver_id", Text),
    Column("kind", Text, nullable=False),
    Column("severity", Text, nullable=False),
    time_column("start_at"),
    time_column("end_at"),
    Column("lat", Float),
    Column("lon", Float),
    Column("peak", Float, nullable=False),
    Column("peak_unit", Text, nullable=False),
    Column("evidence", JSONB, nullable=False),
)

rules_change = Table(  # the audit log of weights and thresholds: the newest is in force
    "rules_change",
    metadata,
    Column("change_id", BigInteger, Identity(), primary_key=True),
    Column("name", Text, nullable=False),
    Column("content", JSONB, nullable=False),  # as it was in the file
    Column("username", Text, nullable=False),
    time_column("at"),
)

peer_fit = Table(  # what was learned of peers, and of which days: the newest is in force
    "peer_fit",
    metadata,
    Column("fit_id", BigInteger, Identity(), primary_key=True),
    Column("content", JSONB, nullable=False),  # vehicle class -> events, bands -> word -> count, exposure, severity
    time_column("since"),
    time_column("until"),
    Column("username", Text, nullable=False),
    time_column("at"),
)
