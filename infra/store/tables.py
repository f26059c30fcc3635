"""Every table but those of ``rule_tables`` and ``road_tables``. Alembic's first migration creates them from here;
hypertables, policies and aggregates are added where TimescaleDB is (``infra.migrations``)."""

from __future__ import annotations

from sqlalchemy import (
    DDL,
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Float,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    Uuid,
    event,
    text,
)
from sqlalchemy.dialects.postgresql import JSON, JSONB, REAL

metadata = MetaData()


def time_column(name: str, *, nullable: bool = False, primary_key: bool = False) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=nullable, primary_key=primary_key)


# --- the worker's own: where each group stands, and what it remembers of each vehicle ---------------------

lane_position = Table(
    "lane_position",
    metadata,
    Column("consumer_group", Text, primary_key=True),
    Column("lane", Integer, primary_key=True),
    Column("version", BigInteger, nullable=False),  # the fence
    Column("offsets", JSONB, nullable=False),  # topic -> next offset
    Column("clocks", JSONB, nullable=False),  # topic -> newest arrival time up to there, microseconds
)

vehicle_state = Table(
    "vehicle_state",
    metadata,
    Column("consumer_group", Text, primary_key=True),
    Column("vehicle_id", Text, primary_key=True),
    Column("rules_version", Text, primary_key=True),
    Column("lane", Integer, nullable=False),
    Column("state", JSON, nullable=False),  # {"order": …, "room": …}
    Column("wake_us", BigInteger),  # arrival time at which the vehicle wants to be looked at again; null: never
    Index("vehicle_state_wake", "consumer_group", "lane", "wake_us", postgresql_where="wake_us IS NOT NULL"),
)

# Written with every batch and read once a restart: compressing it costs more than all else about it (200 states
# of 6 kB: 58 ms with, 23 ms without).
_UNCOMPRESSED = DDL("ALTER TABLE vehicle_state ALTER COLUMN state SET STORAGE EXTERNAL")  # type: ignore[no-untyped-call]
event.listen(vehicle_state, "after_create", _UNCOMPRESSED)

