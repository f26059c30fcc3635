"""One message at a time: from a vehicle's state and a telemetry batch to the next state and what was found."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from uuid import UUID

import numpy as np

from infra.contracts.events import SafetyEvent, Trace, Trip, TripStatus
from infra.contracts.telemetry import GpsSamples, ImuFrame, TelemetryBatch, empty_gps, take
from scoring.core import duty, joining, orientation, posted, samples, trips
from scoring.core.detectors import BY_NAME, DETECTORS, Refused, View
from scoring.core.episodes import Episode
from scoring.core.fixes import believable, fill_speed
from scoring.core.joining import Detection
from scoring.core.rules import SECOND_US, Rules
from scoring.core.samples import FixRing, ImuRing
from scoring.core.state import PendingTrace, VehicleState
from scoring.core.trips import OpenTrip
from scoring.core.window import Window

_MARGIN_US = 3 * SECOND_US  # an episode is found at most this long after what it tells of began
_LONGEST_TRACED_US = 20 * SECOND_US  # of a longer event the end is kept
# A state stays small, and yet every trace is there at its event's end, wherever the stream is cut: 30 s of trace, the
# 30 s that another episode may last, 20 s until it is stale and 10 s until it is judged.
_LONGEST_RING_US = 90 * SECOND_US
_IMU_LAG_US = 5 * SECOND_US  # when one stream is this far behind the other, it is not waited for
_CLOCK_BACK_US = 300 * SECOND_US  # a device whose time falls back further has set its clock: a new beginning
_QUIET_DEVICE_US = 10 * SECOND_US  # after which another device of the same vehicle takes over
_LONG_AGO = -(2**62)


@dataclass(slots=True)
class Found:
    """What one vehicle's messages brought, by which rules."""

    vehicle_id: str
    rules: Rules
    trips: list[Trip] = field(default_factory=list)
    events: list[SafetyEvent] = field(default_factory=list)
    traces: list[Trace] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    axes: orientation.KnownAxes | None = None  # of a recording that is judged whole: nothing need be learned


def fold_batch(state: VehicleState, batch: TelemetryBatch, found: Found) -> VehicleState:
    """The state after a batch. ``found`` is added to."""
    if _clock_fell_back(state, batch):
        found.counts["clock_set_back"] += 1
        state = _begin_again(state, found)
    imu = _fresh_imu(state, batch, found)
    fixes, gps = _fresh_fixes(state, batch, found)
    state = _remount(state, batch, imu)
    raw, all_fixes = samples.join_imu(state.imu, imu), samples.join_fixes(state.fixes, fixes)
    if state.mounting is not None and len(fixes) and found.axes is None:
        state = _learn_mounting(state, raw, all_fixes, found)
    state = replace(
        state,
        vehicle_class=batch.vehicle_class,
        imu_device=batch.device_id if len(imu) else state.imu_device,
        fix_device=batch.device_id if len(fixes) else state.fix_device,
    )
    window = _window(state, raw, all_fixes, gps, found.axes)
    if len(fixes):
        state = _follow_trip(state, window, gps, batch.driver_id, found)
    state = _scan(state, window, batch.driver_id, found.rules)
    state = _settle(state, window, found)
    state = _join(state, window, found)
    state = _release(state, window, found)
    return _trim(state, window, found.rules)


def fold_silence(state: VehicleState, found: Found) -> VehicleState:
    """Nothing has come for long: end what is under way with what is there."""
    window = _window(state, state.imu, state.fixes, empty_gps(), found.axes)
    episodes = (*state.settling, *state.open_episodes)
    state = replace(state, open_episodes=(), settling=episodes)
    state = _settle(state, window, found, at_once=True)
    state = _join(state, window, found, at_once=True)
    state = _release(state, window, found, at_once=True)
    told, on_duty = duty.last_word(state.duty, found.vehicle_id, found.rules)
    found.events += told
    state = replace(state, duty=on_duty)
    trip = state.trip
    if trip is not None and not trip.silent:
        _write_trip(trip, TripStatus.ENDED, found)
        state = replace(state, trip=replace(trip, silent=True, written_us=trip.end_us))
    return _trim(state, window, found.rules)


# --- taking samples in ------------------------------------------------------------------------------------


