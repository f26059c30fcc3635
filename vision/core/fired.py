"""By which number of a frame each kind of event is judged: what is drawn beside its clip."""

from __future__ import annotations

from infra.contracts.events import EventKind
from infra.contracts.signal_trace import Fired
from vision.core.eyes import SHUT_OPENNESS
from vision.core.rules.camera import UNFIT_AT
from vision.core.rules.drowsiness import DROWSY
from vision.core.rules.yawning import BEGINS_AT
from vision.core.signals import BELT_WORN, CAMERA_UNFIT, DRINKING, HEAD_PITCH, HEAD_YAW, PHONE, SMOKING, YAWN

OPENNESS, PERCLOS = "eye_openness", "perclos"  # as the observations have them

_SHUT = Fired(OPENNESS, SHUT_OPENNESS, below=True)
FIRED = {
    EventKind.MICROSLEEP: _SHUT,
    EventKind.SLEEP: _SHUT,
    EventKind.UNRESPONSIVE: _SHUT,
    EventKind.DROWSINESS: Fired(PERCLOS, DROWSY),
    EventKind.YAWNING: Fired(YAWN, BEGINS_AT),
    EventKind.HEAD_NOD: Fired(HEAD_PITCH, None),  # against the driver's own neutral pose, which moves
    EventKind.DISTRACTION: Fired(HEAD_YAW, None),
    EventKind.PHONE_USE: Fired(PHONE, None),  # a vote over seconds decides, not one frame
    EventKind.SMOKING: Fired(SMOKING, None),
    EventKind.DRINKING: Fired(DRINKING, None),
    EventKind.NO_SEAT_BELT: Fired(BELT_WORN, None, below=True),
    EventKind.CAMERA_OBSTRUCTED: Fired(CAMERA_UNFIT, UNFIT_AT),
}
