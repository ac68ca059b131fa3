"""Fixtures of the model tests: the converters."""

from collections.abc import AsyncIterator

import pytest

from converto_engines.models.cad import Cad
from converto_engines.models.meshes import Meshes
from converto_engines.runtime.process import Sandbox


@pytest.fixture(scope="module")
async def meshes(sandbox: Sandbox) -> Meshes:
    converter = Meshes(sandbox)
    assert await converter.version()
    return converter


@pytest.fixture(scope="module")
async def cad(sandbox: Sandbox) -> AsyncIterator[Cad]:
    converter = Cad(sandbox, Meshes(sandbox))
    assert await converter.version()
    yield converter
    await converter.aclose()
