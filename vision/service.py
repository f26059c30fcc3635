"""The eyes' worker: frames in, or what a device saw on them; observations, in-cab events and their stills out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa
from sqlalchemy import Engine

from infra.bus.port import Bus, Record
from infra.clock import SECOND_US, SystemClock
from infra.contracts import topics
from infra.contracts.events import JsonObject, SafetyEvent, event_id
from infra.contracts.frames import Camera, Frame
from infra.contracts.observations import ObservationBatch
from infra.runtime.folding import dead_letters_of
from infra.runtime.step import Delivery, Folded
from infra.runtime.worker import Worker
from infra.settings import Settings
from infra.store.media import MediaStore
from infra.store.outputs import OBSERVATION_SCHEMA, DeadLetter, Outputs, ScoreDue
from infra.store.tables import SIGNALS
from vision.core.cadence import keep_due, must_look
from vision.core.driver import (
    DriverState,
    Glance,
    Judgement,
    change_driver,
    dump_state,
    finish,
    follow,
    has_open_event,
    load_state,
    see_openness,
)
from vision.core.eyes import usual_aspect_ratio
from vision.core.rules.shape import Finding
from vision.core.rules.table import RULES, Rules, make_rules
from vision.evidence import Stills
from vision.frames import Picture, UnusableFrame, decode_picture
from vision.heads import default_heads
from vision.lag import SKIPPED, Lag
from vision.looking import MOST_AT_ONCE, MOST_PIXELS_AT_ONCE, Eyes, Look, make_glance
from vision.models import FaceModel, Head, MediapipeFaces
from vision.observed import expand
from vision.spots import FaceSpots, ScriptedSpots, Spots

GROUP = "vision"
RULES_VERSION = "eyes-3"

SILENCE_US = 60_000_000
"""An event still open when no frame has come for so long is ended where it was last seen."""


ROWS_AT_ONCE = 5_000
"""Kept as mappings before they become columns: a message may bring hundreds. A fold of 30,000 takes 48 MB so, and 87 MB
with all of them kept to its end."""

UNSEEN = Look(face_found=False, aspect_ratio=None)
"""Of a frame that nobody looks at: it is noted where the frame lies, for clips."""


@dataclass(frozen=True, slots=True)
class Unusable:
    reason: str
    detail: str


class VisionStep:
    """See ``infra.runtime.step.Step``. Stateless apart from its models. Without ``lag`` no frame is skipped."""

    group = GROUP
    topics: Sequence[str] = (topics.FRAMES,)
    rules_version = RULES_VERSION

    def __init__(
        self,
        faces: FaceModel,
        max_pixels: int,
        heads: Sequence[Head] = (),
        spots: Spots | None = None,
        rules: Rules = RULES,
        lag: Lag | None = None,
    ) -> None:
        self._lag = lag
        self._eyes = Eyes(faces, heads)
        self._stills = Stills(spots or ScriptedSpots(), max_pixels)
        self._max_pixels = max_pixels
        self._rules = rules

    def load(self, state: JsonObject | None) -> DriverState:
        return load_state(state, self._rules)

    def dump(self, state: DriverState) -> JsonObject:
        return dump_state(state)

    def prepare(self, deliveries: Sequence[Delivery]) -> Sequence[Delivery]:
        """Each driver's frame with a ``Look``, ``Unusable`` or ``SKIPPED``; whatever is no such frame as it came."""
        prepared = [self._skip_if_old(delivery) for delivery in deliveries]
        wanted = [i for i, delivery in enumerate(prepared) if _is_drivers(delivery) and delivery.prepared is None]
        before: dict[str, int] = {}
        waiting = iter([prepared[i] for i in wanted])
        seen: list[Look | Unusable] = []
        while some := self._see(waiting, before):
            seen += some
        for i, one in zip(wanted, seen, strict=True):
            prepared[i] = replace(prepared[i], prepared=one)
        return prepared

    def fold(
        self, states: Mapping[str, DriverState], deliveries: Sequence[Delivery], woken: Mapping[str, int]
    ) -> Folded[DriverState]:
        notes = _Notes(self._stills, self._rules)
        after: dict[str, DriverState] = {}
        wake_us: dict[str, int | None] = {}
        for delivery in deliveries:
            vehicle = delivery.vehicle_id
            after[vehicle] = notes.fold_one(after.get(vehicle) or states[vehicle], delivery)
            wake_us[vehicle] = delivery.record.arrived_us + SILENCE_US if self._is_open(after[vehicle]) else None
        for vehicle in woken:
            after[vehicle] = notes.end_silence(vehicle, states[vehicle])
        return Folded(after, notes.outputs(), wake_us)

    def close(self) -> None:
        self._eyes.close()
        self._stills.close()

    def _skip_if_old(self, delivery: Delivery) -> Delivery:
        over = self._lag is not None and _is_drivers(delivery) and self._lag.is_over(delivery.record)
        return replace(delivery, prepared=SKIPPED) if over else delivery

    def _is_open(self, state: DriverState) -> bool:
        return has_open_event(state, self._rules)

    def _see(self, waiting: Iterator[Delivery], before: dict[str, int]) -> list[Look | Unusable]:
        """Of the next deliveries; their pictures are gone before others are decoded. ``before`` is kept up to date:
        the time of each vehicle's picture before, in order of the stream."""
        if not (decoded := self._decode_some(waiting)):
            return []
        readable = [(delivery, picture) for delivery, picture in decoded if isinstance(picture, Picture)]
        due = []
        for delivery, _ in readable:
            time_us = _frame(delivery).time_us
            due.append(not delivery.late and must_look(time_us, before.get(delivery.vehicle_id)))
            if not delivery.late:
                before[delivery.vehicle_id] = time_us
        looks = iter(self._eyes.look([picture for _, picture in readable], due=due))
        return [next(looks) if isinstance(picture, Picture) else picture for _, picture in decoded]

    def _decode_some(self, waiting: Iterator[Delivery]) -> list[tuple[Delivery, Picture | Unusable]]:
        """Of as many as are looked at at once."""
        decoded: list[tuple[Delivery, Picture | Unusable]] = []
        pixels = 0
        while len(decoded) < MOST_AT_ONCE and pixels < MOST_PIXELS_AT_ONCE and (delivery := next(waiting, None)):
            picture = self._decode(_frame(delivery))
            decoded.append((delivery, picture))
            pixels += picture.rgb.size // 3 if isinstance(picture, Picture) else 0
        return decoded

    def _decode(self, frame: Frame) -> Picture | Unusable:
        try:
            return decode_picture(frame.jpeg, self._max_pixels)
        except UnusableFrame as error:
            return Unusable(error.reason, error.detail)


