"""Logging: one JSON object (or coloured line) per event on stderr, with request ids and without secrets."""

import logging
import re
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from converto_infra.settings import Settings

HIDDEN = "***"
SECRET_NAMES = re.compile(r"authorization|password|secret|api[-_]?key|cookie|signature", re.IGNORECASE)
SECRET_TEXTS = (
    (re.compile(r"(X-Amz-(?:Signature|Credential|Security-Token)=)[^&\s\"']+", re.IGNORECASE), rf"\1{HIDDEN}"),
    (re.compile(r"((?:Bearer|Basic)\s+)[\w.~+/=-]+", re.IGNORECASE), rf"\1{HIDDEN}"),
    (re.compile(r"\b(eyJ[\w-]+\.)[\w-]+\.[\w-]*"), rf"\1{HIDDEN}"),  # a JSON Web Token; its header is no secret
    (re.compile(r"\b(cvt_[0-9A-Za-z]+_)[0-9A-Za-z]+"), rf"\1{HIDDEN}"),
    (re.compile(r"(://[^:/@\s]+:)[^@\s]+(?=@)"), rf"\1{HIDDEN}"),
)
# These log a traceback for each reconnection; our own breaker and bus events report it in one line.
NOISY_LOGGERS = {
    "aio_pika": logging.CRITICAL,
    "aiormq": logging.CRITICAL,
    "pymongo": logging.ERROR,
    "botocore": logging.ERROR,
    "boto3": logging.ERROR,
    "urllib3": logging.ERROR,
}


def configure_logging(settings: Settings, *, service: str) -> None:
    """Set up structlog and the standard library's logging; each process calls this once, when it starts."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        lambda _logger, _name, event: {"service": service, **event},
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=_rendering(settings.log_format))
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level.upper())
    for name, level in NOISY_LOGGERS.items():
        logging.getLogger(name).setLevel(level)


def context(**ids: str | None) -> AbstractContextManager[None]:
    """Add ids (`request_id`, `conversion_id`) to every event logged inside this block, child tasks included."""
    present = {name: value for name, value in ids.items() if value is not None}
    return structlog.contextvars.bound_contextvars(**present)


def redact(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    """Mask keys, signatures and passwords anywhere in an event."""
    return {name: _redacted(name, value) for name, value in event.items()}


def _rendering(log_format: str) -> list[Processor]:
    remove = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    if log_format == "console":
        return [remove, structlog.processors.format_exc_info, redact, structlog.dev.ConsoleRenderer()]
    return [remove, structlog.processors.format_exc_info, redact, structlog.processors.JSONRenderer()]


def _redacted(name: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _redacted(str(key), entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_redacted(name, entry) for entry in value]
    if SECRET_NAMES.search(name) and value is not None:
        return HIDDEN
    return _without_secrets(value) if isinstance(value, str) else value


def _without_secrets(text: str) -> str:
    for pattern, replacement in SECRET_TEXTS:
        text = pattern.sub(replacement, text)
    return text
