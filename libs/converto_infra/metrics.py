"""What a process counts, for Prometheus: calls to servers and their breakers, and what became of conversions.

Whoever counts imports the counter; whoever runs a process calls `serve_metrics`. It knows no service.
"""

from prometheus_client import Counter, Gauge, Histogram, start_http_server

from converto_infra.settings import Settings

BREAKER_STATE = Gauge("converto_breaker_state", "0 closed, 1 half-open, 2 open", ["dependency"])
BREAKER_CHANGES = Counter(
    "converto_breaker_changes_total", "Changes of a breaker, by its new state", ["dependency", "to"]
)
CALLS = Counter(
    "converto_dependency_calls_total", "Calls: answered, failed, or refused by the breaker", ["dependency", "outcome"]
)
CALL_SECONDS = Histogram(
    "converto_dependency_call_seconds",
    "How long calls took that were not refused",
    ["dependency"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
ENDED = Counter("converto_jobs_ended_total", "Jobs of this worker, by the status they left behind", ["status"])
REAPED = Counter(
    "converto_conversions_reaped_total", "Conversions taken from vanished workers, by what became of them", ["status"]
)
SHED = Counter("converto_requests_shed_total", "Requests refused because enough were being served, by kind", ["kind"])
SERVED_NOW = Gauge("converto_requests_active", "Requests being served at this moment, by kind", ["kind"])

STATE_NUMBERS = {"closed": 0, "half-open": 1, "open": 2}


def serve_metrics(settings: Settings) -> None:
    """Answer GET /metrics on a port of its own, in a thread, when CONVERTO_METRICS_PORT is set; raises `OSError`."""
    if settings.metrics_port is not None:
        start_http_server(settings.metrics_port, addr=settings.metrics_host)
