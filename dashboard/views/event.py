"""One event: what, when, where, what shows it, what it cost, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import pandas as pd
import streamlit as st

from dashboard import charts, desk, labels, parts, scores
from dashboard.auth import Person
from dashboard.core.filters import Filters, from_query, to_query
from dashboard.core.review import Action, Role, allowed
from dashboard.data import now, reading, words
from dashboard.navigation import asked, asked_one, go, link
from dashboard.scores import Cost
from dashboard.views import footage
from dashboard.views.inbox import default_filters, event_filter
from infra.contracts.events import SCORED_STATES, EventKind, ReviewState
from infra.store import queries, reports
from infra.store.queries import ActionRow, EventRow, Neighbours

BEFORE, AFTER = timedelta(seconds=60), timedelta(seconds=60)  # of the track and the traces
NEAREST_FIX = timedelta(seconds=5)  # further away it would mark another place
LONGEST = timedelta(minutes=20)  # of an event that is drawn whole


def show(person: Person) -> None:
    desk.say_what_was_done()
    filters = from_query(asked(), default_filters(person))
    event_id = _event_id(asked_one("id"))
    with reading() as connection:
        event = queries.event(connection, event_id, person.only_driver) if event_id else None
        if event is None:
            _unknown()
            return
        wanted = event_filter(filters, person)
        place = queries.neighbours(connection, wanted, filters.sorting.value, event.event_id)
        media = queries.media_of(connection, event.event_id)
        actions = queries.activity(connection, event.event_id)
        trip_id = reports.trip_at(connection, event.vehicle_id, event.start_at + timedelta(seconds=10))
        costs = scores.costs(connection, event, trip_id, words().local(now()).date(), words())
        since, until = event.start_at - BEFORE, min(event.end_at, event.start_at + LONGEST) + AFTER
        track = reports.track(connection, event.vehicle_id, since, until)
        motion = reports.motion(connection, event.vehicle_id, since, until)
        raw = queries.trace_of(connection, event.event_id)
        trace = queries.signals_of(connection, event.event_id)
        by_device = queries.seen_by_device(connection, event)
    _way_through(filters, place)
    _headline(event)
    left, right = st.columns([3, 2], gap="medium")
    with right, st.container(key="event-side"):
        _decide(person, event, filters, place)
        _facts(event, trip_id)
        _cost(event, costs)
        _log(event, actions)
    with left:
        footage.show(person, event, media, trace, by_device)
        _drawings(event, track, motion, raw)


def _event_id(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _unknown() -> None:
    parts.empty("search_off", "No such event", "It does not exist, or it is not one of yours.")
    link("inbox", "Back to the list", icon=":material/arrow_back:")


def _way_through(filters: Filters, place: Neighbours | None) -> None:
    """Back to the list, and on to the events before and after this one in it."""
    query = to_query(filters)
    with st.container(horizontal=True, vertical_alignment="center"):
        link("inbox", "List", query, icon=":material/arrow_back:")
        if place is None:
            return
        st.caption(f"{place.place} of {place.total}", width="content")
        for word, key, goal, icon in (
            ("Previous", "k", place.previous, ":material/chevron_left:"),
            ("Next", "j", place.next, ":material/chevron_right:"),
        ):
            if st.button(word, key=word, shortcut=key, disabled=goal is None, icon=icon) and goal is not None:
                go("event", {"id": str(goal), **query})


def _headline(event: EventRow) -> None:
    st.title(f":material/{labels.icon(event.kind)}: {labels.kind(event.kind)}", anchor=False)
    st.html(parts.tags(event, with_state=True).replace("rs-tags", "rs-tags rs-left"))
    st.markdown(parts.plain(labels.summary(event.kind, event.peak, event.peak_unit, event.evidence, words())))


# --- beside -----------------------------------------------------------------------------------------------


def _decide(person: Person, event: EventRow, filters: Filters, place: Neighbours | None) -> None:
    state = ReviewState(event.review_state)
    seen = {event.event_id: state}
    possible = allowed(state, person.role)
    with st.container(border=True):
        if person.role is Role.DRIVER:
            st.markdown("**Do you see it differently?**")
            if Action.CONTEST in possible:
                desk.comment_form(Action.CONTEST, seen, "contest")
            else:
                st.write("It was dismissed, and does not count in your score.")
            return
        st.markdown("**Decide**")
        with st.container(horizontal=True):
            on = place.next if place and st.session_state.get("go-on", True) else None
            desk.carry_out(lambda: _go_on(on, filters))
            desk.buttons(possible, seen, key="event", shortcuts=True)
        st.toggle("Then go on to the next", value=True, key="go-on")


def _go_on(event_id: UUID | None, filters: Filters) -> None:
    if event_id is not None:
        go("event", {"id": str(event_id), **to_query(filters)})


def _facts(event: EventRow, trip_id: UUID | None) -> None:
    formats = words()
    length_s = (event.end_at - event.start_at).total_seconds()
    rows = [
        ("Driver", event.driver_name or labels.NOBODY),
        ("Vehicle", event.vehicle_name),
        ("When", formats.time(event.start_at)),
        ("Length", f"{length_s:.1f} s" if length_s < 90 else labels.length(length_s)),
        ("Speed at the start", formats.speed(event.speed_mps)),
        ("Peak", formats.peak(event.peak, event.peak_unit)),
        ("Confidence", labels.percent(event.confidence)),
    ]
    if event.lat is not None and event.lon is not None:
        rows.append(("Where", f"{event.lat:.5f}, {event.lon:.5f}"))
    if event.review_state == ReviewState.DISMISSED:
        rows.append(("Dismissed as", labels.reason(event.dismissal_reason)))
    parts.facts(rows)
    with st.container(horizontal=True):
        if trip_id:
            link("trip", "Trip", {"id": str(trip_id)}, icon=":material/route:")
        if event.driver_id:
            link("driver", "Driver", {"id": event.driver_id}, icon=":material/person:")
    with st.expander("Evidence in numbers", icon=":material/fact_check:"):
        parts.facts(labels.evidence_rows(event.evidence, formats))


def _cost(event: EventRow, costs: Sequence[Cost]) -> None:
    st.markdown("**What it costs**")
    counts = ReviewState(event.review_state) in SCORED_STATES
    if not counts:
        st.write("Nothing: in this state an event does not count.")
    elif not costs:
        st.write("Nothing yet: events count when their trip has ended.")
    parts.facts([(cost.of, _points(cost, counts)) for cost in costs if cost.result.value is not None])


def _points(cost: Cost, counts: bool) -> str:
    return f"{cost.points if counts else 0.0:+.1f} points. Score {cost.result.value:.0f}."


def _log(event: EventRow, actions: list[ActionRow]) -> None:
    st.markdown("**Activity**")
    if actions:
        st.html(parts.activity_log(actions, words()))
    else:
        st.caption("Nobody has done or said anything yet.")
    with st.expander("Comment", icon=":material/chat:"):
        desk.comment_form(Action.COMMENT, {event.event_id: ReviewState(event.review_state)}, "comment")


# --- what shows it ----------------------------------------------------------------------------------------


def _drawings(event: EventRow, track: pd.DataFrame, motion: pd.DataFrame, raw: pd.DataFrame | None) -> None:
    formats = words()
    drawn = charts.event_map(track, *_place(event, track), formats)
    st.subheader("Where", anchor=False)
    if drawn is None:
        st.caption("No position is known for this time.")
    else:
        st.altair_chart(drawn)
    st.subheader("Speed", anchor=False)
    if track["speed_mps"].notna().any():
        st.altair_chart(charts.speed_trace(track, event.start_at, event.end_at, formats))
        if track["speed_limit_mps"].notna().any():
            st.caption("Dashed: posted limit. Shaded: the event.")
        if "attribution" in event.evidence:
            st.caption(f"Posted limit: {event.evidence['attribution']}.")
    else:
        st.caption("No speed is known for this time.")
    if len(motion) or raw is not None:
        _acceleration(event, motion, raw)


def _place(event: EventRow, track: pd.DataFrame) -> tuple[float | None, float | None]:
    """The event's own position; of one found on frames, which carry none, that of the fix nearest in time."""
    if event.lat is not None and event.lon is not None:
        return event.lat, event.lon
    away = (track["time"] - pd.Timestamp(event.start_at)).abs()
    if away.empty or away.min() > NEAREST_FIX:
        return None, None
    fix = track.iloc[int(away.to_numpy().argmin())]
    return float(fix["lat"]), float(fix["lon"])


def _acceleration(event: EventRow, motion: pd.DataFrame, raw: pd.DataFrame | None) -> None:
    turn = event.kind == EventKind.HARSH_TURN
    st.subheader("Acceleration to the side" if turn else "Acceleration along the vehicle", anchor=False)
    lines = _thresholds_g(event)
    axis = labels.AXES.get(EventKind(event.kind), "x") if event.kind in set(EventKind) else "x"
    st.altair_chart(charts.acceleration_trace(motion, raw, axis, lines, event.start_at, event.end_at))
    shown = ["Line and band: mean and extremes of each second"] if len(motion) else []
    shown += ["grey: raw samples"] if raw is not None else []
    shown += ["dashed: threshold"] if lines else []
    st.caption("; ".join(shown) + (". Positive is to the left." if turn else ". Positive is speeding up."))


def _thresholds_g(event: EventRow) -> list[float]:
    threshold = event.evidence.get("threshold_g")
    if not isinstance(threshold, int | float):
        return []
    negative = event.kind == EventKind.HARSH_BRAKE or event.evidence.get("direction") == "right"
    return [-float(threshold) if negative else float(threshold)]
