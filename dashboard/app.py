"""The desk's window: checks who is there, and shows the page they asked for. Streamlit runs this file."""

from __future__ import annotations

import logging

import streamlit as st
from sqlalchemy.exc import SQLAlchemyError

from dashboard import labels
from dashboard.auth import Person
from dashboard.contents import pages_for
from dashboard.data import person_signed_in, settings
from dashboard.door import SIGN_IN, SIGN_OUT
from dashboard.navigation import remember
from dashboard.theme import ICON_SVG, STYLE
from infra.store.engine import StoreUnavailable

logger = logging.getLogger("dashboard")


def main() -> None:
    st.set_page_config(page_title="Rumblestrip", page_icon=ICON_SVG, layout="wide")
    st.html(STYLE)
    try:
        person = person_signed_in()
        if person is None:
            _say_session_ended()
        else:
            _show(person)
    except (SQLAlchemyError, StoreUnavailable):
        logger.exception("the database does not answer")
        _say_database_away()


def _show(person: Person) -> None:
    pages = pages_for(person)
    remember(pages)
    shown = st.navigation(list(pages.values()), position="sidebar")
    with st.sidebar:
        _who(person)
    shown.run()


def _who(person: Person) -> None:
    st.caption(f"{labels.ROLES[person.role]} · times in {settings().time_zone}")
    st.html(
        f'<form method="post" action="{SIGN_OUT}"><button class="rs-signout">Sign out</button></form>'
        "<style>.rs-signout { font: inherit; font-size: .9rem; padding: .3rem .8rem; border-radius: .4rem; "
        "cursor: pointer; color: inherit; background: none; border: 1px solid light-dark(#9aa3ab, #5b6773); }</style>"
    )


def _say_session_ended() -> None:
    st.title("Your session has ended")
    st.html(f'<p>Sessions end after a day without use. <a href="{SIGN_IN}" target="_self">Sign in again</a></p>')


def _say_database_away() -> None:
    st.title("The database does not answer")
    st.markdown(
        "Nothing is lost: what vehicles send waits on the bus. Reload the page in a moment. If it lasts, "
        "`rumblestrip services status` and `rumblestrip doctor` on the server say what is wrong."
    )


if __name__ == "__main__":
    main()
