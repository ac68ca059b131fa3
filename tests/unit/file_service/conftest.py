"""The file service with memory adapters: HTTP clients in the same event loop, and stand-ins for workers."""

import asyncio
import functools
import hashlib
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from io import BytesIO
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
import structlog
from litestar import Litestar

from converto_core.access import ApiKey, hash_secret, new_key_text, split_key_text
from converto_core.catalogue import Offer, Slot, Worker
from converto_core.conversion.change import Change
from converto_core.conversion.processing import claim, complete
from converto_core.conversion.record import Conversion, Output
from converto_core.formats import Family
from converto_core.ids import now_ms
from converto_core.object_keys import output_key
from converto_core.ports.issuer import Issuer
from converto_core.ports.objects import PresignedRequest
from converto_infra.memory.stores import MemoryEventBus, MemoryObjectStore, MemoryStores, MemoryUploadEvents
from converto_infra.settings import Settings
from file_service.app import FileService, build_routes
from file_service.dead_letters.collector import DeadLetterCollector

PNG = b"\x89PNG\r\n\x1a\n" + b"\x00\x00\x00\rIHDR\x00\x00\x00\x02\x00\x00\x00\x02\x08\x02\x00\x00\x00" + b"\x00" * 40
PDF = b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog >>\nendobj\ntrailer\n<< /Root 1 0 R >>\n%%EOF\n"
EXE = b"MZ\x90\x00" + b"\x00" * 56 + b"\x80\x00\x00\x00" + b"\x00" * 64 + b"PE\x00\x00" + b"\x00" * 200


def pptx() -> bytes:
    """The smallest file detected as a PowerPoint presentation."""
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        main = "application/vnd.openxmlformats-officedocument.presentationml.presentation.main+xml"
        archive.writestr(
            "[Content_Types].xml", f'<Types><Override PartName="/ppt/presentation.xml" ContentType="{main}"/></Types>'
        )
        archive.writestr("ppt/presentation.xml", "<p:presentation/>")
    return buffer.getvalue()


def offers() -> tuple[Offer, ...]:
    """The offers of an ordinary worker."""
    quality = {"type": "integer", "minimum": 1, "maximum": 100}
    return (
        Offer(
            converter="libreoffice",
            engine="LibreOffice",
            engine_version="7.4",
            family=Family.OFFICE,
            sources=("pptx", "docx", "doc", "txt"),
            targets=("pdf",),
            options_schema={"type": "object", "properties": {"pages": {"type": "string"}}},
            password_sources=("docx", "doc"),
        ),
        Offer(
            converter="pdf-pages",
            engine="pdfium",
            engine_version="6",
            family=Family.PDF,
            sources=("pdf",),
            targets=("png", "webp"),
            options_schema={"type": "object", "properties": {"dpi": {"type": "integer", "minimum": 36}}},
            is_paged=True,
            password_sources=("pdf",),
        ),
        Offer(
            converter="pdf-document",
            engine="qpdf",
            engine_version="12",
            family=Family.PDF,
            sources=("pdf",),
            targets=("pdf",),
            options_schema={"type": "object", "properties": {"pages": {"type": "string"}}},
            is_paged=True,
            joins=True,
        ),
        Offer(
            converter="vips",
            engine="libvips",
            engine_version="8.14",
            family=Family.IMAGE,
            sources=("png", "jpg"),
            targets=("webp", "jpg"),
            options_schema={"type": "object", "properties": {"quality": quality}},
        ),
    )


@functools.cache
def _defaults() -> Settings:
    return Settings()  # reading the environment takes longer than most tests do


@functools.cache
def _routes(max_form_bytes: int) -> Litestar:
    return build_routes(_defaults().model_copy(update={"max_form_bytes": max_form_bytes}))


