"""The two forms of telemetry on HTTP, JSON and Arrow IPC, to raw batches: typed columns, rows unchecked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

from infra.contracts.arrow_form import SAMPLE_COLUMNS, read_stream
from infra.contracts.codec import DecodeError
from infra.contracts.observations import ObservationSamples
from infra.contracts.telemetry import GPS_DTYPES, IMU_DTYPES, UNKNOWN, GpsSamples, ImuFrame, ImuSamples
from ingest.core.normalise import Fault, RawBatch
from ingest.core.validate import MISSING_TIME, WRONG_LENGTH, WRONG_TYPE
from ingest.problems import Problem

VERSION = 1
MAX_BATCHES = 1_000  # a request; at 10 s each, nearly three hours of store-and-forward
MAX_TEXT = 128  # characters of boot_id and driver_id
_MAX_SEQUENCE = 2**62
_VALUES_BESIDE = 100  # of a batch, beside its samples: names, and fields that are not known here
_MAX_TIME_MS = 2.0**53 / 1000  # so that microseconds are exact in a float64

_INT8, _INT64 = pa.int8(), pa.int64()
_NUMBERS = frozenset({int, float, type(None)})
_FLAGS = frozenset({bool, int, type(None)})
_REQUIRED = {
    "gps": ("time_us", "lat", "lon"),
    "imu": ("time_us", "accel_x_mps2", "accel_y_mps2", "accel_z_mps2"),
    "observations": ("time_us", "face_found"),
}

Samples = TypeVar("Samples", GpsSamples, ImuSamples, ObservationSamples)
Columns = dict[str, npt.NDArray[Any]]
Dtypes = Mapping[str, np.dtype[Any]]


@dataclass(frozen=True, slots=True)
class Owner:
    """Whom the token stands for. A body may repeat it, and may not contradict it."""

    vehicle_id: str
    device_id: str


class Unusable(Exception):
    """A column that cannot be read."""

    def __init__(self, column: str, reason: str, hint: str, rows: int) -> None:
        super().__init__(hint)
        self.column, self.reason, self.hint, self.rows = column, reason, hint, rows


# --- JSON ---------------------------------------------------------------------------------------------------


def from_json(body: bytes, owner: Owner, max_rows: int) -> list[RawBatch]:
    """Batches of a JSON body: one object, or a list of them under "batches".

    Raises Problem 400, 403, 413 or 422; a column that cannot be read becomes a fault of its batch.
    """
    return [
        _json_batch(batch, owner) for batch in read_documents(body, {"gps": GPS_DTYPES, "imu": IMU_DTYPES}, max_rows)
    ]


def read_documents(body: bytes, streams: Mapping[str, Dtypes], max_rows: int) -> list[dict[str, Any]]:
    """The batches of a JSON body, not looked into yet. Raises Problem 400, 413 or 422."""
    _check_values(body.count(b","), max_rows * max(map(len, streams.values())), max_rows)
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        hint = "; JSON has no NaN or infinity, send null" if b"NaN" in body or b"Infinity" in body else ""
        raise Problem(400, "not_json", f"The body is not JSON: {error}{hint}") from error
    found = document.get("batches", [document]) if isinstance(document, dict) else document
    if not isinstance(found, list) or not all(isinstance(b, dict) for b in found):
        raise Problem(422, WRONG_TYPE, "A batch is a JSON object; several stand in a list.", field="batches")
    _check_count(len(found))
    _check_rows(sum(_json_rows(batch.get(stream)) for batch in found for stream in streams), max_rows)
    return found


def _json_rows(stream: object) -> int:
    if not isinstance(stream, dict):
        return 0
    return max((len(v) for v in stream.values() if isinstance(v, list)), default=0)


def _json_batch(batch: dict[str, Any], owner: Owner) -> RawBatch:
    gps, gps_fault = read_stream_columns("gps", batch.get("gps"), GpsSamples, GPS_DTYPES)
    imu, imu_fault = read_stream_columns("imu", batch.get("imu"), ImuSamples, IMU_DTYPES)
    return _raw(batch, owner, gps, imu, [f for f in (gps_fault, imu_fault) if f])


def read_stream_columns(
    stream: str, given: object, kind: type[Samples], dtypes: Dtypes
) -> tuple[Samples, Fault | None]:
    """The columns of one stream; none, and the fault, where one of them cannot be read. Raises Problem 422."""
    if given is None:
        return _filled(stream, kind, dtypes, {}), None
    if not isinstance(given, dict):
        raise Problem(422, WRONG_TYPE, "Samples are an object of columns.", field=stream)
    try:
        columns = {name: _json_column(name, given[name], dtype) for name, dtype in dtypes.items() if name in given}
        if "time_ms" in given:
            columns["time_us"] = read_times(given["time_ms"])
        return _filled(stream, kind, dtypes, columns), None
    except Unusable as error:
        column = "time_ms" if error.column == "time_us" else error.column
        rows = error.rows or _json_rows(given)
        return _filled(stream, kind, dtypes, {}), Fault(stream, column, error.reason, error.hint, rows)


def _json_column(name: str, values: object, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    flag = dtype.kind == "i"
    if not isinstance(values, list):
        raise Unusable(name, WRONG_TYPE, "a column is a list", 0)
    if not set(map(type, values)) <= (_FLAGS if flag else _NUMBERS):
        wanted = "true, false and null" if flag else "numbers and null"
        raise Unusable(name, WRONG_TYPE, f"a list of {wanted} is expected", len(values))
    wide = np.array(values, np.float64)  # null becomes NaN
    if flag:
        return np.where(np.isnan(wide), UNKNOWN, np.clip(wide, -2, 2)).astype(dtype)
    return _narrow(wide, dtype)


def read_times(values: object) -> npt.NDArray[np.int64]:
    """Microseconds from a list of milliseconds, or of ISO 8601 texts. Raises Unusable."""
    if not isinstance(values, list):
        raise Unusable("time_ms", WRONG_TYPE, "a column is a list", 0)
    kinds = set(map(type, values))
    if kinds <= _NUMBERS:
        return _from_ms(np.array(values, np.float64))
    if kinds <= {str, type(None)}:
        return _from_text(values)
    raise Unusable("time_ms", WRONG_TYPE, "times are all numbers or all texts, or null", len(values))


def _from_ms(time_ms: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    usable = np.abs(time_ms) < _MAX_TIME_MS  # false for NaN
    exact = np.rint(np.where(usable, time_ms, 0) * 1000).astype(np.int64)
    return exact if usable.all() else np.where(usable, exact, MISSING_TIME)


def _from_text(values: list[Any]) -> npt.NDArray[np.int64]:
    try:
        times = pa.array(values, pa.string()).cast(pa.timestamp("us", tz="UTC"))
    except pa.ArrowException as error:
        hint = "times as text are ISO 8601 with an offset, such as 2026-07-01T08:00:00.25+02:00"
        raise Unusable("time_ms", WRONG_TYPE, f"{hint} ({error})"[:300], len(values)) from error
    return _integers(times)


# --- Arrow --------------------------------------------------------------------------------------------------


def from_arrow(body: bytes, owner: Owner, max_rows: int) -> list[RawBatch]:
    """Batches of an Arrow IPC stream in the layout of ``TELEMETRY_SCHEMA``: one row each, samples as lists.

    Raises Problem 400, 403, 413 or 422; a column that cannot be read becomes a fault of its batch.
    """
    try:
        tables = list(islice(read_stream(body), MAX_BATCHES + 1))
    except DecodeError as error:
        raise Problem(400, "not_arrow", f"The body is not an Arrow IPC stream: {error}"[:300]) from error
    batches = sum(t.num_rows for t in tables)
    _check_count(max(batches, len(tables)) if batches else 0)
    wide = max((t.num_columns for t in tables), default=0)
    if wide > 1_000:
        raise Problem(422, "too_many_columns", f"{wide} columns.")
    return list(chain.from_iterable(_arrow_batches(t, owner, max_rows) for t in tables))


def _arrow_batches(table: pa.RecordBatch, owner: Owner, max_rows: int) -> Iterator[RawBatch]:
    names = table.schema.names
    if len(set(names)) != len(names):
        raise Problem(422, "repeated_column", "Every column has a name of its own.")
    columns = dict(zip(names, table.columns, strict=True))
    lists = {n: c for n, c in columns.items() if n in SAMPLE_COLUMNS}
    for name, column in lists.items():
        if not pa.types.is_list(column.type) and not pa.types.is_large_list(column.type):
            raise Problem(422, WRONG_TYPE, f"{name} is {column.type}; a list of samples is expected.", field=name)
    _check_rows(sum(len(lists[n].flatten()) for n in ("gps_time_us", "imu_time_us") if n in lists), max_rows)
    scalars = {n: columns[n] for n in ("boot_id", "sequence", "driver_id", "imu_frame", *_OWNER) if n in columns}
    for row in range(table.num_rows):
        fields = {name: column[row].as_py() for name, column in scalars.items()}
        gps, gps_fault = _arrow_stream("gps", lists, row, GpsSamples, GPS_DTYPES)
        imu, imu_fault = _arrow_stream("imu", lists, row, ImuSamples, IMU_DTYPES)
        yield _raw(fields, owner, gps, imu, [f for f in (gps_fault, imu_fault) if f])


def _arrow_stream(
    stream: str, lists: dict[str, Any], row: int, kind: type[Samples], dtypes: Mapping[str, np.dtype[Any]]
) -> tuple[Samples, Fault | None]:
    try:
        columns = {}
        for name, dtype in dtypes.items():
            column = lists.get(f"{stream}_{name}")
            values = None if column is None else column[row].values
            if values is not None and values.type != pa.null():
                columns[name] = _arrow_column(name, values, dtype)
        return _filled(stream, kind, dtypes, columns), None
    except Unusable as error:
        return _filled(stream, kind, dtypes, {}), Fault(
            stream, f"{stream}_{error.column}", error.reason, error.hint, error.rows
        )


def _arrow_column(name: str, values: Any, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    try:
        if name == "time_us":
            if pa.types.is_timestamp(values.type):
                values = values.cast(pa.timestamp("us", tz=values.type.tz))
            return _integers(values)
        if dtype.kind == "i":
            narrow = values if values.type == _INT8 else values.cast(_INT8)
            known = narrow.fill_null(UNKNOWN) if narrow.null_count else narrow
            return np.asarray(known.to_numpy(zero_copy_only=False))
        if not (pa.types.is_floating(values.type) or pa.types.is_integer(values.type)):
            raise Unusable(name, WRONG_TYPE, f"{values.type}; numbers are expected", len(values))
        return _narrow(values.to_numpy(zero_copy_only=False), dtype)
    except (pa.ArrowException, ValueError, TypeError) as error:
        raise Unusable(name, WRONG_TYPE, f"{values.type}: {error}"[:300], len(values)) from error


# --- both ---------------------------------------------------------------------------------------------------

_OWNER = ("vehicle_id", "device_id")


def _raw(
    fields: Mapping[str, Any], owner: Owner, gps: GpsSamples, imu: ImuSamples, faults: Sequence[Fault]
) -> RawBatch:
    return RawBatch(*read_place(fields, owner), _frame(fields.get("imu_frame")), gps, imu, faults)


def read_place(fields: Mapping[str, Any], owner: Owner) -> tuple[str, int, str | None]:
    """Boot, sequence and driver of a batch. Raises Problem 403 or 422."""
    for name in _OWNER:
        if fields.get(name) not in (None, getattr(owner, name)):
            detail = f"The token belongs to {name} {getattr(owner, name)!r}, the body says {fields[name]!r:.100}."
            raise Problem(403, "not_yours", detail, field=name)
    version = fields.get("version", VERSION)
    if version != VERSION:
        raise Problem(422, "unknown_version", f"This gateway reads version {VERSION}.", field="version")
    driver_id = None if fields.get("driver_id") is None else text(fields["driver_id"], "driver_id")
    return text(fields.get("boot_id"), "boot_id"), whole(fields.get("sequence"), "sequence"), driver_id


def text(value: object, field: str) -> str:
    """A short, printable text: it becomes a key, and PostgreSQL takes no NUL. Raises Problem 422."""
    if not isinstance(value, str) or not 0 < len(value) <= MAX_TEXT or not value.isprintable():
        raise Problem(422, WRONG_TYPE, f"{field} is a text of 1 to {MAX_TEXT} printable characters.", field=field)
    return value


def whole(value: object, field: str) -> int:
    """A number that counts. Raises Problem 422."""
    if type(value) is not int or not 0 <= value < _MAX_SEQUENCE:
        raise Problem(422, WRONG_TYPE, f"{field} is a whole number from 0 up.", field=field)
    return value


def _frame(value: object) -> ImuFrame:
    try:
        return ImuFrame.UNKNOWN if value is None else ImuFrame(str(value))
    except ValueError as error:
        words = ", ".join(ImuFrame)
        raise Problem(422, "unknown_word", f"imu_frame is one of {words}.", field="imu_frame") from error


def _filled(stream: str, kind: type[Samples], dtypes: Mapping[str, np.dtype[Any]], columns: Columns) -> Samples:
    """Samples of the columns given, the optional others unknown. Raises Unusable for columns of unequal length."""
    rows = len(columns["time_us"]) if "time_us" in columns else max(map(len, columns.values()), default=0)
    for name in _REQUIRED[stream] if columns else ():
        if name not in columns:
            raise Unusable(name, WRONG_LENGTH, "this column is required", rows)
    for name, values in columns.items():
        if len(values) != rows:
            raise Unusable(name, WRONG_LENGTH, f"{len(values)} values beside {rows} times", max(rows, len(values)))
    every = {
        name: columns[name] if name in columns else np.full(rows, UNKNOWN if dtype.kind == "i" else np.nan, dtype)
        for name, dtype in dtypes.items()
    }
    every["time_us"] = every["time_us"] if rows else np.empty(0, np.int64)
    return kind(**every)


def _narrow(values: npt.NDArray[Any], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    if values.dtype == dtype:
        return values
    with np.errstate(over="ignore", invalid="ignore"):  # too large becomes infinite, which validation refuses
        return values.astype(dtype)


def _integers(values: Any) -> npt.NDArray[np.int64]:
    whole_numbers = values if values.type == _INT64 else values.cast(_INT64)
    filled = whole_numbers.fill_null(MISSING_TIME) if whole_numbers.null_count else whole_numbers
    return np.asarray(filled.to_numpy(zero_copy_only=False))


def _check_count(count: int) -> None:
    if not 0 < count <= MAX_BATCHES:
        status, reason = (413, "too_many_batches") if count else (422, "no_batch")
        raise Problem(status, reason, f"{count} batches; from 1 to {MAX_BATCHES} are taken.", field="batches")


def _check_values(values: int, most: int, most_rows: int) -> None:
    """Before JSON is parsed: 32 MB of `[],[],…` would become a gigabyte of lists. Between two values is a comma."""
    if values > most + MAX_BATCHES * _VALUES_BESIDE:
        raise Problem(413, "too_many_rows", f"{values} values; at most {most_rows} samples are taken in a request.")


def _check_rows(rows: int, most: int) -> None:
    if rows > most:
        raise Problem(413, "too_many_rows", f"{rows} samples; at most {most} are taken in a request.")