class _Notes:
    """What one fold puts out, gathered frame by frame."""

    def __init__(self, stills: Stills, rules: Rules) -> None:
        self._stills = stills
        self._rules = rules
        self._events: list[SafetyEvent] = []
        self._due: list[ScoreDue] = []
        self._dead: list[DeadLetter] = []
        self._seen: list[dict[str, object]] = []
        self._tables: list[pa.Table] = []
        self._counts: Counter[tuple[str, str]] = Counter()

    def fold_one(self, state: DriverState, delivery: Delivery) -> DriverState:
        batch = delivery.message
        if not isinstance(batch, ObservationBatch):
            return self._fold_frame(state, delivery)
        for seen in expand(delivery, batch):
            state = self._fold_frame(state, seen)
        self._dead += dead_letters_of(delivery.record, batch.rejected)
        for refused in batch.rejected:
            self._counts[batch.vehicle_id, "observations_refused"] += refused.rows
        return state

    def _fold_frame(self, state: DriverState, delivery: Delivery) -> DriverState:
        frame, seen = _frame(delivery), delivery.prepared
        if frame.rejected is not None:
            seen = Unusable(f"frame_{frame.rejected}", "refused by the gateway, whose answer said why")
        elif seen is SKIPPED or not _is_drivers(delivery):
            self._count(frame, "frames_skipped" if seen is SKIPPED else "frames_other_camera")
            self._observe(delivery, UNSEEN, None, None)
            return state
        if isinstance(seen, Unusable):
            self._dead.append(_dead_letter(delivery.record, frame, seen))
            self._count(frame, "frames_unusable")
            return state
        if not isinstance(seen, Look):
            raise TypeError(f"a frame comes to fold without having been through prepare: {seen!r}")
        word = "frames" if frame.jpeg else "observations"
        self._count(frame, word, f"{word}_no_face" if not seen.face_found else None)
        if delivery.late:
            self._observe(delivery, seen, see_openness(state, _glance(frame, seen)), None)
            return state
        return self._judge(state, delivery, seen)

    def end_silence(self, vehicle_id: str, state: DriverState) -> DriverState:
        """No frame has come for a while: nothing stays open."""
        after, ended = finish(state, self._rules)
        self._tell(vehicle_id, state, ended, None)
        return after

    def outputs(self) -> Outputs:
        self._set_rows()
        return Outputs(
            observations=pa.concat_tables(self._tables) if self._tables else None,
            events=self._events,  # an event told twice stands twice: the store keeps the later, and all media
            score_due=self._due,
            dead_letters=self._dead,
            counts=self._counts,
        )

    def _set_rows(self) -> None:
        """Into columns, which take less room."""
        if self._seen:
            self._tables.append(pa.Table.from_pylist(self._seen, OBSERVATION_SCHEMA))
            self._seen.clear()

    def _judge(self, state: DriverState, delivery: Delivery, seen: Look) -> DriverState:
        frame = _frame(delivery)
        if frame.driver_id != state.driver_id:
            changed, ended = change_driver(state, frame.driver_id, self._rules)
            self._tell(frame.vehicle_id, state, ended, frame)
            state = changed
        seen = replace(seen, signals=keep_due(seen.signals, frame.time_us, state.last_us))
        state, judgement = follow(state, _glance(frame, seen), self._rules)
        self._observe(delivery, seen, judgement.openness, judgement.perclos)
        self._tell(frame.vehicle_id, state, judgement, frame)
        self._count(
            frame,
            "frames_out_of_order" if judgement.out_of_order else None,
            "frames_too_sparse" if judgement.too_sparse else None,
        )
        return state

    def _count(self, frame: Frame, *words: str | None) -> None:
        self._counts.update((frame.vehicle_id, word) for word in words if word)

    def _observe(self, delivery: Delivery, seen: Look, openness: float | None, perclos: float | None) -> None:
        frame = _frame(delivery)
        if len(self._seen) >= ROWS_AT_ONCE:
            self._set_rows()
        self._seen.append(
            {name: seen.signals.get(name) for name in SIGNALS}
            | {
                "time": frame.time_us,
                "vehicle_id": frame.vehicle_id,
                "camera": str(frame.camera),
                "face_found": seen.face_found,
                "eye_openness": openness,
                "perclos": perclos,
                "speed_mps": frame.speed_mps,
                "record_offset": delivery.record.offset if frame.jpeg else None,  # a device kept the picture
            }
        )

    def _tell(self, vehicle_id: str, state: DriverState, judgement: Judgement, frame: Frame | None) -> None:
        self._counts.update((vehicle_id, f"{sign}s") for sign in judgement.signs)
        for finding in judgement.findings:
            event = _event(vehicle_id, state, finding)
            if finding.opens and frame is not None and frame.jpeg:
                event = replace(event, media=self._stills.take(event.event_id, frame))
            self._events.append(event)
            self._due.append(ScoreDue(vehicle_id, event.driver_id, event.start_us))


