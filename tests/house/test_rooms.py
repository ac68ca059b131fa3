"""The house in order: small rooms, the field's own words in names, docstrings that say something."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("libs", "services", "deploy", "tests", "bench")
SOURCES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
MOST_FILES = 15
"""Side by side in one folder, `__init__.py` not counted: what a reader takes in at a glance."""

BANNED_WORDS = frozenset(
    """
    manager helper helpers util utils common
    parked parking company patience outlook departure departures border lull concurrently portal suspect suspects
    wakeup wakeups surroundings
    """.split()  # noqa: SIM905 - reads better than a list of quoted words
)
PUBLIC_NAMES = frozenset(
    [
        *("parked", "parked_message", "requeue_parked", "drop_parked", "requeue_many_parked", "drop_many_parked"),
        "parked_retention_s",
    ]
)
"""Methods of the Python client that mirror the path `/admin/parked`, and a setting: users rely on both."""

CLIENT_FIELDS = frozenset(["outlook", "wakeup_due_at", "patience_s"])
"""Fields of the Python client's public structs; the first two are also JSON fields."""

FORMULAS = re.compile(
    r"\bknows? (no|nothing|neither|of no)\b|\bEverything is passed in\b|\bnothing is opened here\b"
    r"|\bIt (decides|starts|builds|draws) (nothing|no)\b"
)


def names_in(tree: ast.AST) -> Iterator[str]:
    """Every name that the code itself defines: classes, functions, parameters, variables, attributes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.id if isinstance(node, ast.Name) else node.attr


def words_of(name: str) -> set[str]:
    """`MemoryStores`, `memory_stores` → memory, stores."""
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}


def docstrings(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield ast.get_docstring(node) or ""


@pytest.mark.parametrize("folder", FOLDERS)
def test_folder_holds_few_files(folder: str) -> None:
    files = Counter(path.parent for path in SOURCES if path.is_relative_to(ROOT / folder) and path.stem != "__init__")

    assert {str(room.relative_to(ROOT)): count for room, count in files.items() if count > MOST_FILES} == {}


def test_names_use_the_words_of_the_field() -> None:
    found = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in SOURCES
        for name in {path.stem, *names_in(ast.parse(path.read_text(encoding="utf-8")))}
        if words_of(name) & BANNED_WORDS and name not in PUBLIC_NAMES | CLIENT_FIELDS
    }

    assert sorted(found) == []


def test_docstrings_follow_no_formula() -> None:
    found = {
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in SOURCES
        for text in docstrings(ast.parse(path.read_text(encoding="utf-8")))
        if (match := FORMULAS.search(text))
    }

    assert sorted(found) == []


def test_sandboxed_code_imports_sandboxed_code_only() -> None:
    found = {
        f"{path.relative_to(ROOT)}: {node.module}"
        for path in (ROOT / "libs/converto_engines").rglob("sandboxed/*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom)
        and (node.module or "").startswith("converto_")
        and "sandboxed" not in (node.module or "").split(".")
    }

    assert sorted(found) == []


def test_test_names_are_short_sentences() -> None:
    found = {
        f"{path.relative_to(ROOT)}: {node.name}"
        for path in SOURCES
        if path.is_relative_to(ROOT / "tests")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and len(node.name.split("_")) > 11  # ten words and "test"
    }

    assert sorted(found) == []
