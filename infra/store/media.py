"""Where stills and clips lie: files named by paths that are derived from their events."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path, PurePosixPath
from typing import Protocol


class MediaPathError(ValueError):
    """The path would leave the media store, or names no file in it."""


class MissingMedia(LookupError):
    """No such file: never written, or past its retention."""


class MediaStore(Protocol):
    """A folder here; an object store could stand behind the same four calls."""

    def write(self, path: str, content: bytes) -> None:
        """Keep the content under a relative path (``a/b.jpg``), whole or not at all. Writing it again is harmless."""

    def read(self, path: str) -> bytes:
        """Raises MissingMedia."""

    def delete(self, path: str) -> None:
        """Harmless where there is none."""

    def delete_older(self, age_s: float) -> int:
        """Delete what was written longer ago than this; returns how many."""


class LocalMedia:
    """A folder of files that only this user may read."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, path: str, content: bytes) -> None:
        target = self._inside(path)
        if target.exists() and target.stat().st_size == len(content):
            return  # the path says what the content is: a worker that folds a batch again comes through here
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".draft-", delete=False) as draft:  # mode 0600
            draft.write(content)
            draft.flush()
            os.fsync(draft.fileno())  # the row that names this file is committed after it, and must not outlive it
        Path(draft.name).replace(target)

    def read(self, path: str) -> bytes:
        try:
            return self._inside(path).read_bytes()
        except FileNotFoundError as error:
            raise MissingMedia(path) from error

    def delete(self, path: str) -> None:
        self._inside(path).unlink(missing_ok=True)

    def delete_older(self, age_s: float) -> int:
        limit = time.time() - age_s
        old = [p for p in self.root.rglob("*") if p.is_file() and p.stat().st_mtime < limit]
        for path in old:
            path.unlink(missing_ok=True)
        return len(old)

    def _inside(self, path: str) -> Path:
        """The file of a path; symbolic links are followed before it is judged."""
        parts = PurePosixPath(path).parts
        usable = parts and "\0" not in path and "\\" not in path and not path.startswith("/") and ".." not in parts
        target = (self.root / path).resolve() if usable else self.root
        if not usable or not target.is_relative_to(self.root.resolve()) or target.is_dir():
            raise MediaPathError(f"{path!r} is not a path inside the media store")
        return target