def build(settings: Settings, bus: Bus, engine: Engine, media: MediaStore) -> Worker[DriverState]:
    """The eyes' worker on this bus and database. The face mesh is loaded at the first frame."""
    rules = make_rules(settings.in_cab_gates_mps)
    lag = Lag(SystemClock(), int((settings.late_window_s + settings.vision_lag_s) * SECOND_US))
    step = VisionStep(MediapipeFaces(), settings.max_frame_pixels, default_heads(), FaceSpots(), rules, lag)
    return Worker(step, bus, engine, settings, media)


def _is_drivers(delivery: Delivery) -> bool:
    """Whether it is a picture to be looked at."""
    if isinstance(delivery.message, ObservationBatch):
        return False
    frame = _frame(delivery)
    return frame.camera is Camera.DRIVER and frame.rejected is None


def _frame(delivery: Delivery) -> Frame:
    if not isinstance(delivery.message, Frame):
        raise TypeError(f"{delivery.record.topic} carries a {type(delivery.message).__name__}")
    return delivery.message


def _glance(frame: Frame, seen: Look) -> Glance:
    return make_glance(frame.time_us, frame.speed_mps, seen, frame.belt_switch)


def _event(vehicle_id: str, state: DriverState, finding: Finding) -> SafetyEvent:
    usual = round(usual_aspect_ratio(state.baseline), 4)
    return SafetyEvent(
        event_id=event_id(RULES_VERSION, vehicle_id, finding.family, finding.start_us),
        vehicle_id=vehicle_id,
        driver_id=state.driver_id,
        kind=finding.kind,
        severity=finding.severity,
        start_us=finding.start_us,
        end_us=finding.end_us,
        lat=None,
        lon=None,
        speed_mps=finding.speed_mps,
        peak=finding.peak,
        peak_unit=finding.peak_unit,
        confidence=finding.confidence,
        rules_version=RULES_VERSION,
        evidence={**finding.evidence, "usual_aspect_ratio": usual},
    )


def _dead_letter(record: Record, frame: Frame, seen: Unusable) -> DeadLetter:
    """Without the bytes: what cannot be shown may still be a picture of a person."""
    return DeadLetter(
        topic=record.topic,
        lane=record.lane,
        offset=record.offset,
        vehicle_id=frame.vehicle_id,
        reason=seen.reason,
        detail=seen.detail,
        rows=1,
        arrived_us=record.arrived_us,
    )
