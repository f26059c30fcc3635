"""Keeps what mediapipe's C++ parts say at every start away from the operator, and nothing else."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

_CHATTER = (
    b"All log messages before absl::InitializeLog()",
    b"Created TensorFlow Lite XNNPACK delegate",
    b"inference_feedback_manager.cc",
    b"landmark_projection_calculator.cc",
)


@contextmanager
def without_chatter(loading: bool = True) -> Iterator[None]:
    """Holds back what is written to file descriptor 2 meanwhile, and then writes all but known chatter.

    Args:
        loading: whether a model is loaded meanwhile; if not, nothing is held back.

    The C++ parts write there past Python, and the environment variables that once quietened them are no longer
    read by the version in use. Other threads' words are late by the second or two that loading takes.
    """
    if not loading:
        yield
        return
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            held.seek(0)
            kept = b"".join(line for line in held if not any(word in line for word in _CHATTER))
            if kept:
                os.write(2, kept)
