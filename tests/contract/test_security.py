"""Attacks that were tried, by someone without a token, with one device's token, and with a driver's account."""

from __future__ import annotations

import asyncio
import io
import os
import re
import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pyarrow as pa
import pytest
from PIL import Image
from sqlalchemy import Engine, text

from dashboard import auth, door, parts
from dashboard.core.review import Role
from dashboard.door import Door, Guard
from dashboard.users import add_user
from infra.bus.port import Record
from infra.clock import FixedClock, to_us
from infra.contracts import codec
from infra.runtime.ordering import Limits, Order
from infra.settings import Settings
from infra.store import queries
from infra.store.media import LocalMedia, MediaPathError, MediaUnavailable
from infra.store.queries import EventFilter
from ingest import body, forms, patience, quota
from ingest.service import Gateway
from ingest.stills import _size
from tests.contract.gateway import METRICS_TOKEN, NOW_US, TOKEN, House, jpeg
from tests.contract.test_codec import TELEMETRY
from tests.seed import Fleet, seed

NOW_MS = NOW_US // 1000
JSON = {"Content-Type": "application/json"}
JPEG = {"Content-Type": "image/jpeg"}
NOW = datetime(2026, 6, 1, 7, 0, tzinfo=UTC)
PASSWORD = "correct horse battery"


# --- no token: sockets ------------------------------------------------------------------------------------------


@pytest.fixture
def port(monkeypatch) -> Iterator[int]:
    """Of a gateway on a socket that waits a second for headers, and two for bodies."""
    monkeypatch.setattr(patience, "HEADERS_WAIT_S", 1.0)
    monkeypatch.setattr(body, "BODY_WAIT_S", 2.0)
    gateway = Gateway(House().app, "127.0.0.1", 0)
    address = gateway.bind()
    thread = threading.Thread(target=gateway.run)
    thread.start()
    yield int(address.rpartition(":")[2])
    gateway.stop()
    thread.join(20)
    assert not thread.is_alive()


def closed_within(connection: socket.socket, wait_s: float) -> bool:
    connection.settimeout(wait_s)
    try:
        return connection.recv(1000) == b""
    except ConnectionError:
        return True


@pytest.mark.parametrize("begun", [b"", b"POST /v1/telemetry HTTP/1.1\r\nHost: x\r\nX-A: "])
def test_a_connection_that_dawdles_over_its_headers_is_closed(port, begun):
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(begun)
        assert closed_within(connection, 10)


def test_a_header_without_end_is_cut_off_and_others_are_served_meanwhile(port):
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: ")
        with pytest.raises(ConnectionError):
            connection.sendall(b"a" * 50_000_000)
    assert httpx.get(f"http://127.0.0.1:{port}/healthz").status_code == 200


def test_a_connection_kept_for_several_requests_is_not_closed_between_them(port):
    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        for _ in range(3):
            assert client.get("/healthz").status_code == 200
            time.sleep(0.6)


def test_a_body_that_trickles_is_given_up(port):
    head = f"POST /v1/telemetry HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
    head += "Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(head.encode())
        connection.settimeout(10)
        assert connection.recv(1000).startswith(b"HTTP/1.1 408")


# --- one device's token -----------------------------------------------------------------------------------------


def post(house: House, path: str, **request) -> httpx.Response:
    async def go() -> httpx.Response:
        async with house.client() as client:
            return await client.post(path, **request)

    return asyncio.run(go())


def test_json_of_millions_of_empty_lists_is_refused_before_it_is_parsed():
    content = b'{"boot_id":"a","sequence":0,"x":[' + b"[]," * 1_250_000 + b"[]]}"
    began = time.perf_counter()
    response = post(House(), "/v1/telemetry", content=content, headers=JSON)
    assert (response.status_code, response.json()["reason"]) == (413, "too_many_rows")
    assert time.perf_counter() - began < 1.0


def test_arrow_of_many_empty_batches_is_refused():
    schema = pa.schema([("boot_id", pa.string())])
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, schema) as writer:
        for n in range(forms.MAX_BATCHES + 1):
            writer.write_batch(pa.record_batch([pa.array(["a"][: n == 0], pa.string())], schema=schema))
    headers = {"Content-Type": "application/vnd.apache.arrow.stream"}
    response = post(House(), "/v1/telemetry", content=sink.getvalue(), headers=headers)
    assert (response.status_code, response.json()["reason"]) == (413, "too_many_batches")


