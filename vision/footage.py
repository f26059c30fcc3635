"""Makes the clips and signal traces of events, of either room: taken up where they are due, made of the frames that
the bus still keeps, and listed in one transaction.

An event is due each time it is told. A clip is a function of the event and its frames, under a path that is derived
from the event: made twice, by two makers or after a crash, it is the same one clip.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Any

from sqlalchemy import Connection, Engine, text

from infra.bus.port import Bus
from infra.clock import SECOND_US, to_datetime, to_us
from infra.contracts import topics
from infra.contracts.codec import DecodeError, decode
from infra.contracts.events import CLIP_KINDS, EventKind, Media, MediaKind
from infra.contracts.frames import Camera, Frame
from infra.contracts.signal_trace import dump_trace
from infra.contracts.topics import lane_of
from infra.runtime.errands import Errands
from infra.runtime.worker import AWAY, transaction
from infra.settings import Settings
from infra.store import outputs, tables
from infra.store.bulk import insert, replacing
from infra.store.media import MediaStore
from vision.clips import ClipMaker, choose_frames
from vision.core.fired import FIRED, OPENNESS, PERCLOS
from vision.evidence import media_path
from vision.spots import FaceSpots

logger = logging.getLogger(__name__)

AROUND_US = 5 * SECOND_US
"""Before an event and after it, in a clip."""

LONGEST_US = 30 * SECOND_US
"""Of a longer event the part around the moment that it fired at is shown: at its end."""

TRACE_BEFORE_US = {EventKind.DROWSINESS: 60 * SECOND_US, EventKind.YAWNING: 60 * SECOND_US}
TRACE_US = 10 * SECOND_US  # before and after others

LATER_WAITS_S = (900.0, 7200.0)
"""After the first (``settings.footage_wait_s``): until the looks at an event after whose end no frame has come. The
camera stopped, or its frames are on their way."""

MEMORY_WAITS_S = (3.0, 30.0, 120.0)
"""In one process: its bus keeps frames for minutes, and they are gone when it ends."""

LEASE_S = 180.0
"""A maker that dies with an event in its hands leaves it to the others after this."""

GAP_RECORDS = 200
"""Between two wanted frames; a wider gap in a lane is skipped, a narrower one read through."""

_SIGNAL = replacing(tables.event_signal)
_SIGNALS = (OPENNESS, PERCLOS, "speed_mps", *tables.SIGNALS)

_DUE = text("""
    SELECT event.event_id, event.vehicle_id, event.kind, event.start_at, event.end_at, due.looks,
        seen.at IS NOT NULL AS passed,
        (SELECT min(time) FROM event_media WHERE event_id = event.event_id AND kind = 'still') AS fired_at
    FROM footage_due AS due JOIN safety_event AS event USING (event_id)
    LEFT JOIN LATERAL (
        SELECT time AS at FROM observation WHERE vehicle_id = event.vehicle_id
            AND time >= event.end_at + CAST(:around AS interval) LIMIT 1
    ) AS seen ON true
    WHERE due.look_at <= now() AND (seen.at IS NOT NULL OR due.looks > 0
        OR due.told_at + CAST(:wait AS interval) <= now())
    ORDER BY due.due_id LIMIT 1 FOR UPDATE OF due SKIP LOCKED
""")
_LEASE = text("""
    UPDATE footage_due SET looks = looks + 1, look_at = now() + CAST(:lease AS interval)
    WHERE due_id IN (SELECT due_id FROM footage_due WHERE event_id = :event_id FOR UPDATE SKIP LOCKED)
    RETURNING due_id
