"""`rumblestrip run SERVICE`: one room in this process, on a real bus and database."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable

from prometheus_client import start_http_server

from infra.clock import SystemClock
from infra.runtime.adapters import open_database, open_kafka, open_media
from infra.runtime.rooms import WORKERS, build
from infra.runtime.timetable import timetable
from infra.settings import Settings, SettingsError
from infra.store.bulk import warm_up
from infra.store.engine import plain_url

logger = logging.getLogger(__name__)

OURS = ("infra", "ingest", "vision", "scoring", "dashboard")


def run_service(service: str, settings: Settings, metrics_port: int = 0) -> None:
    """Run the room until SIGINT or SIGTERM; a second signal kills.

    Raises:
        SettingsError: services in processes of their own cannot share a memory bus or start a database each.
        StoreUnavailable, BusUnavailable: the database or the broker does not answer.
    """
    if settings.database_url is None:
        raise SettingsError("`run` needs RUMBLESTRIP_DATABASE_URL; for everything in one process: rumblestrip up")
    tell_what_happens(settings.log_level)
    if metrics_port:
        start_http_server(metrics_port)
    if service == "dashboard":
        _run_dashboard(settings)
    elif service == "gateway":
        _run_gateway(settings)
    else:
        _run_worker(service, settings)


def tell_what_happens(level: str) -> None:
    """Log our own rooms at this level, with times; libraries at warnings."""
    logging.basicConfig(level="WARNING", format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True)
    for room in OURS:
        logging.getLogger(room).setLevel(level)


def _run_worker(service: str, settings: Settings) -> None:
    assert service in WORKERS
    bus = open_kafka(settings)
    with open_database(settings) as engine:
        warm_up()
        worker = build(service, settings, bus, engine, open_media(settings))
        on_signal(worker.stop)
        logger.info("%s at work on %s", service, settings.kafka_bootstrap)
        worker.run()
        logger.info("%s stopped", service)
        bus.close()


def _run_gateway(settings: Settings) -> None:
    bus = open_kafka(settings)
    with open_database(settings) as engine:
        gateway = build("gateway", settings, bus, engine, SystemClock())
        stopping = threading.Event()
        plan = timetable(settings, bus, engine, open_media(settings), SystemClock())
        beside = threading.Thread(target=plan.run_until, args=(stopping,), name="timetable", daemon=True)
        beside.start()
        on_signal(gateway.stop)  # uvicorn puts its own in place while it serves, and then raises again what came
        try:
            gateway.run()
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
