"""Fixtures of every test: a bus, a database, settings and media; each kind that was chosen gets its own run."""

from __future__ import annotations

import itertools
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from pydantic import SecretStr
from sqlalchemy import Engine

from infra.bus.port import Bus
from infra.settings import Settings
from infra.store.engine import make_engine
from infra.store.media import LocalMedia
from tests.servers import Servers, Unavailable, browser

BUSES = ("memory", "kafka")
STORES = ("postgres", "timescale")
PAIRS = (("memory", "postgres"), ("kafka", "timescale"))  # the two modes of design and README
LANES = 4  # topics of the tests: a broker makes 2 x 4 partitions for each test that asks for a bus
KEPT_HOURS = 200_000  # the times in tests are of any year: a broker deletes what is older than it should keep
MISSING = pytest.StashKey[dict[str, int]]()
SERVERS = pytest.StashKey[Servers]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--bus", choices=(*BUSES, "all"), default="all", help="on which bus to run (default: all)")
    parser.addoption("--store", choices=(*STORES, "all"), default="all", help="on which store to run (default: all)")
    parser.addoption("--update-golden", action="store_true", help="write what golden tests find as what they expect")


def pytest_configure(config: pytest.Config) -> None:
    hypothesis.settings.register_profile("no deadline", deadline=None)  # a busy machine is no mistake of the code
    hypothesis.settings.load_profile("no deadline")
    config.addinivalue_line("markers", "bus(kind): the test is about this bus alone")
    config.addinivalue_line("markers", "store(kind): the test is about this store alone")
    config.stash[MISSING] = {}
    config.stash[SERVERS] = Servers()


def pytest_unconfigure(config: pytest.Config) -> None:
    config.stash[SERVERS].stop()
    writer = config.get_terminal_writer()
    for reason, tests in config.stash[MISSING].items():  # after everything else: these lines are to be seen
        writer.line(f"NOT TESTED on this machine, {tests} tests: {reason}", yellow=True)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that asks for a bus or a store runs on each one chosen; one that asks for both, in each mode."""
    wanted = [name for name in ("bus_kind", "store_kind") if name in metafunc.fixturenames]
    if not wanted:
        return
    buses, stores = (_chosen(metafunc, word, kinds) for word, kinds in (("bus", BUSES), ("store", STORES)))
    both = list(itertools.product(buses, stores))
    cases = {"bus_kind": [(bus,) for bus in buses], "store_kind": [(store,) for store in stores]}.get(
        "+".join(wanted), [pair for pair in both if pair in PAIRS] or both
    )
    left_out = pytest.mark.skip(reason="is about a bus or a store that --bus or --store leaves out")
    params = [pytest.param(*case) for case in cases] or [pytest.param(*[None] * len(wanted), marks=left_out)]
    metafunc.parametrize(wanted, params)


def _chosen(metafunc: pytest.Metafunc, word: str, kinds: tuple[str, ...]) -> list[str]:
    option = metafunc.config.getoption(f"--{word}")
    mark = metafunc.definition.get_closest_marker(word)
    return [kind for kind in kinds if option in (kind, "all") and (mark is None or kind in mark.args)]


@pytest.fixture(scope="session")
def servers(request: pytest.FixtureRequest) -> Servers:
    return request.config.stash[SERVERS]


@pytest.fixture
def server_url(request: pytest.FixtureRequest, servers: Servers, store_kind: str) -> str:
    """The address of the whole server, not of a database for this test."""
    try:
        return servers.postgres(store_kind)
    except Unavailable as reason:
        do_without(request, reason)


@pytest.fixture
def database_url(servers: Servers, store_kind: str, server_url: str) -> Iterator[str]:
    """A fresh, migrated database."""
    url = servers.fresh_database(store_kind)
    yield url
    servers.drop_database(url)


@pytest.fixture
def database(database_url: str) -> Iterator[Engine]:
    """An engine on a fresh, migrated database."""
    engine = make_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def kafka_bootstrap(request: pytest.FixtureRequest, servers: Servers) -> str:
    """A real broker's address."""
    try:
        return servers.kafka()
    except Unavailable as reason:
        do_without(request, reason)


@pytest.fixture
def topic_prefix() -> str:
    return f"t{uuid.uuid4().hex[:12]}."


@pytest.fixture
def bus(request: pytest.FixtureRequest, bus_kind: str, topic_prefix: str) -> Iterator[Bus]:
    """A bus with topics of its own."""
    if bus_kind == "memory":
        from infra.bus.memory import MemoryBus

        made: Bus = MemoryBus(lanes=LANES)
    else:
        from infra.bus.kafka import KafkaBus

        made = KafkaBus(request.getfixturevalue("kafka_bootstrap"), LANES, topic_prefix, retention_hours=KEPT_HOURS)
    made.ensure_topics()
    yield made
    made.close()


@pytest.fixture
def settings(
    request: pytest.FixtureRequest, tmp_path: Path, bus_kind: str, topic_prefix: str, database_url: str
) -> Settings:
    """Settings of one mode: its bus (the one of the fixture ``bus``, if asked for too), and a fresh database."""
    bootstrap = request.getfixturevalue("kafka_bootstrap") if bus_kind == "kafka" else "localhost:9092"
    return Settings(
        data_dir=tmp_path / "data",
        bus=bus_kind,
        kafka_bootstrap=bootstrap,
        topic_prefix=topic_prefix,
        database_url=SecretStr(database_url),
        lanes=LANES,
        topic_retention_hours=KEPT_HOURS,
        gateway_port=0,
        dashboard_port=0,
    )


@pytest.fixture
def media(tmp_path: Path) -> LocalMedia:
    return LocalMedia(tmp_path / "media")


@pytest.fixture
def chromium(request: pytest.FixtureRequest) -> str:
    """The path of a browser."""
    try:
        return browser()
    except Unavailable as reason:
        do_without(request, reason)


def do_without(request: pytest.FixtureRequest, reason: Unavailable) -> None:
    """Skip, and say so in the last lines; in CI this is a failure."""
    missing = request.config.stash[MISSING]
    missing[str(reason)] = missing.get(str(reason), 0) + 1
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI must be able to run this: {reason}")
    pytest.skip(str(reason))
