"""The whole cab pipeline on one core beside the bare models, and the worker's memory in a process of its own."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from infra.bus.port import Record
from infra.contracts.frames import Camera, Frame
from infra.contracts.topics import FRAMES
from infra.runtime.step import Delivery
from vision.bodies import Bodies
from vision.eye_crops import normalise
from vision.eye_state import EyeStates
from vision.frames import Picture, decode_picture
from vision.heads import default_heads
from vision.looking import CHUNK, Eyes
from vision.models import MediapipeFaces
from vision.service import VisionStep

FPS = 10
SELDOM = 5
"""Seldom heads look at the first frame of each half second: at 10 frames a second at one in five."""

SIZE = (640, 480)
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
    heads = default_heads()
    eyes = Eyes(MediapipeFaces(), heads)
    due = [i % SELDOM == 0 for i in range(len(jpegs))]
    chunks = [slice(i, i + CHUNK) for i in range(0, len(jpegs), CHUNK)]

    def run() -> None:
        for chunk in chunks:
            pictures = [decode_picture(jpeg, MOST_PIXELS) for jpeg in jpegs[chunk]]
            eyes.look(pictures, due=due[chunk])

    run()  # loads everything
    pictures = [decode_picture(jpeg, MOST_PIXELS) for jpeg in jpegs]
    whole_s, bare = [], []
    for _ in range(3):  # in turns, so that what else the machine does meets both
        whole_s.append(_cpu_s(run))
        bare.append(_bare(jpegs, pictures, due))
    eyes.close()
    best = min(whole_s)
    models = {name: min(one[name] for one in bare) for name in bare[0]}
    a_frame = {name: round(1000 * seconds / len(jpegs), 3) for name, seconds in models.items()}
    return {
        "frames": len(jpegs),
        "torso_looks_a_second": FPS / SELDOM,
        "torso_in_default_heads": any(head.name == "torso" for head in heads),
        "frames_per_s_core": round(len(jpegs) / best, 1),
        "ms_a_frame": round(1000 * best / len(jpegs), 3),
        "bare_ms_a_frame": a_frame,
        "ratio_to_bare_models": round(best / sum(models.values()), 3),
        "stages_ms_a_frame": _stages(pictures, jpegs, due),
    }


def _bare(jpegs: Sequence[bytes], pictures: Sequence[Picture], due: Sequence[bool]) -> dict[str, float]:
    """Seconds that the decoder and the networks take by themselves, on the same frames."""
    import onnxruntime  # noqa: F401  # its import is no part of what is timed
    from mediapipe.python.solutions.face_mesh import FaceMesh

    mesh = FaceMesh(static_image_mode=True, refine_landmarks=True, max_num_faces=2)
    states, bodies = EyeStates(), Bodies()
    crops = normalise(np.zeros((2, 32, 32), np.uint8))
    mesh.process(pictures[0].rgb)
    states._session.run(None, {"crops": crops})
    found = {
        "decode": _cpu_s(lambda: [decode_picture(jpeg, MOST_PIXELS) for jpeg in jpegs]),
        "face mesh": _cpu_s(lambda: [mesh.process(picture.rgb) for picture in pictures]),
        "eye state": _cpu_s(lambda: [states._session.run(None, {"crops": crops}) for _ in pictures]),
    }
    seldom = [picture for picture, is_due in zip(pictures, due, strict=True) if is_due]
    if any(head.name == "torso" for head in default_heads()):
        from vision.torso import Torsos

        torsos = Torsos()
        body, crop = np.zeros((1, 3, 256, 320), np.float32), np.zeros((2, 3, 224, 224), np.float32)  # and mirrored
        bodies._network.run(None, {"images": body})
        torsos._network.run(None, {"crops": crop})
        found["body pose"] = _cpu_s(lambda: [bodies._network.run(None, {"images": body}) for _ in seldom])
        found["torso"] = _cpu_s(lambda: [torsos._network.run(None, {"crops": crop}) for _ in seldom])
        torsos.close()
    mesh.close()
    return found


def _stages(pictures: Sequence[Picture], jpegs: Sequence[bytes], due: Sequence[bool]) -> dict[str, float]:
    """Milliseconds a frame, each stage by itself."""
    model, heads = MediapipeFaces(), default_heads()
    faces = model.find_faces(pictures)
    found = {
        "decode": _cpu_s(lambda: [decode_picture(jpeg, MOST_PIXELS) for jpeg in jpegs]),
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


# --- memory -------------------------------------------------------------------------------------------------


def measure_memory(folder: Path, count: int = 200) -> float:
    """Megabytes of a fresh process whose VisionStep has looked at so many frames."""
    command = [sys.executable, "-m", "tests.bench.eyes_speed", str(folder), str(count)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(answer.stdout.split()[-1])


def main() -> None:
    folder, count = Path(sys.argv[1]), int(sys.argv[2])
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
