"""Charts of tracks, speeds, accelerations and scores, as Altair objects that need no network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime

import altair as alt
import numpy as np
import pandas as pd

from dashboard.labels import Words
from dashboard.theme import EVENT, LIMIT, MUTED, TRACE
from scoring.trends import Point

G_MPS2 = 9.80665
_M_PER_DEGREE = 111_195.0  # of latitude, on a sphere of 6,371 km
_MARGIN = 0.12  # of the track's size, left free around it
_LEAST_SPAN_M = 120.0
_SCALE_STEPS_M = (20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000)
_SCALE_STEPS_MI = (0.0125, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25)
_HEIGHT, _MAP_HEIGHT = 190, 340
_SPEED_COLOURS = "viridis"  # even in lightness, and to colour-blind eyes


def event_map(track: pd.DataFrame, lat: float | None, lon: float | None, words: Words) -> alt.LayerChart | None:
    """The track around an event, coloured by speed; north is up, one scale for both directions.

    Args:
        track: columns lat, lon, speed_mps in time order.
        lat, lon: of the event; None where it is not known.

    Returns:
        None where there is nothing to draw.
    """
    marks = pd.DataFrame({"lat": [lat], "lon": [lon], "what": ["event"]}).dropna()
    return _map(track, marks, words)


def trip_map(track: pd.DataFrame, events: pd.DataFrame, words: Words) -> alt.LayerChart | None:
    """A whole trip. ``events`` has lat, lon and ``what``, a label."""
    return _map(track, events.dropna(subset=["lat", "lon"]), words)


def _map(track: pd.DataFrame, marks: pd.DataFrame, words: Words) -> alt.LayerChart | None:
    places = pd.concat([track[["lat", "lon"]], marks[["lat", "lon"]]]).dropna()
    if places.empty:
        return None
    frame, scale = _frame_and_scale(places, words)
    layers = [
        alt.Chart(frame).mark_point(opacity=0).encode(longitude="lon:Q", latitude="lat:Q"),
        *_path(track, words),
        *_marks(marks),
        *_scale_bar(scale),
    ]
    return alt.layer(*layers).project(type="mercator").properties(height=_MAP_HEIGHT)


def _marks(marks: pd.DataFrame) -> list[alt.Chart]:
    """A layer without rows would make Vega complain of an infinite extent."""
    if marks.empty:
        return []
    points = alt.Chart(marks).mark_point(size=190, filled=True, color=EVENT, stroke="white", strokeWidth=1.6, opacity=1)
    tip = [alt.Tooltip("what:N", title="Event")]
    return [points.encode(longitude="lon:Q", latitude="lat:Q", tooltip=tip)]


def _path(track: pd.DataFrame, words: Words) -> list[alt.Chart]:
    steps = track[["lat", "lon", "speed_mps"]].copy()
    steps["lat2"], steps["lon2"] = steps["lat"].shift(-1), steps["lon"].shift(-1)
    steps["speed"] = steps["speed_mps"] * words.speed_factor
    steps = steps.iloc[:-1].dropna(subset=["lat2", "lon2"])
    if steps.empty:
        return []
    path = (
        alt.Chart(steps[["lat", "lon", "lat2", "lon2", "speed"]])
        .mark_rule(strokeWidth=4, strokeCap="round")
        .encode(
            longitude="lon:Q",
            latitude="lat:Q",
            longitude2="lon2:Q",
            latitude2="lat2:Q",
            color=alt.Color("speed:Q", scale=alt.Scale(scheme=_SPEED_COLOURS), title=words.speed_unit),
            tooltip=[alt.Tooltip("speed:Q", title=words.speed_unit, format=".0f")],
        )
    )
    return [path]


def _frame_and_scale(places: pd.DataFrame, words: Words) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two corners around everything, and a scale bar in the lower left one, with north above it."""
    lat, lon = places["lat"], places["lon"]
    per_lon_m = _M_PER_DEGREE * math.cos(math.radians(float(lat.mean())))
    height_m = max((lat.max() - lat.min()) * _M_PER_DEGREE, _LEAST_SPAN_M)
    width_m = max((lon.max() - lon.min()) * per_lon_m, _LEAST_SPAN_M)
    half_lat = height_m * (0.5 + _MARGIN) / _M_PER_DEGREE
    half_lon = width_m * (0.5 + _MARGIN) / per_lon_m
    mid_lat, mid_lon = (lat.max() + lat.min()) / 2, (lon.max() + lon.min()) / 2
    frame = pd.DataFrame(
        {"lat": [mid_lat - half_lat, mid_lat + half_lat], "lon": [mid_lon - half_lon, mid_lon + half_lon]}
    )
    length_m, label = _scale_length(max(width_m, height_m) / 4, words)
    left, low = frame["lon"][0], frame["lat"][0]
    bar = {"lat": low, "lon": left, "lon2": left + length_m / per_lon_m, "label": f"{label}, north is up"}
    return frame, pd.DataFrame([bar])