def still_of_segments(segment: bytes, count: int) -> bytes:
    whole = jpeg()
    return whole[:2] + segment * count + whole[2:]


@pytest.mark.parametrize("segment", [b"\xff\xfe\x00\x04ab", b"\xff", b"\xff\xe1\x00\x02"])
def test_a_still_of_nothing_but_segments_is_refused_at_once(segment):
    still = still_of_segments(segment, 3_000_000 // len(segment))
    meta = {"camera": "driver", "time_ms": NOW_MS, "sequence": 0, "boot_id": "a"}
    began = time.perf_counter()
    response = post(House(), "/v1/frames", content=still, headers=JPEG, params=meta)
    assert (response.status_code, response.json()["reason"]) == (422, "broken_image")
    assert time.perf_counter() - began < 1.0


def test_a_still_with_a_colour_profile_is_taken():
    assert _size(still_of_segments(b"\xff\xe2\x00\x10" + b"ICC_PROFILE\0\1\1", 255)) == (64, 48)
    meta = {"camera": "driver", "time_ms": NOW_MS, "sequence": 0, "boot_id": "a"}
    still = still_of_segments(b"\xff\xe2\x00\x10" + b"ICC_PROFILE\0\1\1", 255)
    assert post(House(), "/v1/frames", content=still, headers=JPEG, params=meta).status_code == 202


def test_a_still_of_thousands_of_scans_is_refused_and_a_progressive_one_taken():
    sink = io.BytesIO()
    Image.new("RGB", (640, 480)).save(sink, "JPEG", progressive=True)
    still = sink.getvalue()
    scan = still[still.rindex(b"\xff\xda") : -2]
    meta = {"camera": "driver", "time_ms": NOW_MS, "sequence": 0, "boot_id": "a"}
    assert post(House(), "/v1/frames", content=still, headers=JPEG, params=meta).status_code == 202
    response = post(House(), "/v1/frames", content=still[:-2] + scan * 1000 + b"\xff\xd9", headers=JPEG, params=meta)
    assert (response.status_code, response.json()["reason"]) == (422, "broken_image")


def test_a_device_has_few_requests_under_way_at_once():
    house = House()

    async def slow():
        yield b"{"
        await asyncio.sleep(1.0)
        yield b"}"

    async def go() -> list[int]:
        async with house.client() as client:
            sent = [client.post("/v1/telemetry", content=slow(), headers=JSON) for _ in range(quota.MOST_AT_ONCE + 4)]
            return [response.status_code for response in await asyncio.gather(*sent)]

    statuses = asyncio.run(go())
    assert statuses.count(429) == 4
    assert post(house, "/v1/telemetry", content=b"{}", headers=JSON).status_code == 422, "places are given back"


def test_jumps_of_the_sequence_cannot_overflow_the_stored_count():
    order, limits = Order(), Limits(120_000_000, 2_000_000)
    for n in range(10):
        message = codec.decode(codec.encode(TELEMETRY))
        jumped = type(message)(**{f: getattr(message, f) for f in message.__slots__} | {"boot_id": str(n)})
        far = type(message)(**{f: getattr(jumped, f) for f in message.__slots__} | {"sequence": 2**62 - 1})
        order.accept(Record("telemetry", 0, n, "van-7", codec.encode(far), NOW_US), far, NOW_US, limits)
    order.release("telemetry", NOW_US + 10**9)
    assert 0 < order.counts["missing"] <= 10 * 1_000_000


def test_a_device_cannot_make_metrics_of_its_own():
    house = House()
    for n in range(50):
        post(house, f"/v1/{n}", content=b"")
        body_ = {"boot_id": "a", "sequence": n, "gps": {f"x{n}": [1]}, "imu": {"time_ms": [f"x{n}"]}}
        post(house, "/v1/telemetry", json=body_)

    async def read() -> str:
        async with house.client(METRICS_TOKEN) as client:
            return (await client.get("/metrics")).text

    told = asyncio.run(read())
    assert set(re.findall(r'rumblestrip_gateway_requests_total\{route="([^"]*)"', told)) <= {
        "/v1/telemetry", "/v1/frames", "/v1/observations", "/healthz", "/readyz", "/metrics", "other",
    }  # fmt: skip
    assert "x49" not in told


# --- the dashboard: without and with a driver's account ---------------------------------------------------------


class Behind:
    """Stands for Streamlit: says that someone came through."""

    async def __call__(self, scope, receive, send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"inside"})


