"""All drivers: score, distance, events and time over the limit of some weeks, lowest score first."""

from __future__ import annotations

from datetime import date, timedelta
from html import escape

import streamlit as st

from dashboard import labels, parts, theme
from dashboard.auth import Person
from dashboard.core.review import Role
from dashboard.data import ask, now, settings, words
from dashboard.navigation import go, link
from infra.store import reports
from infra.store.reports import DriverRow

PERIODS = {7: "7 days", 28: "28 days", 91: "13 weeks"}
SORTINGS = {"score": "Lowest score", "events": "Most events", "distance": "Longest distance", "name": "Name"}


def show(person: Person) -> None:
    if person.role is Role.DRIVER:
        go("driver", {"id": person.driver_id or ""})
    st.title("Drivers")
    newest = ask(reports.newest_day)
    if newest is None:
        parts.empty("group", "No scores yet", "A driver has a score once a trip with their name on it has ended.")
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        length = st.segmented_control(
            "Period", list(PERIODS), default=28, required=True, format_func=PERIODS.__getitem__, key="period"
        )
        sorting = st.selectbox("Order", list(SORTINGS), format_func=SORTINGS.__getitem__, key="d-sorting", width=220)
    since, until = period(int(length or 28), newest, now().astimezone(settings().zone).date())
    st.caption(f"{labels.day(since)} to {labels.day(until)}. Scores of days are averaged by distance.")
    rows = sorted(ask(reports.drivers, since, until), key=lambda row: _order(row, str(sorting)))
    for row in rows:
        with st.container(border=True, key=f"row-{row.driver_id}", horizontal=True, vertical_alignment="center"):
            st.html(_row(row))
            link("driver", "Open", {"id": row.driver_id}, icon=":material/chevron_right:")


def period(days: int, newest: date, today: date) -> tuple[date, date]:
    """The last days up to today; where nobody has driven in them, up to the last day that anyone did."""
    until = today if newest > today - timedelta(days=days) else newest
    return until - timedelta(days=days - 1), until


def _order(row: DriverRow, sorting: str) -> tuple[float, str]:
    keys = {
        "score": 101.0 if row.value is None else row.value,
        "events": -float(row.events),
        "distance": -row.distance_m,
        "name": 0.0,
    }
    return keys[sorting], row.name


def _row(row: DriverRow) -> str:
    formats = words()
    rate = formats.per_distance(row.events, row.distance_m)
    over = row.over_limit_s / row.limit_known_s if row.limit_known_s else None
    cells = (
        ("Distance", formats.distance(row.distance_m)),
        (f"Events per 100 {formats.distance_unit}", "–" if rate is None else f"{rate:.1f} ({row.events})"),
        ("Time over the limit", "no limits known" if over is None else labels.percent(over)),
    )
    figures = "".join(f'<div><span class="rs-muted rs-small">{n}</span><br>{escape(v)}</div>' for n, v in cells)
    return (
        f'<div class="rs-driver"><div>{_figure(row.value)}</div><div><b>{escape(row.name)}</b><br>'
        f'<span class="rs-muted rs-small">{escape(row.driver_id)}</span></div>{figures}'
        f"<div>{parts.sparkline(row.values)}</div></div>"
    )


def _figure(value: float | None) -> str:
    if value is None:
        return '<span class="rs-number rs-muted">–</span>'
    word, (light, dark) = theme.band(value)
    return (
        f'<span class="rs-number" style="color: light-dark({light}, {dark})">{value:.0f}</span>'
        f'<br><span class="rs-small" style="color: light-dark({light}, {dark})">{word}</span>'
    )
