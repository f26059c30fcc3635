"""Small pieces that pages are made of. Whatever came from outside is escaped here, once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from html import escape
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote
from uuid import UUID

import streamlit as st

from dashboard import labels, theme
from dashboard.door import FOOTAGE
from dashboard.labels import Words
from infra.contracts.events import ReviewState, Severity
from infra.store.queries import ActionRow, EventRow

_LEDGER_SUM = "Score"
_MARKS = re.compile(r"([!-/:-@\[-`{-~])")  # ASCII punctuation, which Markdown lets a backslash escape


def plain(text: str) -> str:
    """Text for Streamlit's labels and titles, which are Markdown: every mark of it loses its meaning."""
    return _MARKS.sub(r"\\\1", " ".join(text.split()))


def tag(label: str, colours: tuple[str, str]) -> str:
    return f'<span class="rs-tag" style="color: light-dark({colours[0]}, {colours[1]})">{escape(label)}</span>'


def severity_tag(word: str) -> str:
    known = Severity(word) if word in set(Severity) else Severity.LOW
    return tag(labels.severity(word), theme.SEVERITY_COLOURS[known])


def state_tag(word: str) -> str:
    state = ReviewState(word)
    return tag(labels.STATES[state], theme.STATE_COLOURS[state])


def tags(event: EventRow, with_state: bool) -> str:
    shown = [severity_tag(event.severity)]
    shown += [tag("Contested", theme.SEVERITY_COLOURS[Severity.HIGH])] if event.contested else []
    shown += [state_tag(event.review_state)] if with_state else []
    return f'<div class="rs-tags">{"".join(shown)}</div>'


def still_address(event_id: UUID, path: str) -> str:
    return f"{FOOTAGE}/{event_id}/{PurePosixPath(path).name}"


def event_row(event: EventRow, words: Words, now: datetime, with_state: bool) -> str:
    """One event of a list, to be taken in at a glance."""
    picture = (
        f'<img class="rs-still" loading="lazy" alt="" src="{escape(still_address(event.event_id, event.still))}">'
        if event.still
        else f'<div class="rs-glyph" aria-hidden="true">{labels.icon(event.kind)}</div>'
    )
    speed = f" at {words.speed(event.speed_mps)}" if event.speed_mps is not None else ""
    return f"""<div class="rs-row"><div>{picture}</div>
      <div><b>{escape(labels.kind(event.kind))}</b><br>
        <span class="rs-muted">{escape(words.peak(event.peak, event.peak_unit))}{escape(speed)}</span></div>
      <div>{escape(event.driver_name or labels.NOBODY)}<br>
        <span class="rs-muted rs-small">{escape(event.vehicle_name)}</span></div>
      <div class="rs-muted">{escape(words.short_time(event.start_at, now))}</div>
      <div>{tags(event, with_state)}</div></div>"""


def facts(rows: Iterable[tuple[str, str]]) -> None:
    """Names and values, side by side."""
    inside = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in rows)
    st.html(f'<dl class="rs-kv">{inside}</dl>')


def activity_log(actions: Sequence[ActionRow], words: Words) -> str:
    return f'<div class="rs-log">{"".join(_action(action, words) for action in actions)}</div>'


def _action(action: ActionRow, words: Words) -> str:
    before, after = (labels.STATES[ReviewState(s)] for s in (action.from_state, action.to_state))
    did = f"{before} → {after}" if before != after else "Contested" if action.reason == "contested" else "Comment"
    reason = f" ({labels.reason(action.reason)})" if action.reason and before != after else ""
    comment = f"<blockquote>{escape(action.comment)}</blockquote>" if action.comment else ""
    when = escape(words.time(action.at))
    return (
        f"<div><b>{escape(did)}</b>{escape(reason)} "
        f'<span class="rs-muted rs-small">{escape(action.username)}, {when}</span>{comment}</div>'
    )


def score_figure(value: float | None, caption: str) -> str:
    if value is None:
        return f'<div class="rs-score"><b>–</b> <span class="rs-muted">{escape(caption)}: nothing driven</span></div>'
    word, (light, dark) = theme.band(value)
    return (
        f'<div class="rs-score"><b style="color: light-dark({light}, {dark})">{value:.0f}</b>'
        f"<span>{tag(word, (light, dark))}<br><span class='rs-muted rs-small'>{escape(caption)}</span></span></div>"
    )


def ledger_table(ledger: Sequence[Mapping[str, Any]], value: float | None) -> str:
    """What was taken off and why; the points of all lines and 100 add up to the score, which ends at 0."""
    lines = [("Start", "", 100.0)]
    lines += [(_ledger_label(str(line["what"])), str(line["why"]), float(line["points"])) for line in ledger]
    total = sum(points for _, _, points in lines)
    body = "".join(
        f'<tr><td>{escape(what)}<br><span class="rs-muted rs-small">{escape(why)}</span></td>'
        f'<td class="n">{points:+.2f}</td></tr>'
        for what, why, points in lines
    )
    floor = " (not below 0)" if total < 0 else ""
    end = "–" if value is None else f"{value:.2f}"
    foot = f'<tr><td>{_LEDGER_SUM}{floor}</td><td class="n">{end}</td></tr>'
    return f'<table class="rs-ledger"><tr><th>What</th><th class="n">Points</th></tr>{body}{foot}</table>'


def _ledger_label(what: str) -> str:
    """`harsh_brake.high` and `speeding.light`, in words."""
    word, _, grade = what.partition(".")
    return f"{labels.kind(word)}, {grade}" if grade else labels.kind(word)


def sparkline(values: Sequence[float | None]) -> str:
    """A trend of scores, 0 to 100, as a small drawing; a dot for one value."""
    known = [(i, v) for i, v in enumerate(values) if v is not None]
    if not known:
        return ""
    width, height, last = 110, 28, max(len(values) - 1, 1)
    points = [(4 + i / last * (width - 8), height - 3 - v / 100 * (height - 6)) for i, v in known]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    x, y = points[-1]
    drawing = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}">'
        f'<polyline points="{line}" fill="none" stroke="{theme.TRACE}" stroke-width="1.8"/>'
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.8" fill="{theme.TRACE}"/></svg>'
    )
    return f'<img alt="Trend of the score" src="data:image/svg+xml,{quote(drawing)}">'


def empty(icon: str, title: str, advice: str) -> None:
    """Says why there is nothing, and what to do next. ``advice`` is Markdown of ours."""
    with st.container(border=True, horizontal_alignment="center"):
        st.markdown(f"### :material/{icon}: {title}", text_alignment="center")
        st.markdown(advice, text_alignment="center")