def _clock_fell_back(state: VehicleState, batch: TelemetryBatch) -> bool:
    for ring, fresh, device in (
        (state.fixes, batch.gps, state.fix_device),
        (state.imu, batch.imu, state.imu_device),
    ):
        if len(ring) and len(fresh) and device == batch.device_id:
            return bool(fresh.time_us[-1] < ring.time_us[-1] - _CLOCK_BACK_US)
    return False


def _begin_again(state: VehicleState, found: Found) -> VehicleState:
    fold_silence(state, found)
    return VehicleState()


def _fresh_imu(state: VehicleState, batch: TelemetryBatch, found: Found) -> ImuRing:
    if not len(batch.imu):
        return samples.no_imu()
    last_us = int(state.imu.time_us[-1]) if len(state.imu) else _LONG_AGO
    if not _may_speak(state.imu_device, batch.device_id, int(batch.imu.time_us[0]), last_us):
        found.counts["imu_of_second_device"] += len(batch.imu)
        return samples.no_imu()
    imu, stale = samples.quantise(batch.imu, last_us)
    if stale:
        found.counts["imu_not_in_order"] += stale
    return imu


def _may_speak(current: str | None, device_id: str, first_us: int, last_us: int) -> bool:
    return current in (None, device_id) or first_us > last_us + _QUIET_DEVICE_US


def _fresh_fixes(state: VehicleState, batch: TelemetryBatch, found: Found) -> tuple[FixRing, GpsSamples]:
    """Believable fixes for the ring, and the same rows with their other columns."""
    gps, last = batch.gps, state.fixes
    if not len(gps):
        return samples.no_fixes(), gps
    last_us = int(last.time_us[-1]) if len(last) else _LONG_AGO
    if not _may_speak(state.fix_device, batch.device_id, int(gps.time_us[0]), last_us):
        found.counts["gps_of_second_device"] += len(gps)
        return samples.no_fixes(), take(gps, slice(0, 0))
    mask = believable(gps, last)
    if not mask.all():
        found.counts["gps_not_believed"] += int((~mask).sum())
        gps = take(gps, mask)
    return FixRing(gps.time_us, gps.lat, gps.lon, fill_speed(gps, last), gps.heading_deg), gps


def _remount(state: VehicleState, batch: TelemetryBatch, imu: ImuRing) -> VehicleState:
    """Forget the past when the axes are others than before: they cannot be read on."""
    if not len(imu):
        return state
    in_frame = batch.imu_frame is ImuFrame.VEHICLE
    # Earth's axes turn under the vehicle: nothing is learned from them here, and GPS judges.
    learns = not in_frame and batch.imu_frame is not ImuFrame.EARTH
    same = in_frame == state.in_vehicle_frame and learns == (state.mounting is not None)
    if same and state.imu_device == batch.device_id:
        return state
    mounting = orientation.Mounting() if learns else None
    return replace(state, imu=samples.no_imu(), in_vehicle_frame=in_frame, mounting=mounting)


def _learn_mounting(state: VehicleState, raw: ImuRing, fixes: FixRing, found: Found) -> VehicleState:
    before = state.mounting or orientation.Mounting()
    mounting = orientation.learn(before, raw, fixes, len(state.fixes))
    if mounting.moves > before.moves:
        found.counts["device_moved"] += mounting.moves - before.moves
    if mounting.learned > before.learned:
        found.counts["mounting_learned"] += mounting.learned - before.learned
    return replace(state, mounting=mounting)


def _window(
    state: VehicleState, raw: ImuRing, fixes: FixRing, gps: GpsSamples, axes: orientation.KnownAxes | None
) -> Window:
    mounting = state.mounting
    known = axes or (mounting.latest if mounting else None)
    learned = orientation.rotated(mounting, raw) if mounting and known else raw
    return Window(
        raw=raw,
        imu=axes.of(raw) if axes else learned,
        imu_from=len(state.imu),
        in_vehicle_frame=state.in_vehicle_frame or known is not None,
        mounting_error_deg=known.error_deg if known else None,
        fixes=fixes,
        fix_from=len(state.fixes),
        limit_mps=gps.speed_limit_mps,
        ignition=gps.ignition,
    )


# --- trips ------------------------------------------------------------------------------------------------


