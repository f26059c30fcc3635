"""All drivers: score with its interval, place among peers, distance, events of some weeks; lowest score first."""

from __future__ import annotations

from html import escape

import streamlit as st

from dashboard import labels, parts, scores
from dashboard.auth import Person
from dashboard.core.review import Role
from dashboard.data import ask, driver_names, now, settings, words
from dashboard.navigation import go, link
from dashboard.scores import WINDOW_DAYS
from infra.store import reports
from scoring.standings import Standing

PERIODS = {7: "7 days", WINDOW_DAYS: "28 days", 91: "13 weeks"}
SORTINGS = {"score": "Lowest score", "events": "Most events", "distance": "Longest distance", "name": "Name"}


def show(person: Person) -> None:
    if person.role is Role.DRIVER:
        go("driver", {"id": person.driver_id or ""})
    st.title("Drivers")
    newest = ask(reports.newest_trip)
    if newest is None:
        parts.empty("group", "No scores yet", "A driver has a score once a trip with their name on it has ended.")
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        days = choose_days("period")
        sorting = st.selectbox("Order", list(SORTINGS), format_func=SORTINGS.__getitem__, key="d-sorting", width=220)
    since, until = scores.period(days, words().local(newest).date(), now().astimezone(settings().zone).date())
    st.caption(
        f"{labels.day(since)} to {labels.day(until)}. The bar shows where a score truly lies, with 90 % certainty."
    )
    names = driver_names()
    rows = ask(scores.fleet, since, until, words())
    for row in sorted(rows, key=lambda one: _order(one, names.get(one.name, one.name), str(sorting))):
        with st.container(border=True, key=f"row-{row.name}", horizontal=True, vertical_alignment="center"):
            st.html(_row(row, names.get(row.name, row.name)))
            link("driver", "Open", {"id": row.name}, icon=":material/chevron_right:")


def choose_days(key: str) -> int:
    """The length of the window, as a row of buttons."""
    length = st.segmented_control(
        "Period", list(PERIODS), default=WINDOW_DAYS, required=True, format_func=PERIODS.__getitem__, key=key
    )
    return int(length or WINDOW_DAYS)


def _order(row: Standing, name: str, sorting: str) -> tuple[float, str]:
    keys = {
        "score": 101.0 if row.result.value is None else row.result.value,
        "events": -float(sum(row.driven.events.values())),
        "distance": -row.driven.distance_m,
        "name": 0.0,
    }
    return keys[sorting], name


def _row(row: Standing, name: str) -> str:
    formats, driven = words(), row.driven
    events = sum(driven.events.values())
    rate = formats.per_distance(events, driven.distance_m)
    over = sum(driven.over_s) / driven.limit_known_s if driven.limit_known_s else None
    cells = (
        ("Distance", formats.distance(driven.distance_m)),
        (f"Events per 100 {formats.distance_unit}", "–" if rate is None else f"{rate:.1f} ({events})"),
        ("Over the limit", "no limits known" if over is None else labels.percent(over)),
        ("Better than", "–" if row.percentile is None else f"{row.percentile:.0f} % of peers"),
    )
    figures = "".join(f'<div><span class="rs-muted rs-small">{n}</span><br>{escape(v)}</div>' for n, v in cells)
    below = escape(row.name) if row.name != name else ""
    if row.recognition.earned:
        below = f"{escape(formats.distance(row.recognition.clean_m))} without an event"
    return (
        f'<div class="rs-driver"><div>{parts.score_number(row.result)}</div><div><b>{escape(name)}</b><br>'
        f'<span class="rs-muted rs-small">{below}</span></div>{figures}'
        f"<div>{parts.interval_bar(row.result)}</div></div>"
    )
