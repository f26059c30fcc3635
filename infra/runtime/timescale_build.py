"""TimescaleDB's community edition compiled against the wheel's PostgreSQL: no package registry has it ready-made."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from infra.store.pginstall import wheel_pginstall

VERSION = "2.29.2"
RELEASE = f"https://github.com/timescale/timescaledb/archive/refs/tags/{VERSION}.tar.gz"
TOOLS = ("cmake", "make", "cc")
LOG_TAIL_LINES = 25
OPTIONS = (  # the wheel's PostgreSQL has no OpenSSL; tests need PostgreSQL's own test tools
    "-DUSE_OPENSSL=0",
    "-DREGRESS_CHECKS=OFF",
    "-DTAP_CHECKS=OFF",
    "-DWARNINGS_AS_ERRORS=OFF",
    "-DCMAKE_BUILD_TYPE=Release",
)


class BuildFailed(RuntimeError):
    """TimescaleDB could not be built; the message says what to do, or ends with the compiler's words."""


def build_timescaledb(target: Path, source: Path | None, say: Callable[[str], None]) -> Path:
    """Compile, and put lib/ and share/ into ``target``, where they are found from now on.

    Args:
        source: an unpacked release; None downloads it.
        say: told about each step.

    Raises:
        BuildFailed: tools are missing, no network, or the compiler fails.
    """
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        raise BuildFailed(f"missing: {', '.join(missing)}. Debian: apt-get install cmake make gcc")
    with tempfile.TemporaryDirectory(prefix="timescaledb-") as folder:
        work = Path(folder)
        tree = _copy_of(source, work) if source else _download(work, say)
        stage = _compile(tree, work, say)
        _install(stage, tree, target)
    say(f"TimescaleDB is in {target}")
    return target


def _compile(tree: Path, work: Path, say: Callable[[str], None]) -> Path:
    """Returns the folder that `make install` filled: never the wheel itself."""
    stage, log = work / "stage", work / "build.log"
    pg_config = wheel_pginstall() / "bin" / "pg_config"
    steps: dict[str, list[str]] = {
        "configuring": ["./bootstrap", f"-DPG_CONFIG={pg_config}", *OPTIONS],
        "compiling": ["make", "-C", "build", f"-j{os.cpu_count() or 1}"],
        "installing": ["make", "-C", "build", "install", f"DESTDIR={stage}"],
    }
    for name, command in steps.items():
        say(f"{name}: {' '.join(command)}")
        began = time.monotonic()
        with log.open("a") as out:
            done = subprocess.run(
                command, cwd=tree, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, check=False
            )
        if done.returncode:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:])
            raise BuildFailed(f"{name} failed ({' '.join(command)}):\n{tail}")
        say(f"{name}: done in {time.monotonic() - began:.0f} s")
    return stage


def _install(stage: Path, tree: Path, target: Path) -> None:
    libraries = sorted(stage.rglob("timescaledb*.so"))
    extension = sorted([*stage.rglob("timescaledb.control"), *stage.rglob(f"timescaledb--{VERSION}.sql")])
    if not any("-tsl-" in library.name for library in libraries) or len(extension) < 2:
        raise BuildFailed(f"the build left no community edition of {VERSION} in {stage}: is the source that release?")
    shutil.rmtree(target, ignore_errors=True)
    for files, part in ((libraries, "lib"), (extension, "share/extension"), (tree.glob("LICENSE*"), ".")):
        (target / part).mkdir(parents=True, exist_ok=True)
        for file in files:
            shutil.copyfile(file, target / part / file.name)


def _copy_of(source: Path, work: Path) -> Path:
    """The build writes into its source."""
    if not (source / "bootstrap").exists():
        raise BuildFailed(f"{source} is not an unpacked TimescaleDB release: it has no file named bootstrap")
    return Path(shutil.copytree(source, work / "source", symlinks=True))


def _download(work: Path, say: Callable[[str], None]) -> Path:
    archive = work / "release.tar.gz"
    say(f"downloading {RELEASE}")
    try:
        with httpx.stream("GET", RELEASE, follow_redirects=True, timeout=60) as answer, archive.open("wb") as file:
            answer.raise_for_status()
            for chunk in answer.iter_bytes():
                file.write(chunk)
    except httpx.HTTPError as error:
        raise BuildFailed(f"{RELEASE}: {error}. Fetch it elsewhere, unpack it, and pass --source FOLDER") from error
    with tarfile.open(archive) as release:
        release.extractall(work, filter="data")
    return work / f"timescaledb-{VERSION}"
