"""Logging: no secret is written, and every event carries the ids of its request."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import structlog

from converto_infra.settings import Settings
from converto_infra.telemetry import configure_logging, context

KEY = "cvt_ab12_" + "f" * 64
TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbm5hIn0.c2lnbmF0dXJl"
SECRETS = {
    "url": "https://s3/b/k?X-Amz-Credential=AKIA&X-Amz-Signature=deadbeef&x=1",
    "broker": "amqp://guest:hunter2@127.0.0.1/",
    "header": "Bearer deadbeefdeadbeef",
    "authorization": "hunter2",
    "nested": {"api_key": "hunter2", "list": [f"key {KEY}", f"token {TOKEN}"]},
}


@contextmanager
def as_a_service() -> Iterator[None]:
    """Logging configured as in a service, restored afterwards."""
    root = logging.getLogger()
    handlers, level, structure = root.handlers[:], root.level, structlog.get_config()
    configure_logging(Settings(log_format="json"), service="test")
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.configure(**structure)


def test_secrets_are_masked(capsys: pytest.CaptureFixture[str]) -> None:
    with as_a_service():
        structlog.get_logger().info("upload.presigned", **SECRETS)
        logging.getLogger("a.library").warning("connecting to %s", SECRETS["broker"])

    written = capsys.readouterr().err
    for secret in ("deadbeef", "hunter2", "AKIA", "f" * 64, *TOKEN.split(".")[1:]):
        assert secret not in written
    assert "x=1" in written


def test_event_inside_a_context_carries_its_ids(capsys: pytest.CaptureFixture[str]) -> None:
    with as_a_service():
        with context(request_id="r1", conversion_id=None):
            structlog.get_logger().info("conversion.completed", percent=100.0)
        structlog.get_logger().info("later")

    first, second = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert (first["event"], first["request_id"], first["service"]) == ("conversion.completed", "r1", "test")
    assert "conversion_id" not in first
    assert "request_id" not in second
