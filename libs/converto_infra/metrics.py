"""The Prometheus metrics of all processes, and the server that exposes them."""

from prometheus_client import Counter, Gauge, Histogram, start_http_server

from converto_infra.settings import Settings

BREAKER_STATE = Gauge("converto_breaker_state", "0 closed, 1 half-open, 2 open", ["dependency"])
BREAKER_CHANGES = Counter(
    "converto_breaker_changes_total", "State changes of a circuit breaker, by new state", ["dependency", "to"]
)
CALLS = Counter(
    "converto_dependency_calls_total", "Calls: answered, failed, or refused by the breaker", ["dependency", "outcome"]
)
CALL_SECONDS = Histogram(
    "converto_dependency_call_seconds",
    "Duration of calls that the breaker admitted",
    ["dependency"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
CALLS_ABANDONED = Counter(
    "converto_calls_abandoned_total", "Calls that the driver did not end when they were cancelled", ["dependency"]
)
ABANDONED_NOW = Gauge("converto_calls_abandoned_active", "Abandoned calls that have not ended yet", ["dependency"])
CLIENTS_RENEWED = Counter(
    "converto_clients_renewed_total", "Clients of a server that were replaced because they were broken", ["dependency"]
)
UNREADABLE = Counter(
    "converto_records_unreadable_total", "Records that this version could not read, each counted once", ["kind"]
)
BROKER_FAULTS = Gauge("converto_broker_faults", "Exchanges and queues that are not as they should be")
ENDED = Counter("converto_jobs_ended_total", "Jobs of this worker, by final status", ["status"])
REAPED = Counter(
    "converto_conversions_reaped_total", "Conversions taken back from lost workers, by new status", ["status"]
)
UPLOAD_EVENTS = Counter(
    "converto_upload_events_total",
    "Messages about new objects: settled (deleted), postponed (a dependency was away), unreadable, or broken (a bug)",
    ["outcome"],
)
UPLOADS_REPORTED = Counter(
    "converto_uploads_reported_total",
    "Uploads looked at without their client, by who did it (event, sweep) and what was found",
    ["by", "found"],
)
SHED = Counter("converto_requests_shed_total", "Requests refused above the concurrency limit, by kind", ["kind"])
ISSUER_KEYS_AT = Gauge(
    "converto_issuer_keys_fetched_timestamp_seconds", "When the keys for access tokens were last fetched; 0: never"
)
SERVED_NOW = Gauge("converto_requests_active", "Requests in progress, by kind", ["kind"])

STATE_NUMBERS = {"closed": 0, "half-open": 1, "open": 2}


def serve_metrics(settings: Settings) -> None:
    """Serve GET /metrics in a thread if CONVERTO_METRICS_PORT is set; raises `OSError` when the port is taken."""
    if settings.metrics_port is not None:
        start_http_server(settings.metrics_port, addr=settings.metrics_host)
