"""Fixtures of the Terraform suite: Terraform with its provider, the AWS double, a summary of what was done."""

import os
from collections.abc import Iterator
from typing import Any

import pytest

from tests.terraform import summary
from tests.terraform.aws import Aws, running_double
from tests.terraform.mirror import Missing, find
from tests.terraform.workspace import Workspace


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A copy of all configurations; skips where Terraform or its provider is not, and fails in CI if it was."""
    folder = tmp_path_factory.mktemp("terraform")
    try:
        found = find(os.environ, folder)
    except Missing as missing:
        if missing.is_expected:
            pytest.fail(f"Terraform has to run here, but {missing}")
        pytest.skip(f"no Terraform for this test: {missing}")
    return Workspace(found, folder / "copy")


@pytest.fixture(scope="session")
def aws_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    """The double's process, shared by all tests of this process."""
    with running_double(tmp_path_factory.mktemp("aws")) as aws:
        yield aws


@pytest.fixture(scope="module")
def aws(aws_process: Aws) -> Aws:
    """An empty AWS account."""
    aws_process.reset()
    return aws_process


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Spread the tests over processes, except those that share an account: each process would make its own."""
    from tests.terraform.sharing import ByAccount  # pytest-xdist may be absent

    return ByAccount(config, log) if config.getvalue("dist") == "loadgroup" else None


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print what was planned, applied, read back, executed and destroyed."""
    reports = [report for outcome in ("passed", "failed") for report in terminalreporter.stats.get(outcome, [])]
    properties = [pair for report in reports if report.when == "call" for pair in report.user_properties]
    if done := summary.lines(properties):
        terminalreporter.section("Terraform")
        for line in done:
            terminalreporter.write_line(line)
