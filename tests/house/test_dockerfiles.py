"""The Dockerfiles pass hadolint, are pinned and run without root; every copied path exists and reaches the builder."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.images.build_context import is_sent
from tests.e2e.images.dockerfile import instructions_of

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILES = sorted((ROOT / "deploy/docker").glob("Dockerfile.*"))

every_dockerfile = pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)


def hadolint() -> str:
    beside = Path(sys.executable).with_name("hadolint")
    found = str(beside) if beside.exists() else shutil.which("hadolint")
    if found is None and os.environ.get("CI"):
        pytest.fail("hadolint is not installed; install deploy/requirements/dev.txt")
    if found is None:
        pytest.skip("hadolint is not installed; install deploy/requirements/dev.txt")
    return found


def test_all_dockerfiles_are_checked() -> None:
    assert [path.name for path in DOCKERFILES] == [
        "Dockerfile.file-service",
        "Dockerfile.object-store",
        "Dockerfile.rotation",
        "Dockerfile.worker",
    ]


@every_dockerfile
def test_hadolint_finds_nothing(path: Path) -> None:
    linted = subprocess.run([hadolint(), str(path)], capture_output=True, text=True, check=False, timeout=60)
    assert (linted.returncode, linted.stdout) == (0, "")


@every_dockerfile
def test_base_image_has_a_full_version(path: Path) -> None:
    stages: set[str] = set()
    for name, rest in instructions_of(path.read_text()):
        if name == "FROM":
            image, _, stage = rest.partition(" AS ")
            assert image in stages or re.search(r":\d+\.\d+", image), image
            stages.add(stage)


@every_dockerfile
def test_image_does_not_run_as_root(path: Path) -> None:
    user = {rest for name, rest in instructions_of(path.read_text()) if name == "USER"}
    assert [rest for name, rest in instructions_of(path.read_text()) if name == "USER"][-1] == "10001:10001"
    assert user <= {"10001:10001", "0:0"}


@every_dockerfile
def test_image_has_labels_and_a_health_check(path: Path) -> None:
    text = path.read_text()
    assert "org.opencontainers.image.title" in text
    assert "org.opencontainers.image.licenses" in text
    assert "HEALTHCHECK" in text


@every_dockerfile
def test_copied_paths_exist_and_reach_the_builder(path: Path) -> None:
    for name, rest in instructions_of(path.read_text()):
        if name == "COPY" and not rest.startswith("--from"):
            for source in rest.split()[:-1]:
                assert (ROOT / source).exists(), source
                assert is_sent(source), source


@pytest.mark.parametrize("path", [".env", ".git/config", ".converto/stack.json", "tests", ".venv"])
def test_private_path_does_not_reach_the_builder(path: str) -> None:
    assert not is_sent(path)


@pytest.mark.parametrize("name", ["server", "worker", "rotation"])
def test_requirements_are_installed_with_hashes(name: str) -> None:
    dockerfile = {"server": "file-service"}.get(name, name)
    text = (ROOT / f"deploy/docker/Dockerfile.{dockerfile}").read_text()
    assert re.search(rf"--require-hashes --no-deps --only-binary :all: (--no-binary \w+ )?-r /tmp/{name}\.txt", text)
    assert "--hash=sha256:" in (ROOT / f"deploy/requirements/{name}.txt").read_text()


@pytest.mark.parametrize("name", ["file-service", "worker", "rotation"])
def test_image_trusts_the_servers_on_aws(name: str) -> None:
    text = (ROOT / f"deploy/docker/Dockerfile.{name}").read_text()
    bundle = re.search(r"^ADD --chmod=644 --checksum=sha256:[0-9a-f]{64} \\\n +(\S+) (\S+)$", text, re.MULTILINE)
    variables = (ROOT / "terraform/modules/database/variables.tf").read_text()
    assert bundle, "Amazon's bundle must be added with its checksum"
    assert bundle[1] == "https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem"
    assert f'"{bundle[2]}"' in variables, "the URL that Terraform builds must name the bundle's path"
    assert re.search(r"apt-get install [^&]*\bca-certificates\b", text), "AMQP with TLS needs the system's authorities"


def test_images_trust_the_same_bundle() -> None:
    checksums = {match for path in DOCKERFILES for match in re.findall(r"--checksum=(\S+)", path.read_text())}
    assert len(checksums) == 1


def test_file_service_image_has_no_conversion_program() -> None:
    text = (ROOT / "deploy/docker/Dockerfile.file-service").read_text()
    assert not re.search(r"libreoffice|vips|ffmpeg|poppler", text)


def test_office_image_is_based_on_the_image_worker() -> None:
    stages = [
        rest for name, rest in instructions_of((ROOT / "deploy/docker/Dockerfile.worker").read_text()) if name == "FROM"
    ]
    assert stages[-1] == "image AS office"


def test_worker_image_has_the_packages_of_a_laptop_worker() -> None:
    listed = (ROOT / "deploy/local/packages.txt").read_text().splitlines()
    needed = {line.split("|")[0].strip() for line in listed if line.strip() and not line.startswith("#")}
    installed = set(re.findall(r"[a-z0-9.+-]+", (ROOT / "deploy/docker/Dockerfile.worker").read_text()))
    elsewhere = {"rabbitmq-server", "util-linux"}  # RabbitMQ has its own container; every Debian has util-linux
    assert needed - elsewhere
    assert needed - elsewhere <= installed