def _follow_trip(
    state: VehicleState, window: Window, gps: GpsSamples, driver_id: str | None, found: Found
) -> VehicleState:
    before = min(window.fix_from, 1)
    track = samples.fixes_from(window.fixes, window.fix_from - before)
    leg = trips.leg_of(track, before, gps, driver_id, found.rules)
    ended, trip = trips.advance(state.trip, leg)
    for one in ended:
        _write_trip(one, TripStatus.ENDED, found)
    told, on_duty = duty.advance(state.duty, leg, found.vehicle_id, found.rules)
    found.events += told
    if trip is not None and not trip.silent and _is_due(trip, found.rules):
        _write_trip(trip, TripStatus.OPEN, found)
        trip = replace(trip, written_us=trip.end_us)
    changes = posted.follow(state.posted, window.fixes.time_us[window.fix_from :], gps.speed_limit_mps)
    return replace(state, trip=trip, duty=on_duty, posted=changes)


def _is_due(trip: OpenTrip, rules: Rules) -> bool:
    return trips.is_trip(trip, rules) and trip.end_us - trip.written_us >= rules.trip_write_us


def _write_trip(trip: OpenTrip, status: TripStatus, found: Found) -> None:
    if trips.is_trip(trip, found.rules):
        found.trips.append(trips.to_row(trip, found.vehicle_id, status, found.rules))


# --- episodes ---------------------------------------------------------------------------------------------


def _scan(state: VehicleState, window: Window, driver_id: str | None, rules: Rules) -> VehicleState:
    under_way = {episode.detector: episode for episode in state.open_episodes}
    still_open: list[Episode] = []
    closed: list[Episode] = []
    view = View(window, rules, state.vehicle_class)
    for detector in DETECTORS:
        before = under_way.get(detector.name)
        ended, after = detector.scan(view, before)
        closed += [_seen(e, driver_id, window, state.posted) for e in ended]
        if after is not None and _now_us(window) > after.end_us + detector.stale_us:
            closed.append(_seen(after, driver_id, window, state.posted))  # its own stream has stopped
        elif after is not None:
            still_open.append(_seen(after, driver_id, window, state.posted))
    if not closed and not still_open and not under_way:
        return state
    # in an order that does not tell when they were found
    settling = sorted((*state.settling, *closed), key=lambda e: (e.end_us, e.detector))
    return replace(state, open_episodes=tuple(still_open), settling=tuple(settling))


def _now_us(window: Window) -> int:
    return max(window.imu_now_us or _LONG_AGO, window.fix_now_us or _LONG_AGO)


def _seen(episode: Episode, driver_id: str | None, window: Window, limits: posted.Changes) -> Episode:
    """With its driver and place as known when it is first seen: by fixes that no cut of the stream can keep back."""
    if "seen" in episode.detail:
        return episode
    episode = replace(episode, driver_id=driver_id, detail=episode.detail | {"seen": 1.0})
    return _placed(episode, window.fix_at(episode.start_us), window, limits)


def _placed(episode: Episode, at: int | None, window: Window, limits: posted.Changes) -> Episode:
    """With place, speed and posted limit of a fix."""
    if at is None:
        return episode
    fixes = window.fixes
    detail = {"lat": float(fixes.lat[at]), "lon": float(fixes.lon[at])}
    if np.isfinite(fixes.speed_mps[at]):
        detail["speed_mps"] = float(fixes.speed_mps[at])
    limit_mps = posted.limit_at(limits, int(fixes.time_us[at]))
    if limit_mps is not None:
        detail["limit_mps"] = limit_mps
    return replace(episode, detail=episode.detail | detail)


def _settle(state: VehicleState, window: Window, found: Found, at_once: bool = False) -> VehicleState:
    """Judge the episodes around which everything has come."""
    if not state.settling:
        return state
    view = View(window, found.rules, state.vehicle_class)
    come = [at_once or _has_come(window, _settled_us(e)) for e in state.settling]
    waiting = tuple(e for e, has in zip(state.settling, come, strict=True) if not has)
    complete = [_found_later(e, window, state.posted) for e, has in zip(state.settling, come, strict=True) if has]
    judged = [_judge(view, e, found) for e in complete]
    accepted = [*state.joining, *(one for one in judged if one)]
    accepted.sort(key=lambda d: (d.start_us, d.episode.detector))
    return replace(state, settling=waiting, joining=tuple(accepted))


def _settled_us(episode: Episode) -> int:
    return episode.end_us + BY_NAME[episode.detector].settle_us


