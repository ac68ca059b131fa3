"""Smoke test of a running file service, by its public API: upload, convert, download, look at the bytes.

One file that needs Python's standard library only: it is part of the file service's image, and a rollout starts it
there. `python smoke.py --url https://…`; the API key or access token comes from CONVERTO_API_KEY. Exit status 0: the
conversion works; 1: it does not, the last line says which step and why; 2: wrong use.
"""

import argparse
import hashlib
import http.client
import json
import os
import re
import secrets
import socket
import ssl
import struct
import sys
import time
import uuid
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit

PASSED, FAILED, MISUSED = 0, 1, 2
KEY_VARIABLES = ("CONVERTO_API_KEY", "CONVERTO_BOOTSTRAP_API_KEY")
"""The second one is what the file service's own task has."""
USER_AGENT = "converto-smoke/1"
"""The firewall in front of the load balancer refuses requests without one (terraform/modules/edge)."""
CALL_S = 20.0
WAIT_S = 10  # `Prefer: wait`: fewer polls, and still short of the 30 s after which API gateways give up
ATTEMPTS = 4
PAUSE_S = 2.0
TEMPORARY = frozenset({429, 500, 502, 503, 504})
EXCERPT = 300
SCHEMES = frozenset({"http", "https"})
LARGEST_BYTES = 50 * 1024 * 1024
URL_SECRETS = re.compile(r"(?<=://)[^/\s?#\"'<>]*@|(?<=[^\s\"'<>])\?[^\s\"'<>]*")
"""User and password, and the query, which in a presigned URL is the signature."""
UNEXPECTED = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What code raises that meets a value of another form. Their texts quote the value, so only their type is said."""


class SmokeFailed(Exception):
    """Raised with the step and the reason."""


class Answer(NamedTuple):
    """One HTTP answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def fields(self) -> dict[str, Any]:
        """The body as a JSON object; empty if it is something else."""
        try:
            decoded = json.loads(self.body)
        except (RecursionError, ValueError):
            return {}
        return decoded if isinstance(decoded, dict) else {}

    def __str__(self) -> str:
        problem = self.fields
        words = " ".join(str(problem[name]) for name in ("code", "title", "detail") if problem.get(name))
        return f"{self.status} {words or self.body[:EXCERPT].decode(errors='replace')}".strip()


class Sample(NamedTuple):
    """A source, and how its result must look."""

    filename: str
    content: bytes
    target: str
    content_type: str
    is_valid: Callable[[bytes], bool]


class _NamedConnection(http.client.HTTPSConnection):
    """TLS to one address with the name of another: the certificate of an internal load balancer has the public name."""

    def __init__(self, host: str, port: int | None, *, name: str, context: ssl.SSLContext, timeout: float) -> None:
        super().__init__(host, port, timeout=timeout, context=context)
        self._name, self._tls = name, context

    def connect(self) -> None:
        plain = socket.create_connection((self.host, self.port), self.timeout)
        self.sock = self._tls.wrap_socket(plain, server_hostname=self._name)


