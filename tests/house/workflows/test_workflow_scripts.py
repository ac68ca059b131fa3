"""Scripts of the workflows do what the next step expects of them; programs of the runners are stubs (behaviour C10)."""

import hashlib
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.aws import rollout
from deploy.aws.release import Release, read

ROOT = Path(__file__).resolve().parents[3]
DIGEST = "sha256:" + "a" * 64
IMAGES = ("file-service", "worker-image", "worker-media", "worker-model", "worker-office", "rotation")

pytestmark = pytest.mark.skipif(not shutil.which("jq"), reason="jq is not installed; GitHub's runners have it")


def script(path: str, name: str) -> str:
    """Return the script of a named step of a workflow or a composite action."""
    document: dict[str, Any] = yaml.safe_load((ROOT / ".github" / path).read_text())
    parts = document["jobs"].values() if "jobs" in document else [document["runs"]]
    (found,) = [step["run"] for part in parts for step in part.get("steps", ()) if step.get("name") == name]
    return str(found)


def run(text: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a script as GitHub does; programs in `folder/bin` come first."""
    environment = {"PATH": f"{folder}/bin:{os.environ['PATH']}", "GITHUB_OUTPUT": str(folder / "output"), **variables}
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", text]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=20)


def stub(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/bash\n{text}\n")
    path.chmod(0o755)


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """The folder `release` as the images workflow makes it from the digests of its jobs."""
    folder = tmp_path / "release"
    for image in IMAGES:
        path = folder / "digests" / f"{image}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'{{"{image}": "registry.example/converto/{image}@{DIGEST}"}}')
    done = run(script("workflows/images.yml", "Name every service's image by digest"), folder, VERSION="1.2.3")
    assert done.returncode == 0, done.stderr
    return folder


def hash_of(release: Path) -> str:
    return re.findall(r"^sha256=([0-9a-f]{64})$", (release / "output").read_text(), re.MULTILINE)[0]


def test_rollout_reads_the_release_file(release: Path) -> None:
    read_release = read(release / "release.json", Release)

    assert read_release.release == "1.2.3"
    assert set(read_release.images) == set(IMAGES) - {"rotation"}


def test_terraform_gets_the_rotation_image_too(release: Path) -> None:
    assert set(yaml.safe_load((release / "images.json").read_text())["images"]) == set(IMAGES)


@pytest.mark.parametrize("name", ["release.json", "images.json", "release.sha256"])
def test_changed_release_file_is_refused(name: str, release: Path) -> None:
    check = script("actions/release-file/action.yml", "Check the hash")
    sha256 = hash_of(release)
    assert run(check, release.parent, SHA256=sha256).returncode == 0

    with (release / name).open("a") as file:
        file.write(" ")
    assert run(check, release.parent, SHA256=sha256).returncode != 0


@pytest.mark.parametrize("unsigned", ["", "worker-media", "rotation"])
def test_one_image_without_signature_stops_the_deployment(unsigned: str, release: Path) -> None:
    stub(release / "bin/cosign", f'[[ "{unsigned}" == "" || "$2" != *"/{unsigned}@"* ]]')
    verify = script("actions/verify-images/action.yml", "Verify every signature")
    verified = run(verify, release, RELEASE_FILE="images.json", GITHUB_REPOSITORY="converto/converto")

    assert (verified.returncode == 0) is not bool(unsigned)
    assert f"signed: registry.example/converto/{unsigned or 'rotation'}@{DIGEST}" in verified.stdout or unsigned


@pytest.mark.parametrize(
    ("manifest", "is_taken"),
    [
        ('{"config": {}, "layers": []}', True),
        ('{"manifests": []}', False),
        ('{"config": {}, "manifests": []}', False),
        ("", False),
    ],
)
def test_rotation_image_must_be_a_plain_manifest(manifest: str, is_taken: bool, tmp_path: Path) -> None:
    stub(tmp_path / "bin/docker", f"echo '{manifest}'")
    check = script("workflows/images.yml", "It is a plain manifest, as Lambda needs it")

    assert (run(check, tmp_path, GHCR="ghcr.io/rotation", DIGEST=DIGEST).returncode == 0) is is_taken


def test_rotation_image_is_built_without_an_index() -> None:
    job = yaml.safe_load((ROOT / ".github/workflows/images.yml").read_text())["jobs"]["image"]
    rows = {row["image"]: (row["sbom"], row["provenance"]) for row in job["strategy"]["matrix"]["include"]}
    (build,) = [step["with"] for step in job["steps"] if step.get("id") == "build"]
    guarded = [step["name"] for step in job["steps"] if step.get("if") == "${{ !matrix.sbom }}"]
    copies = script(
        "workflows/images.yml", "Tag it, and copy it to ECR with its SBOM and provenance; the digest stays the same"
    )

    assert rows.pop("rotation") == (False, False)
    assert set(rows.values()) == {(True, "mode=max")}
    assert (build["sbom"], build["provenance"]) == ("${{ matrix.sbom }}", "${{ matrix.provenance }}")
    assert len(guarded) == 3
    assert copies.count("imagetools create") == copies.count("--prefer-index=false") == 2


def test_rotation_image_gets_sbom_and_provenance(tmp_path: Path) -> None:
    stub(tmp_path / "bin/cosign", 'echo "$4 $6 $7"')
    (tmp_path / "sbom.json").write_text("{}")
    github = {"SERVER_URL": "https://github.com", "REPOSITORY": "converto/converto", "REF": "refs/tags/v1.2.3"}
    github |= {"SHA": "b" * 40, "RUN_ID": "7", "RUN_ATTEMPT": "1"}
    variables = {f"GITHUB_{name}": value for name, value in github.items()}
    attach = script("workflows/images.yml", "Attach SBOM and provenance to both copies")
    attached = run(attach, tmp_path, GHCR="ghcr.io/rotation", ECR="ecr/rotation", DIGEST=DIGEST, **variables)
    provenance = json.loads((tmp_path / "provenance.json").read_text())

    assert attached.returncode == 0, attached.stderr
    assert attached.stdout.splitlines() == [
        f"{kind} {file} {image}/rotation@{DIGEST}"
        for image in ("ghcr.io", "ecr")
        for kind, file in (("spdxjson", "sbom.json"), ("slsaprovenance1", "provenance.json"))
    ]
    assert provenance["buildDefinition"]["resolvedDependencies"] == [
        {"uri": "git+https://github.com/converto/converto@refs/tags/v1.2.3", "digest": {"gitCommit": "b" * 40}}
    ]
    assert provenance["runDetails"]["metadata"]["invocationId"].endswith("/actions/runs/7/attempts/1")


@pytest.mark.parametrize("command", ["deploy", "rollback", "status"])
def test_rollout_accepts_its_arguments(command: str, tmp_path: Path) -> None:
    stub(tmp_path / ".venv/bin/python", 'printf "%s\\n" "$@"')
    files = {"ENVIRONMENT_FILE": "environment.json", "RELEASE_FILE": "release.json"}
    given = run(script("actions/roll-out/action.yml", "Run it"), tmp_path, COMMAND=command, **files)
    module, *arguments = given.stdout.split()[1:]

    assert module == "deploy.aws.rollout"
    assert rollout._parser().parse_args(arguments).command == command


@pytest.mark.parametrize(
    ("path", "name", "program"),
    [
        ("actions/roll-out/action.yml", "Run it", ".venv/bin/python"),
        ("workflows/deploy.yml", "Apply exactly the plan that was approved", "bin/terraform"),
    ],
)
def test_cancelled_job_reaches_the_program(path: str, name: str, program: str, tmp_path: Path) -> None:
    """The runner signals the shell of the step, so the program must have taken the shell's place."""
    approved = tmp_path / "approved.tfplan"
    approved.write_text("plan")
    stub(tmp_path / program, "echo $$")
    stub(tmp_path / "bin/aws", "")
    (tmp_path / "deploy").symlink_to(ROOT / "deploy")
    (tmp_path / "terraform/environments/dev").mkdir(parents=True)
    variables = {"COMMAND": "deploy", "ENVIRONMENT_FILE": "environment.json", "RELEASE_FILE": "release.json"}
    variables |= {"ENVIRONMENT": "dev", "SHA256": hashlib.sha256(b"plan").hexdigest(), "PLANS": "none", "NAME": "none"}
    (tmp_path / "step.sh").write_text(script(path, name))
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(tmp_path / "step.sh")]
    environment = {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}", **variables}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True) as process:
        printed, _ = process.communicate(timeout=20)

    assert printed.split() == [str(process.pid)]


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


@pytest.mark.parametrize(
    ("conclusions", "is_open"), [("success", True), ("failure", False), ("", False), ("failure,success", False)]
)
def test_release_needs_a_passed_gate(conclusions: str, is_open: bool, tmp_path: Path) -> None:
    stub(tmp_path / "bin/gh", f'echo "{conclusions}"')
    variables = {"GITHUB_REPOSITORY": "converto/converto", "GITHUB_SHA": "a" * 40, "GH_TOKEN": "none"}
    checked = run(script("workflows/release.yml", "The gate of ci passed on this commit"), tmp_path, **variables)

    assert (checked.returncode == 0) is is_open
