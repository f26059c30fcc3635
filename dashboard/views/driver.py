"""A driver's card: the score and its trend, what was taken off on a day and why, behaviours, trips."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta

import streamlit as st

from dashboard import charts, labels, parts
from dashboard.auth import Person
from dashboard.data import driver_names, now, reading, settings, words
from dashboard.navigation import asked_one, link
from dashboard.views.drivers import period
from dashboard.views.trips import trip_table
from infra.store import reports
from infra.store.reports import ScoreRow, TripRow

DAYS = 28


def show(person: Person) -> None:
    driver_id = person.only_driver if person.only_driver is not None else asked_one("id")
    name = driver_names().get(driver_id, driver_id)
    if person.only_driver is None:
        link("drivers", "Drivers", icon=":material/arrow_back:")
    with reading() as connection:
        newest = reports.newest_day(connection, driver_id)
        if newest is None:
            parts.empty("person", "No score yet", "There is one once a trip of this driver has ended.")
            return
        since, until = period(DAYS, newest, now().astimezone(settings().zone).date())
        days = reports.scores(connection, "driver_day", driver_id, since, until)
        summed = reports.drivers(connection, since, until, only_driver=driver_id)
        trips = reports.trips(connection, driver_id=driver_id, limit=25)
    st.title(parts.plain(name), anchor=False)
    _summary(summed[0])
    left, right = st.columns([3, 2], gap="medium")
    with left:
        _trend(days)
        _trips(trips)
    with right:
        _ledger(days)
        _behaviours(days)


def _summary(row: reports.DriverRow) -> None:
    formats = words()
    rate = formats.per_distance(row.events, row.distance_m)
    over = row.over_limit_s / row.limit_known_s if row.limit_known_s else None
    shown = {
        "Distance": formats.distance(row.distance_m),
        "Driving": labels.length(row.driving_s),
        f"Events per 100 {formats.distance_unit}": "–" if rate is None else f"{rate:.1f}",
        "Time over the limit": "–" if over is None else labels.percent(over),
    }
    with st.container(horizontal=True, vertical_alignment="center", key="metrics"):
        st.html(parts.score_figure(row.value, f"last {DAYS} days, averaged by distance"))
        for name, value in shown.items():
            unknown = "No posted limit was known on these trips." if value == "–" else None
            st.metric(name, value, border=True, help=unknown)


def _trend(days: Sequence[ScoreRow]) -> None:
    st.subheader("Score by day", anchor=False)
    st.altair_chart(charts.score_trend([row.day for row in days], [row.value for row in days]))


def _ledger(days: Sequence[ScoreRow]) -> None:
    st.subheader("What was taken off, and why", anchor=False)
    newest_first = list(reversed(days))
    row = st.selectbox("Day", newest_first, format_func=lambda each: labels.day(each.day), key="ledger-day")
    if row is None:
        return
    st.html(parts.ledger_table(row.ledger, row.value))
    st.caption(f"Formula {row.formula}. {words().distance(row.distance_m)} driven in {labels.length(row.driving_s)}.")


def _behaviours(days: Sequence[ScoreRow]) -> None:
    """How many events of each kind the days' ledgers hold."""
    counts: Counter[str] = Counter()
    for row in days:
        for line in row.ledger:
            kind, _, _ = str(line["what"]).partition(".")
            if kind != "speeding":
                counts[labels.kind(kind)] += int(line["count"])
    st.subheader("Behaviours", anchor=False)
    if counts:
        st.altair_chart(charts.bars(list(counts), [float(n) for n in counts.values()], f"events in {DAYS} days"))
    else:
        st.caption(f"No event in {timedelta(days=DAYS).days} days.")


def _trips(trips: list[TripRow]) -> None:
    st.subheader("Trips", anchor=False)
    if trips:
        trip_table(trips, key="driver-trips", with_driver=False)
    else:
        st.caption("None.")
