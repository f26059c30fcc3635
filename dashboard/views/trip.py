"""One trip: its track, its speed, its events, its score."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pandas as pd
import streamlit as st

from dashboard import charts, labels, parts, scores
from dashboard.auth import Person
from dashboard.data import now, reading, words
from dashboard.navigation import asked_one, link
from infra.store import queries, reports
from infra.store.queries import EventFilter, EventRow
from infra.store.reports import TripRow
from scoring.core.formulas.account import Line
from scoring.core.formulas.port import Result

EDGE = timedelta(seconds=10)  # a hard start begins before its trip does


def show(person: Person) -> None:
    link("trips", "Trips", icon=":material/arrow_back:")
    trip_id = _trip_id(asked_one("id"))
    with reading() as connection:
        trip = reports.trip_of(connection, trip_id, person.only_driver) if trip_id else None
        if trip is None:
            parts.empty("search_off", "No such trip", "It does not exist, or it is not one of yours.")
            return
        track = reports.track(connection, trip.vehicle_id, trip.start_at, trip.end_at)
        during = EventFilter(
            vehicles=(trip.vehicle_id,),
            since=trip.start_at - EDGE,
            until=trip.end_at + EDGE,
            only_driver=person.only_driver,
        )
        events = queries.events(connection, during, "oldest", queries.MOST_EVENTS)
        day = words().local(trip.start_at).date()
        scored = scores.trip_score(connection, trip.trip_id, day, words())
    _headline(trip)
    left, right = st.columns([3, 2], gap="medium")
    with left:
        _drawings(track, events)
    with right:
        _score(scored)
        _events(events)


def _trip_id(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _headline(trip: TripRow) -> None:
    formats = words()
    st.title(formats.time(trip.start_at), anchor=False)
    st.caption(parts.plain(f"{trip.driver_name or labels.NOBODY} · {trip.vehicle_name}"))
    over = trip.over_limit_s / trip.limit_known_s if trip.limit_known_s else None
    shown = {
        "Distance": formats.distance(trip.distance_m),
        "Driving": labels.length(trip.driving_s),
        "Fastest": formats.speed(trip.max_speed_mps),
        "Over the limit": "–" if over is None else labels.percent(over),
    }
    with st.container(horizontal=True, key="metrics"):
        for name, value in shown.items():
            st.metric(name, value, border=True, help="No posted limit was known." if value == "–" else None)
    if trip.status == "open":
        st.info("This trip is not over yet: it ends after five minutes of rest.", icon=":material/pending:")


def _drawings(track: pd.DataFrame, events: list[EventRow]) -> None:
    formats = words()
    marks = pd.DataFrame(
        {
            "time": pd.to_datetime([e.start_at for e in events], utc=True),
            "lat": [e.lat for e in events],
            "lon": [e.lon for e in events],
            "what": [labels.kind(e.kind) for e in events],
        }
    ).astype({"lat": "float64", "lon": "float64"})
    gaps = charts.gaps_opened(track)
    drawn = charts.trip_map(gaps, marks, formats)
    if drawn is None:
        st.caption("No position of this trip is kept.")
        return
    st.altair_chart(drawn)
    st.subheader("Speed", anchor=False)
    st.altair_chart(charts.speed_over_time(gaps, marks, formats))


def _score(scored: tuple[Result, list[Line]] | None) -> None:
    if scored is None:
        st.caption("The score is computed when the trip has ended.")
        return
    result, lines = scored
    st.html(parts.score_figure(result, words()))
    with st.expander("What was taken off, and why", expanded=True):
        st.html(parts.ledger_table(lines, result.value))


def _events(events: list[EventRow]) -> None:
    st.subheader("Events", anchor=False)
    if not events:
        st.caption("None: a calm trip.")
    formats, at = words(), now()
    for event in events:
        icon = f":material/{labels.icon(event.kind)}:"
        what = f"{labels.kind(event.kind)}, {formats.peak(event.peak, event.peak_unit)}"
        link(
            "event",
            f"{what} · {formats.short_time(event.start_at, at)}",
            {"id": str(event.event_id), "view": "all"},
            icon=icon,
        )
