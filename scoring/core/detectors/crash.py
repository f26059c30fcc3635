"""Crashes: an impact harder than tyres can brake, and then another speed or a stop. In the device's own axes.

An impact is what starts an event data recorder: 8 km/h within 150 ms, a mean of 1.51 g across gravity. At least two
samples must show it. Whoever drives on as before hit a pothole, or dropped the device.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from infra.contracts.events import EventKind, Severity
from scoring.core.detectors.impacts import COUNT_G, PULSE_US, believed, pulses
from scoring.core.detectors.port import Accepted, Detector, Refused, View
from scoring.core.episodes import Episode, Following, Signal, follow
from scoring.core.rules import G_MPS2, SECOND_US
from scoring.core.window import Window

_NAME = "crash"
_QUIET_US = 3 * SECOND_US  # a second impact belongs to the first
_SETTLE_US = 10 * SECOND_US
_LONGEST_US = 10 * SECOND_US
_BEFORE_US, _SOON_US = 3 * SECOND_US, 4 * SECOND_US  # GPS speed may lag by 2 s
_STANDING_MPS = 1.5
_OTHER_SPEED_MPS = 3.0  # a hard brake of half a second
_PUSHED_MPS = 1.0
_SLOW_HZ = 18.0  # below, two samples make the pulse, and its peak is not seen
_FALL_US, _FALL_G, _FALL_SHARE = 600_000, 0.35, 0.25  # a device that falls from a dashboard weighs nothing for 0.3 s


def detectors() -> tuple[Detector, ...]:
    return (Detector(_NAME, EventKind.CRASH, _scan, _judge, _SETTLE_US, traced=True, joins=True),)


def threshold_g(view: View) -> float:
    """Of the mean over 150 ms, for the vehicle's class: scaled as its threshold of braking is."""
    return view.rules.crash.threshold_g * view.rules.brake_share(view.vehicle_class)


def _scan(view: View, open_episode: Episode | None) -> tuple[list[Episode], Episode | None]:
    enter_g, window = threshold_g(view), view.window
    if window.imu_from == len(window.raw):
        return [], open_episode
    if open_episode is None and float(window.spread_g.max()) < enter_g / np.sqrt(3):
        return [], None
    found = pulses(window)
    signal = Signal(found.time_us, found.mean_g, found.step_us)
    closed, still_open = follow(Following(_NAME, (enter_g,), _QUIET_US), signal, signal.value >= enter_g, open_episode)
    highest = Signal(found.time_us, found.highest_g, found.step_us)
    return [_with_highest(e, highest) for e in closed], _with_highest(still_open, highest) if still_open else None


def _with_highest(episode: Episode, single: Signal) -> Episode:
    inside = (single.time_us >= episode.start_us) & (single.time_us <= episode.end_us)
    before = episode.detail.get("impact_peak_g", 0.0)
    highest = max(before, float(single.value[inside].max(initial=0.0)))
    return replace(episode, detail=episode.detail | {"impact_peak_g": round(highest, 3)})


def _judge(view: View, episode: Episode) -> Accepted | Refused:
    window = view.window
    if episode.end_us - episode.start_us > _LONGEST_US:
        return Refused("too_long")
    if _fell(window, episode):
        return Refused("device_dropped")
    support = _speed_support(window, episode)
    if isinstance(support, Refused):
        return support
    enough_g = threshold_g(view)
    evidence = {
        "source": "accelerometer",
        "threshold_g": round(enough_g, 3),
        "seconds": (episode.end_us - episode.start_us + PULSE_US) / SECOND_US,
        "impact_peak_g": episode.detail["impact_peak_g"],
        "speed_lost_in_pulse_mps": round(episode.peak * G_MPS2 * PULSE_US / SECOND_US, 2),
        **support,
    }
    grave = episode.peak >= view.rules.crash.critical_share * enough_g
    severity = Severity.CRITICAL if grave else Severity.HIGH
    return Accepted(severity, round(episode.peak, 3), "g", _confidence(window, episode, support), evidence)


def _confidence(window: Window, episode: Episode, support: dict[str, object]) -> float:
    """Low where the rate cannot show a pulse, or GPS says nothing."""
    if "gps_support" in support:
        return 0.4
    samples = np.searchsorted(window.raw.time_us, [episode.start_us - SECOND_US, episode.start_us + SECOND_US])
    if np.diff(samples)[0] / 2 < _SLOW_HZ:
        return 0.5
    return 0.9 if "stopped" in support else 0.7


def _fell(window: Window, episode: Episode) -> bool:
    """Was a device that feels gravity weightless right before?"""
    ring = window.raw
    known = believed(ring)
    size_g = np.sqrt(((ring.counts[:3, known] * COUNT_G) ** 2).sum(axis=0))
    first, last = np.searchsorted(ring.time_us[known], [episode.start_us - _FALL_US, episode.start_us - PULSE_US // 3])
    falling = size_g[first:last] < _FALL_G
    return len(falling) > 1 and float(falling.mean()) >= _FALL_SHARE and float(np.median(size_g)) >= 2 * _FALL_G


def _speed_support(window: Window, episode: Episode) -> dict[str, object] | Refused:
    """Another speed, or a stop. Without GPS only a device in the vehicle's axes is fixed well enough to be believed."""
    before = window.speeds_mps(episode.start_us - _BEFORE_US, episode.start_us)
    soon = window.speeds_mps(episode.end_us + SECOND_US // 2, episode.end_us + _SOON_US)
    after = window.speeds_mps(episode.end_us, episode.end_us + _SETTLE_US)
    if not len(before) or not len(after):
        return {"gps_support": "unknown"} if window.declared else Refused("gps_unknown")
    fastest = float(before.max())
    if fastest < _STANDING_MPS:
        pushed = window.declared and len(soon) and soon.max() >= _PUSHED_MPS
        return {"speed_change_mps": round(float(soon.max()), 2)} if pushed else Refused("standing")
    lost = fastest - float(after.min())
    if after.min() < _STANDING_MPS:
        return {"speed_change_mps": round(-lost, 2), "stopped": True}
    if len(soon) and max(fastest - float(soon.min()), float(soon.max()) - fastest) >= _OTHER_SPEED_MPS:
        return {"speed_change_mps": round(-lost, 2)}
    return Refused("drove_on")
