"""A server on the loopback address that records requests, to prove that nothing is fetched."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Canary:
    """Records every connection to a port of this machine and answers with 404."""

    def __init__(self, port: int = 0) -> None:
        """Listen on this port of the loopback address, by default on any free one."""
        self._listener = socket.create_server(("127.0.0.1", port))
        self._listener.settimeout(0.2)
        self._is_over = threading.Event()
        self.requests: list[str] = []
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port that it listens on."""
        port: int = self._listener.getsockname()[1]
        return port

    @property
    def url(self) -> str:
        """The address of the server."""
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        """Stop listening."""
        self._is_over.set()
        self._thread.join()
        self._listener.close()

    def _listen(self) -> None:
        while not self._is_over.is_set():
            try:
                connection, _ = self._listener.accept()
            except TimeoutError:
                continue
            with connection:
                connection.settimeout(1)
                try:
                    self.requests.append(connection.recv(200).decode("latin-1").partition("\r\n")[0])
                    connection.sendall(b"HTTP/1.0 404 Not Found\r\nContent-Length: 0\r\n\r\n")
                except OSError:
                    self.requests.append("a connection without a request")


@contextmanager
def listening(port: int = 0) -> Iterator[Canary]:
    """Yield a canary and close it at the end."""
    canary = Canary(port)
    try:
        yield canary
    finally:
        canary.close()
