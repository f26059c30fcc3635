"""How the data arrive: who has gone silent, what came late or twice, what could not be used and why."""

from __future__ import annotations

from datetime import timedelta

import pandas as pd
import streamlit as st

from dashboard import parts
from dashboard.auth import Person
from dashboard.core.review import NotAllowed, Role
from dashboard.data import now, reading, settings, words
from infra.store import reports
from infra.store.reports import VehicleHealth

SILENT_AFTER = timedelta(days=1)
SILENT = "No position for a day"
HELP = {SILENT: "By the time of the newest position, not of its arrival. A parked vehicle may be silent too."}


def show(person: Person) -> None:
    if person.role is Role.DRIVER:
        raise NotAllowed("a driver sees their own data only")
    st.title("Fleet health")
    with reading() as connection:
        vehicles = reports.fleet_health(connection)
        letters = reports.dead_letter_reasons(connection)
    if not vehicles:
        parts.empty(
            "monitor_heart", "No vehicle is registered", "Register a device with `rumblestrip devices add --help`."
        )
        return
    _metrics(vehicles, letters)
    _vehicles(vehicles)
    _letters(letters)


def _metrics(vehicles: list[VehicleHealth], letters: pd.DataFrame) -> None:
    silent = sum(v.last_seen is None or now() - v.last_seen > SILENT_AFTER for v in vehicles)
    shown = {
        "Vehicles": len(vehicles),
        SILENT: silent,
        "Messages": sum(v.messages for v in vehicles),
        "Twice": sum(v.duplicate for v in vehicles),
        "Late": sum(v.late for v in vehicles),
        "Missing": sum(v.missing for v in vehicles),
        "Rows not usable": int(letters["rows"].sum()) if len(letters) else 0,
    }
    with st.container(horizontal=True, key="metrics"):
        for name, value in shown.items():
            st.metric(name, f"{value:,}", border=True, help=HELP.get(name))


def _vehicles(vehicles: list[VehicleHealth]) -> None:
    formats, at = words(), now()
    st.subheader("Vehicles", anchor=False)
    table = pd.DataFrame(
        {
            "Vehicle": [v.name for v in vehicles],
            "Last seen": [formats.ago(v.last_seen, at) for v in vehicles],
            "Last position": [formats.time(v.last_seen) if v.last_seen else "" for v in vehicles],
            "Messages": [v.messages for v in vehicles],
            "Twice": [v.duplicate for v in vehicles],
            "Late": [v.late for v in vehicles],
            "Missing": [v.missing for v in vehicles],
            "Rows not usable": [v.dead_letters for v in vehicles],
        }
    )
    st.dataframe(table, hide_index=True, key="vehicles")
    st.caption(
        "Twice: sent again, and dropped. Late: after the wait for it had ended. Missing: never came, by the device’s "
        f"own count. The wait is {settings().late_window_s:.0f} s."
    )


def _letters(letters: pd.DataFrame) -> None:
    st.subheader("What could not be used", anchor=False)
    if letters.empty:
        st.caption("Nothing was refused. A frame without a face counts as read.")
        return
    formats = words()
    shown = pd.DataFrame(
        {
            "Reason": letters["reason"].str.replace("_", " "),
            "Rows": letters["rows"].astype(int),
            "Newest": [formats.time(when) for when in letters["newest"]],
            "Example": letters["example"],
        }
    )
    st.dataframe(shown, hide_index=True, key="letters")
