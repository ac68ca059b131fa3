"""Rules for terraform/ that need no Terraform: parts of a module, variables, providers, secrets, documentation."""

import re
from pathlib import Path
from typing import NamedTuple

import pytest

from deploy.aws.deployments import blue_green, rolling
from deploy.aws.release import FileService, Smoke, TargetGroups, WorkerService

ROOT = Path(__file__).resolve().parents[2] / "terraform"
PARTS = ("main.tf", "variables.tf", "outputs.tf", "versions.tf", "README.md")
MODULES = sorted(path for path in (ROOT / "modules").iterdir() if any(path.glob("*.tf")))
CONFIGURATIONS = sorted({path.parent for path in ROOT.rglob("*.tf") if ".terraform" not in path.parts})
SECRET_NAME = re.compile(r"password|passwd|secret|token|api_key|private_key|credential")
REFERS = re.compile(r"(_arns?|_days|_minutes|_names?|_secret)$")
"""Endings of names that say where a secret is, or how long it lives, and not what it is."""
REFUSES_VALUES = re.compile(r'regex\("\^arn:')
"""A validation that admits ARNs only."""
NO_SECRETS = {"api_keys"}
"""Says whether the API accepts keys."""
ARGUMENTS = {"taskDefinition": "task_definition", "loadBalancers": "load_balancer", "alarms": "alarms"}
"""What a rollout changes of a service, in the words of the provider."""
NOT_IN_THE_PROVIDER = {"strategy", "bakeTimeInMinutes", "lifecycleHooks"}
"""What provider 5.100 does not know of a service, and so does not change back."""
SAME_IN_BOTH = {
    "minimumHealthyPercent": "deployment_minimum_healthy_percent = 100",
    "maximumPercent": "deployment_maximum_percent         = 200",
    "deploymentCircuitBreaker": "deployment_circuit_breaker {\n    enable   = true\n    rollback = true\n  }",
}


class Block(NamedTuple):
    """One block at the top of a file; `terraform fmt` puts its braces at the start of a line."""

    kind: str
    labels: tuple[str, ...]
    body: str


def blocks_of(path: Path, kind: str) -> list[Block]:
    """All blocks of a kind in a folder or a file."""
    files = sorted(path.glob("*.tf")) if path.is_dir() else [path]
    pattern = re.compile(
        rf'^{kind}((?: "[^"]+")*) \{{(.*?)^\}}|^{kind}((?: "[^"]+")*) \{{\s*\}}$', re.MULTILINE | re.DOTALL
    )
    return [
        Block(kind, tuple(re.findall(r'"([^"]+)"', found[1] or found[3] or "")), found[2] or "")
        for file in files
        for found in pattern.finditer(file.read_text("utf-8"))
    ]


def is_set(body: str, argument: str) -> bool:
    return re.search(rf"^  {argument}\s*=", body, re.MULTILINE) is not None


every_module = pytest.mark.parametrize("module", MODULES, ids=lambda path: path.name)
every_configuration = pytest.mark.parametrize(
    "configuration", CONFIGURATIONS, ids=lambda path: path.relative_to(ROOT).as_posix()
)


@every_module
def test_module_has_its_parts(module: Path) -> None:
    assert [part for part in PARTS if not (module / part).is_file()] == []
    assert list((module / "tests").glob("*.tftest.hcl"))


@every_configuration
def test_variables_are_typed_and_described(configuration: Path) -> None:
    variables = blocks_of(configuration, "variable")
    incomplete = [
        f"{one.labels[0]}: {argument}"
        for one in variables
        for argument in ("type", "description")
        if not is_set(one.body, argument)
    ]

    assert incomplete == []


@every_configuration
def test_outputs_are_described(configuration: Path) -> None:
    assert [one.labels[0] for one in blocks_of(configuration, "output") if not is_set(one.body, "description")] == []


@every_configuration
def test_no_variable_or_output_holds_a_secret(configuration: Path) -> None:
    suspicious = [
        f"{kind} {one.labels[0]}"
        for kind in ("variable", "output")
        for one in blocks_of(configuration, kind)
        if SECRET_NAME.search(one.labels[0]) and not REFERS.search(one.labels[0])
        if one.labels[0] not in NO_SECRETS and not is_set(one.body, "sensitive") and not REFUSES_VALUES.search(one.body)
    ]

    assert suspicious == []


@every_configuration
def test_aws_is_the_only_provider(configuration: Path) -> None:
    declared = {
        name
        for one in blocks_of(configuration, "terraform")
        for name in re.findall(r"^    ([\w-]+) = \{", one.body, re.MULTILINE)
    }
    used = {
        one.labels[0].split("_")[0]
        for kind in ("resource", "data", "ephemeral")
        for one in blocks_of(configuration, kind)
    }

    assert declared <= {"aws"}
    assert used <= {"aws", "terraform"}


@every_module
def test_module_says_which_versions_it_needs(module: Path) -> None:
    text = (module / "versions.tf").read_text("utf-8")

    assert re.search(r'required_version = ">= 1\.11"', text)
    assert re.search(r'version\s*= ">= 5\.100\.0, < 7\.0\.0"', text)


@every_module
def test_readme_lists_inputs_and_outputs(module: Path) -> None:
    text = (module / "README.md").read_text("utf-8")
    names = {one.labels[0] for kind in ("variable", "output") for one in blocks_of(module, kind)}

    assert sorted(name for name in names if f"`{name}`" not in text) == []


