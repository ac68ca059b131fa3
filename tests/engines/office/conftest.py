"""Fixtures of the office tests: one warm LibreOffice for all of them, and a function that converts with it."""

import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from converto_engines.converter import Converter, Product
from converto_engines.office.documents import OfficeDocuments, OfficeText
from converto_engines.office.libreoffice import LibreOffice
from converto_engines.office.sheets import OfficeSheets, OfficeSheetText, OfficeTable
from converto_engines.office.warm_office import WarmOffice
from converto_engines.runtime.process import Sandbox

RunJob = Callable[..., Awaitable[list[Product]]]


@pytest.fixture(scope="session")
def work_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shared, so that only the first test creates the template profile."""
    return tmp_path_factory.mktemp("office")


@pytest.fixture(scope="session")
async def warm(sandbox: Sandbox, work_dir: Path) -> AsyncIterator[WarmOffice]:
    """One LibreOffice for all office tests, which also shows that it still works after a hostile file."""
    office = WarmOffice(sandbox, work_dir=work_dir)
    if await office.version() is None:
        missing = "LibreOffice or python3-uno is not installed"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    yield office
    await office.aclose()


@pytest.fixture
def to_pdf(sandbox: Sandbox, warm: WarmOffice) -> LibreOffice:
    """The converter to PDF on the shared LibreOffice."""
    return LibreOffice(warm)


@pytest.fixture
def documents(sandbox: Sandbox, warm: WarmOffice) -> Converter:
    return OfficeDocuments(sandbox, warm)


@pytest.fixture
def text(sandbox: Sandbox, warm: WarmOffice) -> Converter:
    return OfficeText(sandbox, warm)


@pytest.fixture
def sheets(sandbox: Sandbox, warm: WarmOffice) -> Converter:
    return OfficeSheets(sandbox, warm)


@pytest.fixture
def table(sandbox: Sandbox, warm: WarmOffice) -> Converter:
    return OfficeTable(sandbox, warm)


@pytest.fixture
def sheet_text(sandbox: Sandbox, warm: WarmOffice) -> Converter:
    return OfficeSheetText(sandbox, warm)


@pytest.fixture
def convert(to_pdf: LibreOffice, run_job: RunJob) -> Callable[..., Awaitable[Path]]:
    """Convert a file to PDF, or with another converter to another target."""

    async def one(
        source: Path, target: str = "pdf", *, by: Converter = to_pdf, source_format: str | None = None, **chosen: Any
    ) -> Path:
        (product,) = await run_job(by, source, source_format or source.suffix[1:], target, **chosen)
        assert product.page is None
        return product.path

    return one


def is_running(pid: int) -> bool:
    """Return whether a process exists and is not a zombie."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes() != b""
    return False