""")
_SEEN = text("SELECT * FROM observation WHERE vehicle_id = :vehicle AND time BETWEEN :since AND :until ORDER BY time")
_FRESH = text("SELECT EXISTS (SELECT 1 FROM footage_due WHERE looks = 0)")
_DONE = text("DELETE FROM footage_due WHERE due_id = ANY(:due_ids)")
_LATER = text("UPDATE footage_due SET look_at = now() + CAST(:wait AS interval) WHERE due_id = ANY(:due_ids)")


@dataclass(frozen=True, slots=True)
class Job:
    """An event that is due, and what was seen around it."""

    event_id: uuid.UUID
    vehicle_id: str
    kind: EventKind
    start_us: int
    end_us: int
    fired_us: int | None
    passed: bool  # frames of after its end have come
    looks: int
    due_ids: Sequence[int]
    seen: Sequence[Any] = ()  # rows of the table observation

    @property
    def span_us(self) -> tuple[int, int]:
        """From when to when a clip shows it."""
        since, until = self.start_us - AROUND_US, self.end_us + AROUND_US
        if until - since <= LONGEST_US:
            return since, until
        middle = self.fired_us if self.fired_us is not None else self.start_us
        begin = min(max(since, middle - LONGEST_US // 2), until - LONGEST_US)
        return begin, begin + LONGEST_US

    @property
    def trace_us(self) -> tuple[int, int]:
        since, until = self.span_us
        return min(since, self.start_us - TRACE_BEFORE_US.get(self.kind, TRACE_US)), until + TRACE_US - AROUND_US


class FootageMaker:
    """A chore (see ``infra.runtime.worker.Chore``): one event a call."""

    def __init__(
        self,
        bus: Bus,
        media: MediaStore,
        clips: ClipMaker,
        waits_s: Sequence[float] = MEMORY_WAITS_S,
        lease_s: float = LEASE_S,
    ) -> None:
        self._bus = bus
        self._waits = [timedelta(seconds=wait_s) for wait_s in waits_s]
        self._media = media
        self._clips = clips
        self._lease = timedelta(seconds=lease_s)

    def __call__(self, engine: Engine) -> int:
        with transaction(engine) as connection:
            job = self._take(connection)
        if job is None:
            return 0
        try:
            made = self._make(job) if job.kind in CLIP_KINDS else []
        except AWAY:
            raise
        except Exception:  # whatever it is: one event's frames must not stop the others'
            logger.exception("no clip of event %s at look %d", job.event_id, job.looks)
            made = []
        with transaction(engine) as connection:
            self._finish(connection, job, made)
        return 1

    def waits(self, engine: Engine) -> bool:
        """Whether an event is due that nobody has looked at yet."""
        with engine.connect() as connection:
            return bool(connection.scalar(_FRESH))

    def close(self) -> None:
        self._clips.close()

    # --- what is due ---

    def _take(self, connection: Connection) -> Job | None:
        """The next event, leased: nobody else takes it for a while, and no transaction is open meanwhile."""
        waits = {"around": timedelta(microseconds=AROUND_US), "wait": self._waits[0]}
        row = connection.execute(_DUE, waits).first()
        if row is None:
            return None
        leased = connection.execute(_LEASE, {"event_id": row.event_id, "lease": self._lease}).scalars().all()
        job = Job(
            row.event_id,
            row.vehicle_id,
            EventKind(row.kind),
            to_us(row.start_at),
            to_us(row.end_at),
            to_us(row.fired_at) if row.fired_at else None,
            bool(row.passed),
            int(row.looks),
            list(leased),
        )
        since, until = (to_datetime(time_us) for time_us in job.trace_us)
        seen = connection.execute(_SEEN, {"vehicle": job.vehicle_id, "since": since, "until": until}).all()
        return replace(job, seen=seen)

    def _finish(self, connection: Connection, job: Job, made: Sequence[Media]) -> None:
        """The bytes into the media store, then all rows at once."""
        for item in made:
            self._media.write(item.path, item.content)
        outputs.write_media_list(connection, job.event_id, made)
        trace = _trace(job)
        insert(connection, _SIGNAL, [(job.event_id, trace)] if trace else [])
        ids = list(job.due_ids)
        if job.passed or not job.seen or job.looks + 1 >= len(self._waits):
            connection.execute(_DONE, {"due_ids": ids})
        else:
            connection.execute(_LATER, {"due_ids": ids, "wait": self._waits[job.looks + 1]})

    # --- clips ---

    def _make(self, job: Job) -> list[Media]:
        since, until = job.span_us
        made = []
        for camera in Camera:
            rows = [r for r in job.seen if r.camera == camera and r.record_offset is not None]
            rows = [r for r in rows if since <= to_us(r.time) <= until]
            chosen = [rows[i] for i in choose_frames([to_us(r.time) for r in rows])]
            frames = self._read(job.vehicle_id, camera, [r.record_offset for r in chosen])
            if len(frames) < len(chosen):
                logger.info("event %s: %d of %d frames are gone", job.event_id, len(chosen) - len(frames), len(chosen))
            made += [
                Media(MediaKind.CLIP, clip_path(job.event_id, camera, shows), frames[0].time_us, clip, shows)
                for shows, clip in self._clips.make(frames).items()
            ]
        return made

    def _read(self, vehicle_id: str, camera: Camera, offsets: Sequence[int]) -> list[Frame]:
        """The frames at these offsets, as far as the bus still keeps them, in order of time."""
        lane, wanted = lane_of(vehicle_id, self._bus.lanes), set(offsets)
        frames: dict[int, Frame] = {}
        for start, end in _stretches(sorted(wanted)):
            for record in self._bus.read(topics.FRAMES, lane, start, end):
                if record.offset in wanted and record.key == vehicle_id:
                    try:
                        message = decode(record.value)
                    except DecodeError:
                        continue  # the log was made anew, and another record stands there
                    if isinstance(message, Frame) and message.camera is camera and message.vehicle_id == vehicle_id:
                        frames[message.time_us] = message
        return [frames[time_us] for time_us in sorted(frames)]


def build(settings: Settings, bus: Bus, engine: Engine, media: MediaStore) -> Errands:
    """The room that makes clips. Its face detectors are loaded at the first clip."""
    in_memory = settings.bus == "memory"
    waits_s = MEMORY_WAITS_S if in_memory else (settings.footage_wait_s, *LATER_WAITS_S)
    maker = FootageMaker(bus, media, ClipMaker(FaceSpots(), settings.max_frame_pixels), waits_s)
    waits = partial(maker.waits, engine) if in_memory else lambda: False
    return Errands("footage", engine, [maker], maker.close, waits)


def clip_path(event_id: uuid.UUID, camera: Camera, shows_driver: bool) -> str:
    return media_path(event_id, f"clip-{camera}{'-driver' if shows_driver else ''}.mp4")


def _stretches(offsets: Sequence[int]) -> list[tuple[int, int]]:
    """Parts of a lane to read, from ascending offsets."""
    parts: list[tuple[int, int]] = []
    for offset in offsets:
        if parts and offset - parts[-1][1] <= GAP_RECORDS:
            parts[-1] = (parts[-1][0], offset + 1)
        else:
            parts.append((offset, offset + 1))
    return parts


def _trace(job: Job) -> bytes | None:
    rows = [row for row in job.seen if row.camera == Camera.DRIVER]
    if not rows:
        return None
    values = {name: [getattr(row, name) for row in rows] for name in _SIGNALS}
    return dump_trace([to_us(row.time) for row in rows], values, FIRED.get(job.kind))
