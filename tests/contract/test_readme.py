"""Every command in the README is run, in the README's order, in a clone's place and with a data folder of its own."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.roads import need_extract

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
MADE = ("build/my-drive", "build/fleet")  # by the README's commands, which do not write over what is there
THIS_RUN = "make test"  # is what runs this
EXTRACT_NAME = "andorra-latest.osm.pbf"  # is not in a clone: the tests' own is taken for it


def lines(block: str) -> list[str]:
    return [line for line in block.splitlines() if line.strip() and not line.startswith("#")]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> dict[str, str]:
    """The caller's variables without its settings, the commands of this environment first on the path."""
    from tests.conftest import SERVERS

    for made in MADE:
        shutil.rmtree(ROOT / made, ignore_errors=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RUMBLESTRIP_")}
    if built := os.environ.get("RUMBLESTRIP_TIMESCALEDB"):
        kept["RUMBLESTRIP_TIMESCALEDB"] = built
    folder = request.config.stash[SERVERS].new_folder()
    return kept | {
        "PATH": f"{Path(sys.executable).parent}:{kept['PATH']}",
        "RUMBLESTRIP_DATA_DIR": str(folder),
        "RUMBLESTRIP_GATEWAY_PORT": str(free_port()),
        "RUMBLESTRIP_DASHBOARD_PORT": str(free_port()),
    }


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: shlex.quote(lines(block)[0])[:60])
def test_commands_of_the_readme_work(block: str, environment: dict[str, str]) -> None:
    commands = [line for line in lines(block) if line != THIS_RUN]
    script = "\n".join(["set -euo pipefail", *commands])
    if EXTRACT_NAME in script:
        script = script.replace(EXTRACT_NAME, shlex.quote(str(need_extract())))
    done = subprocess.run(
        ["bash", "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, f"{script}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"


def test_this_run_is_what_make_test_runs() -> None:
    dry = subprocess.run(["make", "-n", "test"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "-m pytest" in dry


def test_files_that_the_readme_links_to_exist() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
