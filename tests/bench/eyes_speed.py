"""The whole cab pipeline on one core beside the bare models, and the worker's memory in a process of its own."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import orjson
import psutil
from PIL import Image

from infra.bus.port import Record
from infra.contracts.frames import Camera, Frame
from infra.contracts.topics import FRAMES
from infra.runtime.step import Delivery
from vision.eye_state import EyeStates
from vision.frames import Picture, Rgb, decode_picture
from vision.heads import default_heads
from vision.looking import MOST_AT_ONCE, Eyes
from vision.models import Head, MediapipeFaces
from vision.service import VisionStep
from vision.torso import COLOUR, Torsos

FPS = 10
SELDOM = 5
"""Seldom heads look at the first frame of each half second: at 10 frames a second at one in five."""

SIZE = (640, 480)
ROUNDS = 11
MOST_PIXELS = 10_000_000


def measure_speed(folder: Path, count: int) -> dict[str, object]:
    """Frames a second of one core by processor time, which a busy machine disturbs less than the clock."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    try:
        return _measure(read_jpegs(folder, count))
    finally:
        os.sched_setaffinity(0, cores)


def read_jpegs(folder: Path, count: int) -> list[bytes]:
    """In-car frames, as 640×480 JPEGs."""
    paths = sorted(folder.rglob("*.jpg"))
    return [_resized(paths[i * len(paths) // count]) for i in range(min(count, len(paths)))]


def _resized(path: Path) -> bytes:
    out = io.BytesIO()
    Image.open(path).convert("RGB").resize(SIZE).save(out, "JPEG", quality=85)
    return out.getvalue()


def _measure(jpegs: Sequence[bytes]) -> dict[str, object]:
    heads, faces = default_heads(), MediapipeFaces()
    eyes = Eyes(faces, heads)
    due = [i % SELDOM == 0 for i in range(len(jpegs))]
    chunks = [slice(i, i + MOST_AT_ONCE) for i in range(0, len(jpegs), MOST_AT_ONCE)]

    def run() -> None:
        for chunk in chunks:
            pictures = [decode_picture(jpeg, MOST_PIXELS) for jpeg in jpegs[chunk]]
            eyes.look(pictures, due=due[chunk])

    run()  # loads everything
    calls = _record_calls(heads, run)
    rounds = [(_cpu_s(run), _bare(jpegs, faces, calls)) for _ in range(ROUNDS)]  # what else runs meets both
    eyes.close()
    best = min(whole for whole, _ in rounds)
    bare = {name: 1000 * min(one[name] for _, one in rounds) / len(jpegs) for name in rounds[0][1]}
    pictures = [decode_picture(jpeg, MOST_PIXELS) for jpeg in jpegs]
    return {
        "frames": len(jpegs),
        "torso_looks_a_second": FPS / SELDOM,
        "frames_per_s_core": round(len(jpegs) / best, 1),
        "ms_a_frame": round(1000 * best / len(jpegs), 3),
        "bare_ms_a_frame": {name: round(ms, 3) for name, ms in bare.items()},
        "ratio_to_bare_models": round(median(whole / sum(one.values()) for whole, one in rounds), 3),
        "stages_ms_a_frame": _stages(pictures, jpegs, due),
    }


class _Recorder:
    """Stands before a network and keeps what it is asked."""

    def __init__(self, network: Any) -> None:
        self.network, self.asked = network, list[Mapping[str, Any]]()

    def run(self, outputs: None, inputs: Mapping[str, Any]) -> Any:
        self.asked.append(inputs)
        return self.network.run(outputs, inputs)


def _record_calls(heads: Sequence[Head], run: Callable[[], None]) -> dict[str, _Recorder]:
    """Each network with what one run of the pipeline asks it."""
    recorders = {}
    for name, holder, attribute in _networks(heads):
        recorders[name] = _Recorder(getattr(holder, attribute))
        holder.__dict__[attribute] = recorders[name]
    run()
    for name, holder, attribute in _networks(heads):
        holder.__dict__[attribute] = recorders[name].network
    return recorders


def _networks(heads: Sequence[Head]) -> Iterator[tuple[str, object, str]]:
    """Name, and where it is held."""
    for head in heads:
        if isinstance(head, EyeStates):
            yield "eye state", head, "_session"
        if isinstance(head, Torsos):
            yield "body pose", head._bodies, "_network"
            yield "torso", head._opened[COLOUR], "network"


def _bare(jpegs: Sequence[bytes], faces: MediapipeFaces, calls: Mapping[str, _Recorder]) -> dict[str, float]:
    """Seconds of Pillow's decoder, mediapipe's mesh and the networks alone, each with what the pipeline asks it."""
    pictures = [_decode(jpeg) for jpeg in jpegs]
    found = {
        "decode": _cpu_s(lambda: _exhaust(map(_decode, jpegs))),
        "face mesh": _cpu_s(lambda: _exhaust(map(faces._mesh.process, pictures))),
    }
    for name, one in calls.items():
        found[name] = _cpu_s(lambda one=one: _exhaust(one.network.run(None, asked) for asked in one.asked))
    return found


def _decode(jpeg: bytes) -> Rgb:
    return np.asarray(Image.open(io.BytesIO(jpeg)))


def _exhaust(results: Iterable[object]) -> None:
    """Keeps nothing: answers that pile up would be paid for in fresh memory."""
    deque(results, maxlen=0)


def _stages(pictures: Sequence[Picture], jpegs: Sequence[bytes], due: Sequence[bool]) -> dict[str, float]:
    """Milliseconds a frame, each stage by itself."""
    model, heads = MediapipeFaces(), default_heads()
    faces = model.find_faces(pictures)
    found = {
        "decode": _cpu_s(lambda: _exhaust(decode_picture(jpeg, MOST_PIXELS) for jpeg in jpegs)),
        "faces": _cpu_s(lambda: model.find_faces(pictures)),
    }
    for head in heads:
        chosen = [i for i in range(len(pictures)) if due[i] or not head.seldom]
        some, theirs = [pictures[i] for i in chosen], [faces[i] for i in chosen]
        head.measure(some[:1], theirs[:1])
        found[head.name] = _cpu_s(lambda head=head, some=some, theirs=theirs: head.measure(some, theirs))
        head.close()
    model.close()
    return {name: round(1000 * seconds / len(pictures), 3) for name, seconds in found.items()}


def _cpu_s(run: Callable[[], object]) -> float:
    begun = time.process_time()
    run()
    return time.process_time() - begun


# --- in a process of its own ---------------------------------------------------------------------------------


def measure_alone(folder: Path, frames: int, remembered: int = 200) -> dict[str, object]:
    """Speed and memory, each in a fresh process as a worker's is: after the rest of the bench both are worse."""
    command = [sys.executable, "-m", "tests.bench.eyes_speed", str(folder)]
    speed, memory = (
        subprocess.run([*command, str(count), what], check=True, capture_output=True, text=True).stdout.splitlines()[-1]
        for count, what in ((frames, "speed"), (remembered, "memory"))
    )
    return {**orjson.loads(speed), "worker_rss_mb": float(memory)}


def main() -> None:
    folder, count = Path(sys.argv[1]), int(sys.argv[2])
    if sys.argv[3] == "speed":
        print(orjson.dumps(measure_speed(folder, count)).decode())
        return
    step = VisionStep(MediapipeFaces(), MOST_PIXELS, default_heads())
    jpegs = read_jpegs(folder, count)
    deliveries = [_delivery(i, jpeg) for i, jpeg in enumerate(jpegs)]
    states = {"van": step.load(None)}
    for start in range(0, count, 100):
        folded = step.fold(states, step.prepare(deliveries[start : start + 100]), {})
        states |= folded.states
    print(round(psutil.Process().memory_info().rss / 1e6, 1))


def _delivery(i: int, jpeg: bytes) -> Delivery:
    time_us = 1_700_000_000_000_000 + i * 1_000_000 // FPS
    frame = Frame("van", "cam", "boot", i, None, Camera.DRIVER, time_us, 20.0, time_us, jpeg)
    return Delivery(Record(FRAMES, 0, i, "van", b"", time_us), frame)


if __name__ == "__main__":
    main()
