"""The inbox: what happened, most urgent first; filters that stand in the address; decisions on several at once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboard import desk, labels, parts
from dashboard.auth import Person
from dashboard.core.filters import STATES_OF, Filters, Sorting, View, from_query, to_query
from dashboard.core.review import Role, allowed_on_all
from dashboard.data import ask, day_began, driver_names, now, settings, vehicle_names, words
from dashboard.navigation import asked, link
from infra.contracts.events import EventKind, ReviewState, Severity
from infra.store import queries, reports
from infra.store.queries import EventFilter, EventRow, InboxCounts

PAGE_ROWS = 25
VIEWS = {
    View.TO_REVIEW: "To review",
    View.CONTESTED: "Contested",
    View.FOLLOW_UP: "Follow-up",
    View.DONE: "Done",
    View.DISMISSED: "Dismissed",
    View.ALL: "All",
}
SORTINGS = {Sorting.PRIORITY: "Most urgent", Sorting.NEWEST: "Newest", Sorting.OLDEST: "Oldest"}
_PICK = "pick-"


def show(person: Person) -> None:
    own = person.role is Role.DRIVER
    desk.say_what_was_done()
    st.title("My events" if own else "Inbox")
    counts = _counts(person)
    _metrics(counts, own)
    filters = filter_bar(person, counts)
    desk.carry_out(_unpick)  # below the filters: Streamlit forgets what a run that ends early did not draw
    wanted = event_filter(filters, person)
    total = ask(queries.count_events, wanted)
    if not total:
        _nothing(filters)
        return
    offset = _page_offset(total)
    rows = ask(queries.events, wanted, filters.sorting.value, PAGE_ROWS, offset)
    if not own:
        _bulk(rows, person)
    _list(rows, filters, selectable=not own)
    _pager(total, offset)


def default_filters(person: Person) -> Filters:
    """A driver looks at what happened; a manager at what waits."""
    return Filters(view=View.ALL, sorting=Sorting.NEWEST) if person.role is Role.DRIVER else Filters()


def event_filter(filters: Filters, person: Person) -> EventFilter:
    """The store's question; days become instants in the fleet's time zone."""
    return EventFilter(
        states=tuple(state.value for state in STATES_OF[filters.view]),
        contested=filters.view is View.CONTESTED,
        kinds=filters.kinds,
        severities=filters.severities,
        drivers=filters.drivers,
        vehicles=filters.vehicles,
        since=_midnight(filters.since),
        until=_midnight(filters.until + timedelta(days=1) if filters.until else None),
        only_driver=person.only_driver,
    )


def _midnight(day: date | None) -> datetime | None:
    return datetime.combine(day, time(), settings().zone) if day else None


# --- above the list ---------------------------------------------------------------------------------------


def _counts(person: Person) -> InboxCounts:
    today = day_began(now())
    monday = day_began(today - timedelta(days=today.astimezone(settings().zone).weekday()) + timedelta(hours=2))
    return ask(queries.inbox_counts, today, monday, person.only_driver)


def _metrics(counts: InboxCounts, own: bool) -> None:
    shown = {"To review": counts.to_review, "Of these critical": counts.critical, "Contested": counts.contested}
    shown |= {"Today": counts.today, "This week": counts.week}
    if own:
        shown = {"This week": counts.week, "Waiting for review": counts.to_review, "Contested": counts.contested}
    with st.container(horizontal=True, key="metrics"):
        for name, value in shown.items():
            st.metric(name, f"{value:,}", border=True)


def filter_bar(person: Person, counts: InboxCounts) -> Filters:
    """The filters as widgets. The address leads: a link sets them, and a change is written back to it."""
    default = default_filters(person)
    linked = from_query(asked(), default)
    # Streamlit forgets the widgets of a page that is left; an unset date_input would mean today.
    if st.session_state.get("filters-written") != linked or "f-days" not in st.session_state:
        _set_widgets(linked)
    waiting = {View.TO_REVIEW: counts.to_review, View.CONTESTED: counts.contested}
    view = st.segmented_control(
        "Pile",
        list(VIEWS),
        format_func=lambda v: f"{VIEWS[v]} ({waiting[v]})" if waiting.get(v) else VIEWS[v],
        key="f-view",
        required=True,
        label_visibility="collapsed",
    )
    chosen = _more_filters(view or default.view, linked, person)
    if chosen != linked:
        st.query_params.from_dict(to_query(chosen))
        st.session_state["page"] = 0
    st.session_state["filters-written"] = chosen
    return chosen


def _more_filters(view: View, linked: Filters, person: Person) -> Filters:
    label = f"Filters ({linked.narrowing})" if linked.narrowing else "Filters"
    with st.expander(label, icon=":material/filter_list:"):
        first, second, third = st.columns(3)
        kinds = first.multiselect("Kind", [k.value for k in EventKind], format_func=labels.kind, key="f-kinds")
        grades = second.multiselect(
            "Severity", [s.value for s in reversed(Severity)], format_func=labels.severity, key="f-severities"
        )
        period = third.date_input("Days", key="f-days", format="YYYY-MM-DD")
        fourth, fifth, sixth = st.columns(3)
        drivers: Sequence[str] = ()
        vehicles: Sequence[str] = ()
        if person.role is not Role.DRIVER:
            drivers = _choose(fourth, "Driver", driver_names(), linked.drivers, "f-drivers")
            vehicles = _choose(fifth, "Vehicle", vehicle_names(), linked.vehicles, "f-vehicles")
        sorting = sixth.selectbox("Order", list(SORTINGS), format_func=SORTINGS.__getitem__, key="f-sorting")
    days = period if isinstance(period, tuple) else (period,)
    return Filters(
        view=view,
        kinds=tuple(kinds),
        severities=tuple(grades),
        drivers=tuple(drivers),
        vehicles=tuple(vehicles),
        since=days[0] if days else None,
        until=days[-1] if len(days) > 1 else None,
        sorting=sorting,
    )


def _choose(place: DeltaGenerator, label: str, names: dict[str, str], linked: Sequence[str], key: str) -> Sequence[str]:
    """A choice of several by name. A link may name one that is not in the register, yet has events."""
    options = [*names, *(each for each in linked if each not in names)]
    chosen: list[str] = place.multiselect(label, options, format_func=lambda each: names.get(each, each), key=key)
    return chosen


def _set_widgets(filters: Filters) -> None:
    days = tuple(day for day in (filters.since, filters.until) if day)
    state = st.session_state
    state["f-view"], state["f-sorting"], state["f-days"] = filters.view, filters.sorting, days
    state["f-kinds"], state["f-severities"] = list(filters.kinds), list(filters.severities)
    state["f-drivers"], state["f-vehicles"] = list(filters.drivers), list(filters.vehicles)


# --- the list ---------------------------------------------------------------------------------------------


def _list(rows: list[EventRow], filters: Filters, selectable: bool) -> None:
    formats, at = words(), now()
    mixed = len(STATES_OF[filters.view]) != 1
    query = to_query(filters)
    for row in rows:
        with st.container(
            border=True, key=f"row-{row.event_id}", horizontal=True, vertical_alignment="center", gap="small"
        ):
            if selectable:
                name = f"{labels.kind(row.kind)}, {row.driver_name or labels.NOBODY}"
                st.checkbox(f"Select {parts.plain(name)}", key=f"{_PICK}{row.event_id}", label_visibility="collapsed")
            st.html(parts.event_row(row, formats, at, with_state=mixed))
            link("event", "Open", {"id": str(row.event_id), **query}, icon=":material/chevron_right:")


def _bulk(rows: list[EventRow], person: Person) -> None:
    """What can be done with all that are selected."""
    chosen = (row for row in rows if st.session_state.get(f"{_PICK}{row.event_id}"))
    picked = {row.event_id: ReviewState(row.review_state) for row in chosen}
    with st.container(horizontal=True, vertical_alignment="center", key="bulk"):
        st.checkbox("Select all", key="pick-all", on_change=_pick_all, args=([str(row.event_id) for row in rows],))
        if picked:
            st.markdown(f"**{len(picked)} selected**", width="content")
            actions = allowed_on_all(list(picked.values()), person.role)
            desk.buttons(actions, picked, key="bulk")


def _pick_all(event_ids: list[str]) -> None:
    for event_id in event_ids:
        st.session_state[f"{_PICK}{event_id}"] = st.session_state["pick-all"]


def _unpick() -> None:
    for key in [key for key in st.session_state if str(key).startswith(_PICK)]:
        del st.session_state[key]


def _page_offset(total: int) -> int:
    last = (total - 1) // PAGE_ROWS
    page = min(int(st.session_state.get("page", 0)), last)
    st.session_state["page"] = page
    return page * PAGE_ROWS


def _pager(total: int, offset: int) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f"{offset + 1} to {min(offset + PAGE_ROWS, total)} of {total:,}")
        if total > PAGE_ROWS:
            st.button("Back", disabled=offset == 0, on_click=_turn, args=(-1,), icon=":material/chevron_left:")
            more = offset + PAGE_ROWS < total
            st.button("More", disabled=not more, on_click=_turn, args=(1,), icon=":material/chevron_right:")


def _turn(pages: int) -> None:
    _unpick()
    st.session_state["page"] = max(int(st.session_state.get("page", 0)) + pages, 0)


def _nothing(filters: Filters) -> None:
    if filters.narrowing:
        parts.empty("filter_alt_off", "No event fits these filters", "Take one away, or choose another pile above.")
    elif ask(reports.newest_trip) is None and not ask(queries.count_events, EventFilter()):
        parts.empty(
            "satellite_alt",
            "No vehicle has reported anything yet",
            "Replay a recorded drive with `rumblestrip replay infra/demo/omaha-18`, or point a device at the gateway.",
        )
    elif filters.view is View.TO_REVIEW:
        parts.empty("done_all", "All reviewed", "Nothing waits here. **Follow-up** holds what still needs coaching.")
    else:
        parts.empty("inbox", "Nothing here", "Choose another pile above.")
