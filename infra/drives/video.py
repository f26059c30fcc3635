"""Stills out of a video file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from infra.drives.manifest import DriveError

JPEG_QUALITY = 85  # OpenCV's default of 95 doubles the bytes


def read_video_frames(path: Path, numbers: Sequence[int]) -> Iterator[bytes]:
    """The frames with these ascending numbers as JPEGs, decoding the file once.

    Raises:
        DriveError: no such file, not a video that this machine decodes, or too few frames in it.
    """
    import cv2

    if not path.exists():
        raise DriveError(f"{path}: not found")
    capture = cv2.VideoCapture(str(path))
    try:
        if not capture.isOpened():
            raise DriveError(f"{path}: cannot be decoded; convert it to mp4 (H.264) or avi (MJPEG)")
        capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)  # turned as the file says
        at = -1
        for number in numbers:
            while at < number:
                if not capture.grab():
                    raise DriveError(f"{path}: ends at frame {at}, before frame {number}")
                at += 1
            _, picture = capture.retrieve()
            yield cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()
    finally:
        capture.release()


def measure_video(path: Path) -> tuple[int, float]:
    """Number of frames and frames a second. Raises DriveError."""
    import cv2

    capture = cv2.VideoCapture(str(path))
    try:
        frames, rate_hz = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), float(capture.get(cv2.CAP_PROP_FPS))
        if not capture.isOpened() or frames < 1 or rate_hz <= 0:
            raise DriveError(f"{path}: not found, or not a video that can be decoded; try mp4 (H.264) or avi (MJPEG)")
        return frames, rate_hz
    finally:
        capture.release()
