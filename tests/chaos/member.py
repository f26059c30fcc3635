"""One worker process of the ledger room, to be killed: ``python -m tests.chaos.member BOOTSTRAP PREFIX LANES URL``."""

from __future__ import annotations

import logging
import signal
import sys
from pathlib import Path

from infra.bus.kafka import KafkaBus
from infra.runtime.worker import Worker
from infra.settings import Settings
from infra.store.engine import make_engine
from infra.store.media import LocalMedia
from tests.chaos.ledger import LedgerStep

SESSION_MS = 6_000  # the shortest that a broker takes by default


def main() -> None:
    bootstrap, prefix, lanes, url = sys.argv[1:]
    logging.basicConfig(level="WARNING")
    bus = KafkaBus(bootstrap, int(lanes), prefix, session_timeout_ms=SESSION_MS)
    settings = Settings(lanes=int(lanes), worker_batch=40, state_cache=10)
    worker = Worker(LedgerStep(), bus, make_engine(url), settings, LocalMedia(Path("unused")))
    signal.signal(signal.SIGTERM, lambda *_: worker.stop())
    worker.run()
    bus.close()


if __name__ == "__main__":
    main()
