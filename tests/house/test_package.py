"""The distributions are complete: the wheel installs into an empty environment, and the locks match pyproject.toml."""

import re
import tarfile
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from deploy.local.home import REPOSITORY
from tests.distributions import Distributions, run

PROJECT: dict[str, Any] = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))
PACKAGES = [Path(folder).name for folder in PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]]
LARGEST_INSTALLATION_BYTES = 25_000_000
LOCKS: dict[str, list[str]] = {
    "dev": ["local", "motor"],
    "cli": [],
    "server": ["server"],
    "worker": ["worker"],
    "local": ["local"],
    "motor": ["motor"],
}


@pytest.fixture(scope="module")
def wheel_files(distributions: Distributions) -> list[str]:
    return zipfile.ZipFile(distributions.wheel).namelist()


def test_every_package_in_the_wheel_is_typed(wheel_files: list[str]) -> None:
    assert {f"{package}/py.typed" for package in PACKAGES} <= set(wheel_files)


def test_wheel_holds_readme_and_licence(distributions: Distributions, wheel_files: list[str]) -> None:
    (metadata,) = [name for name in wheel_files if name.endswith(".dist-info/METADATA")]
    described = zipfile.ZipFile(distributions.wheel).read(metadata).decode()

    assert "License-Expression: Apache-2.0" in described
    assert (REPOSITORY / "README.md").read_text("utf-8").strip() in described
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in wheel_files)


def test_in_memory_adapters_are_only_in_the_sdist(distributions: Distributions, wheel_files: list[str]) -> None:
    with tarfile.open(distributions.sdist) as sdist:
        sources = sdist.getnames()

    assert any("/libs/converto_infra/memory/" in name for name in sources)
    assert [name for name in wheel_files if name.startswith("converto_infra/memory/")] == []


def test_installed_client_imports(installed_programs: Path) -> None:
    code = "import converto_client as c; print(c.__version__, c.Converto.__name__, c.AsyncConverto.__name__)"
    printed = run([str(installed_programs / "python"), "-I", "-c", code])

    assert re.fullmatch(r"\d+\.\d+\.\d+ Converto AsyncConverto\n", printed)


def test_installed_command_prints_help_and_version(installed_programs: Path) -> None:
    command = str(installed_programs / "converto")
    version = run([str(installed_programs / "python"), "-I", "-c", "import converto_client as c; print(c.__version__)"])

    assert "convert" in run([command, "--help"])
    assert run([command, "--version"]) == f"converto {version}"


def test_installation_is_small(installed_programs: Path) -> None:
    (packages,) = installed_programs.parent.glob("lib/python*/site-packages")
    sizes = [path.stat().st_size for path in packages.rglob("*") if path.is_file()]

    assert sum(sizes) <= LARGEST_INSTALLATION_BYTES


def test_every_process_has_a_command(installed_programs: Path) -> None:
    commands = set(PROJECT["project"]["scripts"])

    assert commands == {"converto", "converto-file-service", "converto-worker", "converto-housekeeping"}
    assert all((installed_programs / command).is_file() for command in commands)


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_satisfies_pyproject(lock: str) -> None:
    text = (REPOSITORY / "deploy" / "requirements" / f"{lock}.txt").read_text("utf-8")
    locked = dict(re.findall(r"^([a-z0-9-]+)==([^ ]+)", text, re.MULTILINE))
    groups = PROJECT["dependency-groups"]["dev"] if lock == "dev" else []
    wanted = [*PROJECT["project"]["dependencies"], *extra_requirements(LOCKS[lock]), *groups]

    assert "--hash=sha256:" in text
    for requirement in map(Requirement, wanted):
        assert requirement.specifier.contains(locked[canonicalize_name(requirement.name)]), requirement


def extra_requirements(names: list[str]) -> list[str]:
    """All requirements of these extras, and of the extras that they include."""
    found: list[str] = []
    for name in names:
        for line in PROJECT["project"]["optional-dependencies"][name]:
            requirement = Requirement(line)
            included = sorted(requirement.extras) if requirement.name == "converto" else []
            found += extra_requirements(included) if included else [line]
    return found
