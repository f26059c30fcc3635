"""Rules tried on a stored fleet: milliseconds a vehicle-hour, from TimescaleDB and from Parquet, and a fleet-year.

    python -m tests.bench.rescore [--vehicles 80 --days 14 --hours 1 --lanes 2]

Drives are simulated at 25 Hz for an hour and a vehicle, and stored as the recorder stores them, moved to every hour of
every day, with an hour's rest between two. ``all rows``: what is calm is read as well; it finds the same, which is
checked. Table to tests/bench/rescore.md, figures to build/bench/rescore.json.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import numpy as np
import orjson
import psutil
import pyarrow as pa
from sqlalchemy import Engine

from infra.clock import to_us
from infra.contracts.events import Trip, TripStatus, trip_id
from infra.contracts.telemetry import ImuFrame, TelemetryBatch, VehicleClass, take
from infra.migrations import upgrade
from infra.runtime.simulated_drive import Noise, Simulated, simulate_drive
from infra.settings import load
from infra.store import outputs, registry, tables
from infra.store.bulk import copy
from infra.store.embedded import EmbeddedPostgres
from infra.store.engine import make_engine, plain_url
from infra.store.media import LocalMedia
from infra.store.pginstall import built_timescaledb
from infra.store.states import StateRow, save_states
from scoring.core import state as states
from scoring.core.formulas.table import OURS
from scoring.core.pipeline import Found, fold_batch, fold_silence
from scoring.core.replay import REPLAYED, replay
from scoring.core.rules import DEFAULT, Rules
from scoring.core.stored import Subject, Telemetry
from scoring.core.what_if import changed_rules, kinds_that_differ, read_change
from scoring.stored.archive import opened_archive
from scoring.stored.database import opened_database
from scoring.stored.parquet import export
from scoring.stored.source import Opening, Sought, Source, Span
from scoring.trial import Tried, run, run_apart
from tests.bench.recordings import hundred_car
from tests.recorded import motion_of_samples, motion_rows, position_rows

TABLE, FIGURES = Path(__file__).with_suffix(".md"), Path("build/bench/rescore.json")
SETS = Path("../shared/data/drives")
START = datetime(2026, 3, 2, tzinfo=UTC)
HOUR_US = 3_600_000_000
EVENTS_PER_HOUR = 1.0  # of each of the four kinds
CHANGES = {
    "harsh": {"harsh_g": {"passenger": {"brake": 0.5, "acceleration": 0.38, "turn": 0.42}}},
    "speeding": {"speeding_s": {"light": 30, "moderate": 10}},
}
BAR_S, FLEET_YEAR_H = 300.0, 365_000
PROCESSES, TIMES = 2, 40
Hour = tuple[pa.Table, pa.Table]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("vehicles", 80), ("days", 14), ("hours", 1), ("lanes", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--recordings", action=argparse.BooleanOptionalAction, default=True)
    given = parser.parse_args()
    figures: dict[str, object] = {"vehicles": given.vehicles, "days": given.days, "hours_a_day": given.hours}
    with tempfile.TemporaryDirectory(prefix="rumblestrip-bench-") as home:
        Path(home).chmod(0o755)
        built = built_timescaledb(load())
        figures["store"] = "postgresql" if built is None else "timescaledb"
        server = EmbeddedPostgres(Path(home) / "postgres", built)
        try:
            url = server.start().url
            upgrade(url)
            engine = make_engine(url)
            figures["rows"] = fill(engine, LocalMedia(Path(home) / "media"), given.vehicles, given.days, given.hours)
            figures["over_share"] = _over_share(given.vehicles)
            figures["lanes"] = given.lanes
            figures |= measure(engine, Path(home) / "archive", given.days, given.lanes, server)
            engine.dispose()
        finally:
            server.stop()
    figures["found_again"] = found_again() if given.recordings else {}
    FIGURES.parent.mkdir(parents=True, exist_ok=True)
    FIGURES.write_bytes(orjson.dumps(figures, option=orjson.OPT_INDENT_2))
    TABLE.write_text(page(figures))
    print(page(figures))


# --- the fleet ----------------------------------------------------------------------------------------------


def fill(engine: Engine, media: LocalMedia, vehicles: int, days: int, hours: int) -> int:
    """Returns the rows of positions and motion."""
    hour = [_hour(number) for number in range(vehicles)]
    every = [START + timedelta(days=day, hours=7 + 2 * h) for day in range(days) for h in range(hours)]
    rows = 0
    with engine.begin() as connection:
        for number in range(vehicles):
            vehicle = f"van-{number:03d}"
            registry.add_vehicle(connection, vehicle, vehicle, VehicleClass.PASSENGER)
            room = states.dump(states.VehicleState(in_vehicle_frame=True))
            document = orjson.dumps({"order": {}, "room": room, "wake_us": None})
            save_states(connection, "scoring", "driving-1", [StateRow(vehicle, 0, document)])
            trips = [_trip(vehicle, at) for at in every]
            outputs.write(connection, outputs.Outputs(trips=trips), media, "scoring")
            for at in every:
                for table, part in zip((tables.position, tables.motion), hour[number], strict=True):
                    copy(connection, table, _moved(part, to_us(at)))
                    rows += len(part)
    return rows


def _drive(number: int) -> Simulated:
    return simulate_drive(np.random.default_rng([7, number]), 0, 3600.0, EVENTS_PER_HOUR, Noise())


def _over_share(vehicles: int) -> float:
    return float(np.mean([(d.gps.speed_mps > d.gps.speed_limit_mps).mean() for d in map(_drive, range(vehicles))]))


def _hour(number: int) -> Hour:
    drive = _drive(number)
    vehicle = f"van-{number:03d}"
    return position_rows(vehicle, f"driver-{number}", drive.gps), motion_rows(vehicle, drive.imu)


def _moved(rows: pa.Table, by_us: int) -> pa.Table:
    time_us = rows["time"].cast(pa.int64()).to_numpy() + by_us
    return rows.set_column(0, rows.schema.field("time"), pa.array(time_us, pa.timestamp("us", tz="UTC")))


def _trip(vehicle: str, at: datetime) -> Trip:
    start_us = to_us(at)
    key = trip_id("1", vehicle, start_us)
    ends = (TripStatus.ENDED, start_us, start_us + HOUR_US)
    return Trip(key, vehicle, None, *ends, 4e4, 3e3, 3e3, 0, 0, 0, 0, 30.0, None, None, None, None, "1")


# --- what is measured ---------------------------------------------------------------------------------------


def measure(engine: Engine, archive: Path, days: int, lanes: int, server: EmbeddedPostgres) -> dict[str, object]:
    between = START, START + timedelta(days=days)
    found: dict[str, object] = {}
    with engine.begin() as connection:
        begun = time.perf_counter()
        written = export(connection, archive, *between, lanes)
        found["export_rows_per_s"] = written / (time.perf_counter() - begun)
    found["archive_bytes_per_row"] = sum(p.stat().st_size for p in archive.rglob("*.parquet")) / written
    sources = {"timescaledb": partial(opened_database, plain_url(engine)), "parquet": partial(opened_archive, archive)}
    for word, opening in sources.items():
        for name, content in CHANGES.items():
            rules = DEFAULT, changed_rules(DEFAULT, read_change({"name": name, **content}, OURS, DEFAULT))
            found[f"{name}_{word}"] = _one(opening, between, rules, server)
    return found


class Often:
    """A source whose work is there ``TIMES`` times, so that two processes are busy for longer than they take to start.
    The files' pages and the database's are in memory from the second time on, as they are after one look at most of
    what is read here."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def parts(self, span: Span) -> list[Sequence[str]]:
        return list(self._source.parts(span)) * TIMES

    def telemetry(self, span: Span, vehicle_ids: Sequence[str], sought: Sought) -> Iterator[Telemetry]:
        return self._source.telemetry(span, vehicle_ids, sought)


