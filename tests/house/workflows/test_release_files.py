"""What is rolled out is what was verified: run, files, images and their signatures (behaviour C10)."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.house.workflows.conftest import DIGEST, IMAGES, REGISTRY, ROOT, answer, hash_of, needs_jq, run, script, stub

pytestmark = needs_jq

COMMIT = "c" * 40
OURS = "converto/converto"
API = f"repos/{OURS}"
RELEASE_FILE = "actions/release-file/action.yml"
IDENTITY = f"https://github.com/{OURS}/.github/workflows/images.yml@refs/tags/v1.2.3"
PINS = {
    "--certificate-oidc-issuer": "https://token.actions.githubusercontent.com",
    "--certificate-identity": IDENTITY,
    "--certificate-github-workflow-repository": OURS,
    "--certificate-github-workflow-ref": "refs/tags/v1.2.3",
}
Change = Callable[[dict[str, Any]], object]


def change(path: Path, how: Change) -> None:
    """Change a JSON file."""
    content = json.loads(path.read_text())
    how(content)
    path.write_text(json.dumps(content))


def check(release: Path, sha256: str) -> int:
    return run(script(RELEASE_FILE, "Check the hash"), release.parent, SHA256=sha256).returncode


def make_release_file(release: Path, *, tag: str = "v1.2.3", registry: str = REGISTRY) -> int:
    made = script(RELEASE_FILE, "Make release.json from images.json")
    return run(made, release.parent, REGISTRY=registry, TAG=tag).returncode


@pytest.mark.parametrize("name", ["release.json", "images.json", "release.sha256"])
def test_changed_release_file_is_refused(name: str, release: Path) -> None:
    sha256 = hash_of(release)
    assert check(release, sha256) == 0
    assert hash_of(release.parent) == sha256

    with (release / name).open("a") as file:
        file.write(" ")
    assert check(release, sha256) != 0


def test_file_without_a_hash_is_refused(release: Path) -> None:
    lines = (release / "release.sha256").read_text().splitlines(keepends=True)
    (release / "release.sha256").write_text(lines[0])

    assert check(release, "") != 0


def test_hash_of_a_release_nobody_has_seen_is_handed_on(release: Path) -> None:
    assert check(release, "") == 0
    assert hash_of(release.parent) == hash_of(release)


def test_rollout_gets_the_images_that_terraform_gets(release: Path) -> None:
    change(release / "release.json", lambda file: file["images"].update({"file-service": f"evil.example/x@{DIGEST}"}))
    images = json.loads((release / "images.json").read_text())["images"]

    assert make_release_file(release) == 0
    made = json.loads((release / "release.json").read_text())
    assert made == {
        "release": "1.2.3",
        "images": {name: image for name, image in images.items() if name != "rotation"},
    }


@pytest.mark.parametrize(
    "how",
    [
        lambda file: file.update(images={}),
        lambda file: file.update(images=[f"{REGISTRY}/converto/file-service@{DIGEST}"] * 2),
        lambda file: file["images"].update({"worker-image": f"evil.example/converto/worker-image@{DIGEST}"}),
        lambda file: file["images"].update({"worker-image": f"{REGISTRY}.evil.example/converto/x@{DIGEST}"}),
        lambda file: file["images"].update({"worker-image": f"{REGISTRY}/converto/worker-image:1.2.3"}),
        lambda file: file["images"].update({"worker-image": f"{REGISTRY}/x@{DIGEST}\n"}),
        lambda file: file["images"].update({"worker-image": f"{REGISTRY}/x@{DIGEST}\nevil.example/x@{DIGEST}"}),
        lambda file: file["images"].update({"worker-image": None}),
        lambda file: file.update(release="9.9.9"),
        lambda file: file.update(release="1.2.3/../../heads/main"),
        lambda file: file.update(release="1.2.3\n"),
        lambda file: file.update(more=1),
    ],
)
def test_strange_release_is_refused(how: Change, release: Path) -> None:
    change(release / "images.json", how)

    assert make_release_file(release) != 0


@pytest.mark.parametrize("times", [0, 2])
def test_file_must_hold_one_release(times: int, release: Path) -> None:
    content = (release / "images.json").read_text()
    (release / "images.json").write_text(content * times)

    assert make_release_file(release) != 0


def test_registry_that_nobody_set_is_refused(release: Path) -> None:
    assert make_release_file(release, registry="") != 0


RUN = {
    **{"path": ".github/workflows/release.yml", "event": "push", "head_branch": "v1.2.3", "head_sha": COMMIT},
    **{"repository": {"full_name": OURS}, "head_repository": {"full_name": OURS}},
}


@pytest.mark.parametrize(
    ("wrong", "path"),
    [
        ({}, ""),
        ({"status": "identical"}, f"{API}/compare/main...{COMMIT}"),
        ({"path": ".github/workflows/release.yml@v1.2.3"}, f"{API}/actions/runs/7"),
        ({"path": ".github/workflows/other.yml"}, f"{API}/actions/runs/7"),
        ({"event": "pull_request"}, f"{API}/actions/runs/7"),
        ({"head_branch": "main"}, f"{API}/actions/runs/7"),
        ({"head_repository": {"full_name": "fork/converto"}}, f"{API}/actions/runs/7"),
        ({"head_repository": None}, f"{API}/actions/runs/7"),
        ({"sha": "d" * 40}, f"{API}/commits/tags/v1.2.3"),
        ({"status": "ahead"}, f"{API}/compare/main...{COMMIT}"),
        ({"status": "diverged"}, f"{API}/compare/main...{COMMIT}"),
    ],
)
def test_run_must_be_a_release_from_the_default_branch(wrong: dict[str, Any], path: str, tmp_path: Path) -> None:
    answers: dict[str, dict[str, Any]] = {
        f"{API}/actions/runs/7": RUN,
        f"{API}/commits/tags/v1.2.3": {"sha": COMMIT},
        API: {"default_branch": "main"},
        f"{API}/compare/main...{COMMIT}": {"status": "behind"},
    }
    answers[path] = answers.get(path, {}) | wrong
    answer(tmp_path, answers)
    checked = run(script(RELEASE_FILE, "Check the run"), tmp_path, GITHUB_REPOSITORY=OURS, RUN_ID="7")
    is_right = not wrong or "identical" in wrong.values() or str(wrong.get("path")).endswith("release.yml@v1.2.3")

    assert (checked.returncode == 0) is is_right, checked.stderr
    assert not is_right or (tmp_path / "output").read_text() == "tag=v1.2.3\n"


@pytest.mark.parametrize("number", ["", "7/../8", "7?x", "v1"])
def test_number_of_the_run_must_be_a_number(number: str, tmp_path: Path) -> None:
    stub(tmp_path / "bin/gh", "touch called")
    checked = run(script(RELEASE_FILE, "Check the run"), tmp_path, GITHUB_REPOSITORY=OURS, RUN_ID=number)

    assert checked.returncode != 0
    assert not (tmp_path / "called").exists()


def cosign(folder: Path, *, unsigned: str = "no image") -> None:
    """Put a stub of `cosign verify` into a folder; it keeps its arguments and refuses one image."""
    stub(folder / "bin/cosign", f'printf "%s\\n" "$*" >> {folder}/verified\n[[ "$2" != *"/{unsigned}@"* ]]')


def verified(folder: Path) -> list[list[str]]:
    return [line.split(" ") for line in (folder / "verified").read_text().splitlines()]


@pytest.mark.parametrize("unsigned", ["no image", "file-service", "worker-media", "rotation"])
def test_one_image_without_signature_stops_the_deployment(unsigned: str, release: Path) -> None:
    cosign(release, unsigned=unsigned)
    verify = script("actions/verify-images/action.yml", "Verify every signature")
    done = run(verify, release, RELEASE_FILE="images.json", GITHUB_REPOSITORY=OURS)
    signed = {f"signed: {REGISTRY}/converto/{image}@{DIGEST}" for image in IMAGES}

    assert (done.returncode == 0) is (unsigned == "no image")
    assert (set(done.stdout.splitlines()) == signed) is (unsigned == "no image")


def test_signature_counts_for_our_workflow_and_tag_only(release: Path) -> None:
    cosign(release)
    verify = script("actions/verify-images/action.yml", "Verify every signature")
    assert run(verify, release, RELEASE_FILE="images.json", GITHUB_REPOSITORY=OURS).returncode == 0

    for command, _, *arguments in verified(release):
        assert command == "verify"
        assert dict(zip(arguments[::2], arguments[1::2], strict=True)) == PINS


@pytest.mark.parametrize("content", ['{"release": "1.2.3", "images": {}}', '{"images": {"a": "b"}}', "{}", "", "["])
def test_release_without_images_or_version_is_refused(content: str, release: Path) -> None:
    cosign(release)
    (release / "images.json").write_text(content)
    verify = script("actions/verify-images/action.yml", "Verify every signature")

    assert run(verify, release, RELEASE_FILE="images.json", GITHUB_REPOSITORY=OURS).returncode != 0
    assert not (release / "verified").exists()


def test_deployment_rolls_out_the_verified_images_only(release: Path) -> None:
    """Runs the steps of the job as deploy.yml puts them together, up to the rollout."""
    change(release / "release.json", lambda file: file["images"].update({"file-service": f"evil.example/x@{DIGEST}"}))
    cosign(release.parent)
    rolled_out = {}
    for step in yaml.safe_load((ROOT / ".github/workflows/deploy.yml").read_text())["jobs"]["roll-out"]["steps"]:
        if step.get("uses") == "./.github/actions/roll-out":
            rolled_out = json.loads((release.parent / step["with"]["release-file"]).read_text())["images"]
            break
        if step.get("uses") in {"./.github/actions/release-file", "./.github/actions/verify-images"}:
            run_action(step, release.parent)

    assert set(rolled_out) == set(IMAGES) - {"rotation"}
    assert set(rolled_out.values()) <= {image for _, image, *_ in verified(release.parent)}


def run_action(step: dict[str, Any], folder: Path) -> None:
    """Run the scripts of a composite action that need no artifact from GitHub."""
    given = {**step["with"], "registry": REGISTRY}
    action = yaml.safe_load((ROOT / step["uses"] / "action.yml").read_text())
    for part in [one for one in action["runs"]["steps"] if "run" in one and "if" not in one]:
        values = {name: with_inputs(text, given) for name, text in part["env"].items()}
        if "SHA256" in values:
            values["SHA256"] = ""
        done = run(part["run"], folder, GITHUB_REPOSITORY=OURS, **values)
        assert part["name"] == "Check the hash" or done.returncode == 0, done.stderr


def with_inputs(text: str, given: dict[str, str]) -> str:
    named = re.sub(r"\$\{\{ inputs\.([\w-]+) \}\}", lambda found: given[found[1]], text)
    return re.sub(r"\$\{\{.*?\}\}", "", named)


def test_roll_out_reads_the_files_that_the_plan_read() -> None:
    jobs = yaml.safe_load((ROOT / ".github/workflows/deploy.yml").read_text())["jobs"]
    name = "./.github/actions/release-file"
    files = {job: [step for step in jobs[job]["steps"] if step.get("uses") == name] for job in ("plan", "roll-out")}

    assert jobs["plan"]["outputs"]["release-sha256"] == f"${{{{ steps.{files['plan'][0]['id']}.outputs.sha256 }}}}"
    assert files["roll-out"][0]["with"]["sha256"] == "${{ needs.plan.outputs.release-sha256 }}"
    assert files["plan"][0]["with"]["sha256"] == "${{ inputs.release-sha256 }}"


GATE = {"path": ".github/workflows/ci.yml", "head_branch": "main", "event": "push", "head_sha": COMMIT, "id": 5}


@pytest.mark.parametrize(
    ("runs", "jobs", "is_open"),
    [
        ([{"conclusion": "success"}], ["success"], True),
        ([{"conclusion": "failure"}], ["success"], False),
        ([{"conclusion": None}], [None], False),
        ([], ["success"], False),
        ([{"conclusion": "success"}], ["failure"], False),
        ([{"conclusion": "success"}], ["skipped"], False),
        ([{"conclusion": "success"}], [], False),
        ([{"conclusion": "failure"}, {"conclusion": "success"}], ["success"], False),
        ([{"conclusion": "success", "path": ".github/workflows/other.yml"}], ["success"], False),
        ([{"conclusion": "success", "head_branch": "feature"}], ["success"], False),
        ([{"conclusion": "success", "event": "pull_request"}], ["success"], False),
        ([{"conclusion": "success", "head_sha": "d" * 40}], ["success"], False),
    ],
)
def test_release_needs_a_passed_gate(
    runs: list[dict[str, Any]], jobs: list[str], is_open: bool, tmp_path: Path
) -> None:
    all_jobs = [{"name": "lint", "conclusion": "success"}, *({"name": "ci", "conclusion": one} for one in jobs)]
    answers = {
        f"{API}/actions/workflows/ci.yml/runs?head_sha={COMMIT}&event=push": {
            "workflow_runs": [{**GATE, **one} for one in runs]
        },
        f"{API}/actions/runs/5/jobs?filter=latest&per_page=100": {"jobs": all_jobs},
    }
    answer(tmp_path, answers)
    variables = {"GITHUB_REPOSITORY": OURS, "GITHUB_SHA": COMMIT, "DEFAULT_BRANCH": "main"}
    checked = run(script("workflows/release.yml", "The gate of ci passed on this commit"), tmp_path, **variables)

    assert (checked.returncode == 0) is is_open


@pytest.mark.parametrize(
    ("status", "is_open"), [("identical", True), ("behind", True), ("ahead", False), ("diverged", False)]
)
def test_release_needs_a_tag_on_the_default_branch(status: str, is_open: bool, tmp_path: Path) -> None:
    answer(tmp_path, {f"{API}/compare/main...{COMMIT}": {"status": status}})
    variables = {"GITHUB_REPOSITORY": OURS, "GITHUB_SHA": COMMIT, "DEFAULT_BRANCH": "main"}
    checked = run(script("workflows/release.yml", "The tag is on the default branch"), tmp_path, **variables)

    assert (checked.returncode == 0) is is_open
