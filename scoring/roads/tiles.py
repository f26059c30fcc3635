"""Builds and opens a folder of Valhalla's tiles, with a note of what they were made of. Valhalla is imported here."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from infra.clock import SystemClock, to_datetime
from scoring.core.roads import ATTRIBUTION

NOTE = "rumblestrip.json"
NEEDS = "roads need Valhalla: pip install 'rumblestrip[roads]'"
_FARTHEST_M = 2_000_000.0  # a piece of a trace; Valhalla allows 200 km
_BLOCK = 1 << 20


class RoadsError(RuntimeError):
    """Roads cannot be built or read; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class TilesNote:
    """What tiles were made of. ``tiles_id`` changes with the extract or with Valhalla."""

    tiles_id: str
    extracts: Sequence[str]
    valhalla: str
    built_at: str
    attribution: str = ATTRIBUTION


def valhalla() -> ModuleType:
    """The optional library.

    Raises:
        RoadsError: it is not installed.
    """
    try:
        return import_module("valhalla")
    except ImportError as error:
        raise RoadsError(NEEDS) from error


def configuration(tiles: Path, tell: bool = False) -> dict[str, Any]:
    """Valhalla's settings for a folder of tiles, which must exist."""
    valhalla()
    from valhalla.config import get_config

    settings: dict[str, Any] = json.loads(json.dumps(get_config(tile_extract="", tile_dir=str(tiles))))
    settings["mjolnir"]["logging"] = {"type": "std_out" if tell else "", "color": False}
    settings["service_limits"]["trace"]["max_distance"] = _FARTHEST_M
    settings["service_limits"]["auto"]["max_distance"] = _FARTHEST_M
    return settings


def read_note(tiles: Path) -> TilesNote:
    """What these tiles were made of.

    Raises:
        RoadsError: the folder holds no tiles of ours.
    """
    try:
        return TilesNote(**json.loads((tiles / NOTE).read_text()))
    except (OSError, ValueError, TypeError) as error:
        make = f"rumblestrip roads build EXTRACT.osm.pbf --tiles {tiles}"
        raise RoadsError(f"{tiles} holds no road tiles; make them with: {make}") from error


def build(extracts: Sequence[Path], tiles: Path, tell: Callable[[str], None]) -> TilesNote:
    """Build tiles of extracts beside their place, and put them there at once when they are whole.

    Args:
        tell: called with each line that Valhalla logs.

    Raises:
        RoadsError: an extract cannot be read, the place holds something else, or Valhalla fails.
    """
    module = valhalla()
    _check(extracts, tiles)
    version = str(module.__version__)
    digest = hashlib.sha256(version.encode())
    for extract in extracts:
        _digest(extract, digest)
    tiles.parent.mkdir(parents=True, exist_ok=True)
    with _scratch(tiles) as scratch:
        _run(Path(module.__file__ or "").parent, extracts, scratch, tell)
        names = [extract.name for extract in extracts]
        note = TilesNote(digest.hexdigest()[:16], names, version, to_datetime(SystemClock().now_us()).isoformat())
        (scratch / NOTE).write_text(json.dumps(asdict(note), indent=1))
        if tiles.exists():
            shutil.rmtree(tiles)
        os.replace(scratch, tiles)
    return note


def _check(extracts: Sequence[Path], tiles: Path) -> None:
    for extract in extracts:
        if not extract.is_file():
            raise RoadsError(f"{extract} is not there; extracts can be had from https://download.geofabrik.de")
        if not extract.name.endswith(".pbf"):
            raise RoadsError(f"{extract} is no .osm.pbf; convert it with: osmium cat {extract} -o {extract.stem}.pbf")
    if tiles.exists() and not tiles.is_dir():
        raise RoadsError(f"{tiles} is a file")
    if tiles.is_dir() and any(tiles.iterdir()) and not (tiles / NOTE).is_file():
        raise RoadsError(f"{tiles} holds something that is no road tiles; name an empty or a new folder")


def _digest(extract: Path, digest: Any) -> None:
    with extract.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)


@contextmanager
def _scratch(tiles: Path) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix=f".{tiles.name}-", dir=tiles.parent))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(package: Path, extracts: Sequence[Path], scratch: Path, tell: Callable[[str], None]) -> None:
    """By the program itself: the package's wrapper looks for it on PATH, where a virtual environment may not be."""
    program = package / "bin" / ("valhalla_build_tiles.exe" if os.name == "nt" else "valhalla_build_tiles")
    command = [
        str(program),
        "-i",
        json.dumps(configuration(scratch, tell=True)),
        *(str(one.resolve()) for one in extracts),
    ]
    out, err = subprocess.PIPE, subprocess.STDOUT
    with subprocess.Popen(command, cwd=scratch, stdout=out, stderr=err, text=True) as running:  # it leaves files there
        last = [""]
        for line in running.stdout or ():
            if line.strip():
                last = [*last[-4:], line.strip()]
                tell(line.strip())
    if running.returncode:
        raise RoadsError(f"Valhalla could not build tiles (exit code {running.returncode}): {' / '.join(last[-2:])}")
    if not any(scratch.rglob("*.gph")):
        raise RoadsError(f"no roads in {', '.join(one.name for one in extracts)}")
