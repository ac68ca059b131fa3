"""Documentation rules: links resolve, named files exist, pages keep their form."""

import re
import subprocess
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).resolve().parents[2]
TRACKED = [
    PurePosixPath(name) for name in subprocess.check_output(["git", "ls-files"], cwd=ROOT, text=True).splitlines()
]
PATHS = {*TRACKED, *(folder for path in TRACKED for folder in path.parents)}
PAGES = [path for path in TRACKED if path.suffix == ".md"]
# The changelog names files as they were at the time.
CURRENT_PAGES = [page for page in PAGES if page.name != "CHANGELOG.md"]
DECISIONS = [page for page in PAGES if page.parent.name == "decisions" and page.name[:4].isdigit()]
# Documents leave out `libs` and `services`: package names are unique.
IMPORT_ROOTS = (PurePosixPath(), PurePosixPath("libs"), PurePosixPath("services"))
SUFFIXES = (".py", ".md", ".toml", ".yml", ".in")
TOP_FOLDERS = {path.name for path in PATHS if path.parent in IMPORT_ROOTS}


def prose_of(page: Path | PurePosixPath) -> str:
    """Return the page without its fenced code blocks."""
    return re.sub(r"^```.*?^```", "", (ROOT / page).read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)


def anchors_of(page: Path | PurePosixPath) -> set[str]:
    """Return the anchors that GitHub makes of the page's headings."""
    headings = re.findall(r"^#+ (.+)$", prose_of(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def leads_somewhere(page: PurePosixPath, link: str) -> bool:
    """Return whether a relative link names an existing file and, after `#`, one of its headings."""
    name, _, anchor = link.partition("#")
    target = (ROOT / page.parent / name).resolve() if name else ROOT / page
    return target.exists() and (not anchor or anchor in anchors_of(target.relative_to(ROOT)))


def is_path(text: str) -> bool:
    """Return whether a word in backticks names a file or folder of this repository."""
    if not re.fullmatch(r"[\w.*<>-]+(/[\w.*<>-]+)*/?", text):
        return False
    return text.endswith(SUFFIXES) or ("/" in text and text.partition("/")[0] in TOP_FOLDERS)


def exists(text: str) -> bool:
    """Return whether git tracks the path; a bare file name may be anywhere, and `<x>` and `*` match any name."""
    pattern = re.sub(r"<\w+>", "*", text.rstrip("/"))
    if "*" in pattern:
        return any(path.match(pattern) for path in PATHS)
    if "/" not in pattern:
        return any(path.name == pattern for path in PATHS)
    return any(start / pattern in PATHS for start in IMPORT_ROOTS)


def sections_of(page: PurePosixPath) -> list[str]:
    return re.findall(r"^## (.+)$", (ROOT / page).read_text("utf-8"), re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_relative_links_resolve(page: PurePosixPath) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", prose_of(page))

    assert [link for link in links if "://" not in link and not leads_somewhere(page, link)] == []


@pytest.mark.parametrize("page", CURRENT_PAGES, ids=str)
def test_paths_in_backticks_exist(page: PurePosixPath) -> None:
    named = set(re.findall(r"`([^`\s]+)`", prose_of(page)))

    assert sorted(text for text in named if is_path(text) and not exists(text)) == []


@pytest.mark.parametrize("page", CURRENT_PAGES, ids=str)
def test_modules_to_run_exist(page: PurePosixPath) -> None:
    modules = re.findall(r"python3? -m ([\w.]+)", (ROOT / page).read_text("utf-8"))
    ours = [module for module in modules if module.split(".")[0] in TOP_FOLDERS]

    assert [module for module in ours if not (exists(as_path(module) + ".py") or exists(as_path(module)))] == []


def as_path(module: str) -> str:
    return str(PurePosixPath(*module.split(".")))


def test_architecture_has_at_most_150_lines() -> None:
    assert len((ROOT / "ARCHITECTURE.md").read_text("utf-8").splitlines()) <= 150


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.stem)
def test_decision_has_its_four_sections(page: PurePosixPath) -> None:
    assert sections_of(page) == ["Context", "Decision", "Rejected", "Consequences"]


def test_decision_index_lists_every_page() -> None:
    index = (ROOT / "docs/decisions/README.md").read_text("utf-8")

    assert re.findall(r"\]\((\d{4}-[\w-]+\.md)\)", index) == [page.name for page in DECISIONS]


def test_decision_numbers_are_consecutive() -> None:
    assert [int(page.name[:4]) for page in DECISIONS] == list(range(1, len(DECISIONS) + 1))


def test_glossary_rows_name_an_existing_file() -> None:
    rows = re.findall(r"^\| (?!word |---)(.+) \|$", (ROOT / "docs/glossary.md").read_text("utf-8"), re.MULTILINE)
    cells = [row.split(" | ") for row in rows]

    assert rows
    assert [row for row in cells if len(row) != 3 or not exists(row[2].strip("`"))] == []


def test_glossary_explains_each_word_once() -> None:
    page = (ROOT / "docs/glossary.md").read_text("utf-8")
    words = re.findall(r"^\| (?!word |---)(.+?) \| ", page, re.MULTILINE)

    assert len(words) == len(set(words))
