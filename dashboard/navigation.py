"""How one page leads to another, and what an address asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import streamlit as st

_KEY = "pages"
Query = Mapping[str, str | Sequence[str]]


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
