"""Settings: one strict object, from RUMBLESTRIP_* variables or a TOML file. Nothing reads the environment but this."""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from infra.contracts.events import EventKind

PREFIX = "RUMBLESTRIP_"


class SettingsError(ValueError):
    """A setting is unknown or out of range; the message names it and says what it takes."""


class Settings(BaseSettings):
    """Every knob. ``rumblestrip doctor`` prints them with their values."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    data_dir: Path = Field(
        Path(".rumblestrip"),
        title="Data folder",
        description="Where the embedded database, media, logs and local services keep their files.",
    )
    bus: Literal["memory", "kafka"] = Field(
        "memory", title="Bus", description="memory: one process. kafka: Apache Kafka at kafka_bootstrap."
    )
    kafka_bootstrap: str = Field(
        "localhost:9092", title="Kafka brokers", description="host:port, several separated by commas."
    )
    topic_prefix: str = Field(
        "",
        title="Topic prefix",
        description="Put before every topic name, for several fleets on one cluster.",
    )
    database_url: SecretStr | None = Field(
        None,
        title="Database",
        description="postgresql://user:password@host:port/name. Empty: the embedded PostgreSQL.",
    )
    timescaledb: Path | None = Field(
        None,
        title="Built TimescaleDB",
        description="A folder with lib/ and share/ of a TimescaleDB built for the embedded PostgreSQL.",
    )
    lanes: int = Field(
        24,
        ge=1,
        le=1024,
        title="Lanes",
        description="Partitions of each laned topic: the most workers that can share a room's work.",
    )
    late_window_s: float = Field(
        120.0,
        gt=0,
        title="Late window (s)",
        description="How long a worker holds batches that came ahead of a missing one. "
        "Raising it mends longer disorder and delays events after a real loss.",
    )
    worker_batch: int = Field(
        500, ge=1, title="Worker batch", description="The most messages folded in one transaction."
    )
    max_poison_run: int = Field(
        100,
        ge=1,
        title="Poison limit",
        description="A worker stops, loudly, after this many bad messages in a row.",
    )

    state_cache: int = Field(
        20_000, ge=1, title="Vehicles remembered", description="States a worker keeps in memory; others are read again."
    )
    max_held_bytes: int = Field(
        2_000_000,
        ge=0,
        title="Most bytes held",
        description="Of one device's messages that wait for a missing one. Over it the wait ends early.",
    )
    tick_s: float = Field(
        30.0,
        gt=0,
        title="Tick (s)",
        description="How often a tick is put into every lane, so that waiting ends where nothing else comes.",
    )
    max_message_bytes: int = Field(
        5_000_000, ge=1_000, title="Largest message (bytes)", description="On the bus. Topics are created with it."
    )
    topic_retention_hours: int = Field(
        168,
        ge=1,
        title="Topics kept (hours)",
        description="How long the log outlives a worker's outage. Topics are created with it.",
    )

    gateway_host: str = Field("127.0.0.1", title="Gateway address", description="0.0.0.0 to serve the network.")
    gateway_port: int = Field(8600, ge=0, le=65535, title="Gateway port", description="0: any free port.")
    metrics_token: SecretStr | None = Field(
        None,
        title="Token for /metrics",
        description="What Prometheus sends to the gateway as bearer token. Empty: /metrics tells nobody.",
    )
    max_body_bytes: int = Field(
        4_000_000, ge=1_000, title="Largest body (bytes)", description="Of a request, as it comes in."
    )
    max_decoded_bytes: int = Field(
        32_000_000,
        ge=1_000,
        title="Largest body, decompressed (bytes)",
        description="Stops gzip and zstd bombs.",
    )
    max_batch_rows: int = Field(
        60_000,
        ge=1,
        title="Most samples a request",
        description="GPS and IMU rows together; 10 min at 100 Hz.",
    )
    max_observations: int = Field(
        6_000, ge=1, title="Most observations a request", description="Rows, one a picture; 10 min at 10 a second."
    )
    max_frames: int = Field(100, ge=1, title="Most frames a request", description="")
    max_frame_pixels: int = Field(
        4_200_000,
        ge=10_000,
        title="Most pixels a frame",
        description="Read from the header, before decoding.",
    )
    requests_per_minute: int = Field(
        600,
        ge=1,
        title="Requests per device and minute",
        description="More are answered 429 with Retry-After.",
    )
    max_ahead_s: float = Field(86_400.0, title="Clock ahead (s)", description="Samples further ahead are refused.")
    max_behind_s: float = Field(
        366 * 86_400.0, title="Clock behind (s)", description="Samples further behind are refused."
    )

    dashboard_host: str = Field("127.0.0.1", title="Dashboard address", description="0.0.0.0 to serve the network.")
    dashboard_port: int = Field(8601, ge=0, le=65535, title="Dashboard port", description="0: any free port.")
    time_zone: str = Field(
        "UTC", title="Fleet time zone", description="IANA name. Days begin, and times are shown, in it."
    )
    units: Literal["metric", "imperial"] = Field("metric", title="Units shown", description="km/h or mph.")

    road_tiles: Path | None = Field(
        None,
        title="Road tiles",
        description="A folder that `rumblestrip roads build` made. Posted limits that devices do not send are then "
        "taken from OpenStreetMap when a trip has ended (needs rumblestrip[roads]).",
    )
    in_cab_gates_mps: dict[EventKind, float] = Field(
        {},
        title="Speeds from which the eyes judge (m/s)",
        description='Instead of the table in vision/core/rules/gates.py, as JSON: {"no_seat_belt": 4.5}.',
    )
    position_retention_days: int = Field(
        400, ge=1, title="Positions kept (days)", description="Also motion rows and observations."
    )
    media_url: str = Field(
        "",
        title="Media store",
        description="Where stills and clips are kept, as fsspec names it: s3://bucket/folder (needs rumblestrip[s3], "
        "and AWS_ACCESS_KEY_ID and the like). "
        "Empty: media/ in the data folder.",
    )
    footage_retention_days: int = Field(
        90, ge=1, title="Footage kept (days)", description="Stills and clips of events."
    )
    footage_dismissed_days: int = Field(
        30, ge=1, title="Footage of dismissed events kept (days)", description="Counted, as the others, from the event."
    )
    footage_coached_days: int = Field(
        365,
        ge=1,
        title="Footage of coached events kept (days)",
        description="Also of events that wait for coaching or recognition.",
    )
    vision_lag_s: float = Field(
        600.0,
        gt=0,
        title="Oldest frames looked at (s)",
        description="Where the eyes cannot keep up, frames that came longer ago than this and the late window together "
        "are not looked at, and counted as frames_skipped. Clips show them all the same.",
    )
    footage_wait_s: float = Field(
        120.0,
        gt=0,
        title="Wait for frames (s)",
        description="A clip is made when frames of after its event have come, or this long after the event came.",
    )
    faces_shown_to: str = Field(
        "manager,driver",
        pattern=r"^((manager|coach|driver)(, ?(manager|coach|driver))*)?$",
        title="Driver's face shown to",
        description="Roles, separated by commas; a driver sees only their own. All others, and all passengers, are "
        "blurred.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", title="Log level", description="")

    @field_validator("in_cab_gates_mps", mode="before")
    @classmethod
    def _gates_as_json(cls, value: object) -> object:
        """The environment has only text."""
        return json.loads(value) if isinstance(value, str) else value

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(f"{value!r} is not an IANA time zone such as Europe/Berlin") from error
        return value

    @property
    def face_roles(self) -> frozenset[str]:
        """``faces_shown_to``, apart."""
        return frozenset(word.strip() for word in self.faces_shown_to.split(",") if word.strip())

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)


def load(path: Path | None = None, **overrides: Any) -> Settings:
    """Settings from a TOML file (or the one that RUMBLESTRIP_CONFIG names), the environment, and overrides,
    the last winning.

    Raises:
        SettingsError: an unknown name, or a value out of range.
    """
    named = os.environ.get(f"{PREFIX}CONFIG")
    path = path or (Path(named) if named else None)
    from_file = tomllib.loads(path.read_text()) if path else {}
    unknown = _unknown_variables()
    if unknown:
        raise SettingsError(f"unknown settings {', '.join(unknown)}: see `rumblestrip doctor --settings`")
    from_env = {name: value for name in Settings.model_fields if (value := os.environ.get(f"{PREFIX}{name.upper()}"))}
    try:
        return Settings(**(from_file | from_env | overrides))
    except ValueError as error:
        raise SettingsError(str(error)) from error


def _unknown_variables() -> list[str]:
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields} | {f"{PREFIX}CONFIG", f"{PREFIX}REPLAY_TOKEN"}
    return sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known)
