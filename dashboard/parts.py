"""Small pieces that pages are made of. Whatever came from outside is escaped here, once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from html import escape
from pathlib import PurePosixPath
from urllib.parse import quote
from uuid import UUID

import streamlit as st

from dashboard import labels, theme
from dashboard.door import FOOTAGE
from dashboard.labels import Words
from infra.contracts.events import ReviewState, Severity
from infra.store.queries import ActionRow, EventRow
from scoring.core.formulas.account import OVER, PEERS_WORD, Line
from scoring.core.formulas.expected_risk import LEAST_DISTANCE_M
from scoring.core.formulas.port import Result, State

TOO_LITTLE = "Too little driving yet"
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


def score_figure(result: Result, words: Words) -> str:
    """A score, large, with its interval and what it is worth."""
    if result.value is None:
        return '<div class="rs-score"><b>–</b> <span class="rs-muted">Nothing was driven</span></div>'
    word, colours = score_band(result)
    light, dark = colours
    said = f"{_interval(result)}, with 90 % certainty"
    if result.state is State.TOO_LITTLE_DRIVING:
        said += f"<br>It means something from {words.distance(LEAST_DISTANCE_M)} on"
    return (
        f'<div class="rs-score"><b style="color: light-dark({light}, {dark})">{result.value:.0f}</b>'
        f"<span>{tag(word, colours)}<br><span class='rs-muted rs-small'>{said}</span></span></div>"
    )


def score_number(result: Result) -> str:
    """The same, small, for a list."""
    if result.value is None:
        return '<span class="rs-number rs-muted">–</span>'
    word, (light, dark) = score_band(result)
    return (
        f'<span class="rs-number" style="color: light-dark({light}, {dark})">{result.value:.0f}</span>'
        f'<br><span class="rs-small" style="color: light-dark({light}, {dark})">{word}</span>'
    )


def score_band(result: Result) -> tuple[str, tuple[str, str]]:
    """The word and the colours of a score; quiet ones where there is too little driving."""
    if result.state is State.TOO_LITTLE_DRIVING:
        return TOO_LITTLE, theme.STATE_COLOURS[ReviewState.REVIEWED]
    return theme.band(result.value or 0.0)


def _interval(result: Result) -> str:
    return "" if result.low is None or result.high is None else f"{result.low:.0f} to {result.high:.0f}"


def interval_bar(result: Result) -> str:
    """Where a score truly lies, from 0 to 100: a bar, and the score on it."""
    if result.value is None or result.low is None or result.high is None:
        return ""
    width, height = 110, 28
    low, at, high = (4 + value / 100 * (width - 8) for value in (result.low, result.value, result.high))
    drawing = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}">'
        f'<rect x="4" y="13" width="{width - 8}" height="2" fill="{theme.MUTED}" opacity="0.5"/>'
        f'<rect x="{low:.1f}" y="10" width="{high - low:.1f}" height="8" rx="4" fill="{theme.TRACE}" opacity="0.35"/>'
        f'<circle cx="{at:.1f}" cy="14" r="5" fill="{theme.TRACE}"/></svg>'
    )
    name = f"Score between {_interval(result)}"
    return f'<img alt="{name}" title="{name}" src="data:image/svg+xml,{quote(drawing)}">'


def ledger_table(lines: Sequence[Line], value: float | None) -> str:
    """What was taken off and why; the points of all lines and 100 add up to the score."""
    rows = [("Start", "", 100.0)] + [(_ledger_label(line), line.why, line.points) for line in lines]
    body = "".join(
        f'<tr><td>{escape(what)}<br><span class="rs-muted rs-small">{escape(why)}</span></td>'
        f'<td class="n">{_points(points)}</td></tr>'
        for what, why, points in rows
    )
    end = "–" if value is None else f"{value:.1f}"
    foot = f'<tr><td>Score</td><td class="n">{end}</td></tr>'
    return f'<table class="rs-ledger"><tr><th>What</th><th class="n">Points</th></tr>{body}{foot}</table>'


def _points(points: float) -> str:
    return f"{points:+.1f}" if abs(points) >= 0.1 else f"{points:+.2f}"


def _ledger_label(line: Line) -> str:
    if line.what == PEERS_WORD:
        return "Not known yet"
    word = "Over the limit" if line.what == OVER else labels.kind(line.what)
    return f"{word}, {line.grade}" if line.grade else word


def empty(icon: str, title: str, advice: str) -> None:
    """Says why there is nothing, and what to do next. ``advice`` is Markdown of ours."""
    with st.container(border=True, horizontal_alignment="center"):
        st.markdown(f"### :material/{icon}: {title}", text_alignment="center")
        st.markdown(advice, text_alignment="center")
