"""The heads that look at every picture beside the face mesh: one list, for the worker, ``watch`` and the archive."""

from __future__ import annotations

from vision.eye_state import EyeStates
from vision.head_pose import HeadPoses
from vision.models import Head
from vision.mouth import Mouths
from vision.picture_quality import PictureQuality
from vision.torso import Torsos
from vision.torso_crops import GLANCE, Views


def default_heads(views: Views = GLANCE) -> tuple[Head, ...]:
    """New heads; each loads its network at its first picture, and is closed by whoever asked for it.

    Args:
        views: how torsos are looked at.
    """
    return (EyeStates(), HeadPoses(), Mouths(), PictureQuality(), Torsos(views))
