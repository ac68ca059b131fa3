"""The container agent's endpoint for task protection: a protected task is not stopped by scale-in or a deployment."""

import asyncio
import http.client
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

VARIABLE = "ECS_AGENT_URI"
"""Set by the agent inside every task that runs on ECS, and nowhere else."""
PATH = "/task-protection/v1/state"
TIMEOUT_S = 3.0  # the agent is on the same host and calls ECS itself, which takes a few hundred milliseconds
LARGEST_ANSWER_BYTES = 64 * 1024


class ProtectionRefused(Exception):
    """Raised when the agent cannot be reached, or it or ECS refuses the change; its text is the reason."""


class EcsAgent:
    """Sets and clears the protection of the task that this process runs in."""

    def __init__(self, address: str, *, timeout_s: float = TIMEOUT_S) -> None:
        """`address` is the value of ECS_AGENT_URI."""
        self._address = address
        self._timeout_s = timeout_s

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "EcsAgent | None":
        """Return the agent of this task, None outside of ECS."""
        address = environment.get(VARIABLE)
        return cls(address) if address else None

    async def protect(self, minutes: int) -> None:
        """Protect the task for so many minutes from now (1 to 2880); raise `ProtectionRefused`."""
        await self._put({"ProtectionEnabled": True, "ExpiresInMinutes": minutes})

    async def release(self) -> None:
        """End the protection; raise `ProtectionRefused`."""
        await self._put({"ProtectionEnabled": False})

    async def _put(self, body: Mapping[str, Any]) -> None:
        """Call the agent in a thread; the deadline also covers an agent that sends its answer in small pieces."""
        try:
            async with asyncio.timeout(2 * self._timeout_s):
                status, answer = await asyncio.to_thread(self._exchange, json.dumps(body).encode())
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise ProtectionRefused(f"{type(error).__name__}: {error}") from error
        if reason := _reason(status, answer):
            raise ProtectionRefused(reason)

    def _exchange(self, body: bytes) -> tuple[int, bytes]:
        # http.client rather than a client with pools and proxies: one call every few minutes, to a link-local address
        parts = urlsplit(self._address)
        if parts.scheme != "http" or not parts.hostname:
            raise ProtectionRefused(f"{VARIABLE} is not an http URL: {self._address}")
        connection = http.client.HTTPConnection(parts.hostname, parts.port or 80, timeout=self._timeout_s)
        try:
            connection.request("PUT", parts.path.rstrip("/") + PATH, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, response.read(LARGEST_ANSWER_BYTES)
        finally:
            connection.close()


def _reason(status: int, answer: bytes) -> str:
    """Return why the change was refused, "" if it was made; a refusal by ECS itself arrives with status 200."""
    try:
        body = json.loads(answer or b"{}")
    except (ValueError, RecursionError):
        body = {}
    refusal = body.get("failure") or body.get("error") or {} if isinstance(body, dict) else {}
    if isinstance(refusal, dict) and refusal:
        return " ".join(str(value) for key, value in sorted(refusal.items()) if key != "Arn")
    return "" if status == http.client.OK else f"status {status}"