class System:
    """The service with its memory adapters, and clients of two owners and an administrator."""

    def __init__(
        self, settings: Settings, issuer: Issuer | None = None, *, upload_events: MemoryUploadEvents | None = None
    ) -> None:
        self.settings = settings
        self.stores, self.objects, self.bus = MemoryStores(), MemoryObjectStore(), MemoryEventBus()
        self.service = FileService(
            settings,
            self.stores,
            self.objects,
            self.bus,
            upload_events=upload_events,
            issuer=issuer,
            routes=_routes(settings.max_form_bytes),
        )
        self.key, self.other_key, self.admin_key = new_key_text(), new_key_text(), new_key_text()
        self.api = self.client(self.key)
        self.stranger = self.client(self.other_key)
        self.admin = self.client(self.admin_key)

    def client(self, key: str | None, **headers: str) -> httpx2.AsyncClient:
        """Return a client with this key."""
        sent = {**({"Authorization": f"Bearer {key}"} if key else {}), **headers}
        transport = httpx2.ASGITransport(app=self.service.asgi, raise_app_exceptions=False)
        return httpx2.AsyncClient(transport=transport, base_url="http://converto.test", headers=sent)

    async def put_keys(self) -> None:
        """Store all keys."""
        for key, owner in ((self.key, "anna"), (self.other_key, "berta"), (self.admin_key, "root")):
            key_id, secret = split_key_text(key) or ("", "")
            is_admin = key == self.admin_key
            await self.stores.access.put_key(
                ApiKey(
                    id=key_id,
                    owner=owner,
                    secret_sha256=hash_secret(secret),
                    created_at=now_ms(),
                    is_admin=is_admin,
                )
            )

    def collector(self) -> DeadLetterCollector:
        """Return the sweep that stores dead letters."""
        return DeadLetterCollector(
            self.stores.dead_letters, self.stores.conversions, self.bus, retention_s=3600, now_ms=now_ms
        )

    async def put_worker(self, *slots: Slot) -> None:
        """Store a running worker."""
        worker = Worker(
            id="w1", host="h", pid=1, started_at=now_ms(), seen_at=now_ms(), slots=2, sandbox="bubblewrap",
            offers=offers(), running=slots,
        )  # fmt: skip
        await self.stores.workers.put(worker)

    async def send(self, upload: dict[str, Any], body: bytes) -> int:
        """Send the presigned PUT and return the status."""
        fields = {name: upload[name] for name in ("method", "url", "headers", "expires_at")}
        return (await self.objects.send(PresignedRequest(**fields), body)).status

    async def fetch(self, url: str) -> bytes:
        """Download by a presigned GET."""
        answer = await self.objects.send(PresignedRequest(method="GET", url=url, headers={}, expires_at=0))
        assert answer.status == 200
        return answer.body

    async def announced(self, body: bytes, filename: str, target: str, **fields: Any) -> dict[str, Any]:
        """Create a conversion that waits for this file; returns the response body."""
        wanted = {"target_format": target, "file": {"filename": filename, "size_bytes": len(body)}, **fields}
        answer = await self.api.post("/api/v1/conversions", json=wanted)
        assert answer.status_code == 201, answer.text
        created: dict[str, Any] = answer.json()
        return created

    async def pending(self, body: bytes = PNG, filename: str = "a.png", target: str = "webp", **fields: Any) -> str:
        """Create a conversion, upload and confirm its file; returns its id."""
        created = await self.announced(body, filename, target, **fields)
        assert await self.send(created["upload"], body) == 200
        answer = await self.api.post(f"/api/v1/files/{created['file']['id']}/uploaded")
        assert answer.status_code == 200, answer.text
        conversion_id: str = created["conversion"]["id"]
        return conversion_id

    async def record(self, conversion_id: str) -> Conversion:
        """Return the stored record."""
        record = await self.stores.conversions.get(conversion_id)
        assert record is not None
        return record

    async def apply(self, change: Change) -> Conversion:
        """Apply a change as a worker would."""
        after = await self.stores.conversions.apply(change)
        assert after is not None
        return after

    async def claimed(self, conversion_id: str) -> Conversion:
        """Claim the conversion as a worker."""
        record = await self.record(conversion_id)
        return await self.apply(claim(conversion_id, token=record.token, worker="w1", now_ms=now_ms()))

    async def completed(self, conversion_id: str, *bodies: bytes) -> Conversion:
        """Claim and complete the conversion with these outputs."""
        running = await self.claimed(conversion_id)
        outputs = []
        for number, body in enumerate(bodies or (b"result",), 1):
            key = output_key(running, f"{number}.bin")
            await self.objects.put(key, body, content_type="image/webp")
            outputs.append(
                Output(
                    key=key, filename=f"a-{number}.webp", content_type="image/webp", size_bytes=len(body),
                    sha256=hashlib.sha256(body).hexdigest(), sha512="0" * 128, page=number if len(bodies) > 1 else None,
                )
            )  # fmt: skip
        return await self.apply(
            complete(running, outputs=tuple(outputs), engine_versions={"vips": "8.14"}, now_ms=now_ms())
        )

    async def until(self, holds: Callable[[], Awaitable[bool]], within_s: float = 5.0) -> None:
        """Wait for something that happens in the background."""
        async with asyncio.timeout(within_s):
            while not await holds():  # noqa: ASYNC110 - the twins answer at once: others need a turn, not time
                await asyncio.sleep(0)


