"""The task definitions agree with the images that they run: health checks, users, folders that are written."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TASK = (ROOT / "terraform/modules/service/main.tf").read_text()
IMAGES = {
    "api": (ROOT / "deploy/docker/Dockerfile.file-service").read_text(),
    "worker": (ROOT / "deploy/docker/Dockerfile.worker").read_text(),
}
PORT = "8080"

every_kind = pytest.mark.parametrize("kind", sorted(IMAGES))


def instruction(image: str, name: str) -> list[str]:
    """Return the list that the last such instruction of a Dockerfile has as its argument."""
    found = re.findall(rf"^{name}\b[^\[]*(\[[^\]]*\])", image, re.MULTILINE)
    assert found, name
    return list(json.loads(found[-1]))


def health_check(kind: str) -> list[str]:
    """Return the command of a health check in the task definition, without its first word, CMD."""
    found = re.search(rf"^    {kind} = {{\n\s*command\s*= \[(.*?)\n?\s*\]\n", TASK, re.MULTILINE | re.DOTALL)
    assert found, kind
    words: list[str] = re.findall(r'"([^"]*)"', found[1].replace("${var.container_port}", PORT))
    assert words[0] == "CMD"
    return words[1:]


@every_kind
def test_health_check_is_that_of_the_image(kind: str) -> None:
    checked = re.search(r"^HEALTHCHECK .*\\\n\s*CMD (\[.*\])", IMAGES[kind], re.MULTILINE)
    assert checked
    assert health_check(kind) == json.loads(checked[1])


@every_kind
def test_mounted_folders_are_volumes_of_the_image(kind: str) -> None:
    mounted = set(re.findall(r'\{ (?:tmp|work) = "(/[^"]*)" \}', TASK))
    wanted = mounted if kind == "worker" else {"/tmp"}
    assert wanted == set(instruction(IMAGES[kind], "VOLUME"))


@every_kind
def test_user_is_that_of_the_image(kind: str) -> None:
    user = re.search(r'user\s*= "([^"]*)"', TASK)
    assert user
    assert re.findall(r"^USER (\S+)", IMAGES[kind], re.MULTILINE)[-1] == user[1]
