"""Many rows at once into PostgreSQL, on the caller's connection: COPY from Arrow, and one INSERT from arrays."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pgpq import ArrowToPostgresBinaryEncoder
from sqlalchemy import BigInteger, Boolean, Connection, Table, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import REAL
from sqlalchemy.types import DateTime, Float, SmallInteger, Text, TypeEngine

Row = tuple[Any, ...]
_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]
_ARROW: tuple[tuple[type[TypeEngine[Any]], pa.DataType], ...] = (  # first that fits; REAL is a Float too
    (DateTime, pa.timestamp("us", tz="UTC")),
    (REAL, pa.float32()),
    (Float, pa.float64()),
    (SmallInteger, pa.int16()),
    (BigInteger, pa.int64()),
    (Boolean, pa.bool_()),
    (Text, pa.string()),
)

# A compressed batch is made per vehicle and COPY. Measured on 2 cores, TimescaleDB 2.29, with the continuous
# aggregates there, rows/s with and without: position at 10 rows a vehicle 374,000 and 330,000, at 120 rows
# 540,000 and 332,000; motion, with its 24 columns of floats, at 10 rows 84,000 and 262,000, at 240 rows
# 221,000 and 291,000, at 1,000 rows 405,000 and 320,000.
DIRECT_COMPRESS_FROM = {"position": 10, "observation": 10, "motion": 500}  # rows per vehicle
_DIRECT_COMPRESS = text(
    "SELECT set_config(name, :on, true) FROM (VALUES ('timescaledb.enable_direct_compress_copy')) AS setting(name) "
    "WHERE current_setting(name, true) IS NOT NULL"
)


def warm_up() -> None:
    """Have Arrow import what it imports at its first array from NumPy: pandas, half a second and more. A process that
    folds messages does it before the first, not within it."""
    pa.array(np.zeros(1))


def arrow_schema(table: Table) -> pa.Schema:
    """The columns of a table, in its order, as the Arrow types that go into it by COPY BINARY."""
    return pa.schema(
        pa.field(column.name, next(kind for sql, kind in _ARROW if isinstance(column.type, sql)), column.nullable)
        for column in table.columns
    )


@dataclass(frozen=True, slots=True)
class Target:
    """Some columns of a table, and the statement that inserts arrays of their values."""

    columns: tuple[str, ...]
    statement: str


def target(table: Table, on_conflict: str, *, leave: Sequence[str] = ()) -> Target:
    columns = [column for column in table.columns if column.name not in leave]
    arrays = ", ".join(f"%s::{column.type.compile(_DIALECT)}[]" for column in columns)
    names = tuple(column.name for column in columns)
    return Target(names, f"INSERT INTO {table.name} ({', '.join(names)}) SELECT * FROM unnest({arrays}) {on_conflict}")


def replacing(table: Table, *, leave: Sequence[str] = ()) -> Target:
    """Insert, or bring the row of the same key up to date; a row that is the same already is not written."""
    names = [column.name for column in table.columns if not column.primary_key and column.name not in leave]
    there, new = (", ".join(f"{side}.{name}" for name in names) for side in (table.name, "excluded"))
    key = ", ".join(column.name for column in table.primary_key)
    values = ", ".join(f"{name} = excluded.{name}" for name in names)
    on_conflict = f"ON CONFLICT ({key}) DO UPDATE SET {values} WHERE ({there}) IS DISTINCT FROM ({new})"
    return target(table, on_conflict, leave=leave)


def copy(connection: Connection, table: Table, rows: pa.Table | None) -> None:
    """COPY an Arrow table of ``arrow_schema(table)`` into a table, in PostgreSQL's binary form.

    Raises:
        ValueError: the columns are not those of the table.
    """
    if rows is None or not rows.num_rows:
        return
    schema = arrow_schema(table)
    if not rows.schema.equals(schema):
        raise ValueError(f"rows for {table.name} must have the columns\n{schema}\nand have\n{rows.schema}")
    _compress_directly(connection, rows, DIRECT_COMPRESS_FROM.get(table.name))
    encoder = ArrowToPostgresBinaryEncoder(schema)
    cursor = connection.connection.cursor()
    with cursor.copy(f"COPY {table.name} ({', '.join(schema.names)}) FROM STDIN (FORMAT BINARY)") as sink:
        sink.write(encoder.write_header())
        for batch in rows.to_batches():
            sink.write(encoder.write_batch(batch))
        sink.write(encoder.finish())


def _compress_directly(connection: Connection, rows: pa.Table, from_rows: int | None) -> None:
    """Whether TimescaleDB, where it is, writes this COPY as compressed batches; until the transaction ends."""
    per_vehicle = rows.num_rows / pc.count_distinct(rows["vehicle_id"]).as_py()
    connection.execute(_DIRECT_COMPRESS, {"on": "on" if from_rows and per_vehicle >= from_rows else "off"})


def insert(connection: Connection, into: Target, rows: Iterable[Row]) -> None:
    """One statement for any number of rows: a parameter is a column.

    Upserts of 1, 10, 100 and 1,000 rows take 0.2, 0.2, 0.7 and 5.7 ms so, and 0.2, 0.4, 1.7 and 16 ms through
    psycopg's pipelined executemany.
    """
    columns = tuple(list(column) for column in zip(*rows, strict=True))
    if columns:
        connection.exec_driver_sql(into.statement, columns)