@every_module
def test_module_sets_no_provider_up(module: Path) -> None:
    assert blocks_of(module, "provider") == []


@every_configuration
def test_default_of_a_variable_is_not_unsafe(configuration: Path) -> None:
    unsafe = {
        one.labels[0]: found[0]
        for one in blocks_of(configuration, "variable")
        if (found := re.search(r'^  default\s*=.*(?:0\.0\.0\.0/0|"\*")', one.body, re.MULTILINE))
    }
    switches = [
        one.labels[0]
        for one in blocks_of(configuration, "variable")
        if re.search(r"protection|encrypt", one.labels[0])
        and re.search(r"^  default\s*=\s*false", one.body, re.MULTILINE)
    ]

    assert unsafe == {}
    assert switches == []


def test_there_are_modules_and_blocks_are_found() -> None:
    assert len(MODULES) >= 1
    assert {"name", "account_id"} <= {one.labels[0] for one in blocks_of(ROOT / "modules/policies", "variable")}


def resource(module: str, kind: str) -> str:
    """The body of the only resource of a kind in a module."""
    [body] = [one.body for one in blocks_of(ROOT / "modules" / module, "resource") if one.labels[0] == kind]
    return body


def changes_of_a_rollout() -> set[str]:
    """Names of all settings that deploy/aws sends to ECS for a service."""
    target_groups, smoke = TargetGroups(blue="b", green="g"), Smoke(url="https://balancer")
    api = FileService(
        service="file-service",
        container="file-service",
        port=8000,
        target_groups=target_groups,
        production_rule="p",
        test_rule="t",
        infrastructure_role="r",
        smoke=smoke,
        alarms=("5xx",),
    )
    worker = WorkerService(service="worker-office", container="worker-office", alarms=("failures",))
    requests = [blue_green("one:1", api, {}, is_tried=True), rolling("one:1", worker)]
    return {name for one in requests for name in (one.keys() | one["deploymentConfiguration"].keys())} - {
        "deploymentConfiguration"
    }


def test_plan_after_a_rollout_changes_no_service() -> None:
    service = resource("service", "aws_ecs_service")
    listed = re.search(r"ignore_changes = \[([^\]]*)\]", service)
    ignored = set(re.split(r",\s*", listed[1])) if listed else set()
    changed = changes_of_a_rollout()

    assert changed == ARGUMENTS.keys() | NOT_IN_THE_PROVIDER | SAME_IN_BOTH.keys()
    assert {argument for name, argument in ARGUMENTS.items() if name in changed} <= ignored
    assert [text for text in SAME_IN_BOTH.values() if text not in service] == []


def test_target_groups_are_given_away_with_their_listener_rules() -> None:
    outputs = {one.labels[0]: one.body for one in blocks_of(ROOT / "modules/load-balancer", "output")}

    assert "depends_on = [aws_lb_listener_rule.this]" in outputs["target_group_arns"]


def test_backups_start_outside_the_windows_of_the_database() -> None:
    """AWS refuses or delays a backup that meets the database's own or its maintenance."""
    windows = {one.labels[0]: one.body for one in blocks_of(ROOT / "modules/database", "variable")}
    [schedule] = [one.body for one in blocks_of(ROOT / "modules/backup", "variable") if one.labels[0] == "schedule"]
    minute, hour = re.findall(r'"cron\((\d+) (\d+) ', schedule)[0]
    start = int(hour) * 60 + int(minute)
    times = [
        (int(h) * 60 + int(m))
        for window in ("backup_window", "maintenance_window")
        for h, m in re.findall(r"(\d\d):(\d\d)", re.findall(r"default +=(.*)", windows[window])[0])
    ]

    assert len(times) == 4
    assert not any(begin - 120 < start < end for begin, end in zip(times[::2], times[1::2], strict=True))


def test_rotation_may_read_the_secret_of_its_own_database_only() -> None:
    calls = {one.labels[0]: one.body for one in blocks_of(ROOT / "modules/platform", "module")}
    [policies] = re.findall(r"rotation_policy_json += module\.(\w+)", calls["secrets"])

    assert re.search(r"database_master_secret_arn += module\.database\.master_secret_arn", calls[policies])


def test_bill_adds_up() -> None:
    """The last row is the sum of the others, give or take a dollar for rounding."""
    page = (ROOT / "README.md").read_text("utf-8")
    bill = page[page.index("| part | unit price |") : page.index("| **together")].splitlines()[2:]
    total = next(line for line in page.splitlines() if line.startswith("| **together"))
    *rows, last = [line.strip("|").split("|")[2:] for line in [*bill, total]]

    assert rows
    assert [amount(cell) for cell in last] == pytest.approx(
        [sum(map(amount, column)) for column in zip(*rows, strict=True)], abs=1
    )


def amount(cell: str) -> int:
    """The amount at the end of a cell, such as `3 × r6g = 569`."""
    return int(re.sub(r"[^0-9]", "", cell.rsplit("=", maxsplit=1)[-1]))


@pytest.mark.parametrize("name", ["variables.tf", "outputs.tf"])
def test_environments_take_and_give_the_same(name: str) -> None:
    """Terraform cannot share these blocks between root modules."""
    texts = {
        (ROOT / "environments" / environment / name).read_text() for environment in ("dev", "staging", "production")
    }

    assert len(texts) == 1
