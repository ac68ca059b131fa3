"""Transfers against a server that cuts, stalls or refuses (C7, C8): nothing is taken for complete that is not."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from botocore.stub import Stubber
from pydantic import SecretStr

from converto_core.errors import ObjectStoreUnavailable
from converto_infra.s3.bucket import Bucket
from converto_infra.s3.client import translated
from converto_infra.s3.store import S3ObjectStore
from converto_infra.settings import MIB, Settings

SIZE_BYTES = 5_000_000
Request = tuple[str, str]
Answer = Callable[[socket.socket, Request], bool]
"""Answers one request; returns whether the connection goes on."""


@contextmanager
def served(answer: Answer) -> Iterator[tuple[S3ObjectStore, list[Request]]]:
    """An object store whose server answers as told, and the requests (method, path) that arrived."""
    requests: list[Request] = []

    def serve(connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as stream:
            while line := stream.readline():
                headers: dict[str, str] = {}
                while header := stream.readline().strip():
                    name, _, value = header.decode().partition(":")
                    headers[name.lower()] = value.strip()
                method, path = line.decode().split()[:2]
                requests.append((method, path))
                if "expect" in headers:
                    connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                stream.read(int(headers.get("content-length", 0)))
                if not answer(connection, requests[-1]):
                    return

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        settings = Settings(
            s3_endpoint_url=f"http://127.0.0.1:{listener.getsockname()[1]}",
            s3_access_key_id="key",
            s3_secret_access_key="secret",
            s3_timeout_s=0.5,
            part_size_bytes=5 * MIB,
        )
        yield S3ObjectStore(settings), requests
        listener.shutdown(socket.SHUT_RDWR)


def head(size_bytes: int, status: str = "200 OK") -> bytes:
    return f'HTTP/1.1 {status}\r\nContent-Length: {size_bytes}\r\nETag: "x"\r\n\r\n'.encode()


def cut(connection: socket.socket, request: Request) -> bool:
    connection.sendall(head(SIZE_BYTES))
    if request[0] == "GET":
        connection.sendall(b"x" * 1_000_000)
        connection.shutdown(socket.SHUT_RDWR)
        return False
    return True


def stall(connection: socket.socket, request: Request) -> bool:
    connection.sendall(head(SIZE_BYTES))
    if request[0] == "GET":
        connection.sendall(b"x" * 1_000_000)
    return True


@pytest.mark.parametrize("answer", [cut, stall])
async def test_interrupted_download_is_unavailable_not_complete(answer: Answer, tmp_path: Path) -> None:
    with served(answer) as (objects, _):
        with pytest.raises(ObjectStoreUnavailable):
            await objects.download("key", tmp_path / "file")
        await objects.close()


async def test_failed_part_ends_the_upload_at_once(tmp_path: Path) -> None:
    source = tmp_path / "file"
    with source.open("wb") as stream:
        stream.truncate(4096 * MIB)  # sparse; reading it to the end takes half a minute

    def refuse_parts(connection: socket.socket, request: Request) -> bool:
        method, path = request
        if method == "POST":
            body = b"<InitiateMultipartUploadResult><UploadId>U</UploadId></InitiateMultipartUploadResult>"
            connection.sendall(head(len(body)) + body)
        else:
            connection.sendall(head(0, "500 Error" if "partNumber" in path else "200 OK"))
        return True

    with served(refuse_parts) as (objects, requests):
        async with asyncio.timeout(5):
            with pytest.raises(ObjectStoreUnavailable):
                await objects.upload(source, "key", content_type="text/plain", filename="file.txt")
        await objects.close()

    assert len([path for method, path in requests if method == "PUT"]) <= 2
    assert any(method == "DELETE" for method, _ in requests), "the multipart upload was not aborted"


async def test_upload_that_the_store_forgets_is_tried_again(tmp_path: Path) -> None:
    """A store restarted under a worker's upload is an outage: the worker begins a new upload."""
    source = tmp_path / "file"
    source.write_bytes(bytes(6 * MIB))

    def forget(connection: socket.socket, request: Request) -> bool:
        method, _ = request
        if method == "POST":
            body = b"<InitiateMultipartUploadResult><UploadId>U</UploadId></InitiateMultipartUploadResult>"
            connection.sendall(head(len(body)) + body)
        else:
            body = b"<Error><Code>NoSuchUpload</Code></Error>"
            connection.sendall(head(len(body), "404 Not Found") + body)
        return True

    with served(forget) as (objects, _):
        with pytest.raises(ObjectStoreUnavailable, match="not reachable"):
            await objects.upload(source, "key", content_type="text/plain", filename="file.txt")
        await objects.close()


async def test_file_of_one_part_is_uploaded_whole(tmp_path: Path) -> None:
    source = tmp_path / "file"
    source.write_bytes(bytes(5 * MIB))

    def store(connection: socket.socket, request: Request) -> bool:
        connection.sendall(head(5 * MIB if request[0] == "HEAD" else 0))
        return True

    with served(store) as (objects, requests):
        await objects.upload(source, "key", content_type="text/plain", filename="file.txt")
        await objects.close()

    assert [method for method, _ in requests if method in {"PUT", "POST"}] == ["PUT"]


async def test_refused_copy_is_unavailable() -> None:
    """A source that changes under a copy of several parts answers 412."""

    def changed(connection: socket.socket, request: Request) -> bool:
        method, _ = request
        if method == "POST":
            body = b"<InitiateMultipartUploadResult><UploadId>U</UploadId></InitiateMultipartUploadResult>"
            connection.sendall(head(len(body)) + body)
        elif method == "PUT":
            body = b"<Error><Code>PreconditionFailed</Code></Error>"
            connection.sendall(head(len(body), "412 Precondition Failed") + body)
        else:
            connection.sendall(head(100 * MIB if method == "HEAD" else 0))
        return True

    with served(changed) as (objects, _):
        with pytest.raises(ObjectStoreUnavailable):
            await objects.copy("source", "target", size_bytes=100 * MIB, content_type="text/plain", filename="file.txt")
        await objects.close()


@pytest.mark.parametrize(("status", "has_answered"), [(403, True), (500, False), (503, False)])
def test_only_a_refusal_says_that_the_server_is_alive(status: int, has_answered: bool) -> None:
    bucket = Bucket(Settings(s3_access_key_id="k", s3_secret_access_key=SecretStr("s")))
    with Stubber(bucket._s3) as server, pytest.raises(ObjectStoreUnavailable) as refused, translated():
        server.add_client_error("head_object", service_error_code=str(status), http_status_code=status)
        bucket.head("t/anna/in/1/1/source")

    assert refused.value.has_answered is has_answered
