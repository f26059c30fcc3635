"""Replay: what a device does when the gateway refuses, is away, or has it all already."""

import json
import threading
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from infra.clock import FixedClock, to_us
from infra.contracts.arrow_form import read_stream
from infra.drives import find_drives, open_drive
from infra.runtime import line
from infra.runtime import replay as replaying
from infra.runtime.journal import WEEK_US, open_journal
from infra.runtime.line import TurnedAway, Undeliverable
from infra.runtime.parcels import ending, telemetry_batches, telemetry_json
from infra.runtime.replay import Options, replay

DEMO = Path(__file__).parents[3] / "infra" / "demo"
NOW_US = 1_800_000_000_000_000  # Friday 2027-01-15 08:00 UTC


class FakeGateway(ThreadingHTTPServer):
    """Answers from a script, then 202; keeps what it took."""

    daemon_threads = True

    def __init__(self, script=()) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.script = list(script)
        self.taken: list[tuple[str, bytes, dict[str, str]]] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def sequences(self) -> list[int]:
        bodies = [body for path, body, _ in self.taken if path == "/v1/telemetry"]
        return [table["sequence"][0].as_py() for body in bodies for table in read_stream(_unzstd(body))]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status, headers = self.server.script.pop(0) if self.server.script else (202, {})
        if status == "hang up":
            self.close_connection = True
            self.connection.close()
            return
        if status == 202:
            self.server.taken.append((self.path, body, dict(self.headers)))
        self.send_response(status)
        answer = b'{"accepted": 1, "rejected": []}' if status == 202 else b'{"detail": "because"}'
        for name, value in {"Content-Type": "application/json", "Content-Length": len(answer), **headers}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(answer)
        self.wfile.flush()

    def log_message(self, *_: object) -> None:
        pass


def _unzstd(body: bytes) -> bytes:
    return pa.CompressedInputStream(pa.BufferReader(body), "zstd").read()


@pytest.fixture
def gateway():
    servers = []

    def make(*script):
        servers.append(FakeGateway(script))
        return servers[-1]

    yield make
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def drive():
    return open_drive(DEMO / "omaha-16")


def send(gateway, drives, folder, **options):
    return replay(drives, gateway.url, lambda _: "rs_token", folder, FixedClock(NOW_US), Options(**options))


def test_every_batch_arrives_once_and_in_order(tmp_path, gateway, drive):
    server = gateway()
    (report,) = send(server, [drive], tmp_path)
    assert server.sequences() == list(range(51))
    assert (report.sent, report.samples, report.retries, report.refused) == (51, 1003, 0, [])
    assert {headers["Authorization"] for _, _, headers in server.taken} == {"Bearer rs_token"}


def test_failures_that_pass_are_retried_until_they_do(tmp_path, gateway, drive, monkeypatch):
    monkeypatch.setattr(line, "FIRST_WAIT_S", 0.001)
    server = gateway((503, {"Retry-After": "0"}), (202, {}), (429, {"Retry-After": "0"}), (500, {}), ("hang up", {}))
    (report,) = send(server, [drive], tmp_path)
    assert server.sequences() == list(range(51))
    assert report.retries == 4


def test_retry_after_is_obeyed(tmp_path, gateway, drive):
    with pytest.raises(Undeliverable, match="503 because; is the gateway running"):
        send(gateway((503, {"Retry-After": "3600"})), [drive], tmp_path, give_up_s=5.0)


def test_a_refused_batch_is_reported_and_not_sent_again(tmp_path, gateway, drive):
    server = gateway((422, {}))
    (report,) = send(server, [drive], tmp_path)
    assert server.sequences() == list(range(1, 51))
    assert report.refused == ["telemetry batch 0: 422 because"]
    (second,) = send(server, [drive], tmp_path)
    assert (second.sent, second.skipped) == (0, 51)


def test_a_wrong_token_gives_nothing_up(tmp_path, gateway, drive):
    server = gateway((202, {}), (401, {}))
    with pytest.raises(TurnedAway, match="401 because; is the device registered"):
        send(server, [drive], tmp_path)
    send(server, [drive], tmp_path)
    assert server.sequences() == list(range(51)), "went on where it was turned away"


def test_a_second_run_sends_nothing_and_again_sends_the_same(tmp_path, gateway, drive):
    server = gateway()
    send(server, [drive], tmp_path)
    first = [body for _, body, _ in server.taken]
    (report,) = send(server, [drive], tmp_path)
    assert (report.sent, report.skipped) == (0, 51)
    (report,) = send(server, [drive], tmp_path, again=True)
    assert report.sent == 51
    assert [body for _, body, _ in server.taken[51:]] == first


