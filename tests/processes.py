"""Rooms in processes of their own, started by the command that operators use: to be killed, frozen and stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil
from pydantic import SecretStr
from sqlalchemy import Engine, text

from infra.bus.port import Bus
from infra.settings import PREFIX, Settings

ROOT = Path(__file__).parents[1]
COMMAND = (sys.executable, "-m", "infra.runtime.cli")
STOP_S = 30.0


def environment(settings: Settings) -> dict[str, str]:
    """What makes a process read these settings, and no others."""
    chosen = {name: getattr(settings, name) for name in settings.model_fields_set}
    plain = {name: v.get_secret_value() if isinstance(v, SecretStr) else v for name, v in chosen.items()}
    others = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    return others | {f"{PREFIX}{name.upper()}": str(value) for name, value in plain.items() if value is not None}


def call(settings: Settings, *arguments: str) -> str:
    """Run `rumblestrip ARGUMENTS` to its end; returns what it printed."""
    command = [*COMMAND, *arguments]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(settings), capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


class Process:
    """`rumblestrip ARGUMENTS` at work. What it prints is added to a file."""

    def __init__(self, settings: Settings, log: Path, *arguments: str) -> None:
        self.name = " ".join(arguments)
        self.log = log
        self._command = [*COMMAND, *arguments]
        self._environment = environment(settings)
        self._running = self._start()

    def restart(self, how: signal.Signals) -> None:
        """End it with a signal, and start another in its place as soon as it is gone."""
        self._running.send_signal(how)
        self._running.wait(STOP_S)
        self._running = self._start()

    def freeze(self) -> None:
        self._running.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._running.send_signal(signal.SIGCONT)

    def ports(self) -> list[int]:
        """Its own ends of its TCP connections."""
        return [connection.laddr.port for connection in psutil.Process(self._running.pid).net_connections("tcp")]

    def cpu_s(self) -> float:
        """What it has worked so far."""
        times = psutil.Process(self._running.pid).cpu_times()
        return float(times.user + times.system)

    def stop(self) -> int:
        """Ask it to end; returns its exit status."""
        self._running.send_signal(signal.SIGTERM)
        return self._running.wait(STOP_S)

    def wait(self, timeout_s: float) -> int:
        """Its exit status, once it has ended by itself."""
        return self._running.wait(timeout_s)

    def kill(self) -> None:
        self._running.kill()
        self._running.wait()

    def check(self) -> None:
        assert self._running.poll() is None, self.log.read_text()

    def _start(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(self._command, cwd=ROOT, env=self._environment, stdout=log, stderr=log)


def lag(bus: Bus, engine: Engine, groups: Mapping[str, Sequence[str]]) -> int:
    """Messages that groups (name to topics) have yet to commit, and scores that are yet to be computed."""
    with engine.connect() as connection:
        found = connection.execute(text("SELECT consumer_group, lane, offsets FROM lane_position"))
        at = {(group, lane): offsets for group, lane, offsets in found}
        due = connection.execute(text("SELECT count(*) FROM score_due")).scalar_one()
    behind = sum(
        end - at.get((group, lane), {}).get(topic, 0)
        for group, topics in groups.items()
        for topic in topics
        for lane, end in bus.end_offsets(topic).items()
    )
    return int(due) + behind


def wait_for_no_lag(
    bus: Bus, engine: Engine, groups: Mapping[str, Sequence[str]], processes: Sequence[Process], timeout_s: float
) -> None:
    """Until ``lag`` is 0; fails at once where one of the processes is not at work."""
    deadline = time.monotonic() + timeout_s
    while behind := lag(bus, engine, groups):
        for process in processes:
            process.check()
        assert time.monotonic() < deadline, f"{behind} behind after {timeout_s} s: {processes[0].log.read_text()}"
        time.sleep(0.2)
