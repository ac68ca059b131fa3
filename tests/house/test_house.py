"""House rules that no linter checks: where programs start, what no file may name, which behaviours are proven."""

import ast
import functools
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted([*ROOT.glob("libs/**/*.py"), *ROOT.glob("services/**/*.py")])
# An adapter is one package. boto3 is the driver of two: S3 and SQS.
DRIVERS: dict[str, str | tuple[str, ...]] = {
    "pymongo": "libs/converto_infra/mongo/",
    "aio_pika": "libs/converto_infra/rabbitmq/",
    "aiormq": "libs/converto_infra/rabbitmq/",
    "boto3": ("libs/converto_infra/s3/", "libs/converto_infra/sqs/"),
    "botocore": ("libs/converto_infra/s3/", "libs/converto_infra/sqs/"),
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
def test_driver_is_imported_only_in_its_adapter(driver: str) -> None:
    users = {
        path.relative_to(ROOT).as_posix()
        for path in SOURCES
        if driver in imported_modules(path) and not is_inside_the_sandbox(path)
    }

    assert {user for user in users if not user.startswith(DRIVERS[driver])} == set()


def test_only_process_py_starts_programs() -> None:
    starters = re.compile(r"create_subprocess_|os\.(spawn|posix_spawn|exec|fork|popen|system)|subprocess\.")
    users = {
        path.relative_to(ROOT).as_posix()
        for path in SOURCES
        if starters.search(path.read_text(encoding="utf-8")) and not is_inside_the_sandbox(path)
    }

    assert users <= {"libs/converto_engines/runtime/process.py"}


def test_every_module_has_a_docstring() -> None:
    undocumented = [
        path.relative_to(ROOT).as_posix()
        for path in SOURCES
        if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    ]

    assert undocumented == []


def test_no_file_names_an_index_host_or_machine_path() -> None:
    hosts = ("pypi" + ".org", "python" + "hosted.org", "registry.npm" + "js.org", "deb.debian" + ".org")
    paths = re.compile(r"(?<![\w.$}])/(?:work/main|home/[a-z]+|Users)/")
    offending = []
    for path in committed_files():
        text = path.read_text(encoding="utf-8", errors="ignore")
        if any(host in text for host in hosts) or paths.search(text):
            offending.append(path.relative_to(ROOT).as_posix())

    assert offending == []


def test_behaviour_ids_are_named_by_their_proofs() -> None:
    rows = re.findall(
        r"^\| ([IMWC]\d+) \|.*\| (.+) \|$", (ROOT / "docs/behaviours.md").read_text("utf-8"), re.MULTILINE
    )
    wrong = []
    for behaviour, proofs in rows:
        for name in re.findall(r"`(tests/[\w/.]+\.py)`", proofs):
            path = ROOT / name
            if not path.exists() or not re.search(rf"\b{behaviour}\b", path.read_text(encoding="utf-8")):
                wrong.append((behaviour, name))

    assert rows, "docs/behaviours.md has no table of behaviours"
    assert wrong == []


def committed_files() -> list[Path]:
    """Return all files that git tracks."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]
