"""Idling: ignition on and standing for longer than a traffic light lasts. Without a known ignition it is not judged."""

from __future__ import annotations

import numpy as np

from infra.contracts.events import EventKind, Severity
from scoring.core.detectors.port import Accepted, Detector, Refused, View
from scoring.core.episodes import Episode, Following, Signal, follow
from scoring.core.rules import SECOND_US

STANDING_MPS = 0.5  # receivers of a standing vehicle say up to this
_QUIET_US = 10 * SECOND_US  # moving up in a queue does not end it


def detectors() -> tuple[Detector, ...]:
    return (Detector("idling", EventKind.IDLING, _scan, _judge, settle_us=0, traced=False),)


def _scan(view: View, open_episode: Episode | None) -> tuple[list[Episode], Episode | None]:
    window = view.window
    if window.fix_from == len(window.fixes):
        return [], open_episode
    inside = (window.fixes.speed_mps[window.fix_from :] < STANDING_MPS) & (window.ignition == 1)
    if inside.any():
        inside &= ~(window.position_mps > view.rules.moving_mps)  # the speed is dead: the vehicle drives
    if open_episode is None and not inside.any():
        return [], None
    step_us = np.where(window.fix_step_us <= view.rules.hold_us, window.fix_step_us, 0)
    signal = Signal(window.fixes.time_us[window.fix_from :], inside.astype(np.float64), step_us)
    return follow(Following("idling", (1.0,), _QUIET_US), signal, inside, open_episode)


def _judge(view: View, episode: Episode) -> Accepted | Refused:
    if episode.above_us[0] < view.rules.idling_minimum_us:
        return Refused("too_short")
    seconds = episode.above_us[0] / SECOND_US
    evidence = {"source": "ignition and GPS speed", "seconds_at_least": view.rules.idling_minimum_us / SECOND_US}
    return Accepted(Severity.LOW, round(seconds, 1), "s", 0.9, evidence)
