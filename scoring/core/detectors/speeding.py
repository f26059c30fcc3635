"""Speeding against the posted limit on the message: one event an episode, with its highest band as severity."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from infra.contracts.events import EventKind
from scoring.core.detectors.port import Accepted, Detector, Refused, View
from scoring.core.episodes import Episode, Following, Signal, follow
from scoring.core.limits import over_share
from scoring.core.rules import SECOND_US


def detectors() -> tuple[Detector, ...]:
    return (Detector("speeding", EventKind.SPEEDING, _scan, _judge, settle_us=0, traced=False),)


def _scan(view: View, open_episode: Episode | None) -> tuple[list[Episode], Episode | None]:
    window, rules = view.window, view.rules
    if window.fix_from == len(window.fixes):
        return [], open_episode
    speed = window.fixes.speed_mps[window.fix_from :]
    share = over_share(speed, window.limit_mps)
    over = share > 0
    if over.any():
        over &= ~window.speed_hangs
    if open_episode is None and not over.any():
        return [], None
    step_us = np.where(window.fix_step_us <= rules.hold_us, window.fix_step_us, 0)
    signal = Signal(window.fixes.time_us[window.fix_from :], share, step_us)
    starts = tuple(np.nextafter(band.over_share, 1.0) for band in rules.speeding_bands)
    closed, still_open = follow(Following("speeding", starts, rules.speeding_quiet_us), signal, over, open_episode)
    excess = Signal(signal.time_us, (speed - window.limit_mps).astype(np.float64), step_us)
    return [_with_excess(e, excess) for e in closed], _with_excess(still_open, excess) if still_open else None


def _with_excess(episode: Episode, excess: Signal) -> Episode:
    """The episode with the largest speed over the limit so far, in m/s."""
    first, last = np.searchsorted(excess.time_us, [episode.start_us, episode.end_us + 1])
    over = excess.value[first:last]
    largest = max(episode.detail.get("over_mps", 0.0), float(over[over > 0].max(initial=0.0)))
    return replace(episode, detail=episode.detail | {"over_mps": largest})


def _judge(view: View, episode: Episode) -> Accepted | Refused:
    reached = [
        (band, above_us)
        for band, above_us in zip(view.rules.speeding_bands, episode.above_us, strict=True)
        if above_us >= band.minimum_s * SECOND_US
    ]
    if not reached:
        return Refused("too_short")
    band, above_us = reached[-1]
    words = [b.word for b in view.rules.speeding_bands]
    inside = [a - b for a, b in zip(episode.above_us, [*episode.above_us[1:], 0], strict=True)]
    evidence = {
        "source": "posted limit on the message",
        "band": band.word,
        "seconds_in_band_or_higher": above_us / SECOND_US,
        "peak_over_limit_percent": round(100 * episode.peak, 1),
        **{f"over_{word}_s": time_us / SECOND_US for word, time_us in zip(words, inside, strict=True)},
    }
    return Accepted(band.severity, round(episode.detail["over_mps"], 2), "m/s", 0.9, evidence)