def _scale_length(about_m: float, words: Words) -> tuple[float, str]:
    if words.units == "imperial":
        miles = max([step for step in _SCALE_STEPS_MI if step * 1609.344 <= about_m], default=_SCALE_STEPS_MI[0])
        return miles * 1609.344, f"{miles:g} mi"
    metres = max([step for step in _SCALE_STEPS_M if step <= about_m], default=_SCALE_STEPS_M[0])
    return metres, f"{metres} m" if metres < 1000 else f"{metres // 1000} km"


def _scale_bar(bar: pd.DataFrame) -> list[alt.Chart]:
    base = alt.Chart(bar).encode(longitude="lon:Q", latitude="lat:Q")
    return [
        base.mark_rule(color=MUTED, strokeWidth=3).encode(longitude2="lon2:Q", latitude2="lat:Q"),
        base.mark_text(color=MUTED, align="left", baseline="bottom", dy=-5, fontSize=12).encode(text="label:N"),
    ]


# --- around an event: seconds from its start --------------------------------------------------------------


def speed_trace(track: pd.DataFrame, start: datetime, end: datetime, words: Words) -> alt.LayerChart:
    """Speed and, in steps, the posted limit where it is known; the event's span is shaded."""
    data = pd.DataFrame(
        {
            "seconds": _seconds(track["time"], start),
            "speed": track["speed_mps"] * words.speed_factor,
            "limit": track["speed_limit_mps"] * words.speed_factor,
        }
    )
    y = alt.Y("speed:Q", title=words.speed_unit, scale=alt.Scale(zero=True))
    tip = [alt.Tooltip("seconds:Q", format="+.0f"), alt.Tooltip("speed:Q", title=words.speed_unit, format=".0f")]
    layers = [_span(start, end), alt.Chart(data).mark_line(color=TRACE, strokeWidth=2.2).encode(_x(), y, tooltip=tip)]
    if data["limit"].notna().any():
        limit = data.dropna(subset=["limit"])
        line = alt.Chart(limit).mark_line(color=LIMIT, strokeDash=[6, 4], interpolate="step-after", strokeWidth=1.6)
        layers.append(line.encode(_x(), alt.Y("limit:Q")))
    return alt.layer(*layers).properties(height=_HEIGHT)


def acceleration_trace(
    motion: pd.DataFrame,
    raw: pd.DataFrame | None,
    axis: str,
    thresholds_g: Sequence[float],
    start: datetime,
    end: datetime,
) -> alt.LayerChart:
    """One axis in g: the mean and extremes of each second, the raw samples where they were kept, and thresholds."""
    layers = [_span(start, end)]
    if raw is not None and len(raw):
        times = pd.Series(pd.to_datetime(raw["time_us"], unit="us", utc=True))
        samples = pd.DataFrame({"seconds": _seconds(times, start), "g": raw[f"accel_{axis}_mps2"] / G_MPS2})
        layers.append(alt.Chart(samples).mark_line(color=MUTED, strokeWidth=1).encode(_x(), alt.Y("g:Q", title="g")))
    if len(motion):
        layers += _seconds_of_motion(motion, axis, start)
    lines = pd.DataFrame({"g": list(thresholds_g)})
    if thresholds_g:
        layers.append(alt.Chart(lines).mark_rule(color=LIMIT, strokeDash=[6, 4], strokeWidth=1.6).encode(alt.Y("g:Q")))
    return alt.layer(*layers).properties(height=_HEIGHT)


def _seconds_of_motion(motion: pd.DataFrame, axis: str, start: datetime) -> list[alt.Chart]:
    data = pd.DataFrame({end: motion[f"accel_{axis}_{end}"] / G_MPS2 for end in ("mean", "min", "max")})
    data["seconds"] = _seconds(motion["time"], start) + 0.5  # a row stands for the second that begins there
    tip = [alt.Tooltip("seconds:Q", format="+.0f"), alt.Tooltip("mean:Q", title="g", format="+.2f")]
    band = alt.Chart(data).mark_area(color=TRACE, opacity=0.22).encode(_x(), alt.Y("min:Q", title="g"), alt.Y2("max:Q"))
    return [band, alt.Chart(data).mark_line(color=TRACE, strokeWidth=2.2).encode(_x(), alt.Y("mean:Q"), tooltip=tip)]


def _x() -> alt.X:
    return alt.X("seconds:Q", title="seconds from the start of the event", axis=alt.Axis(format="+d", tickCount=9))


