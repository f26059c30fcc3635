"""Telemetry as it was kept: read back in columns from the database, or from Parquet files exported from it."""
