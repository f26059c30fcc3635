"""Where an event without a position of its own is drawn."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pandas as pd
import pytest

from dashboard.views.event import _place

START = datetime(2026, 1, 1, tzinfo=UTC)
TRACK = pd.DataFrame(
    {"time": pd.to_datetime([START, START + timedelta(seconds=2)], utc=True), "lat": [1.0, 2.0], "lon": [3.0, 4.0]}
)


@pytest.mark.parametrize(
    ("lat", "after_s", "track", "place"),
    [
        (9.0, 0.0, TRACK, (9.0, 9.0)),
        (None, 1.6, TRACK, (2.0, 4.0)),
        (None, 60.0, TRACK, (None, None)),
        (None, 0.0, TRACK.iloc[:0], (None, None)),
    ],
    ids=["its own", "the nearest fix", "too far away", "no track"],
)
def test_an_event_is_marked_where_it_happened(
    lat: float | None, after_s: float, track: pd.DataFrame, place: tuple[float | None, float | None]
) -> None:
    event = SimpleNamespace(lat=lat, lon=lat, start_at=START + timedelta(seconds=after_s))
    assert _place(event, track) == place  # type: ignore[arg-type]
