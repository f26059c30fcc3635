"""Frames for the eyes' tests: drawn ones that ``ScriptedFaces`` reads, and those of the demo drive."""

import io
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from itertools import groupby, pairwise

from PIL import Image

from infra.bus.port import Record
from infra.contracts.codec import decode, encode
from infra.contracts.frames import Camera, Frame
from infra.contracts.observations import ObservationBatch
from infra.runtime.step import Delivery
from infra.store.outputs import Outputs
from vision.models import ScriptedFaces
from vision.observed import Observed, write_observed
from vision.service import VisionStep

START_US = 1_700_000_000_000_000
MAX_PIXELS = 4_200_000
CLIP = files("infra") / "demo" / "omaha-31" / "frames"
CLIP_FIRST = 31  # the clip's own number of 000000.jpg
CLIP_FPS = 2.0


@cache
def drawn(level: int, size: tuple[int, int] = (64, 64)) -> bytes:
    """A grey picture: 255 for wide open eyes, 128 for half open, 0 for nobody there."""
    sink = io.BytesIO()
    Image.new("L", size, level).save(sink, "JPEG")
    return sink.getvalue()


def frame(index: int, jpeg: bytes, fps: float = 5.0, vehicle: str = "van", **changes: object) -> Frame:
    values: dict[str, object] = {
        "vehicle_id": vehicle,
        "device_id": f"{vehicle}-cam",
        "boot_id": "boot",
        "sequence": index,
        "driver_id": "anna",
        "camera": Camera.DRIVER,
        "time_us": START_US + round(index / fps * 1e6),
        "speed_mps": 20.0,
        "received_us": START_US,
        "jpeg": jpeg,
    }
    return Frame(**{**values, **changes})


def deliveries(frames: Sequence[Frame], late: bool = False) -> list[Delivery]:
    return [
        Delivery(Record("frames", 0, i, f.vehicle_id, encode(f), START_US + i * 1000), f, late)
        for i, f in enumerate(frames)
    ]


def observed(prepared: Sequence[Delivery], cuts: Sequence[int] = ()) -> list[Delivery]:
    """The same looks as the numbers that devices would send: batches that end at the cuts, and where a driver does."""
    sent: list[Delivery] = []
    for begin, end in pairwise([0, *sorted(cuts), len(prepared)]):
        part = sorted(prepared[begin:end], key=lambda delivery: delivery.vehicle_id)  # each vehicle's in their order
        for _, rows in groupby(part, key=lambda delivery: (delivery.vehicle_id, delivery.message.driver_id)):
            sent.append(_batch(list(rows), len(sent)))
    return sent


def _batch(rows: Sequence[Delivery], number: int) -> Delivery:
    frame = rows[0].message
    seen = [Observed(d.message.time_us, d.prepared, d.message.speed_mps, d.message.belt_switch) for d in rows]
    place = (frame.vehicle_id, frame.device_id, frame.boot_id, number, frame.driver_id, frame.received_us)
    batch = ObservationBatch(*place, write_observed(seen))
    record = Record("frames", 0, number, frame.vehicle_id, encode(batch), START_US + number * 1000)
    return Delivery(record, decode(record.value))


def scripted_step() -> VisionStep:
    return VisionStep(ScriptedFaces(), MAX_PIXELS)


def run(step: VisionStep, prepared: Sequence[Delivery], calls: Sequence[int] = ()) -> tuple[dict, list[Outputs]]:
    """The states in JSON and all outputs; ``calls`` are the places where the stream is cut into calls.
    Between two calls every state goes through its JSON."""
    stored: dict[str, dict] = {}
    outputs = []
    cuts = [0, *sorted(calls), len(prepared)]
    for begin, end in pairwise(cuts):
        part = prepared[begin:end]
        states = {d.vehicle_id: step.load(stored.get(d.vehicle_id)) for d in part}
        folded = step.fold(states, part, {})
        stored |= {vehicle: step.dump(state) for vehicle, state in folded.states.items()}
        outputs.append(folded.outputs)
    return stored, outputs


def final_events(outputs: Sequence[Outputs]) -> dict:
    """As the store keeps them: the last telling of each, with the media of all."""
    told: dict = {}
    media: dict = {}
    for event in (event for part in outputs for event in part.events):
        told[event.event_id] = event
        media.setdefault(event.event_id, []).extend((m.path, m.time_us, m.content) for m in event.media)
    return {key: (event, media[key]) for key, event in told.items()}
