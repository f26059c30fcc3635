"""The number that fired an event, frame by frame around it, as a chart."""

from __future__ import annotations

from datetime import datetime

import altair as alt
import numpy as np
import numpy.typing as npt
import pandas as pd

from dashboard.theme import EVENT, LIMIT, TRACE
from infra.clock import to_us
from infra.contracts.signal_trace import TIME, SignalTrace

_HEIGHT = 190
_BREAK_S = 5.0  # no line is drawn over a longer pause
_SHARES = {"eye_openness": (0.0, 1.2)}
_DEGREES = "_deg"

NAMES = {
    "eye_openness": "Openness of the eyes (1: this driver's usual)",
    "perclos": "PERCLOS (share of a minute with eyes closed)",
    "yawn": "Probability of a yawn",
    "head_pitch_deg": "Head up and down, degrees against the camera",
    "head_yaw_deg": "Head to the side, degrees against the camera",
    "phone": "Probability of a phone in the hand",
    "smoking": "Probability of smoking",
    "drinking": "Probability of drinking",
    "belt_worn": "Probability that the belt is worn",
    "camera_unfit": "Camera unfit (1: nobody could be judged)",
}


def signal_name(trace: SignalTrace) -> str:
    """The heading of the chart."""
    return NAMES.get(trace.fired.signal, trace.fired.signal) if trace.fired else ""


def signal_chart(trace: SignalTrace, start: datetime, end: datetime) -> alt.LayerChart | None:
    """Seconds from the event's start; its span shaded, the threshold dashed. None where the signal was not measured."""
    fired = trace.fired
    if fired is None or fired.signal not in trace.columns:
        return None
    values = np.asarray(trace.columns[fired.signal], np.float64)
    seconds = (np.asarray(trace.columns[TIME], np.int64) - to_us(start)) / 1e6
    data = pd.DataFrame({"seconds": seconds, "value": values}).dropna()
    if data.empty:
        return None
    data["run"] = (data["seconds"].diff() > _BREAK_S).cumsum()
    x = alt.X("seconds:Q", title="seconds from the start of the event", axis=alt.Axis(format="+d", tickCount=9))
    y = alt.Y("value:Q", title=None, scale=_scale(fired.signal, values))
    tip = [alt.Tooltip("seconds:Q", format="+.1f"), alt.Tooltip("value:Q", format=".2f")]
    base = alt.Chart(data).encode(x, y, detail="run:N", tooltip=tip)
    layers = [
        _span(start, end),
        base.mark_line(color=TRACE, strokeWidth=1.8),
        base.mark_point(color=TRACE, filled=True, size=22, opacity=1),
    ]
    if fired.threshold is not None:
        line = pd.DataFrame({"value": [fired.threshold]})
        layers.append(alt.Chart(line).mark_rule(color=LIMIT, strokeDash=[6, 4], strokeWidth=1.6).encode(y))
    return alt.layer(*layers).properties(height=_HEIGHT)


def _scale(signal: str, values: npt.NDArray[np.float64]) -> alt.Scale:
    if signal.endswith(_DEGREES):
        return alt.Scale(zero=True)
    low, high = _SHARES.get(signal, (0.0, 1.0 if signal != "perclos" else 0.3))
    return alt.Scale(domain=[low, max(high, float(np.nanmax(values)))])


def _span(start: datetime, end: datetime) -> alt.Chart:
    length_s = max((end - start).total_seconds(), 0.3)
    shade = alt.Chart(pd.DataFrame({"from": [0.0], "to": [length_s]})).mark_rect(color=EVENT, opacity=0.16)
    return shade.encode(x=alt.X("from:Q", title="seconds from the start of the event"), x2="to:Q")