@pytest.fixture
def fleet(database: Engine, media: LocalMedia, tmp_path: Path) -> Fleet:
    return seed(database, media, Settings(data_dir=tmp_path), NOW, days=2)


@pytest.fixture
def desk(database: Engine, media: LocalMedia, tmp_path: Path, fleet: Fleet) -> Door:
    with database.begin() as connection:
        add_user(connection, "mia", Role.MANAGER, None, PASSWORD, NOW)
        add_user(connection, "zoe", Role.DRIVER, "driver-0", PASSWORD, NOW)
    return Door(Settings(data_dir=tmp_path), database, media, FixedClock(to_us(NOW)))


def visit(desk: Door, path: str, method: str = "GET", cookie: str | None = None, **request) -> httpx.Response:
    async def go() -> httpx.Response:
        cookies = {auth.COOKIE: cookie} if cookie else {}
        transport = httpx.ASGITransport(Guard(Behind(), desk), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://desk", cookies=cookies) as client:
            return await client.request(method, path, **request)

    return asyncio.run(go())


@pytest.mark.parametrize(
    "path",
    [
        "/", "/event?id=1", "/_stcore/stream", "/_stcore/upload_file/a/b", "/media/abc.jpg", "/metrics",
        "/sign-in/../event", "/static/../media/abc.jpg", "//static/x", "/%2e%2e/event", "/_stcore/health/../stream",
        "/Sign-In", "/?token=wrong", "/footage/00000000-0000-0000-0000-000000000000/still.jpg",
    ],
)  # fmt: skip
def test_without_a_session_nothing_is_behind_the_door(desk, path):
    assert visit(desk, path).text != "inside"


@pytest.mark.parametrize("host", ["x/static/?", "x/sign-in#", "desk/_stcore/health?"])
def test_a_host_header_does_not_open_the_door(desk, host):
    assert visit(desk, "/event", headers={"host": host}).text != "inside"


def test_a_session_is_made_by_the_server_and_never_taken_from_the_visitor(desk):
    chosen = "a" * 43
    form = {"username": "mia", "password": PASSWORD}
    response = visit(desk, "/sign-in", "POST", chosen, data=form)
    assert response.cookies[auth.COOKIE] != chosen
    assert visit(desk, "/", cookie=chosen).text != "inside"
    assert visit(desk, "/", cookie=response.cookies[auth.COOKIE]).text == "inside"
    attributes = response.headers["set-cookie"].lower()
    assert "httponly" in attributes
    assert "samesite=lax" in attributes


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://desk.evil.example", "http://evil@desk2"])
def test_a_form_from_another_site_is_refused(desk, origin):
    form = {"username": "mia", "password": PASSWORD}
    assert visit(desk, "/sign-in", "POST", data=form, headers={"origin": origin}).status_code == 403


@pytest.mark.parametrize("goal", ["//evil.example", "https://evil.example", "/\\evil.example", "/a\r\nset-cookie: x=1"])
def test_sign_in_leads_to_no_other_site(desk, goal):
    form = {"username": "mia", "password": PASSWORD, "next": goal}
    assert visit(desk, "/sign-in", "POST", data=form).headers["location"] == "/"


def test_a_form_of_megabytes_is_not_read(desk):
    read = []

    async def endless():
        for n in range(1000):
            read.append(n)
            yield b"username=" + b"a" * 10_000

    assert visit(desk, "/sign-in", "POST", content=endless()).status_code == 413
    assert len(read) < 10


@pytest.mark.parametrize("name", ["mia\0", "' OR 1=1 --", "mia'--", "\ud7ff%00", "x" * 3000])
def test_odd_names_are_refused_like_any_other(desk, name):
    response = visit(desk, "/sign-in", "POST", data={"username": name, "password": PASSWORD})
    assert response.status_code == 403
    assert "not right" in response.text


def test_a_name_with_markup_comes_back_as_text(desk):
    name = '"><script>alert(1)</script>'
    response = visit(desk, "/sign-in", "POST", data={"username": name, "password": "x", "next": name})
    assert "<script>" not in response.text
    assert "<script>" not in visit(desk, f"/sign-in?next=/{name}").text


def test_password_checks_take_no_more_than_a_few_places(desk, monkeypatch):
    monkeypatch.setattr(auth, "HASHING_WAIT_S", 0.0)
    with desk.throttle.hashing(), desk.throttle.hashing(), pytest.raises(auth.SignInRefused, match="at once"):
        desk.sign_in("mia", PASSWORD, "10.0.0.1")
    assert desk.sign_in("mia", PASSWORD, "10.0.0.1")


def test_a_sign_in_link_is_good_for_a_day(tmp_path):
    token = auth.issue_link_token(tmp_path)
    yesterday = time.time() - auth.LINK_LASTS_S - 60
    os.utime(tmp_path / auth.LINK_FILE, (yesterday, yesterday))
    assert not auth.redeem_link_token(tmp_path, token)


def footage_of(database: Engine, driver_id: str) -> str:
    with database.connect() as connection:
        every = queries.events(connection, EventFilter(drivers=(driver_id,)), limit=200)
    event = next(event for event in every if event.still)
    return parts.still_address(event.event_id, event.still)


def test_a_driver_sees_their_own_footage_and_nobody_elses(desk, database):
    zoe = desk.sign_in("zoe", PASSWORD, "10.0.0.1")
    assert visit(desk, footage_of(database, "driver-0"), cookie=zoe).headers["content-type"] == "image/jpeg"
    assert visit(desk, footage_of(database, "driver-1"), cookie=zoe).status_code == 404


class Away(LocalMedia):
    def read(self, path):
        raise MediaUnavailable("s3://bucket/footage: could not connect")


def test_footage_whose_store_is_away_is_said_to_be_away_and_not_gone(desk, database, tmp_path):
    mia = desk.sign_in("mia", PASSWORD, "10.0.0.1")
    desk.media = Away(tmp_path)
    response = visit(desk, footage_of(database, "driver-0"), cookie=mia)
    assert (response.status_code, response.headers["retry-after"]) == (503, "30")
    assert "does not answer" in response.text


@pytest.mark.parametrize("name", ["..%2f..%2fsign-in-link", "%2e%2e", "..", "still.jpg%00", "....//still.jpg", "a\\b"])
def test_footage_leads_out_of_no_folder(desk, database, name):
    mia = desk.sign_in("mia", PASSWORD, "10.0.0.1")
    folder = footage_of(database, "driver-0").rpartition("/")[0]
    response = visit(desk, f"{folder}/{name}", cookie=mia)
    assert response.status_code in (404, 200)
    nothing = ("No such footage", "There is nothing at")
    assert response.text in ("inside", "Not Found") or any(words in response.text for words in nothing)


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../x", "a\0b", "", ".", "a\\..\\x"])
def test_the_media_store_knows_no_other_folder(media, path):
    with pytest.raises(MediaPathError):
        media.read(path)


def test_names_from_outside_are_text_on_every_page(database, fleet):
    attack = "<img src=x onerror=alert(1)>[a](javascript:alert(1))"
    with database.begin() as connection:
        connection.execute(text("UPDATE driver SET name = :name"), {"name": attack})
        connection.execute(text("UPDATE vehicle SET name = :name"), {"name": attack})
    with database.connect() as connection:
        event = queries.events(connection, EventFilter())[0]
    assert event.driver_name == attack
    row = parts.event_row(event, door_words(), NOW, with_state=True)
    assert "<img src=x" not in row
    assert "](javascript" not in parts.plain(attack)


def door_words():
    from zoneinfo import ZoneInfo

    from dashboard.labels import Words

    return Words("metric", ZoneInfo("UTC"))


@pytest.mark.parametrize("value", ["'; DROP TABLE score; --", "x' OR '1'='1", "\\'"])
def test_filters_are_values_and_never_sql(database, fleet, value):
    with database.connect() as connection:
        assert queries.events(connection, EventFilter(drivers=(value,), kinds=(value,), only_driver=value)) == []
        assert connection.scalar(text("SELECT count(*) FROM score")) > 0


def test_the_desks_pages_may_load_and_send_nowhere_else(desk):
    policy = visit(desk, "/sign-in").headers["content-security-policy"]
    assert not re.search(r"https?:|\*", policy)
    assert "frame-ancestors 'none'" in policy
    assert door.MOST_FORM_BYTES < 100_000