def test_frames_go_with_the_speed_of_their_time(tmp_path, gateway):
    server = gateway()
    (report,) = send(server, [open_drive(DEMO / "omaha-31")], tmp_path)
    forms = [body for path, body, _ in server.taken if path == "/v1/frames"]
    metas = [meta for form in forms for meta in json.loads(form.split(b"\r\n\r\n", 1)[1].split(b"\r\n--", 1)[0])]
    assert report.frames == len(metas) == 235
    assert [meta["sequence"] for meta in metas] == list(range(235))
    assert all(20 < meta["speed_mps"] < 30 for meta in metas)
    assert sum(form.count(b"image/jpeg") for form in forms) == 235


def test_drives_of_one_device_do_not_overtake_each_other(tmp_path, gateway):
    server = gateway()
    drives = find_drives([DEMO / "omaha-18", DEMO / "omaha-16", DEMO / "omaha-15"])
    replay(drives, server.url, lambda drive: drive.manifest.device_id, tmp_path, FixedClock(NOW_US), Options())
    starts = defaultdict(list)
    for _, body, headers in server.taken:
        table = next(read_stream(_unzstd(body)))
        starts[headers["Authorization"]].append(table["gps_time_us"][0].as_py()[0])
    assert {device: len(times) for device, times in starts.items()} == {
        "Bearer demo-car-1-blackbox": 183,
        "Bearer demo-car-2-blackbox": 51 + 97,
    }
    assert all(times == sorted(times) for times in starts.values())


def test_speed_paces_the_parcels(tmp_path, gateway, drive, monkeypatch):
    waits = []

    async def note(self, at: float) -> None:
        waits.append(at)

    monkeypatch.setattr(replaying._DriveReplay, "_wait_until", note)
    send(gateway(), [drive], tmp_path, speed=10.0)
    assert np.diff(waits[:50]) == pytest.approx(1.0, abs=0.01), "batches of 10 s, ten times as fast"


def test_json_and_arrow_say_the_same(drive):
    batch = telemetry_batches(drive, "boot", 0)[-1]
    said = json.loads(telemetry_json(batch))
    assert said["gps"]["time_ms"][-1] * 1000 == batch.gps.time_us[-1]
    assert said["gps"]["speed_mps"][-1] is None
    assert said["gps"]["ignition"] == [None] * (len(batch.gps) - 1) + [0]
    assert said["imu"]["accel_z_mps2"] == batch.imu.accel_z_mps2.tolist()
    assert "speed_limit_mps" not in said["gps"]


def test_a_drive_is_moved_by_whole_weeks_into_the_last_one(tmp_path):
    drive = open_drive(DEMO / "omaha-15")
    end_us = int(drive.gps().time_us[-1])
    journal = open_journal(tmp_path, drive, "here", end_us, NOW_US)
    moved_us = end_us + journal.shift_us
    assert journal.shift_us % WEEK_US == 0
    assert NOW_US - WEEK_US < moved_us <= NOW_US


def test_the_journal_keeps_its_shift_and_place(tmp_path):
    drive = open_drive(DEMO / "omaha-15")
    end_us = to_us(drive.manifest.start)
    journal = open_journal(tmp_path, drive, "here", end_us, NOW_US)
    journal.acknowledge("telemetry", 7)
    later = open_journal(tmp_path, drive, "here", end_us, NOW_US + 3 * WEEK_US)
    assert later == journal
    elsewhere = open_journal(tmp_path, drive, "there", end_us, NOW_US)
    assert elsewhere.telemetry == 0


def test_batches_hold_every_sample_once_and_end_with_ignition_off(drive):
    batches = telemetry_batches(drive, "boot", 5)
    assert [b.sequence for b in batches] == list(range(len(batches)))
    times = np.concatenate([b.gps.time_us for b in batches])
    assert times.tolist() == (ending(drive.gps()).time_us + 5).tolist()
    assert sum(len(b.imu) for b in batches) == len(drive.imu())
    assert batches[-1].gps.ignition[-1] == 0
    assert batches[-1].gps.time_us[-1] - batches[-1].gps.time_us[-2] == 1_000_000


def test_a_drive_that_says_ignition_off_itself_is_left_as_it_is(drive):
    once = ending(drive.gps())
    assert len(ending(once)) == len(once)


def test_a_gap_in_the_recording_is_no_empty_batch():
    batches = telemetry_batches(open_drive(DEMO / "omaha-15"), "boot", 0)
    assert all(len(b.gps) for b in batches)
    assert max(b.gps.time_us[0] - a.gps.time_us[-1] for a, b in pairwise(batches)) == 74_000_000
