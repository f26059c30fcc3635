"""The dashboard's own process: Streamlit behind the door. Started by ``dashboard.service``, as `python -m`."""

from __future__ import annotations

import importlib
import logging
import os
import signal
import threading
import time
from pathlib import Path

from sqlalchemy import Engine
from streamlit.starlette import App

from dashboard.data import open_engine
from dashboard.door import Door
from dashboard.theme import streamlit_options
from infra.clock import SystemClock
from infra.runtime.adapters import open_media
from infra.settings import Settings, load

SCRIPT = Path(__file__).with_name("app.py")


def make_app(settings: Settings, engine: Engine) -> App:
    """The ASGI app: sign-in, footage and Streamlit's pages."""
    door = Door(settings, engine, open_media(settings), SystemClock())
    return App(SCRIPT, middleware=door.middleware())


def main() -> None:
    settings = load()
    logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    threading.Thread(target=_load_pages, daemon=True).start()
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    app = make_app(settings, open_engine(settings))
    app.run(config=streamlit_options(settings.dashboard_host, settings.dashboard_port))


def _load_pages() -> None:
    """Before anyone asks: pandas, Arrow and Altair take seconds the first time."""
    importlib.import_module("dashboard.views.driver")


def _end_with(parent: int) -> None:
    """Stop when the process that started us is gone, however it went."""
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
