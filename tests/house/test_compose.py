"""docker-compose.yml is consistent: names, references, ports, limits; checked without Docker (behaviour I14)."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from converto_core.access import split_key_text
from converto_core.formats import Family
from converto_infra.settings import Settings
from deploy.docker import write_env
from tests.compose_file import COMPOSE, REFERENCE, SERVICES, environment, example, interpolated, strings

ROOT = Path(__file__).resolve().parents[2]
WORKERS = ("worker-office", "worker-image", "worker-media", "worker-model")
OUR_SERVICES = ("file-service", *WORKERS)
SETTING_NAMES = {f"CONVERTO_{name.upper()}" for name in Settings.model_fields}

every_service = pytest.mark.parametrize("name", SERVICES)


def test_compose_file_follows_the_compose_specification() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    checked = subprocess.run(
        [*command, str(ROOT / "docker-compose.yml")], capture_output=True, text=True, check=False, timeout=60
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_converto_variables_are_settings() -> None:
    named = {key for service in SERVICES.values() for key in service.get("environment", {})}
    named |= set(example())
    dockerfiles = "".join(path.read_text() for path in (ROOT / "deploy/docker").glob("Dockerfile.*"))
    named |= set(re.findall(r"\b(CONVERTO_[A-Z0-9_]+)=", dockerfiles))
    ours = {name for name in named if name.startswith("CONVERTO_")}
    assert ours
    assert ours <= SETTING_NAMES


@pytest.mark.parametrize("name", OUR_SERVICES)
def test_settings_accept_the_written_env(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for key in [key for key in os.environ if key.startswith("CONVERTO_")]:
        monkeypatch.delenv(key)
    for key, value in environment(name, example()).items():
        monkeypatch.setenv(key, value)
    settings = Settings()
    hosts = {
        settings.mongodb_url.get_secret_value().rpartition("@")[2].split(":")[0],
        settings.rabbitmq_url.get_secret_value().rpartition("@")[2].split(":")[0],
        str(settings.s3_endpoint_url).removeprefix("http://").split(":")[0],
    }
    assert hosts == {"mongodb", "rabbitmq", "object-store"}


def test_each_reference_has_a_value_in_the_example() -> None:
    """Where the default is to be without a value, a comment of the example names the variable."""
    values, text_of_example = example(), (ROOT / ".env.example").read_text()
    found = {match for text in strings(COMPOSE) for match in REFERENCE.findall(text)}
    referred = {name for name, _, _ in found}
    unset = {name for name, operator, default in found if operator == ":-" and not default}
    assert set(values) == referred - unset
    assert all(f"# {name}=" in text_of_example for name in unset)
    for text in strings(COMPOSE):
        assert "${" not in interpolated(text, values)


def test_compose_has_no_default_for_a_secret() -> None:
    for text in strings(COMPOSE):
        for name, operator, message in REFERENCE.findall(text):
            if re.search(r"PASSWORD|SECRET|KEY", name):
                assert operator == ":?", name
                assert "write_env.py" in message


def test_written_secrets_are_random_and_fit_into_urls() -> None:
    first, second = example(), example()
    secret = [name for name in first if re.search(r"PASSWORD|SECRET|KEY", name)]
    assert len(secret) >= 6
    for name in secret:
        assert first[name] != second[name]
        assert len(first[name]) >= 20
        assert re.fullmatch(r"[A-Za-z0-9_]+", first[name])
    assert split_key_text(first["CONVERTO_BOOTSTRAP_API_KEY"]) is not None


def test_write_env_keeps_an_existing_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env.example").write_text("NAME=\n")
    monkeypatch.setattr(write_env, "ROOT", tmp_path)
    assert write_env.main() == 0
    written = (tmp_path / ".env").read_text()
    assert (tmp_path / ".env").stat().st_mode & 0o777 == 0o600
    assert write_env.main() == 1
    assert (tmp_path / ".env").read_text() == written


@every_service
def test_service_refers_only_to_what_exists(name: str) -> None:
    service = SERVICES[name]
    assert set(service["networks"]) <= set(COMPOSE["networks"])
    for needed, condition in service.get("depends_on", {}).items():
        assert condition == {"condition": "service_healthy"}
        assert "healthcheck" in SERVICES[needed]
    for volume in service.get("volumes", []):
        source, target = volume.split(":")[:2]
        assert target.startswith("/")
        assert (ROOT / source).exists() if source.startswith(".") else source in COMPOSE["volumes"]
    if "build" in service:
        assert (ROOT / service["build"]["dockerfile"]).is_file()


def test_no_declared_network_or_volume_is_unused() -> None:
    networks = {network for service in SERVICES.values() for network in service["networks"]}
    volumes = {volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    assert set(COMPOSE["networks"]) == networks
    assert set(COMPOSE["volumes"]) == {volume for volume in volumes if not volume.startswith(".")}


@every_service
def test_service_restarts_and_reports_its_health(name: str) -> None:
    service = SERVICES[name]
    assert service["restart"] == "unless-stopped"
    assert service["healthcheck"]["test"][0] == "CMD"
    assert {"interval", "timeout", "retries"} <= set(service["healthcheck"])
    assert service["logging"]["options"].keys() >= {"max-size", "max-file"}


@every_service
def test_service_runs_without_privileges(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory", "pids"}
    assert not {"privileged", "cap_add", "network_mode", "pid", "ipc"} & service.keys()
    if "build" not in service:  # our own images set their user
        assert int(service["user"].split(":")[0]) > 0


@every_service
def test_ports_are_published_on_loopback_only(name: str) -> None:
    values = example()
    for port in SERVICES[name].get("ports", []):
        assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", interpolated(port, values))
        assert "outside" in SERVICES[name]["networks"]


@pytest.mark.parametrize("name", WORKERS)
def test_worker_has_no_outside_network(name: str) -> None:
    assert SERVICES[name]["networks"] == ["inside"]
    assert COMPOSE["networks"]["inside"] == {"internal": True}


@every_service
def test_image_has_a_version(name: str) -> None:
    version = SERVICES[name]["image"].rpartition(":")[2]
    assert re.match(r"\d+\.\d+", version), SERVICES[name]["image"]


@pytest.mark.parametrize("name", ["mongodb", "rabbitmq", "object-store"])
def test_server_data_is_on_a_volume(name: str) -> None:
    assert any(volume.split(":")[0] in COMPOSE["volumes"] for volume in SERVICES[name]["volumes"])


def test_docker_waits_longer_than_a_worker_needs_to_stop() -> None:
    grace_s = Settings.model_fields["stop_grace_s"].default
    for name in WORKERS:
        assert int(SERVICES[name]["stop_grace_period"].removesuffix("s")) > grace_s


def test_each_family_has_exactly_one_worker() -> None:
    taken = [SERVICES[name]["environment"]["CONVERTO_FAMILIES"] for name in WORKERS]
    assert sorted(",".join(taken).split(",")) == sorted(Family)
