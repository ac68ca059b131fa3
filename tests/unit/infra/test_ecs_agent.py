"""The adapter of the ECS container agent against an HTTP server that answers like it (M14)."""

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from converto_infra.ecs.agent import EcsAgent, ProtectionRefused
from tests.ecs_agent import TASK, AgentDouble, running_agent


@pytest.fixture
def double() -> Iterator[AgentDouble]:
    with running_agent() as server:
        yield server


async def test_protection_is_set_and_cleared_at_the_documented_path(double: AgentDouble) -> None:
    agent = EcsAgent(double.address)
    await agent.protect(15)
    await agent.release()

    path = "/api/0123/task-protection/v1/state"
    assert double.requests == [
        ("PUT", path, {"ProtectionEnabled": True, "ExpiresInMinutes": 15}),
        ("PUT", path, {"ProtectionEnabled": False}),
    ]


@pytest.mark.parametrize(
    ("status", "answer", "reason"),
    [
        (400, {"error": {"Arn": TASK, "Code": "AccessDeniedException", "Message": "not allowed"}}, "AccessDenied"),
        (429, {"error": {"Code": "ThrottlingException", "Message": "Rate exceeded"}}, "Rate exceeded"),
        (200, {"failure": {"Arn": TASK, "Reason": "DEPLOYMENT_BLOCKED", "Detail": ""}}, "DEPLOYMENT_BLOCKED"),
        (503, {}, "status 503"),
        (502, b"<html>", "status 502"),
        (500, b"[" * 60_000, "status 500"),
        (500, b"\xff", "status 500"),
    ],
    ids=lambda value: str(value)[:30],
)
async def test_refusals_name_their_reason(
    double: AgentDouble, status: int, answer: dict[str, Any] | bytes, reason: str
) -> None:
    double.status, double.answer = status, answer

    with pytest.raises(ProtectionRefused, match=reason):
        await EcsAgent(double.address).protect(15)


async def test_missing_agent_is_a_refusal() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]

    with pytest.raises(ProtectionRefused, match="ConnectionRefused"):
        await EcsAgent(f"http://127.0.0.1:{port}").release()


async def test_silent_agent_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        agent = EcsAgent(f"http://127.0.0.1:{listening.getsockname()[1]}", timeout_s=0.05)

        with pytest.raises(ProtectionRefused, match="TimeoutError"):
            await agent.protect(15)


@pytest.mark.parametrize("address", ["https://169.254.170.2/api", "agent", "http://host:port/"])
async def test_malformed_address_is_a_refusal(address: str) -> None:
    with pytest.raises(ProtectionRefused):
        await EcsAgent(address).protect(15)


def test_there_is_no_agent_outside_of_ecs() -> None:
    assert EcsAgent.from_environment({}) is None
    assert EcsAgent.from_environment({"ECS_AGENT_URI": "http://169.254.170.2/api"}) is not None