def _found_later(episode: Episode, window: Window, limits: posted.Changes) -> Episode:
    """Where there was no fix before it, its place is that of the first one after it, if that has surely come."""
    if "lat" in episode.detail:
        return episode
    return _placed(episode, window.fix_at(episode.start_us, _settled_us(episode)), window, limits)


def _judge(view: View, episode: Episode, found: Found) -> Detection | None:
    """Accept an episode, or count why not."""
    verdict = BY_NAME[episode.detector].judge(view, episode)
    if isinstance(verdict, Refused):
        found.counts[f"{episode.detector}_{verdict.reason}"] += 1
        return None
    return Detection(episode, verdict)


def _join(state: VehicleState, window: Window, found: Found, at_once: bool = False) -> VehicleState:
    """Make events of the detections that no other will be joined to."""
    if not state.joining:
        return state
    under_way = [joining.reach_start_us(e) for e in (*state.open_episodes, *state.settling) if joining.joins(e)]
    waiting: list[Detection] = []
    pending = list(state.pending)
    for group in joining.groups(state.joining):
        if not at_once and not _is_whole(group, window, under_way):
            waiting += group
            continue
        event = joining.to_event(group, found.vehicle_id, found.rules.version)
        found.events.append(event)
        if any(BY_NAME[one.episode.detector].traced for one in group):
            pending.append(_trace_of(event, found.rules))
    waiting.sort(key=lambda d: (d.start_us, d.episode.detector))
    pending.sort(key=lambda t: (t.end_us, t.event_id))
    return replace(state, joining=tuple(waiting), pending=tuple(pending))


def _is_whole(group: list[Detection], window: Window, under_way: list[int]) -> bool:
    if not joining.joins(group[0].episode):
        return True
    end_us = max(one.end_us for one in group)
    return not any(start_us <= end_us for start_us in under_way) and _has_come(window, end_us + joining.JOIN_US)


def _trace_of(event: SafetyEvent, rules: Rules) -> PendingTrace:
    start_us = max(event.start_us, event.end_us - _LONGEST_TRACED_US) - rules.trace_us
    return PendingTrace(str(event.event_id), start_us, event.end_us + rules.trace_us)


def _has_come(window: Window, until_us: int) -> bool:
    fix_now, imu_now = window.fix_now_us, window.imu_now_us
    if fix_now is not None and fix_now >= until_us:
        return True
    return imu_now is not None and imu_now >= until_us + _IMU_LAG_US


# --- raw samples ------------------------------------------------------------------------------------------


def _release(state: VehicleState, window: Window, found: Found, at_once: bool = False) -> VehicleState:
    """Cut out the traces whose ten seconds after have come."""
    if not state.pending:
        return state
    waiting: list[PendingTrace] = []
    for trace in state.pending:
        if not at_once and not _trace_has_come(window, trace.end_us):
            waiting.append(trace)
            continue
        content = samples.trace_bytes(window.raw, trace.start_us, trace.end_us)
        if content is not None:
            found.traces.append(Trace(UUID(trace.event_id), content))
    return replace(state, pending=tuple(waiting))


def _trace_has_come(window: Window, until_us: int) -> bool:
    fix_now, imu_now = window.fix_now_us, window.imu_now_us
    if imu_now is not None and imu_now >= until_us:
        return True
    return fix_now is not None and fix_now >= until_us + _IMU_LAG_US


def _trim(state: VehicleState, window: Window, rules: Rules) -> VehicleState:
    """Keep what an event that begins now, or is not yet complete, may still need."""
    now_us = _now_us(window)
    under_way = (*state.open_episodes, *state.settling)
    traced = [max(joining.start_us(e), e.end_us - joining.LONGEST_US) for e in under_way if BY_NAME[e.detector].traced]
    traced += [d.start_us for d in state.joining if BY_NAME[d.episode.detector].traced]
    wanted = [now_us - _MARGIN_US, *traced, *(p.start_us + rules.trace_us for p in state.pending)]
    from_us = max(min(wanted) - rules.trace_us, now_us - _LONGEST_RING_US)
    imu, fixes = samples.imu_since(window.raw, from_us), samples.fixes_since(window.fixes, from_us)
    posted_us = min(from_us, int(fixes.time_us[0])) if len(fixes) else from_us
    return replace(state, imu=imu, fixes=fixes, posted=posted.since(state.posted, posted_us))
