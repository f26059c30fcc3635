"""The pages, who sees which, and how one leads to another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NoReturn

import streamlit as st

from dashboard.auth import Person
from dashboard.core.review import Role

_KEY = "pages"
Query = Mapping[str, str | Sequence[str]]


def pages_for(person: Person) -> dict[str, Any]:
    """Name to Streamlit's page. Pages of one thing are hidden: they are reached from a list."""
    from dashboard.pages import driver, drivers, event, health, inbox, trip, trips

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


def remember(pages: Mapping[str, Any]) -> None:
    st.session_state[_KEY] = pages


def link(name: str, label: str, query: Query | None = None, icon: str | None = None) -> None:
    """A link to a page, which changes it without loading everything anew."""
    st.page_link(st.session_state[_KEY][name], label=label, query_params=query, icon=icon)


def go(name: str, query: Query | None = None) -> NoReturn:
    st.switch_page(st.session_state[_KEY][name], query_params=query)
    raise AssertionError("switch_page does not return")


def asked() -> dict[str, list[str]]:
    """The address's query: names to all their values."""
    return {name: st.query_params.get_all(name) for name in st.query_params}


def asked_one(name: str) -> str:
    return str(st.query_params.get(name, ""))


def _named(page: Any, name: str) -> Any:
    page.__name__ = name  # Streamlit tells callables apart by their names
    return page
