"""Night driving: time driven on one drive while the sun is lower than at civil dusk. An exposure, no fault."""

from __future__ import annotations

import numpy as np

from infra.contracts.events import EventKind, Severity
from scoring.core.context import in_the_dark
from scoring.core.detectors.port import Accepted, Detector, Refused, View
from scoring.core.episodes import Episode, Following, Signal, follow
from scoring.core.rules import SECOND_US

_NAME = "night_driving"
_QUIET_US = 300 * SECOND_US  # a drive ends after so long a rest
_STALE_US = 330 * SECOND_US


def detectors() -> tuple[Detector, ...]:
    return (
        Detector(_NAME, EventKind.NIGHT_DRIVING, _scan, _judge, settle_us=0, traced=False, stale_us=_STALE_US),
    )  # fmt: skip


def _scan(view: View, open_episode: Episode | None) -> tuple[list[Episode], Episode | None]:
    window, fresh = view.window, view.window.fix_from
    if fresh == len(window.fixes):
        return [], open_episode
    fixes = window.fixes
    inside = fixes.speed_mps[fresh:] >= view.rules.moving_mps
    if open_episode is None and not inside.any():
        return [], None
    inside &= in_the_dark(fixes.time_us[fresh:], fixes.lat[fresh:], fixes.lon[fresh:])
    if open_episode is None and not inside.any():
        return [], None
    step_us = np.where(window.fix_step_us <= view.rules.hold_us, window.fix_step_us, 0)
    signal = Signal(fixes.time_us[fresh:], inside.astype(np.float64), step_us)
    return follow(Following(_NAME, (1.0,), _QUIET_US), signal, inside, open_episode)


def _judge(view: View, episode: Episode) -> Accepted | Refused:
    driven_us = episode.above_us[0]
    if driven_us < view.rules.night_minimum_us:
        return Refused("too_short")
    evidence = {
        "source": "the sun's elevation at the vehicle's place",
        "seconds_at_least": view.rules.night_minimum_us / SECOND_US,
        "sun_below_deg": -6.0,
    }
    return Accepted(Severity.LOW, driven_us / SECOND_US, "s", 0.95, evidence)