@asynccontextmanager
async def running_system(
    *, issuer: Issuer | None = None, upload_events: MemoryUploadEvents | None = None, **changed: Any
) -> AsyncIterator[System]:
    """A system with its background tasks, under changed settings."""
    quick = {"sse_poll_s": 0.02, "sse_ping_s": 5.0, "sweep_interval_s": 3600.0}
    system = System(_defaults().model_copy(update={**quick, **changed}), issuer, upload_events=upload_events)
    await system.put_keys()
    await system.put_worker()
    async with system.service.running(), system.api, system.stranger, system.admin:
        yield system


@pytest.fixture
async def system() -> AsyncIterator[System]:
    """The service with default settings, but faster streams and no sweeps."""
    async with running_system() as one:
        yield one


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Capture log lines: rendering them would cost more than serving the requests."""
    with structlog.testing.capture_logs():
        yield


def problem(answer: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    """Check what all problems have in common and return the body."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["code"] == code
    assert body["type"] == f"urn:converto:problem:{code}"
    assert body["status"] == status
    assert body["title"] and body["detail"]
    assert body["instance"] == urlsplit(str(answer.request.url)).path
    assert body["request_id"] == answer.headers["x-request-id"]
    return body


class Events:
    """Reads a live stream event by event through plain ASGI; an HTTP test transport would wait for its end."""

    def __init__(self, system: System, path: str, **headers: str) -> None:
        self._world, self._path = system, path
        self._headers = {"authorization": f"Bearer {system.key}", **headers}
        self._chunks: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._gone = asyncio.Event()
        self._started: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._text = ""

    async def __aenter__(self) -> "Events":
        self._task = asyncio.create_task(self._serve())
        self.start = await asyncio.wait_for(asyncio.shield(self._started), 5)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._gone.set()
        await asyncio.wait_for(self._task, 5)

    @property
    def status(self) -> int:
        """Return the HTTP status."""
        status: int = self.start["status"]
        return status

    async def next(self) -> str | None:
        """Return the text of the next event or comment; None at the end."""
        async with asyncio.timeout(5):
            while "\n\n" not in self._text:
                chunk = await self._chunks.get()
                if chunk is None:
                    return None
                self._text += chunk.decode()
        event, _, self._text = self._text.partition("\n\n")
        return event

    async def _serve(self) -> None:
        path, _, query = self._path.partition("?")
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "path": path,
            "raw_path": path.encode(), "query_string": query.encode(), "root_path": "", "scheme": "http",
            "headers": [(name.lower().encode(), value.encode()) for name, value in self._headers.items()],
            "server": ("converto.test", 80), "client": ("127.0.0.1", 1),
        }  # fmt: skip
        sent = False

        async def receive() -> dict[str, Any]:
            nonlocal sent
            if not sent:
                sent = True
                return {"type": "http.request", "body": b"", "more_body": False}
            await self._gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                self._started.set_result(message)
            elif message["type"] == "http.response.body":
                await self._chunks.put(message["body"])
                if not message.get("more_body"):
                    await self._chunks.put(None)
                    self._gone.set()

        await self._world.service.asgi(scope, receive, send)  # type: ignore[arg-type]
