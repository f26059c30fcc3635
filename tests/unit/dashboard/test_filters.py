"""A page's address holds its filters, and survives whatever someone types into it."""

from __future__ import annotations

from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from dashboard.core.filters import Filters, Sorting, View, from_query, to_query
from infra.contracts.events import EventKind, Severity

ids = st.lists(st.text(min_size=1, max_size=12), max_size=4, unique=True).map(tuple)
filters = st.builds(
    Filters,
    view=st.sampled_from(View),
    kinds=st.lists(st.sampled_from([k.value for k in EventKind]), unique=True).map(tuple),
    severities=st.lists(st.sampled_from([s.value for s in Severity]), unique=True).map(tuple),
    drivers=ids,
    vehicles=ids,
    since=st.none() | st.dates(),
    until=st.none() | st.dates(),
    sorting=st.sampled_from(Sorting),
)


@given(filters)
def test_a_link_shows_the_next_reader_the_same_list(chosen: Filters) -> None:
    assert from_query(to_query(chosen)) == chosen


def test_the_usual_list_has_a_short_address() -> None:
    assert to_query(Filters()) == {}
    assert to_query(Filters(drivers=("d,1",), since=date(2026, 5, 1))) == {"driver": ["d,1"], "since": ["2026-05-01"]}


@given(
    st.dictionaries(st.sampled_from(["view", "kind", "since", "until", "sort", "x"]), st.lists(st.text(max_size=20)))
)
def test_nonsense_in_the_address_is_left_out(query: dict[str, list[str]]) -> None:
    read = from_query(query)
    assert set(read.kinds) <= {k.value for k in EventKind}
