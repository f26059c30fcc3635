"""Recorded drives: a folder that holds what one vehicle sent between switching on and off.

::

    my-drive/
      manifest.toml     who, with what, when, under which licence
      gps.parquet       columns of GpsSamples
      imu.parquet       columns of ImuSamples (may be absent)
      frames.parquet    time_us, sequence, camera, file, video_frame (may be absent)
      frames/000000.jpg …   or a video file that ``file`` names and ``video_frame`` counts in

Values are SI and times are microseconds since 1970 UTC. Files are read when asked for, not before.
"""

from infra.drives.folder import Drive, DriveFrame, find_drives, open_drive, write_drive
from infra.drives.manifest import DriveError, Manifest

__all__ = ["Drive", "DriveError", "DriveFrame", "Manifest", "find_drives", "open_drive", "write_drive"]
