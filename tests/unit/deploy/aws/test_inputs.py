"""What a rollout refuses before it looks at AWS, and what it takes over from task definitions (M17)."""

import json
from pathlib import Path

import pytest

from deploy.aws.errors import Refused
from deploy.aws.release import Environment, Release, is_by_digest, read
from deploy.aws.rollout import main
from deploy.aws.task_definition import ANSWER_ONLY, settings_of, tags_with_release, with_image
from tests.unit.deploy.aws.conftest import ENVIRONMENT, REGISTRY, Cluster, image
from tests.unit.deploy.aws.ecs_double import Client


@pytest.mark.parametrize(
    "name",
    [
        f"{REGISTRY}/file-service:latest",
        f"{REGISTRY}/file-service",
        f"{REGISTRY}/file-service:v2@sha256:abc",
        f"{REGISTRY}/file-service@sha256:{'G' * 64}",
        f"{REGISTRY}/file-service@sha256:{'0' * 64}-latest",
        f"{REGISTRY}/file-service@sha256:{'0' * 64}\n",
        f"{REGISTRY}/file-service@sha256:{'0' * 65}",
        f" {REGISTRY}/file-service@sha256:{'0' * 64}",
        "",
    ],
)
def test_images_by_tag_are_refused(cluster: Cluster, name: str) -> None:
    status = cluster.run("deploy", "2", **{"file-service": name})

    assert status == 2
    assert cluster.ecs.calls == []
    assert "must be named by digest" in cluster.text


def test_image_with_tag_and_digest_counts_by_its_digest() -> None:
    assert is_by_digest(f"{REGISTRY}/file-service:v2@sha256:{'0' * 64}")


def test_sidecar_by_tag_is_refused(cluster: Cluster) -> None:
    definition = cluster.ecs.definitions[cluster.ecs.serving["file-service"]]
    definition["containerDefinitions"].append({"name": "collector", "image": "collector:1.0"})
    status = cluster.run("deploy")

    assert status == 2
    assert cluster.ecs.changes() == []
    assert "names images by tag: collector:1.0" in cluster.text


def test_images_for_other_environments_are_ignored(cluster: Cluster) -> None:
    status = cluster.run("deploy", "2", **{"worker-cad": image("worker-cad", "2")})

    assert (status, cluster.digits()) == (0, "222")


def test_missing_image_is_named(tmp_path: Path) -> None:
    lines: list[str] = []
    (tmp_path / "e.json").write_text(json.dumps(ENVIRONMENT))
    (tmp_path / "r.json").write_text(json.dumps({"release": "v2", "images": {"file-service": image("f", "2")}}))
    arguments = ["deploy", "--environment", str(tmp_path / "e.json"), "--release", str(tmp_path / "r.json")]
    status = main(arguments, connect=lambda *_, **__: None, report=lines.append)  # type: ignore[arg-type,return-value]

    assert status == 2
    assert "no image for worker-image, worker-office" in lines[0]


@pytest.mark.parametrize("content", ["{", '{"region": "eu-central-1"}', '{"region": "e", "cluster": "c", "x": 1}'])
def test_wrong_environment_file_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "environment.json"
    path.write_text(content)

    with pytest.raises(Refused, match="environment"):
        read(path, Environment)


def test_missing_release_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="No such file"):
        read(tmp_path / "release.json", Release)


def test_unknown_container_is_refused(cluster: Cluster) -> None:
    cluster.environment["workers"][0]["container"] = "worker"

    assert cluster.run("deploy") == 2
    assert "has no container worker" in cluster.text


def test_registered_fields_are_those_that_ecs_takes(client: Client) -> None:
    """A copy of a described definition must be a valid request, whatever botocore adds to one of the two."""
    model = client.boto.meta.service_model
    described = model.operation_model("DescribeTaskDefinition").output_shape.members["taskDefinition"].members
    taken = model.operation_model("RegisterTaskDefinition").input_shape.members

    assert set(described) - set(taken) == set(ANSWER_ONLY)


def test_empty_fields_of_an_answer_are_no_settings() -> None:
    assert settings_of({"family": "f", "volumes": [], "revision": 3, "cpu": "512"}) == {"family": "f", "cpu": "512"}


def test_other_containers_keep_their_images() -> None:
    sidecar = {"name": "collector", "image": image("collector", "5")}
    described = {"family": "f", "containerDefinitions": [{"name": "main", "image": image("main", "1")}, sidecar]}
    request = with_image(described, "main", image("main", "2"))

    assert [one["image"] for one in request["containerDefinitions"]] == [image("main", "2"), image("collector", "5")]
    assert described["containerDefinitions"][0]["image"] == image("main", "1")  # type: ignore[index]


def test_reserved_tags_are_left_out() -> None:
    tags = [{"key": "aws:x", "value": "1"}, {"key": "converto:release", "value": "v1"}, {"key": "team", "value": "a"}]

    assert tags_with_release(tags, "v2") == [
        {"key": "team", "value": "a"},
        {"key": "converto:release", "value": "v2"},
    ]


def test_help_names_every_exit_status(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])

    text = " ".join(capsys.readouterr().out.split())
    for status in ("0 done", "1 failed", "2 refused", "3 a service", "130 interrupted"):
        assert status in text
