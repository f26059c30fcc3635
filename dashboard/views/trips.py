"""All trips, newest first."""

from __future__ import annotations

from datetime import datetime, time, timedelta

import pandas as pd
import streamlit as st

from dashboard import labels, parts
from dashboard.auth import Person
from dashboard.data import driver_names, reading, settings, vehicle_names, words
from dashboard.navigation import go
from infra.store import reports
from infra.store.reports import TripRow
from scoring.in_force import in_force

EVERYONE = ""


def show(person: Person) -> None:
    st.title("Trips" if person.only_driver is None else "My trips")
    driver_id, vehicle_id, since, until = _filters(person)
    with reading() as connection:
        formula = in_force(connection).name
        found = reports.trips(connection, since, until, driver_id, vehicle_id, reports.MOST_TRIPS, formula=formula)
    if not found:
        parts.empty("route", "No trips", "A trip begins at 8 km/h (5 mph), and ends after five minutes below that.")
        return
    st.caption("Choose a row to open the trip." + (" The newest 200." if len(found) == reports.MOST_TRIPS else ""))
    trip_table(found, key="trips", with_driver=person.only_driver is None)


def _filters(person: Person) -> tuple[str | None, str | None, datetime | None, datetime | None]:
    first, second, third = st.columns(3)
    days = first.date_input("Days", (), key="t-days", format="YYYY-MM-DD")
    span = days if isinstance(days, tuple) else (days,)
    zone = settings().zone
    since = datetime.combine(span[0], time(), zone) if span else None
    until = datetime.combine(span[-1] + timedelta(days=1), time(), zone) if len(span) > 1 else None
    if person.only_driver is not None:
        return person.only_driver, None, since, until
    drivers, vehicles = {EVERYONE: "All drivers"} | driver_names(), {EVERYONE: "All vehicles"} | vehicle_names()
    driver_id = second.selectbox("Driver", list(drivers), format_func=drivers.__getitem__, key="t-driver")
    vehicle_id = third.selectbox("Vehicle", list(vehicles), format_func=vehicles.__getitem__, key="t-vehicle")
    return driver_id or None, vehicle_id or None, since, until


def trip_table(trips: list[TripRow], key: str, with_driver: bool, narrow: bool = False) -> None:
    """A table whose rows lead to the trips. ``narrow``: for a column beside another, without zone and driving time."""
    formats = words()
    table = pd.DataFrame(
        {
            "Start": [formats.local(t.start_at).strftime("%-d %b %Y, %H:%M" + " %Z" * (not narrow)) for t in trips],
            "Driver": [t.driver_name or labels.NOBODY for t in trips],
            "Vehicle": [t.vehicle_name for t in trips],
            "Driving": [labels.length(t.driving_s) for t in trips],
            "Distance": [t.distance_m * formats.distance_factor for t in trips],
            "Events": [t.events for t in trips],
            "Score": [t.value for t in trips],
            "90 %": ["" if t.low is None else f"{t.low:.0f} to {t.high:.0f}" for t in trips],
        }
    )
    config = {
        "Start": st.column_config.TextColumn(width=140 if narrow else 170),
        "Driving": st.column_config.TextColumn(width=75),
        "Distance": st.column_config.NumberColumn(formats.distance_unit, format="%.1f", width=60),
        "Events": st.column_config.NumberColumn(width=65),
        "Score": st.column_config.NumberColumn(format="%.0f", width=60, help="Of this trip alone."),
        "90 %": st.column_config.TextColumn(width=80, help="Where the score truly lies, with 90 % certainty."),
    }
    chosen = st.dataframe(
        table.drop(columns=["Driver"] * (not with_driver) + ["Driving"] * narrow),
        hide_index=True,
        column_config=config,
        on_select="rerun",
        selection_mode=["single-row", "single-cell"],
        key=key,
    )
    rows = [*chosen.selection.rows, *(cell[0] for cell in chosen.selection.get("cells", []))]
    if rows:
        go("trip", {"id": str(trips[rows[0]].trip_id)})
