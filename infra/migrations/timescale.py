"""What TimescaleDB adds to the tables, and the plain views of the same names where it is absent."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, text

from infra.store.engine import has_timescale

HYPERTABLES = ("position", "motion", "observation")
CHUNK = "1 day"  # 1,000 vehicles, 8 h a day at 1 Hz: 29 million rows, whose index still fits in memory
COMPRESS_AFTER = "7 days"  # devices have sent what they stored by then; later rows still go in, at a price


@dataclass(frozen=True, slots=True)
class Aggregate:
    """Rows of ``source`` gathered per vehicle and ``bucket``; the same columns in both kinds of store."""

    name: str
    source: str
    time_column: str  # of the source
    bucket_name: str
    bucket: str
    columns: str
    refresh_every: str  # a row later than what is gathered already is not seen until then; costs only what changed
    refresh_until: str  # before now; younger buckets are computed when read


_EXTREMES = tuple(f"accel_{axis}_{end}" for axis in "xyz" for end in ("min", "max"))
_MOTION_EXTREMES = ", ".join(f"{name[-3:]}({name}) AS {name}" for name in _EXTREMES)

AGGREGATES = (  # days are UTC days; sums and counts rather than means, because days are made from minutes
    Aggregate(
        "position_minute",
        "position",
        "time",
        "minute",
        "1 minute",
        "count(*) AS samples, count(speed_mps) AS speed_samples, sum(speed_mps::float8) AS speed_sum_mps, "
        "max(speed_mps) AS speed_max_mps, min(odometer_m) AS odometer_min_m, max(odometer_m) AS odometer_max_m",
        "1 minute",
        "5 minutes",
    ),
    Aggregate(
        "position_day",
        "position_minute",
        "minute",
        "day",
        "1 day",
        "sum(samples)::int8 AS samples, sum(speed_samples)::int8 AS speed_samples, "
        "sum(speed_sum_mps) AS speed_sum_mps, max(speed_max_mps) AS speed_max_mps, "
        "min(odometer_min_m) AS odometer_min_m, max(odometer_max_m) AS odometer_max_m",
        "15 minutes",
        "1 day",
    ),
    Aggregate(
        "motion_minute",
        "motion",
        "time",
        "minute",
        "1 minute",
        f"count(*) AS seconds, sum(samples) AS samples, {_MOTION_EXTREMES}",
        "1 minute",
        "5 minutes",
    ),
    Aggregate(
        "motion_day",
        "motion_minute",
        "minute",
        "day",
        "1 day",
        f"sum(seconds)::int8 AS seconds, sum(samples)::int8 AS samples, {_MOTION_EXTREMES}",
        "15 minutes",
        "1 day",
    ),
)


def loaded(connection: Connection) -> bool:
    """Whether the server was started with TimescaleDB in it; CREATE EXTENSION ends the session otherwise."""
    return connection.scalar(text("SELECT current_setting('timescaledb.disable_load', true)")) is not None


def create_hypertables(connection: Connection) -> None:
    """Turn the columnar tables into compressed hypertables."""
    for table in HYPERTABLES:
        _run(
            connection,
            f"SELECT create_hypertable('{table}', by_range('time', INTERVAL '{CHUNK}'), "
            "create_default_indexes => false, migrate_data => true)",
            f"ALTER TABLE {table} SET (timescaledb.compress, timescaledb.compress_segmentby = 'vehicle_id', "
            "timescaledb.compress_orderby = 'time')",
            f"SELECT add_compression_policy('{table}', INTERVAL '{COMPRESS_AFTER}', if_not_exists => true)",
        )


def create_continuous_aggregates(connection: Connection) -> None:
    """Empty ones, which add the rows not yet gathered when they are read."""
    for each in AGGREGATES:
        _run(
            connection,
            f"CREATE MATERIALIZED VIEW {each.name} "
            "WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS "
            f"{_select(each, 'time_bucket')} WITH NO DATA",
        )


def create_views(connection: Connection) -> None:
    """The same names and columns, computed when read."""
    for each in AGGREGATES:
        _run(connection, f"CREATE VIEW {each.name} AS {_select(each, 'date_bin')}")


def apply_retention(connection: Connection, days: int) -> None:
    """Keep positions, motion and observations (and what is gathered per minute) for so many days.

    With TimescaleDB this sets the policies, which then work by themselves, and the daily aggregates stay.
    Without it, it deletes what is older now: every start of a service comes through here.
    """
    if has_timescale(connection):
        if _retention_days(connection) != days:
            _apply_policies(connection, days)
        return
    for table in HYPERTABLES:
        connection.execute(text(f"DELETE FROM {table} WHERE time < now() - :days * INTERVAL '1 day'"), {"days": days})


def _retention_days(connection: Connection) -> int | None:
    query = (
        "SELECT extract(day FROM (config->>'drop_after')::interval)::int FROM timescaledb_information.jobs "
        "WHERE proc_name = 'policy_retention' AND hypertable_name = 'position'"
    )
    days: int | None = connection.scalar(text(query))
    return days


def _apply_policies(connection: Connection, days: int) -> None:
    for name in (*HYPERTABLES, *(a.name for a in AGGREGATES if a.bucket_name == "minute")):
        _run(
            connection,
            f"SELECT remove_retention_policy('{name}', if_exists => true)",
            f"SELECT add_retention_policy('{name}', INTERVAL '{days} days')",
        )
    for each in AGGREGATES:  # never over what retention has dropped: that would empty the aggregate too
        _run(
            connection,
            f"SELECT remove_continuous_aggregate_policy('{each.name}', if_exists => true)",
            f"SELECT add_continuous_aggregate_policy('{each.name}', start_offset => INTERVAL '{days} days', "
            f"end_offset => INTERVAL '{each.refresh_until}', schedule_interval => INTERVAL '{each.refresh_every}')",
        )


def _select(each: Aggregate, bucket_function: str) -> str:
    origin = ", TIMESTAMPTZ '2000-01-01 00:00:00+00'" if bucket_function == "date_bin" else ""
    bucket = f"{bucket_function}(INTERVAL '{each.bucket}', {each.time_column}{origin})"
    return f"SELECT vehicle_id, {bucket} AS {each.bucket_name}, {each.columns} FROM {each.source} GROUP BY 1, 2"


def _run(connection: Connection, *statements: str) -> None:
    for statement in statements:
        connection.execute(text(statement))