class Http:
    """HTTP/1.1 without redirects and proxies, with a deadline for everything together."""

    def __init__(self, *, deadline_s: float, tls: ssl.SSLContext, pause_s: float = PAUSE_S) -> None:
        self._deadline_s, self._tls, self._pause_s = deadline_s, tls, pause_s
        self.step = "start"
        """The step of the latest call."""

    @property
    def left_s(self) -> float:
        """Seconds until the deadline."""
        return self._deadline_s - time.monotonic()

    def call(
        self,
        step: str,
        method: str,
        url: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        server_name: str = "",
    ) -> Answer:
        """Return the answer; repeat after a temporary failure. Raise `SmokeFailed` when there is none.

        Every call of this test may be repeated: POST requests carry an idempotency key.
        """
        reason, self.step = "no time was left", step
        for attempt in range(ATTEMPTS):
            if attempt:
                time.sleep(max(0.0, min(self._pause_s * attempt, self.left_s)))
            if self.left_s <= 0:
                break
            try:
                answer = self._exchange(method, url, body, headers or {}, server_name)
            except OSError as error:
                reason = f"{type(error).__name__}: {error}"
                continue
            except (*UNEXPECTED, http.client.InvalidURL) as error:
                raise SmokeFailed(f"{step}: the {method} request cannot be sent ({type(error).__name__})") from None
            except http.client.HTTPException as error:
                reason = type(error).__name__
                continue
            if answer.status not in TEMPORARY:
                return answer
            reason = f"answered {answer}"
        raise SmokeFailed(f"{step}: {method} {_without_query(url)}: {reason}")

    def _exchange(
        self, method: str, url: str, body: bytes | None, headers: Mapping[str, str], server_name: str
    ) -> Answer:
        connection = self._connection(url, server_name)
        parts = urlsplit(url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        named = {"Host": server_name} if server_name else {}
        try:
            connection.request(method, target, body, {"User-Agent": USER_AGENT, **headers, **named})
            response = connection.getresponse()
            answered = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, answered, response.read(LARGEST_BYTES))
        finally:
            connection.close()

    def _connection(self, url: str, server_name: str) -> http.client.HTTPConnection:
        parts, timeout = urlsplit(url), max(0.1, min(CALL_S, self.left_s))
        if parts.scheme not in SCHEMES or not (host := parts.hostname):
            raise ValueError
        if parts.scheme == "http":
            return http.client.HTTPConnection(host, parts.port, timeout=timeout)
        return _NamedConnection(host, parts.port, name=server_name or host, context=self._tls, timeout=timeout)


