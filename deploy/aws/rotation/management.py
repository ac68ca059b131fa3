"""The part of RabbitMQ's management API that has to do with users."""

import ssl
from types import TracebackType
from typing import Any
from urllib.parse import quote

import httpx2

from deploy.aws.rotation.administrator import LoginRefused
from deploy.aws.rotation.credentials import Credentials
from deploy.aws.rotation.errors import RotationFailed

TIMEOUT_S = 15.0


class ManagementApi:
    """One login to the management API; raises `LoginRefused` when the broker refuses it."""

    def __init__(self, url: str, login: Credentials) -> None:
        # The system's certificate authorities, as for AMQP; the client would bring its own list.
        self._http = httpx2.Client(
            base_url=url.rstrip("/") + "/api/",
            auth=(login.username, login.password),
            verify=ssl.create_default_context(),
            timeout=TIMEOUT_S,
        )

    def __enter__(self) -> "ManagementApi":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def own_tags(self) -> list[str]:
        """The tags of the user that is logged in."""
        tags = self._call("GET", "whoami")["tags"]
        # RabbitMQ before 3.9 answered with one text.
        return tags.split(",") if isinstance(tags, str) else list(tags)

    def put_user(self, login: Credentials, tags: list[str]) -> None:
        """Create a user, or change its password and its tags."""
        body = {"password": login.password, "tags": ",".join(tags)}
        self._call("PUT", f"users/{quote(login.username, safe='')}", body)

    def put_permissions(self, user: str, pattern: str, *, virtual_host: str) -> None:
        """Let a user configure, write and read what the pattern matches, and nothing else."""
        path = f"permissions/{quote(virtual_host, safe='')}/{quote(user, safe='')}"
        self._call("PUT", path, {"configure": pattern, "write": pattern, "read": pattern})

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        response = self._http.request(method, path, json=body)
        if response.status_code == httpx2.codes.UNAUTHORIZED:
            raise LoginRefused
        if response.is_error:
            raise RotationFailed(f"the broker answered {response.status_code} to {method} {path}")
        return response.json() if response.content else None
