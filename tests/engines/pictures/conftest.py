"""Fixtures of the picture tests: the converter, and a marked picture."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from converto_engines.pictures.pictures import Pictures
from converto_engines.runtime.process import Sandbox
from tests.engines.pictures.small_pictures import marked


@pytest.fixture(scope="session")
async def pictures(sandbox: Sandbox) -> AsyncIterator[Pictures]:
    converter = Pictures(sandbox)
    assert await converter.version()
    yield converter
    await converter.aclose()


@pytest.fixture
def png(tmp_path: Path) -> Path:
    path = tmp_path / "marked.png"
    marked().save(path)
    return path
