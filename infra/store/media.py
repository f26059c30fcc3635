"""Where stills and clips lie: files named by paths that are derived from their events, in a folder or, through
fsspec, in an object store."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, Protocol


class MediaPathError(ValueError):
    """The path would leave the media store, or names no file in it."""


class MissingMedia(LookupError):
    """No such file: never written, or past its retention."""


class MediaUnavailable(ConnectionError):
    """The object store does not answer, or turns us away. The message says which, and what to look at."""


class MediaStore(Protocol):
    """A folder, or an object store."""

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
        usable = _is_plain(path)
        target = (self.root / path).resolve() if usable else self.root
        if not usable or not target.is_relative_to(self.root.resolve()) or target.is_dir():
            raise MediaPathError(f"{path!r} is not a path inside the media store")
        return target


class ObjectMedia:
    """An object store, or whatever else fsspec reaches: ``s3://bucket/folder`` takes ``rumblestrip[s3]``.

    Who may read it is the store's own affair: keep the bucket closed. Every method raises MediaUnavailable where the
    store cannot be reached, has no such bucket or turns us away.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    def write(self, path: str, content: bytes) -> None:
        """A whole object at once: such stores show none that is half written."""
        with self._reached():
            self._files.pipe_file(self._inside(path), content)

    def read(self, path: str) -> bytes:
        with self._reached():
            try:
                return bytes(self._files.cat_file(self._inside(path)))
            except (FileNotFoundError, IsADirectoryError) as error:
                raise MissingMedia(path) from error

    def delete(self, path: str) -> None:
        with self._reached():
            try:
                self._files.rm_file(self._inside(path))
            except FileNotFoundError:
                return

    def delete_older(self, age_s: float) -> int:
        limit = time.time() - age_s
        with self._reached():
            found = self._files.find(self._root, detail=True)
            old = [name for name, about in found.items() if _written_at(about) < limit]
            for name in old:
                self._files.rm_file(name)
        return len(old)

    @contextmanager
    def _reached(self) -> Iterator[None]:
        """Every backend of fsspec has errors of its own."""
        try:
            yield
        except (MediaPathError, MissingMedia):
            raise
        except Exception as error:
            raise MediaUnavailable(
                f"{self._url}: {error or type(error).__name__}. Look at RUMBLESTRIP_MEDIA_URL, the bucket, and the "
                "credentials and address that its library goes by (AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL and the like)"
            ) from error

    @cached_property
    def _opened(self) -> tuple[Any, str]:
        from fsspec.core import url_to_fs

        files, root = url_to_fs(self._url, use_listings_cache=False)
        return files, str(root).rstrip("/")

    @property
    def _files(self) -> Any:
        return self._opened[0]

    @property
    def _root(self) -> str:
        return self._opened[1]

    def _inside(self, path: str) -> str:
        if not _is_plain(path) or self._files.isdir(f"{self._root}/{path}"):
            raise MediaPathError(f"{path!r} is not a path inside the media store")
        return f"{self._root}/{path}"


def _is_plain(path: str) -> bool:
    parts = PurePosixPath(path).parts
    return bool(parts) and "\0" not in path and "\\" not in path and not path.startswith("/") and ".." not in parts


def _written_at(about: dict[str, Any]) -> float:
    """Seconds since 1970: stores name it differently. What does not say is taken for new."""
    when = about.get("LastModified") or about.get("last_modified") or about.get("created") or about.get("mtime")
    if isinstance(when, datetime):
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    return float(when) if isinstance(when, int | float) else time.time()
