"""What scoring remembers of a vehicle between messages. Small, and the same after JSON as before."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from infra.contracts.events import JsonObject
from infra.contracts.telemetry import VehicleClass
from scoring.core import duty, episodes, joining, orientation, samples, trips
from scoring.core.duty import Duty
from scoring.core.episodes import Episode
from scoring.core.joining import Detection
from scoring.core.orientation import Mounting
from scoring.core.posted import Changes
from scoring.core.samples import FixRing, ImuRing
from scoring.core.trips import OpenTrip


@dataclass(frozen=True, slots=True)
class PendingTrace:
    """An event whose ten seconds after have not all come yet."""

    event_id: str
    start_us: int
    end_us: int


@dataclass(frozen=True, slots=True, eq=False)
class VehicleState:
    """``imu_device`` and ``fix_device`` are whose samples the rings hold: two clocks are never mixed.

    ``imu`` holds the device's own axes. ``mounting`` is learned unless these are the vehicle's.
    """

    vehicle_class: VehicleClass = VehicleClass.PASSENGER
    in_vehicle_frame: bool = False
    imu_device: str | None = None
    fix_device: str | None = None
    imu: ImuRing = field(default_factory=samples.no_imu)
    fixes: FixRing = field(default_factory=samples.no_fixes)
    mounting: Mounting | None = None
    posted: Changes = ()
    trip: OpenTrip | None = None
    duty: Duty | None = None
    open_episodes: tuple[Episode, ...] = ()  # at most one of each detector
    settling: tuple[Episode, ...] = ()  # closed, not yet judged
    joining: tuple[Detection, ...] = ()  # judged, while another that overlaps may come
    pending: tuple[PendingTrace, ...] = ()

    @property
    def at_rest(self) -> bool:
        """Nothing is under way: no need to be woken."""
        under_way = self.trip is not None and not self.trip.silent
        return not (under_way or self.open_episodes or self.settling or self.joining or self.pending)


def dump(state: VehicleState) -> JsonObject:
    return {
        "vehicle_class": str(state.vehicle_class),
        "in_vehicle_frame": state.in_vehicle_frame,
        "imu_device": state.imu_device,
        "fix_device": state.fix_device,
        "imu": samples.dump_imu(state.imu),
        "fixes": samples.dump_fixes(state.fixes),
        "mounting": orientation.dump(state.mounting) if state.mounting else None,
        "posted": [list(change) for change in state.posted],
        "trip": state.trip.dump() if state.trip else None,
        "duty": state.duty.dump() if state.duty else None,
        "open_episodes": [e.dump() for e in state.open_episodes],
        "settling": [e.dump() for e in state.settling],
        "joining": [d.dump() for d in state.joining],
        "pending": [asdict(p) for p in state.pending],
    }


def load(state: Any) -> VehicleState:
    """The state that ``dump`` wrote; a new one from None."""
    if state is None:
        return VehicleState()
    return VehicleState(
        vehicle_class=VehicleClass(state["vehicle_class"]),
        in_vehicle_frame=state["in_vehicle_frame"],
        imu_device=state["imu_device"],
        fix_device=state["fix_device"],
        imu=samples.load_imu(state["imu"]),
        fixes=samples.load_fixes(state["fixes"]),
        mounting=orientation.load(state["mounting"]) if state["mounting"] else None,
        posted=tuple((at_us, limit) for at_us, limit in state.get("posted", ())),
        trip=trips.load(state["trip"]) if state["trip"] else None,
        duty=duty.load(state["duty"]) if state.get("duty") else None,
        open_episodes=tuple(episodes.load(e) for e in state["open_episodes"]),
        settling=tuple(episodes.load(e) for e in state["settling"]),
        joining=tuple(joining.load(d) for d in state.get("joining", ())),
        pending=tuple(PendingTrace(**p) for p in state["pending"]),
    )