dead_letter = Table(
    "dead_letter",
    metadata,
    Column("dead_letter_id", Uuid, primary_key=True),  # derived from group, topic, lane, offset, reason
    Column("consumer_group", Text, nullable=False),
    Column("topic", Text, nullable=False),
    Column("lane", Integer, nullable=False),
    Column("record_offset", BigInteger, nullable=False),
    Column("vehicle_id", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("rows", Integer, nullable=False),  # samples or messages it stands for
    Column("payload", LargeBinary),  # the whole message where it could not be read; null where detail says all
    time_column("arrived_at"),
    Index("dead_letter_arrived", "arrived_at"),
)

stream_count = Table(
    "stream_count",
    metadata,
    Column("consumer_group", Text, primary_key=True),
    Column("vehicle_id", Text, primary_key=True),
    Column("word", Text, primary_key=True),  # messages, gps_samples, imu_samples, frames, duplicate, late, missing, …
    Column("total", BigInteger, nullable=False),
)

outbox = Table(
    "outbox",
    metadata,
    Column("outbox_id", BigInteger, Identity(), primary_key=True),
    Column("topic", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("payload", JSONB, nullable=False),
    time_column("sent_at", nullable=True),
)

score_due = Table(  # append only: a driver's day or a trip whose score must be computed again
    "score_due",
    metadata,
    Column("due_id", BigInteger, Identity(), primary_key=True),
    Column("vehicle_id", Text, nullable=False),
    Column("driver_id", Text),
    time_column("at"),  # an instant of the day concerned
)

# --- who is who -------------------------------------------------------------------------------------------

driver = Table(
    "driver",
    metadata,
    Column("driver_id", Text, primary_key=True),
    Column("name", Text, nullable=False),
)

vehicle = Table(
    "vehicle",
    metadata,
    Column("vehicle_id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("vehicle_class", Text, nullable=False),
)

vehicle_tag = Table(  # what groups of vehicles are called: a depot, a customer, a kind of work
    "vehicle_tag",
    metadata,
    Column("tag", Text, primary_key=True),
    Column("vehicle_id", Text, ForeignKey("vehicle.vehicle_id"), primary_key=True),
)

device = Table(
    "device",
    metadata,
    Column("device_id", Text, primary_key=True),
    Column("vehicle_id", Text, ForeignKey("vehicle.vehicle_id"), nullable=False),
    Column("token_hash", Text, nullable=False, unique=True),  # SHA-256 of a 256-bit random token
    time_column("created_at"),
    time_column("revoked_at", nullable=True),
)

app_user = Table(
    "app_user",
    metadata,
    Column("username", Text, primary_key=True),
    Column("role", Text, nullable=False),  # manager, coach, driver
    Column("driver_id", Text),  # a user of role driver sees this driver only
    Column("password_hash", Text, nullable=False),  # argon2
    time_column("created_at"),
    time_column("disabled_at", nullable=True),
)

app_session = Table(  # who is signed in on the desk
    "app_session",
    metadata,
    Column("token_hash", Text, primary_key=True),  # SHA-256 of the 256-bit random cookie
    Column("username", Text, nullable=False),
    Column("password_mark", Text, nullable=False),  # a new password ends the sessions of the old one
    time_column("created_at"),
    time_column("seen_at"),
    Index("app_session_username", "username"),
)

# --- what the vehicles said -------------------------------------------------------------------------------
# No unique key on the three below: the fence and the sequence numbers already make every row once, and plain
# COPY into a table without one is what TimescaleDB compresses directly.

position = Table(
    "position",
    metadata,
    time_column("time"),
    Column("vehicle_id", Text, nullable=False),
    Column("driver_id", Text),
    Column("lat", Float, nullable=False),
    Column("lon", Float, nullable=False),
    Column("speed_mps", REAL),
    Column("heading_deg", REAL),
    Column("accuracy_m", REAL),
    Column("speed_limit_mps", REAL),
    Column("odometer_m", Float),
    Column("ignition", SmallInteger),  # 1, 0, null unknown
    Column("belt_buckled", SmallInteger),
    Index("position_vehicle_time", "vehicle_id", "time"),
)

motion = Table(  # accelerations of one second: in m/s², in the frame that the device sent them in
    "motion",
    metadata,
    time_column("time"),
    Column("vehicle_id", Text, nullable=False),
    Column("samples", SmallInteger, nullable=False),
    *(
        Column(f"{axis}_{statistic}", REAL, nullable=False)
        for axis in ("accel_x", "accel_y", "accel_z")
        for statistic in ("mean", "min", "max", "rms")
    ),
    *(
        Column(f"{axis}_{statistic}", REAL)
        for axis in ("gyro_x", "gyro_y", "gyro_z")
        for statistic in ("mean", "min", "max", "rms")
    ),
    Index("motion_vehicle_time", "vehicle_id", "time"),
)

SIGNALS = (  # the numbers of vision.core.signals, by its names
    "eye_closed",
    "gaze_yaw_deg",
    "gaze_pitch_deg",
    "head_yaw_deg",
    "head_pitch_deg",
    "head_roll_deg",
    "mouth_open",
    "yawn",
    "belt_worn",
    "phone",
    "smoking",
    "drinking",
    "light",
    "sharpness",
    "camera_unfit",
)

observation = Table(  # what vision saw on one frame
    "observation",
    metadata,
    time_column("time"),
    Column("vehicle_id", Text, nullable=False),
    Column("camera", Text, nullable=False),
    Column("face_found", Boolean, nullable=False),  # false also on frames of cameras that nobody looks at
    Column("eye_openness", REAL),  # 0 closed … 1 this driver's usual
    Column("perclos", REAL),  # share of the last minute with eyes at least 80 % closed
    Column("speed_mps", REAL),
    Column("record_offset", BigInteger),  # where the frame lies in its lane, as long as the topic keeps it
    *(Column(name, REAL) for name in SIGNALS),  # null: not measured on this frame
    Index("observation_vehicle_time", "vehicle_id", "time"),
)

# --- what the rooms found ---------------------------------------------------------------------------------

trip = Table(
    "trip",
    metadata,
    Column("trip_id", Uuid, primary_key=True),
    Column("vehicle_id", Text, nullable=False),
    Column("driver_id", Text),
    Column("status", Text, nullable=False),
    time_column("start_at"),
    time_column("end_at"),
    Column("distance_m", Float, nullable=False),
    Column("driving_s", Float, nullable=False),
    Column("limit_known_s", Float, nullable=False),
    Column("over_light_s", Float, nullable=False),
    Column("over_moderate_s", Float, nullable=False),
    Column("over_heavy_s", Float, nullable=False),
    Column("over_severe_s", Float, nullable=False),
    Column("max_speed_mps", Float, nullable=False),
    Column("start_lat", Float),
    Column("start_lon", Float),
    Column("end_lat", Float),
    Column("end_lon", Float),
    Column("rules_version", Text, nullable=False),
    Index("trip_vehicle_start", "vehicle_id", "start_at"),
    Index("trip_driver_start", "driver_id", "start_at"),
)

safety_event = Table(
    "safety_event",
    metadata,
    Column("event_id", Uuid, primary_key=True),
    Column("vehicle_id", Text, nullable=False),
    Column("driver_id", Text),
    Column("kind", Text, nullable=False),
    Column("severity", Text, nullable=False),
    time_column("start_at"),
    time_column("end_at"),
    Column("lat", Float),
    Column("lon", Float),
    Column("speed_mps", Float),
    Column("peak", Float, nullable=False),
    Column("peak_unit", Text, nullable=False),
    Column("confidence", Float, nullable=False),
    Column("rules_version", Text, nullable=False),
    Column("evidence", JSONB, nullable=False),
    # the desk's columns; a worker that writes an event again leaves them as they are
    Column("review_state", Text, nullable=False, server_default="needs_review"),
    Column("dismissal_reason", Text),
    time_column("reviewed_at", nullable=True),
    Column("reviewed_by", Text),
    Index("safety_event_start", "start_at"),
    Index("safety_event_vehicle_start", "vehicle_id", "start_at"),
    Index("safety_event_driver_start", "driver_id", "start_at"),
)

event_trace = Table(
    "event_trace",
    metadata,
    Column("event_id", Uuid, primary_key=True),
    Column("samples", LargeBinary, nullable=False),  # Arrow IPC of ImuSamples' columns, ±10 s
)

event_media = Table(
    "event_media",
    metadata,
    Column("event_id", Uuid, primary_key=True),
    Column("path", Text, primary_key=True),  # inside the media store
    Column("kind", Text, nullable=False),
    time_column("time"),
    Column("shows_driver", Boolean, nullable=False, server_default="false"),  # their face, to those who may see it
    time_column("deleted_at", nullable=True),  # the file is past its retention and gone
    Index("event_media_kept", "time", postgresql_where="deleted_at IS NULL"),
)

event_signal = Table(  # the numbers of each frame around an event
    "event_signal",
    metadata,
    Column("event_id", Uuid, primary_key=True),
    Column("samples", LargeBinary, nullable=False),  # Arrow IPC: see infra.contracts.signal_trace
)

footage_due = Table(  # append only: an event whose clip and signals are to be made, or made again
    "footage_due",
    metadata,
    Column("due_id", BigInteger, Identity(), primary_key=True),
    Column("event_id", Uuid, nullable=False),
    Column("told_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    Column("looks", SmallInteger, nullable=False, server_default="0"),  # how often it was looked at in vain
    Column("look_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),  # not sooner
    Index("footage_due_look", "look_at"),
    Index("footage_due_event", "event_id"),
)

footage_view = Table(  # the audit log of looks at footage
    "footage_view",
    metadata,
    Column("view_id", BigInteger, Identity(), primary_key=True),
    Column("event_id", Uuid, nullable=False),
    Column("path", Text, nullable=False),
    Column("username", Text, nullable=False),
    time_column("at"),
    Index("footage_view_event", "event_id", "at"),
)

review_action = Table(  # the audit log: who did what to an event, for ever
    "review_action",
    metadata,
    Column("action_id", BigInteger, Identity(), primary_key=True),
    Column("event_id", Uuid, ForeignKey("safety_event.event_id"), nullable=False),
    Column("username", Text, nullable=False),
    Column("from_state", Text, nullable=False),
    Column("to_state", Text, nullable=False),
    Column("reason", Text),
    Column("comment", Text, nullable=False, server_default=""),
    time_column("at"),
    Index("review_action_event", "event_id"),
)

score = Table(
    "score",
    metadata,
    Column("scope", Text, primary_key=True),  # trip, driver_day, vehicle_day
    Column("scope_id", Text, primary_key=True),  # trip id, driver id, vehicle id
    Column("day", Date, primary_key=True),  # in the fleet's time zone
    Column("formula", Text, primary_key=True),
    Column("value", Float),  # 0..100; null: nothing driven
    Column("low", Float),  # with high, 90 % of what the score may truly be
    Column("high", Float),
    Column("state", Text, nullable=False),  # scored, too_little_driving, nothing_driven
    Column("distance_m", Float, nullable=False),
    Column("driving_s", Float, nullable=False),
    Column("over_limit_s", Float, nullable=False),
    Column("limit_known_s", Float, nullable=False),
    Column("events", Integer, nullable=False),
    Column("ledger", JSONB, nullable=False),  # list of {"what", "points", …}: "peers", then what happened
)
