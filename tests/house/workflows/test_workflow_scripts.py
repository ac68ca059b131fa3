"""Scripts of the workflows do what the next step expects of them; programs of the runners are stubs (behaviour C10)."""

from pathlib import Path

import pytest
import yaml

from deploy.aws import rollout
from deploy.aws.release import Release, read
from tests.house.workflows.conftest import IMAGES, hash_of, needs_jq, run, script, stub

pytestmark = needs_jq


def test_rollout_reads_the_release_file(release: Path) -> None:
    read_release = read(release / "release.json", Release)

    assert read_release.release == "1.2.3"
    assert set(read_release.images) == set(IMAGES) - {"rotation"}


def test_terraform_gets_the_rotation_image_too(release: Path) -> None:
    assert set(yaml.safe_load((release / "images.json").read_text())["images"]) == set(IMAGES)


@pytest.mark.parametrize("command", ["deploy", "rollback", "status"])
def test_rollout_accepts_its_arguments(command: str, tmp_path: Path) -> None:
    stub(tmp_path / ".venv/bin/python", 'printf "%s\\n" "$@"')
    files = {"ENVIRONMENT_FILE": "environment.json", "RELEASE_FILE": "release.json"}
    given = run(script("actions/roll-out/action.yml", "Run it"), tmp_path, COMMAND=command, **files)
    module, *arguments = given.stdout.split()[1:]

    assert module == "deploy.aws.rollout"
    assert rollout._parser().parse_args(arguments).command == command


def test_distributions_are_checked_against_their_hash(tmp_path: Path) -> None:
    stub(
        tmp_path / ".venv/bin/python",
        "mkdir dist && echo wheel > dist/converto.whl && echo sdist > dist/converto.tar.gz",
    )
    built = run(script("workflows/release.yml", "Build with the locked hatchling"), tmp_path)
    assert built.returncode == 0, built.stderr
    check = script("workflows/release.yml", "These are the files that were built")
    sha256 = hash_of(tmp_path)
    assert run(check, tmp_path, SHA256=sha256).returncode == 0

    (tmp_path / "dist/converto.whl").write_text("another")
    assert run(check, tmp_path, SHA256=sha256).returncode != 0