@contextmanager
def opened_often(opening: Opening) -> Iterator[Often]:
    with opening() as source:
        yield Often(source)


def _one(
    opening: Opening, between: tuple[datetime, datetime], rules: tuple[Rules, Rules], server: EmbeddedPostgres
) -> dict[str, object]:
    kinds = kinds_that_differ(*rules)
    with opening() as source:
        whole, whole_s = _timed(lambda: run(source, *between, rules, kinds, whole=True))
        begun_cpu_s = _cpu_s(server)
        alone, alone_s = _timed(lambda: run(source, *between, rules, kinds))
        cpu_s = _cpu_s(server) - begun_cpu_s
    tried = run_apart(opening, *between, rules, kinds, processes=PROCESSES)
    assert (tried.before, tried.after) == (alone.before, alone.after) == (whole.before, whole.after)
    often = partial(opened_often, opening)
    _, took_s = _timed(lambda: run_apart(often, *between, rules, kinds, processes=PROCESSES))
    return {
        "all_rows_s": whole_s,
        "one_process_s": alone_s,
        "one_process_cpu_s": cpu_s,
        "two_processes_s": took_s,
        "rows_read": tried.rows,
        "rows": whole.rows,
        "events_before": len(tried.before),
        "events_after": len(tried.after),
    }


def _cpu_s(server: EmbeddedPostgres) -> float:
    """Of this process, and of all of the server's that live."""
    running = server.running()
    theirs = [] if running is None else [one.cpu_times() for one in psutil.Process(running.pid).children()]
    return time.process_time() + sum(one.user + one.system for one in theirs)