def _span(start: datetime, end: datetime) -> alt.Chart:
    length_s = max((end - start).total_seconds(), 0.3)
    return (
        alt.Chart(pd.DataFrame({"from": [0.0], "to": [length_s]}))
        .mark_rect(color=EVENT, opacity=0.16)
        .encode(x=alt.X("from:Q", title="seconds from the start of the event"), x2="to:Q")
    )


def _seconds(times: pd.Series[pd.Timestamp], start: datetime) -> pd.Series[float]:
    return (times - pd.Timestamp(start)).dt.total_seconds()


# --- drivers and trips ------------------------------------------------------------------------------------


def score_trend(points: Sequence[Point]) -> alt.LayerChart:
    """A score as it stood at the end of each day, with its interval."""
    known = [point for point in points if point.result.value is not None]
    data = pd.DataFrame(
        {
            "day": pd.to_datetime([point.day for point in known], utc=True),
            "score": [point.result.value for point in known],
            "low": [point.result.low for point in known],
            "high": [point.result.high for point in known],
        }
    )
    axis = alt.Axis(format="%-d %b", labelAngle=0, labelOverlap=True, tickCount=alt.TimeIntervalStep("day", 1))
    x = alt.X("day:T", title=None, scale=alt.Scale(type="utc"), axis=axis)
    y = alt.Y("score:Q", title="score", scale=alt.Scale(domain=[0, 100]))
    tip = [alt.Tooltip("day:T", format="%a %-d %b %Y")]
    tip += [alt.Tooltip(f"{name}:Q", format=".0f") for name in ("score", "low", "high")]
    base = alt.Chart(data).encode(x, y, tooltip=tip)
    low = alt.Y("low:Q", title="score")
    band = alt.Chart(data).mark_area(color=TRACE, opacity=0.18).encode(x, low, alt.Y2("high:Q"))
    line = base.mark_line(color=TRACE, strokeWidth=2)
    marks = base.mark_point(color=TRACE, filled=True, size=45, opacity=1)
    return alt.layer(band, line, marks).properties(height=_HEIGHT)


def bars(labels: Sequence[str], values: Sequence[float], title: str) -> alt.Chart:
    """One bar a row, longest first."""
    data = pd.DataFrame({"label": list(labels), "value": list(values)})
    return (
        alt.Chart(data)
        .mark_bar(color=TRACE, cornerRadiusEnd=3, height=14)
        .encode(
            x=alt.X("value:Q", title=title, axis=alt.Axis(tickMinStep=1)),
            y=alt.Y("label:N", title=None, sort="-x", axis=alt.Axis(labelLimit=220)),
            tooltip=["label:N", alt.Tooltip("value:Q", title=title)],
        )
        .properties(height=28 * len(data) + 76)  # Streamlit counts the axis and its title in
    )


def speed_over_time(track: pd.DataFrame, events: pd.DataFrame, words: Words) -> alt.LayerChart:
    """Speed of a trip by local time; ``events`` has time and ``what``."""
    data = pd.DataFrame({"time": _wall(track["time"], words), "speed": track["speed_mps"] * words.speed_factor})
    marks = pd.DataFrame({"time": _wall(events["time"], words), "what": events["what"]})
    x = alt.X("time:T", scale=alt.Scale(type="utc"), title=None, axis=alt.Axis(format="%H:%M"))
    line = alt.Chart(data).mark_line(color=TRACE, strokeWidth=1.6)
    layers = [line.encode(x, alt.Y("speed:Q", title=words.speed_unit))]
    if len(marks):
        layers.append(alt.Chart(marks).mark_rule(color=EVENT, strokeWidth=2).encode(x, tooltip=["what:N"]))
    return alt.layer(*layers).properties(height=_HEIGHT)


def _wall(times: pd.Series[pd.Timestamp], words: Words) -> pd.Series[pd.Timestamp]:
    """Clock time in the fleet's zone, written as if it were UTC, so that no browser shifts it."""
    return pd.to_datetime(times, utc=True).dt.tz_convert(words.zone).dt.tz_localize(None).dt.tz_localize("UTC")


def gaps_opened(track: pd.DataFrame, longest_s: float = 30.0) -> pd.DataFrame:
    """The track with a break after a pause, so that no line is drawn where nothing is known."""
    pause = track["time"].diff().dt.total_seconds() > longest_s
    breaks = track[pause].copy()
    if breaks.empty:
        return track
    breaks["time"] -= pd.Timedelta(milliseconds=1)
    breaks.loc[:, breaks.columns != "time"] = np.nan
    joined: pd.DataFrame = pd.concat([track, breaks])
    return joined.sort_values("time", ignore_index=True)
