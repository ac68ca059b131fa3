"""`python -m conversion_worker`: read the settings, run one worker, set the exit status."""

import asyncio
import sys

import structlog

from conversion_worker.app import run_worker
from converto_core.errors import ConvertoError
from converto_infra.metrics import serve_metrics
from converto_infra.settings import Settings, load_settings
from converto_infra.telemetry import configure_logging

EXIT_FAILED, EXIT_MISCONFIGURED = 1, 2

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


def main() -> int:
    """Run until asked to stop; return 0 after an orderly stop, 1 after a failure, 2 when a setting has to change."""
    if (settings := load_settings()) is None:
        return EXIT_MISCONFIGURED
    configure_logging(settings, service="conversion_worker")
    return _run(settings)


def _run(settings: Settings) -> int:
    try:
        serve_metrics(settings)
        asyncio.run(run_worker(settings))
    except ConvertoError as error:
        log.error("worker.cannot_run", code=error.stable_code, message=error.public_message, detail=error.detail)
        return EXIT_MISCONFIGURED
    except Exception:  # process entry: the last place that can log the error
        log.exception("worker.broken")
        return EXIT_FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main())