def _timed(call: Callable[[], Tried]) -> tuple[Tried, float]:
    begun = time.perf_counter()
    return call(), time.perf_counter() - begun


def found_again() -> dict[str, object]:
    """On recorded drives: harsh events of the live detectors at 10 Hz, and of the seconds alone."""
    if not SETS.exists():
        return {}
    hits: Counter[str] = Counter()
    for labelled in hundred_car(SETS / "nds100car"):
        recorded = labelled.recorded
        live = _live(recorded.gps, recorded.imu)
        subject = Subject("car", VehicleClass.PASSENGER, np.eye(3), imu_hz=10.0)
        (again,) = replay([Telemetry(subject, recorded.gps, motion_of_samples(recorded.imu))], [DEFAULT], REPLAYED)
        theirs = [(one.event.start_us, one.event.end_us) for one in again]
        hits["live"] += len(live)
        hits["replayed"] += len(theirs)
        hits["live_found"] += sum(_near(one, theirs) for one in live)
        hits["replayed_right"] += sum(_near(one, live) for one in theirs)
    return dict(hits)


def _live(gps, imu) -> list[tuple[int, int]]:
    found, state = Found("car", DEFAULT), states.VehicleState()
    times = np.concatenate([gps.time_us, imu.time_us]) // 10_000_000
    for number, window in enumerate(np.unique(times).tolist()):
        bounds = [window * 10_000_000, (window + 1) * 10_000_000]
        parts = [take(s, slice(*np.searchsorted(s.time_us, bounds))) for s in (gps, imu)]
        who = ("car", "box", "boot", number, "d", VehicleClass.PASSENGER, ImuFrame.VEHICLE, 0)
        state = fold_batch(state, TelemetryBatch(*who, *parts), found)
    fold_silence(state, found)
    return [(e.start_us, e.end_us) for e in found.events if "harsh" in str(e.evidence.get("labels", ""))]


def _near(one: tuple[int, int], others: list[tuple[int, int]]) -> bool:
    return any(one[0] <= end + 1_500_000 and start <= one[1] + 1_500_000 for start, end in others)


# --- the page -----------------------------------------------------------------------------------------------


def page(figures: dict[str, object]) -> str:
    lines = [
        "# Rules tried on stored telemetry",
        "",
        f"`make bench-rescore`: {figures['vehicles']} vehicles, {figures['days']} days of {figures['hours_a_day']} h, "
        f"{figures['rows']:,} rows, {figures['store']}; the export in {figures['lanes']} lanes, with about as many "
        "vehicles in each as a fleet of 1,000 has in 24.",
        "",
        "| tried | from | rows read | events an hour | all rows, ms a vehicle-hour | without the calm ones | "
        "of which CPU | two processes | 1,000 vehicles x 365 h |",
        "|---|---|---|---|---|---|---|---|---|",
        *(_line(name, word, figures) for word in ("timescaledb", "parquet") for name in CHANGES),
        "",
        "Without the calm rows exactly the same events are found as with them; the run checks it. How many rows are "
        "calm depends on the driving: this fleet is simulated with one event of each of four kinds an hour, more than "
        "most fleets have of harshness, and is over the limit in "
        f"{100 * figures['over_share']:.1f} % of its seconds, less than the 2 to 10 % of real ones. Two processes do "
        f"{TIMES} times the work, their start is counted. CPU: of this process and of the database's; where others use "
        "the machine, it tells more than the clock.",
    ]
    again = figures["found_again"]
    if again:
        lines += [
            "",
            f"Harsh events of the 100-Car study, 10 Hz: the live detectors find {again['live']}, of which the seconds "
            f"alone show {again['live_found']}; of {again['replayed']} that the seconds show, "
            f"{again['replayed_right']} are among the live ones.",
        ]
    return "\n".join([*lines, ""])


def _line(name: str, word: str, figures: dict[str, object]) -> str:
    one = figures[f"{name}_{word}"]
    hours = figures["vehicles"] * figures["days"] * figures["hours_a_day"]
    apart_s = one["two_processes_s"] / TIMES
    took = (one["all_rows_s"], one["one_process_s"], one["one_process_cpu_s"], apart_s)
    ms = " | ".join(f"{1000 * seconds / hours:.2f}" for seconds in took)
    year = _minutes(apart_s / hours * FLEET_YEAR_H)
    share = f"{100 * one['rows_read'] / one['rows']:.0f} %"
    events = one["events_before"] / hours
    return f"| {name} | {word} | {share} | {events:.1f} | {ms} | {year} |"


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f} min" + ("" if seconds < BAR_S else ", over 5")


if __name__ == "__main__":
    main()
