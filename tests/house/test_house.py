"""The rules of the house that no linter knows: where programs start, what no file may name, which ids are proved."""

import ast
import functools
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted([*ROOT.glob("libs/**/*.py"), *ROOT.glob("services/**/*.py")])
# An adapter is one package.
DRIVERS = {
    "pymongo": "libs/converto_infra/mongo/",
    "aio_pika": "libs/converto_infra/rabbitmq/",
    "aiormq": "libs/converto_infra/rabbitmq/",
    "boto3": "libs/converto_infra/s3/",
    "botocore": "libs/converto_infra/s3/",
    "pybreaker": "libs/converto_infra/resilience",
    "subprocess": "nowhere",
}


@functools.cache
def imported_modules(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    return names


def is_inside_the_sandbox(path: Path) -> bool:
    return "sandboxed" in path.parts


@pytest.mark.parametrize("driver", DRIVERS)
def test_driver_when_imported_then_only_in_its_one_adapter(driver: str) -> None:
    users = {
        path.relative_to(ROOT).as_posix()
        for path in SOURCES
        if driver in imported_modules(path) and not is_inside_the_sandbox(path)
    }

    assert {user for user in users if not user.startswith(DRIVERS[driver])} == set()


def test_programs_when_started_then_only_by_process_py() -> None:
    starters = re.compile(r"create_subprocess_|os\.(spawn|posix_spawn|exec|fork|popen|system)|subprocess\.")
    users = {
        path.relative_to(ROOT).as_posix()
        for path in SOURCES
        if starters.search(path.read_text(encoding="utf-8")) and not is_inside_the_sandbox(path)
    }

    assert users <= {"libs/converto_engines/runtime/process.py"}


def test_every_module_when_read_then_says_what_it_is_for() -> None:
    silent = [
        path.relative_to(ROOT).as_posix()
        for path in SOURCES
        if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    ]

    assert silent == []


def test_no_file_when_committed_names_an_index_host_or_a_path_of_a_machine() -> None:
    hosts = ("pypi" + ".org", "python" + "hosted.org", "registry.npm" + "js.org", "deb.debian" + ".org")
    paths = re.compile(r"(?<![\w.$}])/(?:work/main|home/[a-z]+|Users)/")
    guilty = []
    for path in committed_files():
        text = path.read_text(encoding="utf-8", errors="ignore")
        if any(host in text for host in hosts) or paths.search(text):
            guilty.append(path.relative_to(ROOT).as_posix())

    assert guilty == []


def test_behaviour_ids_when_the_map_claims_a_proof_then_the_test_file_names_the_id() -> None:
    rows = re.findall(r"^\| ([IMWC]\d+) \|.*\| (.+) \|$", (ROOT / "ARCHITECTURE.md").read_text("utf-8"), re.MULTILINE)
    wrong = []
    for behaviour, proofs in rows:
        for name in re.findall(r"`(tests/[\w/.]+\.py)`", proofs):
            path = ROOT / name
            if not path.exists() or not re.search(rf"\b{behaviour}\b", path.read_text(encoding="utf-8")):
                wrong.append((behaviour, name))

    assert rows, "ARCHITECTURE.md has no table of behaviours"
    assert wrong == []


def committed_files() -> list[Path]:
    """What git tracks, without what is not text."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]
