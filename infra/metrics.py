"""Every metric name once, with its meaning. Counters of a process; exact counts are in the table stream_count."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

_LATENCY_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

GATEWAY_REQUESTS = Counter("rumblestrip_gateway_requests_total", "Requests answered.", ["route", "status"])
GATEWAY_SECONDS = Histogram("rumblestrip_gateway_request_seconds", "Time to answer.", ["route"], buckets=_LATENCY_S)
GATEWAY_SAMPLES = Counter("rumblestrip_gateway_samples_total", "Samples taken.", ["stream"])
GATEWAY_REJECTED = Counter("rumblestrip_gateway_rejected_samples_total", "Samples refused.", ["stream", "reason"])
GATEWAY_BYTES = Counter("rumblestrip_gateway_body_bytes_total", "Bytes of request bodies read.", ["route"])

WORKER_MESSAGES = Counter("rumblestrip_worker_messages_total", "Messages folded.", ["group"])
WORKER_COMMITS = Counter("rumblestrip_worker_commits_total", "Transactions committed.", ["group"])
WORKER_FENCED = Counter("rumblestrip_worker_fenced_total", "Transactions given up: lane owned by another.", ["group"])
WORKER_DEAD_LETTERS = Counter("rumblestrip_worker_dead_letters_total", "Dead letters written.", ["group", "reason"])
WORKER_DUPLICATES = Counter("rumblestrip_worker_duplicates_total", "Messages dropped as repeated.", ["group"])
WORKER_LATE = Counter("rumblestrip_worker_late_total", "Messages behind the late window.", ["group"])
WORKER_SKIPPED = Counter("rumblestrip_worker_skipped_frames_total", "Frames too old to be looked at.", ["group"])
WORKER_LANES = Gauge("rumblestrip_worker_lanes", "Lanes owned now.", ["group"])
WORKER_LAG = Gauge("rumblestrip_worker_lag_messages", "Messages not yet folded, over all owned lanes.", ["group"])
WORKER_PHASE_SECONDS = Counter(
    "rumblestrip_worker_phase_seconds_total", "Where a worker's time goes.", ["group", "phase"]
)
