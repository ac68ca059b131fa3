"""The rotation function's image starts as on Lambda: its runtime client finds the handler and calls it."""

import json
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.images.conftest import text_of
from tests.e2e.images.container import Container, Place
from tests.e2e.images.image import Builder
from tests.e2e.images.network import Network

pytestmark = pytest.mark.timeout(600)  # see test_images.py

PORT = 9001  # Lambda's own
HEADERS = {
    "Content-Type": "application/json",
    "Lambda-Runtime-Aws-Request-Id": "1",
    "Lambda-Runtime-Deadline-Ms": "9999999999999",
    "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:eu-central-1:111122223333:function:rotation",
}
EVENT = {"Step": "createSecret", "SecretId": "arn:aws:secretsmanager:::secret:unknown", "ClientRequestToken": "t" * 32}


@contextmanager
def runtime_api() -> Iterator[tuple[int, "queue.Queue[tuple[str, Any]]"]]:
    """Lambda's runtime API, which has one event; the queue gets what the function answers."""
    answers: queue.Queue[tuple[str, Any]] = queue.Queue()
    events, is_over = iter([EVENT]), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if (event := next(events, None)) is None:
                is_over.wait()  # as Lambda does until there is another event
                return
            body = json.dumps(event).encode()
            self.send_response(200)
            for name, value in {**HEADERS, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(202)
            self.send_header("Content-Length", "0")
            self.end_headers()
            answers.put((self.path, json.loads(body or b"null")))

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port, answers
    finally:
        is_over.set()
        server.shutdown()
        server.server_close()


def test_runtime_client_calls_the_handler(images: Builder, tmp_path: Path) -> None:
    image = images.build(text_of("Dockerfile.rotation"), "final")
    environment = {
        "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{PORT}",
        "CONVERTO_ROTATION": json.dumps({"cluster": "converto-test", "secrets": {}}),
    }
    with runtime_api() as (port, answers), Network() as network:
        network.reach_out(PORT, "127.0.0.1", port)
        place = Place(network=network, folder=tmp_path)
        with Container("rotation", image, place, environment=environment) as container:
            path, answer = answers.get(timeout=60)
            assert path.endswith("/invocation/1/error"), container.log
            assert answer["errorType"] == "RotationFailed", answer
            pid = container.pid()
        assert not Path(f"/proc/{pid}").exists(), "the container outlived its block"
