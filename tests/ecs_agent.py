"""An HTTP server in place of the ECS container agent: takes and answers changes of the task protection."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TASK = "arn:aws:ecs:eu-central-1:111122223333:task/converto-test/0123"


class AgentDouble(ThreadingHTTPServer):
    """Records the requests and gives the answer that a test has set."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[tuple[str, str, dict[str, Any]]] = []
        self.status = 200
        self.answer: dict[str, Any] | bytes = {"protection": {"ProtectionEnabled": True, "TaskArn": TASK}}

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/api/0123"


class _Handler(BaseHTTPRequestHandler):
    server: AgentDouble

    def do_PUT(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append((self.command, self.path, body))
        chosen = self.server.answer
        answer = chosen if isinstance(chosen, bytes) else json.dumps(chosen).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def running_agent() -> Iterator[AgentDouble]:
    """Run the server until the block ends."""
    with AgentDouble() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
