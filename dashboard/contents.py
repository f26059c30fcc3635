"""The pages there are, and who sees which."""

from __future__ import annotations

from functools import partial
from typing import Any

import streamlit as st

from dashboard.auth import Person
from dashboard.core.review import Role
from dashboard.views import driver, drivers, event, health, inbox, trip, trips


def pages_for(person: Person) -> dict[str, Any]:
    """Name to Streamlit's page. Pages of one thing are hidden: they are reached from a list."""
    own = person.role is Role.DRIVER
    shown = {
        "inbox": (inbox.show, "My events" if own else "Inbox", "inbox", True),
        "event": (event.show, "Event", "warning", False),
        "drivers": (drivers.show, "My score" if own else "Drivers", "group", True),
        "driver": (driver.show, "Driver", "person", False),
        "trips": (trips.show, "My trips" if own else "Trips", "route", True),
        "trip": (trip.show, "Trip", "route", False),
    }
    if not own:
        shown["health"] = (health.show, "Fleet health", "monitor_heart", True)
    return {
        name: st.Page(
            _named(partial(page, person), name),
            title=title,
            icon=f":material/{icon}:",
            url_path="" if name == "inbox" else name,
            default=name == "inbox",
            visibility="visible" if visible else "hidden",
        )
        for name, (page, title, icon, visible) in shown.items()
    }


def _named(page: Any, name: str) -> Any:
    page.__name__ = name  # Streamlit tells callables apart by their names
    return page
