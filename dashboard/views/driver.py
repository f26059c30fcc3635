"""A driver's card: the score with its interval and place, how it went, what was taken off and why, trips."""

from __future__ import annotations

from collections import Counter
from html import escape
from urllib.parse import quote, urlencode

import streamlit as st

from dashboard import api, charts, labels, parts, scores
from dashboard.auth import Person
from dashboard.data import driver_names, now, reading, settings, words
from dashboard.navigation import asked_one, link
from dashboard.scores import Card
from dashboard.views.drivers import choose_days
from dashboard.views.trips import trip_table
from infra.store import reports
from infra.store.reports import TripRow
from scoring.in_force import in_force
from scoring.standings import Standing


def show(person: Person) -> None:
    driver_id = person.only_driver if person.only_driver is not None else asked_one("id")
    name = driver_names().get(driver_id, driver_id)
    if person.only_driver is None:
        link("drivers", "Drivers", icon=":material/arrow_back:")
    with reading() as connection:
        newest = reports.newest_trip(connection, driver_id)
    if newest is None:
        parts.empty("person", "No score yet", "There is one once a trip of this driver has ended.")
        return
    st.title(parts.plain(name), anchor=False)
    days = choose_days("driver-period")
    since, until = scores.period(days, words().local(newest).date(), now().astimezone(settings().zone).date())
    with reading() as connection:
        card = scores.card(connection, driver_id, since, until, words())
        formula = in_force(connection).name
        trips = reports.trips(connection, driver_id=driver_id, limit=25, formula=formula)
    if card.standing is None:
        parts.empty("person", "Nothing driven in these days", "Choose a longer period above.")
        return
    _summary(card.standing)
    left, right = st.columns([3, 2], gap="medium")
    with left:
        _trend(card, days)
        _trips(trips)
    with right:
        _ledger(card, driver_id)
        _behaviours(card.standing)


def _summary(one: Standing) -> None:
    formats, driven = words(), one.driven
    events = sum(driven.events.values())
    rate = formats.per_distance(events, driven.distance_m)
    over = sum(driven.over_s) / driven.limit_known_s if driven.limit_known_s else None
    shown = {
        "Distance": formats.distance(driven.distance_m),
        f"Events per 100 {formats.distance_unit}": "–" if rate is None else f"{rate:.1f}",
        "Time over the limit": "–" if over is None else labels.percent(over),
        "Better than": "–" if one.percentile is None else f"{one.percentile:.0f} % of peers",
    }
    unknown = {
        "Time over the limit": "No posted limit was known on these trips.",
        "Better than": "Peers are drivers with vehicles of the same class and enough driving to compare.",
    }
    with st.container(horizontal=True, vertical_alignment="center", key="metrics"):
        st.html(parts.score_figure(one.result, formats))
        for name, value in shown.items():
            st.metric(name, value, border=True, help=unknown.get(name) if value == "–" else None)
    if one.recognition.earned:
        st.success(_praise(one), icon=":material/thumb_up:")


def _praise(one: Standing) -> str:
    clean = words().distance(one.recognition.clean_m)
    usual = f"{one.recognition.peers_events:.0f}"
    return f"{clean} without an event. Peers have {usual} over such a distance: that is no luck."


def _trend(card: Card, days: int) -> None:
    st.subheader(f"Score of the last {days} days, day by day", anchor=False)
    st.altair_chart(charts.score_trend(card.trend))
    st.caption("Shaded: where the score truly lies, with 90 % certainty. More driving makes it narrower.")


def _ledger(card: Card, driver_id: str) -> None:
    assert card.standing is not None
    result = card.standing.result
    st.subheader("What was taken off, and why", anchor=False)
    st.html(parts.ledger_table(card.lines, result.value))
    span = urlencode({"from": card.since.isoformat(), "to": card.until.isoformat()})
    address = f"{api.PREFIX}/scores/driver/{quote(driver_id, safe='')}/ledger.csv?{span}"
    st.html(
        f'<a class="rs-download" href="{escape(address)}" download>Every trip, event and sum, as CSV</a>'
        f'<span class="rs-muted rs-small"> Formula {escape(result.formula)}; any spreadsheet works it out again.</span>'
    )


def _behaviours(one: Standing) -> None:
    """How many events of each kind counted."""
    counts: Counter[str] = Counter()
    for (kind, _), count in one.driven.events.items():
        counts[labels.kind(kind)] += count
    st.subheader("Behaviours", anchor=False)
    if counts:
        st.altair_chart(charts.bars(list(counts), [float(n) for n in counts.values()], "events"))
    else:
        st.caption("No event in these days.")


def _trips(trips: list[TripRow]) -> None:
    st.subheader("Trips", anchor=False)
    if trips:
        trip_table(trips, key="driver-trips", with_driver=False, narrow=True)
    else:
        st.caption("None.")
