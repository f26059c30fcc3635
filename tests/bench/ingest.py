"""How many data points a second one machine takes in: gateway, Kafka, recorder and scoring, TimescaleDB.

Generate, load and query are phases of their own. One measured value is one point; ids and times do not count. The
clock runs from the first request until both groups have no lag. The load runs on the same machine. Beside it, in the
same run: bare COPY of the rows that came out, into empty tables of the same kind.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pyarrow as pa
from pgpq import ArrowToPostgresBinaryEncoder
from psycopg.abc import Buffer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from infra.bus.kafka import KafkaBus
from infra.contracts.telemetry import IMU_DTYPES, VehicleClass
from infra.contracts.topics import TELEMETRY
from infra.migrations import upgrade
from infra.runtime.broker import Broker
from infra.settings import load
from infra.store import registry
from infra.store.embedded import EmbeddedPostgres
from infra.store.engine import make_engine
from infra.store.pginstall import built_timescaledb
from tests.bench import fleet
from tests.bench.load import Plan

GROUPS = ("recorder", "scoring")
TARGET_POINTS_PER_S = 200_000
GOAL_POINTS_PER_S = 634_000  # Samsara's 20 trillion data points a year, as a mean
RAW_SAMPLES = 1_000_000
RAW_COLUMNS = f"(time timestamptz, vehicle_id text, {', '.join(f'{name} real' for name in list(IMU_DTYPES)[1:])})"
console = Console()


class Stack:
    """The real thing on free ports: broker, database, gateway, workers."""

    def __init__(self, home: Path) -> None:
        settings = load()
        built = built_timescaledb(settings)
        if built is None:
            console.print(
                "[bold]Without TimescaleDB[/bold]: set RUMBLESTRIP_TIMESCALEDB to a built copy, or run "
                "`rumblestrip services build-timescaledb`. Plain PostgreSQL is measured."
            )
        self.store = "postgresql" if built is None else "timescaledb"
        self.broker = Broker(home / "kafka")
        self.postgres = EmbeddedPostgres(home / "postgres", built)
        self.home = home
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, lanes: int) -> None:
        bootstrap, url = self.broker.start().bootstrap, self.postgres.start().url
        upgrade(url)
        self.url = url
        self.bus = KafkaBus(bootstrap, lanes)
        self.bus.ensure_topics()
        self.environment = os.environ | {
            "RUMBLESTRIP_BUS": "kafka",
            "RUMBLESTRIP_KAFKA_BOOTSTRAP": bootstrap,
            "RUMBLESTRIP_DATABASE_URL": url,
            "RUMBLESTRIP_DATA_DIR": str(self.home / "data"),
            "RUMBLESTRIP_LANES": str(lanes),
            "RUMBLESTRIP_GATEWAY_PORT": "8699",
            "RUMBLESTRIP_REQUESTS_PER_MINUTE": "1000000",
            "RUMBLESTRIP_LOG_LEVEL": "WARNING",
        }
        for service in ("gateway", *GROUPS):
            self.run(service)
        self._wait_ready()

    def run(self, service: str) -> None:
        command = [Path(sys.executable).with_name("rumblestrip"), "run", service]
        log = (self.home / f"{service}.log").open("wb")
        self.processes[service] = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log)

    def _wait_ready(self) -> None:
        """Until the gateway answers, and each group has its lanes."""
        import httpx

        until = time.monotonic() + 60
        while time.monotonic() < until:
            for name, process in self.processes.items():
                if process.poll() is not None:
                    raise RuntimeError(f"{name} stopped: {(self.home / f'{name}.log').read_text()[-2000:]}")
            try:
                with psycopg.connect(self.url) as connection:
                    lanes = connection.execute("SELECT count(DISTINCT consumer_group) FROM lane_position").fetchone()
                if httpx.get("http://127.0.0.1:8699/readyz").is_success and lanes == (len(GROUPS),):
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.2)
        raise RuntimeError("the stack was not ready within 60 s")

    def cpu_seconds(self) -> dict[str, float]:
        """CPU time of each part so far, children included."""
        pids = {name: process.pid for name, process in self.processes.items()}
        broker, database = self.broker.running(), self.postgres.running()
        assert broker is not None
        assert database is not None
        pids |= {"kafka": broker.pid, "postgres": database.pid}
        return {name: _cpu(psutil.Process(pid)) for name, pid in pids.items()}

    def folded(self) -> dict[str, int]:
        """Messages of the telemetry topic that each group has folded."""
        with psycopg.connect(self.url) as connection:
            rows = connection.execute(
                "SELECT consumer_group, sum((offsets->>%s)::bigint) FROM lane_position GROUP BY 1", [TELEMETRY]
            ).fetchall()
        return {group: int(total or 0) for group, total in rows}

    def stop(self) -> None:
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM)
        for process in self.processes.values():
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
        self.bus.close()
        self.broker.stop()
        self.postgres.stop()


def _cpu(process: psutil.Process) -> float:
    try:
        parts = [process, *process.children(recursive=True)]
        # the last two: of children that have ended
        times = (part.cpu_times() for part in parts)
        return sum(each.user + each.system + each.children_user + each.children_system for each in times)
    except psutil.NoSuchProcess:
        return 0.0


def generate(vehicles: int, minutes: int, seed: int, progress: Progress) -> tuple[dict[str, list[bytes]], int]:
    """Bodies of each vehicle, and the harsh brakings among them."""
    start_us = (int(time.time()) - minutes * 60 - 3600) * 1_000_000
    bodies: dict[str, list[bytes]] = {}
    brakes = 0
    for index in progress.track(range(vehicles), description="generate"):
        drive = fleet.drive(index, minutes, start_us, seed)
        bodies[drive.vehicle_id] = fleet.bodies(drive)
        brakes += drive.brakes
    return bodies, brakes


def register(url: str, bodies: dict[str, list[bytes]]) -> Plan:
    """Enter the vehicles and give each device a token."""
    engine = make_engine(url)
    plan: Plan = []
    with engine.begin() as connection:
        for vehicle, parts in bodies.items():
            registry.add_vehicle(connection, vehicle, vehicle, VehicleClass.PASSENGER)
            plan.append((registry.issue_token(connection, f"device-{vehicle[6:]}", vehicle), parts))
    engine.dispose()
    return plan


def load_phase(stack: Stack, plan: Plan, connections: int, progress: Progress) -> dict[str, Any]:
    """Send everything, and wait until both groups have folded it."""
    path = stack.home / "plan.pickle"
    path.write_bytes(pickle.dumps(plan))
    sent = sum(len(bodies) for _, bodies in plan)
    task = progress.add_task("load", total=sent)
    before, began = stack.cpu_seconds(), time.monotonic()
    command = [sys.executable, "-m", "tests.bench.load", str(path), "--port", "8699"]
    sender = subprocess.Popen([*command, "--connections", str(connections)], stdout=subprocess.PIPE)
    sender_process, sender_cpu = psutil.Process(sender.pid), 0.0
    while True:
        if sender.poll() is None:
            sender_cpu = _cpu(sender_process)
        folded = min((stack.folded().get(group, 0) for group in GROUPS), default=0)
        progress.update(task, completed=folded)
        if sender.poll() is not None and folded >= sent:
            break
        if sender.poll() not in (None, 0) or time.monotonic() - began > 900:
            raise RuntimeError(f"the load stopped at {folded} of {sent}")
        time.sleep(0.25)
    seconds = time.monotonic() - began
    after = stack.cpu_seconds()
    assert sender.stdout is not None
    spent = {part: after[part] - before.get(part, 0.0) for part in after} | {"load": sender_cpu}
    return {"seconds": seconds, "sent": sent, "cpu": spent, "load": json.loads(sender.stdout.read())}


def verify(url: str, sent: int) -> dict[str, Any]:
    """What the database holds, against what was sent: every sample in a row or in an open second, once."""
    with psycopg.connect(url) as connection:

        def one(query: str) -> int:
            row = connection.execute(query).fetchone()
            return int(row[0] or 0) if row else 0

        def count(word: str, group: str = "recorder") -> int:
            return one(f"SELECT sum(total) FROM stream_count WHERE consumer_group = '{group}' AND word = '{word}'")

        return {
            "stored_imu_samples": one("SELECT sum(samples) FROM motion"),
            "stored_gps_samples": one("SELECT count(*) FROM position"),
            "motion_rows": one("SELECT count(*) FROM motion"),
            "messages": {group: count("messages", group) for group in GROUPS},
            "duplicates": sum(count("duplicate", group) for group in GROUPS),
            "dead_lettered": one("SELECT count(*) FROM dead_letter"),
            "harsh_brakes": one("SELECT count(*) FROM safety_event WHERE kind = 'harsh_brake'"),
            "trips": one("SELECT count(*) FROM trip"),
        }


def copy_phase(url: str) -> dict[str, float]:
    """Bare COPY, from memory, in binary, into empty tables of the same kind: of the rows that came out, and of one
    million raw IMU samples, a row each, as a store that keeps everything would."""
    with psycopg.connect(url) as connection:
        timed = []
        for name in ("position", "motion"):
            with connection.cursor().copy(f"COPY (SELECT * FROM {name}) TO STDOUT (FORMAT binary)") as out:
                blocks = list(out)
            timed.append(_copy(connection, f"bench_{name}", f"(LIKE {name} INCLUDING ALL)", blocks))
        raw_seconds, raw_rows = _copy(connection, "bench_raw", RAW_COLUMNS, _raw_samples())
        return {
            "seconds": sum(seconds for seconds, _ in timed),
            "rows": sum(rows for _, rows in timed),
            "raw_points_per_s": raw_rows * fleet.IMU_VALUES / raw_seconds,
        }


def _copy(connection: psycopg.Connection[Any], name: str, columns: str, blocks: Sequence[Buffer]) -> tuple[float, int]:
    """Seconds and rows of one COPY into a new table."""
    connection.execute(f"CREATE TABLE {name} {columns}")
    if connection.execute("SELECT 1 FROM pg_extension WHERE extname = 'timescaledb'").fetchone():
        connection.execute(f"SELECT create_hypertable('{name}', 'time', create_default_indexes => false)")
    connection.commit()
    began = time.perf_counter()
    with connection.cursor().copy(f"COPY {name} FROM STDIN (FORMAT binary)") as into:
        for block in blocks:
            into.write(block)
    connection.commit()
    seconds = time.perf_counter() - began
    counted = connection.execute(f"SELECT count(*) FROM {name}").fetchone()
    assert counted is not None
    return seconds, int(counted[0])


def _raw_samples() -> list[bytes]:
    """A million IMU samples as COPY's binary rows, made before the clock runs."""
    of = fleet.drive(0, RAW_SAMPLES // fleet.IMU_HZ // 60, int(time.time()) * 1_000_000 - 86_400_000_000, seed=0).imu
    columns = {name: pa.array(getattr(of, name)) for name in IMU_DTYPES if name != "time_us"}
    stamps = pa.array(of.time_us).cast(pa.timestamp("us", tz="UTC"))
    table = pa.table({"time": stamps, "vehicle_id": pa.array(["bench-00000"] * len(of)), **columns})
    encoder = ArrowToPostgresBinaryEncoder(table.schema)
    parts = [encoder.write_header(), *(encoder.write_batch(part) for part in table.to_batches(10_000))]
    return [bytes(part) for part in [*parts, encoder.finish()]]


QUERIES = {
    "last_position_of_every_vehicle": "SELECT DISTINCT ON (vehicle_id) vehicle_id, time, lat, lon FROM position "
    "ORDER BY vehicle_id, time DESC",
    "inbox_page": "SELECT * FROM safety_event WHERE review_state = 'needs_review' ORDER BY start_at DESC LIMIT 50",
    "motion_around_an_event": "SELECT m.* FROM motion m JOIN (SELECT * FROM safety_event LIMIT 1) e USING (vehicle_id) "
    "WHERE m.time BETWEEN e.start_at - interval '30 s' AND e.end_at + interval '30 s'",
    "scores_of_a_day": "SELECT * FROM score WHERE scope = 'driver_day' ORDER BY value LIMIT 100",
}


def query_phase(url: str, repeats: int = 5) -> dict[str, float]:
    """Median milliseconds of what pages ask."""
    found = {}
    with psycopg.connect(url) as connection:
        for name, query in QUERIES.items():
            times = []
            for _ in range(repeats):
                began = time.perf_counter()
                connection.execute(query).fetchall()
                times.append(time.perf_counter() - began)
            found[name] = sorted(times)[repeats // 2] * 1e3
    return found


@contextmanager
def temporary_home() -> Iterator[Path]:
    """A folder that PostgreSQL's own user may enter."""
    home = Path(tempfile.mkdtemp(prefix="rumblestrip-bench-"))
    home.chmod(0o755)
    try:
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    with temporary_home() as home, Progress(console=console) as progress:
        stack = Stack(home)
        try:
            bodies, brakes = generate(options.vehicles, options.minutes, options.seed, progress)
            stack.start(options.lanes)
            loaded = load_phase(stack, register(stack.url, bodies), options.connections, progress)
            found = verify(stack.url, loaded["sent"])
            return report(loaded, found, copy_phase(stack.url), query_phase(stack.url), brakes)
        finally:
            stack.stop()


def report(
    loaded: dict[str, Any], found: dict[str, Any], copied: dict[str, float], queries: dict[str, float], brakes: int
) -> dict[str, Any]:
    """Flat figures, units in names. Raises if a count is not what was sent."""
    sent = loaded["sent"]
    imu, gps = sent * fleet.BATCH_S * fleet.IMU_HZ, sent * fleet.BATCH_S
    points = sent * fleet.POINTS_PER_BATCH
    stored = found["stored_imu_samples"] * fleet.IMU_VALUES + found["stored_gps_samples"] * fleet.GPS_VALUES
    expected = dict.fromkeys(GROUPS, sent)
    if loaded["load"]["failures"] or (found["stored_imu_samples"], found["stored_gps_samples"]) != (imu, gps):
        raise SystemExit(f"stored is not sent: {imu=} {gps=} {found} {loaded['load']}")
    if found["messages"] != expected or found["duplicates"] or found["dead_lettered"]:
        raise SystemExit(f"counted is not sent: {expected=} {found}")
    per_s, copy_per_s = points / loaded["seconds"], points / copied["seconds"]
    return {
        "points_per_s": per_s,
        "copy_points_per_s": copy_per_s,
        "ratio_to_copy": per_s / copy_per_s,
        "copy_rows_per_s": copied["rows"] / copied["seconds"],
        "copy_raw_samples_points_per_s": copied["raw_points_per_s"],
        "ratio_to_copy_of_raw_samples": per_s / copied["raw_points_per_s"],
        "sent": points,
        "stored": stored,
        "dead_lettered": found["dead_lettered"],
        "duplicates": found["duplicates"],
        "lag_end": 0,
        "seconds": loaded["seconds"],
        "batches_sent": sent,
        "motion_rows": found["motion_rows"],
        "harsh_brakes_put_in": brakes,
        "harsh_brakes_found": found["harsh_brakes"],
        "request_p50_ms": loaded["load"]["p50_ms"],
        "request_p99_ms": loaded["load"]["p99_ms"],
        **{f"cpu_{part}_s": seconds for part, seconds in sorted(loaded["cpu"].items())},
        **{f"cpu_{part}_us_per_batch": s / sent * 1e6 for part, s in sorted(loaded["cpu"].items())},
        **{f"query_{name}_ms": ms for name, ms in queries.items()},
    }


def show(figures: dict[str, Any]) -> None:
    table = Table(title="ingest: gateway → Kafka → recorder and scoring → TimescaleDB, one machine")
    table.add_column("figure")
    table.add_column("value", justify="right")
    for name, value in figures.items():
        table.add_row(
            name,
            f"{value:,.4g}"
            if isinstance(value, float) and value < 10
            else f"{value:,.1f}"
            if isinstance(value, float)
            else f"{value:,}",
        )
    console.print(table)
    share = figures["points_per_s"] / TARGET_POINTS_PER_S
    console.print(
        f"{figures['points_per_s']:,.0f} points/s: {share:.2f} × the bar of {TARGET_POINTS_PER_S:,}/s, "
        f"{figures['points_per_s'] / GOAL_POINTS_PER_S:.2f} × the goal of {GOAL_POINTS_PER_S:,}/s"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vehicles", type=int, default=200)
    parser.add_argument("--minutes", type=int, default=10)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--lanes", type=int, default=24)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("build/bench/ingest.json"))
    options = parser.parse_args()
    figures = measure(options)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(figures, indent=2) + "\n")
    show(figures)
    if figures["points_per_s"] < TARGET_POINTS_PER_S:
        raise SystemExit(f"below the bar of {TARGET_POINTS_PER_S:,} points/s")


if __name__ == "__main__":
    main()
