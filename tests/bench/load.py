"""Sends prepared request bodies to a gateway as fast as it acknowledges them. Run as a process of its own.

Plain keep-alive HTTP/1.1 over blocking sockets, a thread per connection: the load must cost little.
"""

from __future__ import annotations

import argparse
import http.client
import json
import pickle
import threading
import time
from collections import Counter
from pathlib import Path

Plan = list[tuple[str, list[bytes]]]
"""Per device: its token and its bodies, to be sent in order."""


class Connection(threading.Thread):
    """Sends the devices dealt to it, one body of each in turn, as a fleet does."""

    def __init__(self, host: str, port: int, plan: Plan, headers: dict[str, str]) -> None:
        super().__init__(daemon=True)
        self.plan = plan
        self.headers = headers
        self.client = http.client.HTTPConnection(host, port, timeout=60)
        self.answers: Counter[int] = Counter()
        self.latencies_s: list[float] = []
        self.failure: str | None = None

    def run(self) -> None:
        try:
            for turn in range(max((len(bodies) for _, bodies in self.plan), default=0)):
                for token, bodies in self.plan:
                    if turn < len(bodies):
                        self._send(token, bodies[turn])
        except (OSError, http.client.HTTPException) as error:
            self.failure = repr(error)

    def _send(self, token: str, body: bytes) -> None:
        """One body, again after 503 and 429, as a device does."""
        while True:
            began = time.perf_counter()
            self.client.request("POST", "/v1/telemetry", body, self.headers | {"Authorization": f"Bearer {token}"})
            reply = self.client.getresponse()
            content = reply.read()
            self.answers[reply.status] += 1
            self.latencies_s.append(time.perf_counter() - began)
            if reply.status in (429, 503):
                time.sleep(float(reply.headers.get("Retry-After", "1")))
                continue
            if reply.status >= 300:
                self.failure = f"{reply.status} {content[:300]!r}"
            return


def send(host: str, port: int, plan: Plan, headers: dict[str, str], connections: int) -> dict[str, object]:
    """Sends all of the plan. The reply says how long it took, what was answered and how fast."""
    threads = [Connection(host, port, plan[n::connections], headers) for n in range(connections)]
    began = time.time()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    latencies = sorted(latency for thread in threads for latency in thread.latencies_s)
    return {
        "began": began,
        "seconds": time.time() - began,
        "answers": dict(sum((thread.answers for thread in threads), Counter())),
        "p50_ms": latencies[len(latencies) // 2] * 1e3,
        "p99_ms": latencies[int(len(latencies) * 0.99)] * 1e3,
        "failures": [thread.failure for thread in threads if thread.failure],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("plan", type=Path, help="pickled Plan")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--content-type", default="application/vnd.apache.arrow.stream")
    parser.add_argument("--content-encoding")
    options = parser.parse_args()
    headers = {"Content-Type": options.content_type}
    if options.content_encoding:
        headers["Content-Encoding"] = options.content_encoding
    plan: Plan = pickle.loads(options.plan.read_bytes())
    print(json.dumps(send(options.host, options.port, plan, headers, options.connections)))


if __name__ == "__main__":
    main()
