"""Tables of what roads tell of trips: which wait to be matched, and what a match has found."""

from __future__ import annotations

from sqlalchemy import Column, Float, Integer, LargeBinary, Table, Text, Uuid, func
from sqlalchemy.dialects.postgresql import TIMESTAMP

from infra.store.tables import metadata

road_due = Table(  # trips that have ended and wait to be matched
    "road_due",
    metadata,
    Column("trip_id", Uuid, primary_key=True),
    Column("asked_at", TIMESTAMP(timezone=True), nullable=False, server_default=func.now()),
)

trip_roads = Table(
    "trip_roads",
    metadata,
    Column("trip_id", Uuid, primary_key=True),
    Column("end_at", TIMESTAMP(timezone=True), nullable=False),  # as it was then: a trip that goes on is matched again
    Column("tiles", Text, nullable=False),
    Column("matched_at", TIMESTAMP(timezone=True), nullable=False, server_default=func.now()),
    Column("fixes", Integer, nullable=False),
    Column("limits_filled", Integer, nullable=False),  # fixes that the device told no limit of, and the road does
    Column("problem", Text),  # why Valhalla failed; nothing is filled then
    # what the messages told: the trip's columns hold these and what the road adds
    Column("told_known_s", Float, nullable=False),
    Column("told_light_s", Float, nullable=False),
    Column("told_moderate_s", Float, nullable=False),
    Column("told_heavy_s", Float, nullable=False),
    Column("told_severe_s", Float, nullable=False),
    Column("limits", LargeBinary, nullable=False),  # Arrow IPC: time_us, limit_mps, confidence, road of each fix
)
