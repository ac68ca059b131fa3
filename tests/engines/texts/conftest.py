"""Fixtures of the text tests: convert content with one converter."""

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from converto_engines.converter import Converter
from tests.engines.conftest import RunJob

Content = str | bytes
ConvertContent = Callable[..., Callable[..., Awaitable[Path]]]
"""Takes a converter, source and target format; returns a function from content and options to the product."""
ConvertToText = Callable[..., Callable[..., Awaitable[str]]]


@pytest.fixture
def convert_content(run_job: RunJob, tmp_path: Path) -> ConvertContent:
    """Bind a converter and two formats; the result converts content with options."""

    async def convert(
        converter: Converter, source_format: str, target_format: str, content: Content, **options: Any
    ) -> Path:
        source = tmp_path / f"source.{source_format}"
        source.write_bytes(content.encode() if isinstance(content, str) else content)
        (product,) = await run_job(converter, source, source_format, target_format, **options)
        return product.path

    return lambda *route: partial(convert, *route)


@pytest.fixture
def convert_to_text(convert_content: ConvertContent) -> ConvertToText:
    """Like `convert_content`, but the result returns the text of the product."""

    def bind(*route: Any) -> Callable[..., Awaitable[str]]:
        step = convert_content(*route)

        async def convert(content: Content, **options: Any) -> str:
            return (await step(content, **options)).read_text(encoding="utf-8")

        return convert

    return bind
