"""`rumblestrip run SERVICE`: one room in this process, on a real bus and database."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable

from prometheus_client import start_http_server

from infra.bus.port import Bus
from infra.clock import SystemClock
from infra.runtime.adapters import open_bus, open_database, open_media
from infra.runtime.rooms import WORKERS, build
from infra.runtime.timetable import timetable
from infra.settings import Settings, SettingsError
from infra.store.engine import plain_url

logger = logging.getLogger(__name__)


def run_service(service: str, settings: Settings, metrics_port: int = 0) -> None:
    """Run the room until SIGINT or SIGTERM; a second signal kills.

    Raises:
        SettingsError: services in processes of their own cannot share a memory bus or start a database each.
        StoreUnavailable, BusUnavailable: the database or the broker does not answer.
    """
    if settings.database_url is None:
        raise SettingsError("`run` needs RUMBLESTRIP_DATABASE_URL; for everything in one process: rumblestrip up")
    if metrics_port:
        start_http_server(metrics_port)
    if service == "dashboard":
        _run_dashboard(settings)
    elif service == "gateway":
        _run_gateway(settings)
    else:
        _run_worker(service, settings)


def open_kafka(settings: Settings) -> Bus:
    """The bus, if it is a real one. Raises SettingsError otherwise."""
    if settings.bus != "kafka":
        raise SettingsError("the bus is in memory; set RUMBLESTRIP_BUS=kafka and RUMBLESTRIP_KAFKA_BOOTSTRAP=host:port")
    from infra.bus.kafka import KafkaBus

    bus = KafkaBus(settings.kafka_bootstrap, settings.lanes, settings.topic_prefix)
    bus.ensure_topics()
    return bus


def _run_worker(service: str, settings: Settings) -> None:
    assert service in WORKERS
    open_kafka(settings).close()
    with open_database(settings) as engine:
        bus = open_bus(settings, engine)
        worker = build(service, settings, bus, engine, open_media(settings))
        on_signal(worker.stop)
        logger.info("%s at work", service)
        worker.run()
        bus.close()


def _run_gateway(settings: Settings) -> None:
    open_kafka(settings).close()
    with open_database(settings) as engine:
        bus = open_bus(settings, engine)
        gateway = build("gateway", settings, bus, engine, SystemClock())
        stopping = threading.Event()
        plan = timetable(settings, bus, engine, open_media(settings), SystemClock())
        beside = threading.Thread(target=plan.run_until, args=(stopping,), name="timetable", daemon=True)
        beside.start()
        try:
            gateway.run()  # uvicorn handles the signals
        finally:
            stopping.set()
            beside.join(5.0)
            bus.close()


def _run_dashboard(settings: Settings) -> None:
    with open_database(settings) as engine:
        url = plain_url(engine)
    dashboard = build("dashboard", settings, url)
    on_signal(dashboard.stop)
    dashboard.run()


def on_signal(stop: Callable[[], None]) -> None:
    """Call ``stop`` at the first SIGINT or SIGTERM; the second kills."""

    def first(_number: int, _frame: object) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, first)
