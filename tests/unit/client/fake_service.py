"""A file service and an object store in memory behind httpx2.MockTransport, with faults on demand; no clock."""

import hashlib
import json
import re
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx2

KEY = "cvt_test_secret"
BASE = "http://converto.test"
STORE = "http://store.test"


def problem(status: int, code: str, detail: str = "because", **more: Any) -> httpx2.Response:
    body = {"title": code, "status": status, "detail": detail, "code": code, "retryable": status == 503, **more}
    return httpx2.Response(status, json=body, headers={"content-type": "application/problem+json"})


async def streamed(*chunks: bytes | Exception) -> AsyncIterator[bytes]:
    """A body in pieces; an error among them is a connection that breaks there."""
    for chunk in chunks:
        if isinstance(chunk, Exception):
            raise chunk
        yield chunk


class FakeService:
    """Answers like the file service; `faults` are tried first, each once: (method, path pattern, answer or error)."""

    def __init__(self, *, part_size_bytes: int = 0, store: str = STORE) -> None:
        self.store = store
        self.part_size_bytes = part_size_bytes
        self.requests: list[httpx2.Request] = []
        self.faults: list[tuple[str, str, httpx2.Response | Exception]] = []
        self.files: dict[str, dict[str, Any]] = {}
        self.conversions: dict[str, dict[str, Any]] = {}
        self.objects: dict[str, bytes] = {}
        self.parts: dict[str, dict[int, bytes]] = {}
        self.replays: dict[str, Any] = {}
        self.results: list[tuple[str, bytes]] = [("deck.pdf", b"%PDF result")]
        self.lost_after_outputs: int | None = None
        """How many lists of outputs come before the server says that it has lost them."""
        self.ends_as: dict[str, Any] = {"status": "completed", "percent": 100.0}
        self.parked: dict[str, dict[str, Any]] = {}
        self.is_admin = True
        self.routes: list[dict[str, Any]] = []
        self.events: list[str] | None = None
        self.signature = 0
        self.upload_number = 1
        """The multipart upload that the store knows; a URL of an earlier one answers 404, or breaks the connection."""
        self.breaks_when_lost = False
        self.before: Callable[[httpx2.Request], None] = lambda _: None
        self.created = 0
        self.worker_records = [
            {"id": "w1", "host": "here", "pid": 7, "slots": 1, "sandbox": "bubblewrap", "offers": ["p"]}
        ]
        self.health: dict[str, Any] = {"status": "ok", "checks": {"database": {"status": "ok", "latency_ms": 1}}}

    def lose_uploads(self) -> None:
        """Forget all parts, as a store does that keeps unfinished uploads in memory and is restarted."""
        self.parts.clear()
        self.upload_number += 1

    def transport(self) -> httpx2.MockTransport:
        return httpx2.MockTransport(self.handle)

    def fail(self, method: str, path: str, answer: httpx2.Response | Exception, *, times: int = 1) -> None:
        self.faults += [(method, path, answer)] * times

    def sent(self, method: str, path: str) -> list[httpx2.Request]:
        return [seen for seen in self.requests if seen.method == method and re.fullmatch(path, seen.url.path)]

    async def handle(self, request: httpx2.Request) -> httpx2.Response:
        self.before(request)
        fault = self._fault_for(request)
        if isinstance(fault, Exception):
            self.requests.append(request)
            raise fault
        await request.aread()
        self.requests.append(request)
        if fault is not None:
            return fault
        if str(request.url).startswith(self.store + "/"):
            return self._store(request)
        if request.headers.get("authorization") != f"Bearer {KEY}" and not request.url.path.startswith("/api/health"):
            return problem(401, "unauthorized", "A valid API key is needed")
        return self._api(request)

    def _fault_for(self, request: httpx2.Request) -> httpx2.Response | Exception | None:
        for index, (method, path, answer) in enumerate(self.faults):
            if request.method == method and re.fullmatch(path, request.url.path):
                del self.faults[index]
                return answer
        return None

    # The object store -------------------------------------------------------------------------------------------

    def _store(self, request: httpx2.Request) -> httpx2.Response:
        assert "authorization" not in request.headers, "the key must never reach the object store"
        assert "transfer-encoding" not in request.headers, "a presigned request needs its exact length"
        name, number = request.url.path.removeprefix("/store").lstrip("/"), request.url.params.get("part")
        if request.method == "PUT" and number and int(request.url.params["upload"]) != self.upload_number:
            if self.breaks_when_lost:
                raise httpx2.WriteError("broken pipe", request=request)
            return httpx2.Response(404, text="<Error><Code>NoSuchUpload</Code></Error>")
        if request.method == "PUT" and number:
            self.parts.setdefault(name, {})[int(number)] = request.content
            return httpx2.Response(200, headers={"ETag": f'"{hashlib.md5(request.content).hexdigest()}"'})
        if request.method == "PUT":
            self.objects[name] = request.content
            return httpx2.Response(200)
        body = self.objects[name]
        if asked := re.fullmatch(r"bytes=(\d+)-", request.headers.get("range", "")):
            return httpx2.Response(206, content=streamed(body[int(asked[1]) :]))
        return httpx2.Response(200, content=streamed(body))

    def _url(self, name: str, **params: int) -> str:
        self.signature += 1
        return str(httpx2.URL(f"{self.store}/{name}", params={"signature": self.signature, **params}))

    # The API ----------------------------------------------------------------------------------------------------

    def _api(self, request: httpx2.Request) -> httpx2.Response:
        table: list[tuple[str, str, Callable[..., httpx2.Response]]] = [
            ("POST", "/conversions", self._create),
            ("GET", "/conversions", self._list),
            ("POST", "/files", self._create_file),
            ("POST", "/files/([^/]+)/upload", self._fresh_upload),
            ("GET", "/files/([^/]+)/parts", self._stored_parts),
            ("POST", "/files/([^/]+)/parts", self._sign_parts),
            ("POST", "/files/([^/]+)/uploaded", self._confirm),
            ("GET", "/conversions/([^/]+)", self._status),
            ("GET", "/conversions/([^/]+)/history", self._history),
            ("GET", "/conversions/([^/]+)/outputs", self._outputs),
            ("GET", "/conversions/([^/]+)/events", self._events),
            ("POST", "/conversions/([^/]+)/(cancel|retry)", self._move),
            ("DELETE", "/conversions/([^/]+)", self._delete),
            ("GET", "/formats", lambda _: httpx2.Response(200, json={"formats": [], "routes": self.routes})),
            ("POST", "/plans", self._plan),
            ("GET", "/workers", lambda _: httpx2.Response(200, json={"workers": self.worker_records})),
            ("GET", "/whoami", lambda _: httpx2.Response(200, json={"owner": "local", "key_id": "test"})),
        ]
        if request.url.path.startswith("/api/v1/admin/"):
            return self._administer(request)
        if request.url.path == "/api/health":
            return httpx2.Response(200 if self.health["status"] == "ok" else 503, json=self.health)
        for method, pattern, answer in table:
            match = re.fullmatch("/api/v1" + pattern, request.url.path)
            if match and request.method == method:
                return answer(request, *match.groups())
        return problem(404, "not_found")

    def _create(self, request: httpx2.Request) -> httpx2.Response:
        key = request.headers["idempotency-key"]
        if key not in self.replays:
            body = json.loads(request.content)
            if body["target_format"] == "nope":
                return problem(422, "unsupported_conversion", "pptx can become: pdf, png")
            known = self.files.get(body.get("file_id", ""))
            file = known if known is not None else self._new_file(body["file"])
            self.created += 1
            number = f"conversion-{self.created}"
            self.conversions[number] = {
                "id": number,
                "file_id": file["id"],
                "filename": file["filename"],
                "target_format": body["target_format"],
                "options": {name: value for name, value in body.get("options", {}).items() if name != "password"},
                "client_id": body.get("client_id"),
                "status": "awaiting_upload" if known is None else "pending",
                "percent": 0.0,
            }
            self.replays[key] = {"conversion": dict(self.conversions[number]), "file": file}
            if known is None:
                self.replays[key]["upload"] = self._upload(file["id"])
        return httpx2.Response(201, json=self.replays[key])

    def _plan(self, request: httpx2.Request) -> httpx2.Response:
        asked = json.loads(request.content)
        source = asked.get("source_format") or asked["filename"].rpartition(".")[2]
        step = {"source_format": source, "target_format": asked["target_format"], "engine": "pdfium"}
        told = {
            "source_format": source,
            "target_format": asked["target_format"],
            "steps": [{**step, "engine_version": "7", "converter": "pdf-pages"}],
            "options_schema": {
                "properties": {
                    "dpi": {"type": "integer", "minimum": 36, "maximum": 600},
                    "pages": {"anyOf": [{"type": "string", "description": "Such as 1-3"}, {"type": "null"}]},
                }
            },
            "expected": {"low_s": 2.0, "high_s": 75.0, "based_on": 12},
            "losses": ["links are lost"],
        }
        return httpx2.Response(200, json=told)

    def _create_file(self, request: httpx2.Request) -> httpx2.Response:
        file = self._new_file(json.loads(request.content))
        return httpx2.Response(201, json={"file": file, "upload": self._upload(file["id"])})

    def _new_file(self, declared: dict[str, Any]) -> dict[str, Any]:
        number = f"file-{len(self.files) + 1}"
        self.files[number] = {"id": number, "status": "awaiting_upload", **declared}
        return self.files[number]

    def _upload(self, file_id: str) -> dict[str, Any]:
        if self.part_size_bytes:
            return {"kind": "multipart", "part_size_bytes": self.part_size_bytes, "part_count": self._count(file_id)}
        return {"kind": "single", "method": "PUT", "url": self._url(file_id), "headers": {}, "expires_at": 1}

    def _count(self, file_id: str) -> int:
        return -(-self.files[file_id]["size_bytes"] // self.part_size_bytes)

    def _fresh_upload(self, _: httpx2.Request, file_id: str) -> httpx2.Response:
        if file_id not in self.files:
            return problem(404, "not_found")
        if self.files[file_id]["status"] == "uploaded":
            return problem(409, "conflict")
        return httpx2.Response(200, json={"file": self.files[file_id], "upload": self._upload(file_id)})

    def _stored_parts(self, _: httpx2.Request, file_id: str) -> httpx2.Response:
        if self.files[file_id]["status"] == "uploaded":
            return problem(409, "conflict")
        parts = [
            {"part_number": number, "etag": f'"{hashlib.md5(body).hexdigest()}"', "size_bytes": len(body)}
            for number, body in sorted(self.parts.get(file_id, {}).items())
        ]
        count = self._count(file_id)
        return httpx2.Response(200, json={"parts": parts, "part_size_bytes": self.part_size_bytes, "part_count": count})

    def _sign_parts(self, request: httpx2.Request, file_id: str) -> httpx2.Response:
        if self.files[file_id]["status"] == "uploaded":
            return problem(409, "conflict")
        numbers, upload = json.loads(request.content)["part_numbers"], self.upload_number
        parts = [{"part_number": number, "url": self._url(file_id, part=number, upload=upload)} for number in numbers]
        return httpx2.Response(200, json={"parts": parts})

    def _confirm(self, request: httpx2.Request, file_id: str) -> httpx2.Response:
        if self.part_size_bytes:
            stored = self.parts.get(file_id, {})
            listed = [part["part_number"] for part in json.loads(request.content).get("parts", [])]
            if not stored and self.files[file_id]["status"] != "uploaded":
                return problem(409, "upload_lost")
            if stored:
                assert listed == sorted(stored)
                self.objects[file_id] = b"".join(stored[number] for number in listed)
        file = self.files[file_id]
        if len(self.objects.get(file_id, b"")) != file["size_bytes"]:
            return problem(409, "upload_incomplete")
        file["status"] = "uploaded"
        waiting = [entry for entry in self.conversions.values() if entry["file_id"] == file_id]
        for entry in waiting:
            entry["status"] = "pending"
        return httpx2.Response(200, json={"file": file, "conversions": waiting})

    def _status(self, _: httpx2.Request, conversion_id: str) -> httpx2.Response:
        if conversion_id not in self.conversions:
            return problem(404, "not_found", "Nothing with this id was found")
        entry = self.conversions[conversion_id]
        if entry["status"] == "pending":
            entry |= self.ends_as
        return httpx2.Response(200, json=entry)

    def _list(self, request: httpx2.Request) -> httpx2.Response:
        wanted = [name for name in request.url.params.get("status", "").split(",") if name]
        entries = [entry for entry in self.conversions.values() if not wanted or entry["status"] in wanted]
        start, limit = int(request.url.params.get("after", 0)), int(request.url.params.get("limit", 50))
        following = str(start + limit) if len(entries) > start + limit else None
        return httpx2.Response(200, json={"conversions": entries[start : start + limit], "next": following})

    def _history(self, _: httpx2.Request, conversion_id: str) -> httpx2.Response:
        happened = [
            {"number": 1, "event": "created", "status": "awaiting_upload", "at": 1_700_000_000_000},
            {"number": 4, "event": "attempt_failed", "status": "pending", "at": 1_700_000_001_000, "attempt": 1,
             "worker": "w1", "code": "engine_crashed", "message": "The program crashed"},
        ]  # fmt: skip
        return httpx2.Response(200, json={"history": happened, "missing": 2})

    def _outputs(self, _: httpx2.Request, conversion_id: str) -> httpx2.Response:
        if self.lost_after_outputs is not None:
            if self.lost_after_outputs == 0:
                return problem(410, "result_lost", "The result is lost; a retry makes it again", retryable=True)
            self.lost_after_outputs -= 1
        outputs = []
        for number, (filename, body) in enumerate(self.results, start=1):
            name = f"out/{conversion_id}/{number}"
            self.objects[name] = body
            outputs.append(
                {
                    "page": number if len(self.results) > 1 else None,
                    "filename": filename,
                    "content_type": "application/pdf",
                    "size_bytes": len(body),
                    "sha256": hashlib.sha256(body).hexdigest(),
                    "url": self._url(name),
                    "expires_at": 1,
                }
            )
        return httpx2.Response(200, json={"outputs": outputs})

    def _events(self, _: httpx2.Request, conversion_id: str) -> httpx2.Response:
        if self.events is None:
            return problem(404, "not_found")
        body = self.events.pop(0) if self.events else ""
        return httpx2.Response(200, text=body, headers={"content-type": "text/event-stream"})

    def _move(self, _: httpx2.Request, conversion_id: str, verb: str) -> httpx2.Response:
        self.conversions[conversion_id]["status"] = "cancelled" if verb == "cancel" else "pending"
        return httpx2.Response(200, json=self.conversions[conversion_id])

    def _delete(self, _: httpx2.Request, conversion_id: str) -> httpx2.Response:
        if self.conversions.pop(conversion_id, None) is None:
            return problem(404, "not_found", "Nothing with this id was found")
        return httpx2.Response(204)

    # Administration ---------------------------------------------------------------------------------------------

    def _administer(self, request: httpx2.Request) -> httpx2.Response:
        if not self.is_admin:
            return problem(403, "forbidden", "This needs an administrator's API key")
        path = request.url.path.removeprefix("/api/v1/admin/parked").strip("/")
        match (request.method, path):
            case ("GET", ""):
                return self._list_dead_letters(request)
            case ("POST", "requeue" | "drop"):
                return self._handle_dead_letters(json.loads(request.content), path)
        number, _, verb = path.partition("/")
        if number not in self.parked:
            return problem(404, "not_found", "No parked message has this id")
        if verb == "requeue" and self.parked[number]["outlook"] != "waits":
            return problem(409, "conflict", self.parked[number]["advice"])
        if request.method == "GET":
            return httpx2.Response(200, json=self.parked[number])
        gone = self.parked.pop(number)
        return httpx2.Response(202, json=gone) if verb else httpx2.Response(204)

    def _list_dead_letters(self, request: httpx2.Request) -> httpx2.Response:
        reason, start = request.url.params.get("reason"), int(request.url.params.get("after", 0))
        limit = int(request.url.params["limit"])
        found = [one for one in self.parked.values() if reason in (None, one["reason"])]
        following = str(start + limit) if len(found) > start + limit else None
        return httpx2.Response(200, json={"messages": found[start : start + limit], "next": following})

    def _handle_dead_letters(self, choice: dict[str, Any], verb: str) -> httpx2.Response:
        """One message for each request, so that a client has to go on."""
        chosen = [one for one in self.parked.values() if choice.get("reason") in (None, one["reason"])]
        chosen = [one for one in chosen if one["id"] > choice.get("after", "")]
        if not chosen:
            return httpx2.Response(200, json={"settled": 0, "refusals": [], "next": None})
        first, is_refused = chosen[0], verb == "requeue" and chosen[0]["outlook"] != "waits"
        if not is_refused:
            del self.parked[first["id"]]
        refusals = [{"id": first["id"], "message": first["advice"]}] if is_refused else []
        answer = {"settled": 1 - len(refusals), "refusals": refusals, "next": first["id"] if chosen[1:] else None}
        return httpx2.Response(200, json=answer)

    def event(self, kind: str, number: str, **record: Any) -> str:
        """One server-sent event as text."""
        body = {"id": "conversion-1", "file_id": "file-1", "target_format": "pdf", "status": "processing", **record}
        return f"event: {kind}\nid: {number}\ndata: {json.dumps(body)}\n\n"