class Smoke:
    """The steps of one test."""

    def __init__(self, calls: Http, *, url: str, key: str, server_name: str, say: Callable[[str], None]) -> None:
        self._http, self._url, self._server_name, self._say = calls, url.rstrip("/"), server_name, say
        self._key = key

    def run(self, sample: Sample) -> None:
        """Take one sample all the way; raise `SmokeFailed`."""
        started_s = time.monotonic()
        self._wait_until_ready()
        created = self._create(sample)
        self._upload(created["upload"], sample)
        self._confirm(created["file"]["id"])
        conversion_id = created["conversion"]["id"]
        self._wait_for_completion(conversion_id)
        self._check_output(conversion_id, sample)
        self._delete(conversion_id, created["file"]["id"])
        self._say(
            f"{sample.filename} → {sample.target}: converted and verified in {time.monotonic() - started_s:.1f} s"
        )

    def _wait_until_ready(self) -> None:
        answer = self._api("ready", "GET", "/api/health/ready")
        if answer.status != http.client.OK:
            raise SmokeFailed(f"ready: the service is not ready: {answer}")

    def _create(self, sample: Sample) -> dict[str, Any]:
        body = {
            "target_format": sample.target,
            "client_id": "smoke-test",
            "file": {"filename": sample.filename, "size_bytes": len(sample.content)},
        }
        created = self._api("create", "POST", "/api/v1/conversions", body)
        if created.status != http.client.CREATED:
            raise SmokeFailed(f"create: POST /api/v1/conversions answered {created}")
        for name in ("upload", "file", "conversion"):
            if not isinstance(created.fields.get(name), dict):
                raise SmokeFailed(f"create: the answer lacks {name!r}")
        return created.fields

    def _upload(self, upload: dict[str, Any], sample: Sample) -> None:
        if upload.get("method", "PUT") != "PUT" or "url" not in upload:
            raise SmokeFailed(f"upload: the service offers no single PUT, but {sorted(upload)}")
        put = self._http.call("upload", "PUT", upload["url"], body=sample.content, headers=upload.get("headers") or {})
        if put.status not in {http.client.OK, http.client.CREATED, http.client.NO_CONTENT}:
            raise SmokeFailed(f"upload: PUT {_without_query(upload['url'])} answered {put}")

    def _confirm(self, file_id: str) -> None:
        confirmed = self._api("confirm", "POST", f"/api/v1/files/{file_id}/uploaded", {})
        if confirmed.status != http.client.OK:
            raise SmokeFailed(f"confirm: POST /api/v1/files/{file_id}/uploaded answered {confirmed}")

    def _wait_for_completion(self, conversion_id: str) -> None:
        seen: dict[str, Any] = {}
        while self._http.left_s > 0:
            answer = self._api("convert", "GET", f"/api/v1/conversions/{conversion_id}", wait_s=WAIT_S)
            if answer.status != http.client.OK:
                raise SmokeFailed(f"convert: GET /api/v1/conversions/{conversion_id} answered {answer}")
            seen = answer.fields
            if seen.get("status") == "completed":
                return
            if seen.get("status") in {"failed", "cancelled", "expired"}:
                raise SmokeFailed(f"convert: {conversion_id} ended as {seen['status']}: {_reason(seen)}")
            time.sleep(max(0.0, min(0.2, self._http.left_s)))  # a service without `Prefer: wait` is not flooded
        hint = "no worker took it" if seen.get("status") == "pending" else "it takes too long"
        raise SmokeFailed(f"convert: {conversion_id} is still {seen.get('status')} ({seen.get('stage')}): {hint}")

    def _check_output(self, conversion_id: str, sample: Sample) -> None:
        listed = self._api("outputs", "GET", f"/api/v1/conversions/{conversion_id}/outputs")
        outputs = listed.fields.get("outputs", [])
        if listed.status != http.client.OK or len(outputs) != 1:
            raise SmokeFailed(f"outputs: one result was expected, not {len(outputs)}; answered {listed.status}")
        output = outputs[0]
        got = self._http.call("download", "GET", output["url"])
        if got.status != http.client.OK:
            raise SmokeFailed(f"download: GET {_without_query(output['url'])} answered {got}")
        declared = got.headers.get("content-type", "").partition(";")[0]
        checks = {
            f"the type is {declared!r}, not {sample.content_type!r}": declared == sample.content_type,
            f"{len(got.body)} bytes instead of {output.get('size_bytes')}": len(got.body) == output.get("size_bytes"),
            "the bytes do not have the recorded SHA-256": hashlib.sha256(got.body).hexdigest() == output.get("sha256"),
            f"the bytes are no {sample.target}": sample.is_valid(got.body),
        }
        if wrong := [text for text, is_right in checks.items() if not is_right]:
            raise SmokeFailed(f"verify: {'; '.join(wrong)}")

    def _delete(self, conversion_id: str, file_id: str) -> None:
        """Leave nothing behind; retention rules delete what stays, so a refusal is no failure."""
        for path in (f"/api/v1/conversions/{conversion_id}", f"/api/v1/files/{file_id}"):
            answer = self._api("delete", "DELETE", path)
            if answer.status not in {http.client.OK, http.client.NO_CONTENT}:
                self._say(f"delete: {path} answered {answer}")

    def _api(
        self, step: str, method: str, path: str, body: Mapping[str, Any] | None = None, *, wait_s: int = 0
    ) -> Answer:
        headers = {"Authorization": f"Bearer {self._key}", "Accept": "application/json"}
        if body is not None:
            headers |= {"Content-Type": "application/json", "Idempotency-Key": str(uuid.uuid4())}
        if wait_s:
            headers["Prefer"] = f"wait={wait_s}"
        content = None if body is None else json.dumps(body).encode()
        return self._http.call(
            step, method, self._url + path, body=content, headers=headers, server_name=self._server_name
        )


def text_sample() -> Sample:
    """A document for the office workers; its words are new each time, so that no cached result is returned."""
    content = f"converto smoke test {secrets.token_hex(8)}\n".encode()
    return Sample(
        "smoke.txt", content, "pdf", "application/pdf", lambda body: body.startswith(b"%PDF-") and b"%%EOF" in body
    )


