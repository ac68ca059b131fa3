"""Documentation rules: links resolve, named files exist, pages keep their form."""

import re
import subprocess
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    Path(name) for name in subprocess.check_output(["git", "ls-files", "*.md"], cwd=ROOT, text=True).splitlines()
)
# The changelog names files as they were at the time.
CURRENT_PAGES = [page for page in PAGES if page.name != "CHANGELOG.md"]
DECISIONS = [page for page in PAGES if page.parent == Path("docs/decisions") and page.name[:4].isdigit()]
# Documents leave these two out: a package name is unique.
IMPORT_ROOTS = ("", "libs", "services")
SUFFIXES = (".py", ".md", ".toml", ".yml", ".in")
TOP_FOLDERS = {
    folder.name for start in IMPORT_ROOTS for folder in (ROOT / start).iterdir() if folder.is_dir()
} - {".converto"}


def prose_of(page: Path) -> str:
    """Return the page without its fenced code blocks."""
    return re.sub(r"^```.*?^```", "", (ROOT / page).read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)


def anchors_of(page: Path) -> set[str]:
    """Return the anchors that GitHub makes of the page's headings."""
    headings = re.findall(r"^#+ (.+)$", prose_of(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def leads_somewhere(page: Path, link: str) -> bool:
    """Return whether a relative link names an existing file and, after `#`, one of its headings."""
    name, _, anchor = link.partition("#")
    target = (ROOT / page.parent / name).resolve() if name else ROOT / page
    return target.exists() and (not anchor or anchor in anchors_of(target.relative_to(ROOT)))


def is_path(text: str) -> bool:
    """Return whether a word in backticks names a file or folder of this repository."""
    if not re.fullmatch(r"[\w.*<>-]+(/[\w.*<>-]+)*/?", text):
        return False
    return text.endswith(SUFFIXES) or ("/" in text and text.split("/")[0] in TOP_FOLDERS)


def exists(text: str) -> bool:
    """Return whether the path exists from an import root, or anywhere for a bare file name; `<x>` and `*` match all."""
    pattern = re.sub(r"<\w+>", "*", text.rstrip("/"))
    if "/" not in pattern:
        return any(ROOT.glob(pattern)) or any(next((ROOT / top).rglob(pattern), None) for top in tracked_folders())
    return any(next((ROOT / start).glob(pattern), None) for start in IMPORT_ROOTS)


def tracked_folders() -> list[str]:
    return ["libs", "services", "deploy", "tests", "bench", "docs"]


def sections_of(page: Path) -> list[str]:
    return re.findall(r"^## (.+)$", (ROOT / page).read_text("utf-8"), re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_relative_links_resolve(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", prose_of(page))

    assert [link for link in links if "://" not in link and not leads_somewhere(page, link)] == []


@pytest.mark.parametrize("page", CURRENT_PAGES, ids=str)
def test_paths_in_backticks_exist(page: Path) -> None:
    named = set(re.findall(r"`([^`\s]+)`", prose_of(page)))

    assert sorted(text for text in named if is_path(text) and not exists(text)) == []


@pytest.mark.parametrize("page", CURRENT_PAGES, ids=str)
def test_modules_to_run_exist(page: Path) -> None:
    modules = re.findall(r"python3? -m ([\w.]+)", (ROOT / page).read_text("utf-8"))
    ours = [module for module in modules if module.split(".")[0] in TOP_FOLDERS]

    assert [module for module in ours if not (exists(as_path(module) + ".py") or exists(as_path(module)))] == []


def as_path(module: str) -> str:
    return str(PurePosixPath(*module.split(".")))


def test_architecture_has_at_most_150_lines() -> None:
    assert len((ROOT / "ARCHITECTURE.md").read_text("utf-8").splitlines()) <= 150


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.stem)
def test_decision_has_its_four_sections(page: Path) -> None:
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