def picture_sample() -> Sample:
    """A picture for the image workers, of random colours."""
    side = 16
    rows = b"".join(b"\0" + secrets.token_bytes(3 * side) for _ in range(side))
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return Sample(
        "smoke.png",
        b"\x89PNG\r\n\x1a\n" + body,
        "webp",
        "image/webp",
        lambda result: result[:4] + result[8:12] == b"RIFFWEBP",
    )


SAMPLES: dict[str, Callable[[], Sample]] = {"document": text_sample, "picture": picture_sample}


def main(
    arguments: Sequence[str] | None = None, environment: Mapping[str, str] | None = None, *, pause_s: float = PAUSE_S
) -> int:
    """Run the test; return the exit status. `pause_s`: before the first repeat of a failed request."""
    given, known = _parser().parse_args(arguments), os.environ if environment is None else environment
    key = next((known[name].strip() for name in KEY_VARIABLES if known.get(name, "").strip()), "")
    if fault := _fault(given.url, given.server_name, key):
        _say(fault)
        return MISUSED
    try:
        tls = ssl.create_default_context(cafile=given.ca_file)
    except (OSError, ValueError) as error:  # the file is missing, or holds no certificate
        _say(f"--ca-file {given.ca_file}: {type(error).__name__}")
        return MISUSED

    def say(text: str) -> None:
        _say(_without_query(text.replace(key, "(the key)")))

    calls = Http(deadline_s=time.monotonic() + given.within, tls=tls, pause_s=pause_s)
    smoke = Smoke(calls, url=given.url, key=key, server_name=given.server_name, say=say)
    try:
        for kind in given.kind or ["document"]:
            smoke.run(SAMPLES[kind]())
    except SmokeFailed as failed:
        say(f"FAILED at {failed}")
        return FAILED
    except UNEXPECTED as error:
        say(f"FAILED at {calls.step}: the answer has another form than expected ({type(error).__name__})")
        return FAILED
    _say("passed")
    return PASSED


def _reason(conversion: Mapping[str, Any]) -> str:
    error = conversion.get("error") or {}
    return " ".join(str(error[name]) for name in ("code", "message") if error.get(name)) or "no reason given"


def _fault(url: str, server_name: str, key: str) -> str:
    """Return what is wrong with the use of this program, "" if nothing is; the key is not quoted."""
    if not key:
        return f"set {KEY_VARIABLES[0]} to an API key or an access token"
    if not _is_word(key):
        return f"{KEY_VARIABLES[0]} holds characters that no key has, such as a line break or a space"
    if server_name and not _is_word(server_name):
        return "--server-name must be a host name"
    try:
        parts = urlsplit(url)
        is_right = parts.scheme in SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError:  # the port is no number, or is too large
        is_right = False
    if not is_right or not _is_word(url) or parts.query or parts.fragment or "@" in parts.netloc:
        return "--url must be https://host[:port] or http://host[:port], with a path at most"
    return ""


def _is_word(text: str) -> bool:
    """Whether a text may stand in a header line: visible ASCII characters only."""
    return text.isascii() and text.isprintable() and " " not in text


def _without_query(text: str) -> str:
    """The signature of a presigned URL must not get into a log."""
    return URL_SECRETS.sub("", text)


def _say(text: str) -> None:
    print(f"smoke test: {text}", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="smoke", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--url", required=True, help="root of the file service, without /api")
    parser.add_argument("--server-name", default="", help="name in the certificate, if the URL has another one")
    parser.add_argument("--ca-file", help="certificates to trust instead of the system's")
    parser.add_argument("--within", type=float, default=300.0, help="time limit in seconds for everything (300)")
    parser.add_argument(
        "--kind", action="append", choices=sorted(SAMPLES), help="what to convert (document); repeatable"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
